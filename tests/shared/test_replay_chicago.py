"""25,000 incidents of Chicago with their community area, in no order, over the 77 polygons."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from tests.recount import cells, tables
from tests.recount.agree import hold
from tests.recount.runs import Run, replay
from tests.recount.sources import chicago, rows

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data" / "chicago_crimes"


def over_areas(directory: Path, file: Path, folder: Path, *options: str) -> Run:
    return replay(directory, file, "chicago_crimes", "--grids", folder / "community_areas_wgs84.geojson", *options)


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return over_areas(tmp_path_factory.mktemp("chicago") / "db", folder / "crimes.csv.gz", folder)


def test_every_number_is_that_of_the_recount(run: Run, folder: Path) -> None:
    polygons = folder / "community_areas_wgs84.geojson"
    found = chicago(folder / "crimes.csv.gz")
    hold(run, found, "America/Chicago", lambda frame: cells.polygons(frame, polygons, "area"), ["id"])


def test_the_cell_is_the_community_area_that_the_city_wrote(run: Run, folder: Path) -> None:
    (stored,) = run.read(tables.SIGNALS)
    written = {f"110:{row['id']}": row["community_area"] for row in rows(folder / "crimes.csv.gz")}
    agree = (stored.unit_cell == stored.signal_id.map(written)).mean()
    assert agree >= 0.974


def test_shuffled_and_in_other_batches_the_result_is_the_same(run: Run, folder: Path, tmp_path: Path) -> None:
    header, *lines = gzip.decompress((folder / "crimes.csv.gz").read_bytes()).decode().splitlines()
    random.Random(7).shuffle(lines)
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join([header, *lines]) + "\n")
    other = over_areas(tmp_path / "db", shuffled, folder, "--batch", "1000")
    assert other.summary["result_hash"] == run.summary["result_hash"]
