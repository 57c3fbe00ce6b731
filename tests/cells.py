"""Cells for tests: boxes on a lattice of hundredths of a degree near Shanghai, written as a city would give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import shapely

WEST, SOUTH, STEP = 121.4, 31.2, 0.01


def box(column: float, row: float, width: float = 1, height: float = 1) -> shapely.Polygon:
    """A box in lattice units."""
    x, y = WEST + column * STEP, SOUTH + row * STEP
    return shapely.box(round(x, 9), round(y, 9), round(x + width * STEP, 9), round(y + height * STEP, 9))


def feature(shape: shapely.Geometry | None, **properties: Any) -> dict[str, Any]:
    """A GeoJSON feature."""
    geometry = None if shape is None else msgspec.json.decode(shapely.to_geojson(shape))
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def write(path: Path, features: Sequence[Mapping[str, Any]]) -> Path:
    """A GeoJSON file."""
    path.write_bytes(msgspec.json.encode({"type": "FeatureCollection", "features": features}))
    return path


def squares(path: Path, columns: int = 4, rows: int = 4, length: int = 4) -> Path:
    """columns x rows boxes with codes 1RRCC, `length` digits after the 1."""
    half = length // 2
    return write(
        path,
        [
            feature(box(c, r), code=f"1{r // 2}{c // 2}{r:0{half}d}{c:0{half}d}", name=f"格{r}-{c}")
            for r in range(rows)
            for c in range(columns)
        ],
    )


def city(folder: Path) -> Path:
    """A layer list of 16 units (1RC + 4 digits) in 4 streets (1RC), every street 2 x 2 units; and a police layer."""
    squares(folder / "unit.geojson")
    streets = [feature(box(2 * c, 2 * r, 2, 2), code=f"1{r}{c}") for r in range(2) for c in range(2)]
    write(folder / "street.geojson", streets)
    write(folder / "police.geojson", [feature(box(0, 0, 3, 4), id="P1"), feature(box(3, 0, 1, 4), id="P2")])
    path = folder / "grids.toml"
    path.write_text(
        """
[[layers]]
name = "unit"
file = "unit.geojson"
parent = "street"
pattern = "^[0-9]{7}$"
name_property = "name"
[[layers]]
name = "police"
file = "police.geojson"
[[layers]]
name = "street"
file = "street.geojson"
""",
        encoding="utf-8",
    )
    return path
