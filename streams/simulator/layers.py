"""The city's layers as GeoJSON files and their list `grids.toml`, as `quanyu grids` and `[grids] file` read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streams.simulator.city import City
from streams.simulator.outline import outline

_LIST = """# Layers of the simulated city, finest first. Unit grids tile it exactly; parents are unions of whole cells.
[[layers]]
name = "unit"
file = "unit.geojson"
code = "code"
name_property = "name"
parent = "street"
pattern = "^[0-9]{15}$"
datum = "wgs84"

[[layers]]
name = "street"
file = "street.geojson"
code = "code"
name_property = "name"
parent = "district"
pattern = "^[0-9]{9}$"
datum = "wgs84"

[[layers]]
name = "district"
file = "district.geojson"
code = "code"
name_property = "name"
pattern = "^[0-9]{6}$"
datum = "wgs84"
"""


def write_layers(city: City, folder: Path) -> list[str]:
    """Write grids.toml and its three GeoJSON files into `folder`; gives the names of the files."""
    for name, features in (("unit", _units(city)), ("street", _streets(city)), ("district", _districts(city))):
        rows = b",\n".join(msgspec.json.encode(feature) for feature in features)
        (folder / f"{name}.geojson").write_bytes(b'{"type":"FeatureCollection","features":[\n' + rows + b"\n]}\n")
    (folder / "grids.toml").write_text(_LIST, encoding="utf-8")  # last: who finds it finds all
    return ["grids.toml", "unit.geojson", "street.geojson", "district.geojson"]


def _units(city: City) -> Iterator[dict[str, Any]]:
    for cell, ring in enumerate(city.rings.tolist()):
        parent = city.streets[int(city.street[cell])].code
        yield _feature(city, city.codes[cell], city.cell_names[cell], parent, [[ring]])


def _streets(city: City) -> Iterator[dict[str, Any]]:
    for i, area in enumerate(city.streets):
        shape = outline(city.rings[city.street == i], city.points)
        yield _feature(city, area.code, area.name, city.districts[area.parent].code, shape)


def _districts(city: City) -> Iterator[dict[str, Any]]:
    for i, area in enumerate(city.districts):
        yield _feature(city, area.code, area.name, "", outline(city.rings[city.district == i], city.points))


def _feature(city: City, code: str, name: str, parent: str, shape: list[list[list[int]]]) -> dict[str, Any]:
    rings = [[city.points[np.array([*ring, ring[0]])].tolist() for ring in polygon] for polygon in shape]
    one = len(rings) == 1
    return {
        "type": "Feature",
        "properties": {"code": code, "name": name, "parent": parent},
        "geometry": {"type": "Polygon" if one else "MultiPolygon", "coordinates": rings[0] if one else rings},
    }
