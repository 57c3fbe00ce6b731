"""Cells of points: regular squares by arithmetic, polygons by geopandas."""

from __future__ import annotations

from math import cos, floor, pi
from pathlib import Path

import geopandas as gpd
import pandas as pd

#: a degree of latitude on a sphere with the equator of WGS 84, metres
DEGREE_M = 40_075_016.686 / 360
SIZES_M = {"unit": 500, "street": 2000, "district": 10000}
#: within a band of this height a degree of longitude is as long as on its middle parallel
BAND_M = 10_000


def square(size_m: int, lon: float, lat: float) -> str:
    """Code of the square of a point: SIZE, row from the equator, column from Greenwich."""
    north = lat * DEGREE_M
    middle = (floor(north / BAND_M) + 0.5) * BAND_M / DEGREE_M
    row, column = floor(north / size_m), floor(lon * DEGREE_M * cos(middle * pi / 180) / size_m)
    return f"{size_m}{'S' if row < 0 else 'N'}{abs(row)}{'W' if column < 0 else 'E'}{abs(column)}"


def regular(frame: pd.DataFrame) -> pd.DataFrame:
    """Codes in the three layers of squares; "" without a coordinate."""
    points = list(zip(frame.lon, frame.lat, strict=True))
    codes = {
        layer: ["" if lon != lon else square(size, lon, lat) for lon, lat in points] for layer, size in SIZES_M.items()
    }
    return pd.DataFrame(codes, index=frame.index)


def polygons(frame: pd.DataFrame, path: Path, code: str) -> pd.DataFrame:
    """Codes in the one layer of a GeoJSON file (property `code`); "" outside."""
    areas = gpd.read_file(path)[[code, "geometry"]]
    points = gpd.GeoDataFrame(frame[[]], geometry=gpd.points_from_xy(frame.lon, frame.lat), crs="EPSG:4326")
    joined = gpd.sjoin(points[frame.lon.notna()], areas.to_crs("EPSG:4326"), predicate="within")
    first = joined[~joined.index.duplicated()][code].astype(str)
    return pd.DataFrame({"unit": first.reindex(frame.index).fillna("")})
