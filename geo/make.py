"""A polygon file of a regular grid, for a city that wants to start with squares and edit them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from geo.regular import regular_grids
from schemas.errors import UsageError


def make_grid(bounds: tuple[float, float, float, float], size_m: float, shape: str, path: Path) -> int:
    """Write the GeoJSON of the cells that meet `bounds` (west, south, east, north; WGS 84); how many there are.

    Codes are those of the arithmetic grid of the same size. Raises UsageError for an empty box, size or shape.
    """
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -85 <= south < north <= 85):
        raise UsageError(
            f"bounds {bounds}: want west < east and south < north, in degrees",
            f"范围 {bounds}：应为 西 < 东、南 < 北，单位为度",
        )
    grids = regular_grids({"unit": size_m}, shape)
    codes = grids.within("unit", west, south, east, north)
    features = [
        {
            "type": "Feature",
            "properties": {"code": code},
            "geometry": {
                "type": "Polygon",
                # Neighbours work out a shared corner each in its own way: alike only to the last bits.
                "coordinates": [
                    [(round(lon, 9), round(lat, 9)) for lon, lat in ring] for ring in grids.polygon("unit", code)[0]
                ],
            },
        }
        for code in codes
    ]
    path.write_bytes(msgspec.json.encode({"type": "FeatureCollection", "features": features}))
    return len(features)
