"""Datums, join and check on real data of Chicago and Shanghai."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import shapely

from geo.check import check
from geo.crs import from_wgs84, to_wgs84
from geo.grids import open_grids
from geo.layers import read_layer, read_specs
from geo.metres import METRES_PER_DEGREE

pytestmark = pytest.mark.shared

SYSTEMS = {"wgs84": "WGS84", "gcj02": "GCJ02", "bd09": "BD09"}


def table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def numbers(rows: list[dict[str, str]], *columns: str) -> tuple[np.ndarray, ...]:
    return tuple(np.array([float(row[name] or "nan") for row in rows]) for name in columns)


def districts(shared: Path, datum: str, folder: Path) -> Path:
    path = folder / f"{datum}.toml"
    file = shared / "data/polygons/shanghai_districts_gcj02.geojson"
    path.write_text(f'[[layers]]\nname = "district"\nfile = "{file}"\ndatum = "{datum}"\n', encoding="utf-8")
    return path


@pytest.mark.parametrize("source", SYSTEMS)
@pytest.mark.parametrize("target", SYSTEMS)
def test_datums_agree_with_published_places_within_a_metre(shared: Path, source: str, target: str) -> None:
    places = json.loads((shared / "data/coordinates/china_cities_six_systems.json").read_text(encoding="utf-8"))
    given, wanted = (np.array([place["coords"][SYSTEMS[name]] for place in places]).T for name in (source, target))
    x, y = from_wgs84(*to_wgs84(*given, source), target)
    off = np.hypot((x - wanted[0]) * np.cos(np.radians(wanted[1])), y - wanted[1]) * METRES_PER_DEGREE
    assert len(off) == 664
    assert off.max() <= 1.0 if "wgs84" in (source, target) else off.max() <= 2.0


def test_chicago_community_areas(shared: Path) -> None:
    rows = table(shared / "data/chicago_crimes/crimes.csv.gz")
    (found,) = open_grids(shared / "data/chicago_crimes/community_areas_wgs84.geojson").locate(
        *numbers(rows, "longitude", "latitude")
    )
    right = [code == row["community_area"] for code, row in zip(found, rows, strict=True)]
    assert len(right) == 25_000
    assert np.mean(right) >= 0.974


def test_shanghai_districts_agree_only_in_their_datum(shared: Path, tmp_path: Path) -> None:
    rows = table(shared / "data/shanghai_addresses/labelled_points.csv.gz")
    gcj02 = to_wgs84(*numbers(rows, "gcj02_lng", "gcj02_lat"), "gcj02")

    def agreement(datum: str) -> float:
        grids = open_grids(districts(shared, datum, tmp_path))
        names = grids.names("district")
        (found,) = grids.locate(*gcj02)
        return float(np.mean([names.get(c) == row["district"] for c, row in zip(found, rows, strict=True)]))

    assert agreement("gcj02") >= 0.985
    assert agreement("wgs84") < 0.95  # the mistake costs five points


def test_a_wrongly_declared_datum_is_found(shared: Path, tmp_path: Path) -> None:
    right, wrong = (
        read_layer(msgspec.structs.replace(spec, name=datum))
        for datum in ("gcj02", "wgs84")
        for spec in read_specs(districts(shared, datum, tmp_path))
    )
    assert [finding.kind for finding in check([right])] == []
    (finding,) = check([wrong], right)
    assert finding.kind == "datum"
    assert "is gcj02, not wgs84" in finding.en


def test_chicago_check_tells_the_enclaves_and_nothing_else(shared: Path) -> None:
    (layer,) = (read_layer(spec) for spec in read_specs(shared / "data/chicago_crimes/community_areas_wgs84.geojson"))
    found = check([layer])
    assert {finding.kind for finding in found} == {"gap"}
    # Norridge and Harwood Heights: villages inside the city.
    assert any(shapely.Point(finding.place).distance(shapely.Point(-87.81, 41.96)) < 0.02 for finding in found)
