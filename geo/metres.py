"""Degrees and metres at city scale, on a sphere with WGS 84's equator: good to 0.5 %, which is all that sizes need.

Joins never use metres; only sizes told to people, tolerances and regular grids do.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

#: metres in a degree of latitude (and of longitude at the equator): 40 075 016.686 m / 360
METRES_PER_DEGREE = 111_319.490793

Floats = NDArray[np.float64]


def area_m2(polygons: NDArray[np.object_]) -> Floats:
    """Areas in square metres of polygons in degrees, shape [n]; 0 for empty or missing ones."""
    if not len(polygons):
        return np.zeros(0)
    bounds = shapely.bounds(polygons)
    middle = np.radians((bounds[:, 1] + bounds[:, 3]) / 2)
    area: Floats = np.nan_to_num(shapely.area(polygons) * METRES_PER_DEGREE**2 * np.cos(middle))
    return area


def offset_m(lon: float, lat: float, lon_to: float, lat_to: float) -> tuple[float, float]:
    """Way from one point to another, metres (east, north)."""
    middle = np.radians((lat + lat_to) / 2)
    return float((lon_to - lon) * METRES_PER_DEGREE * np.cos(middle)), float((lat_to - lat) * METRES_PER_DEGREE)
