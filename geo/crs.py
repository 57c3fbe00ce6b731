"""Datums of Chinese coordinates, both ways, vectorised: WGS 84, CGCS2000, GCJ-02, BD-09. All in degrees.

* CGCS2000 (EPSG:4490) differs from WGS 84 by decimetres: taken as equal.
* GCJ-02 is 50 to 700 m off WGS 84 inside China's rectangle and equal to it outside. The rectangle is the one every
  published version uses; it also holds neighbours of China, where map vendors differ.
* BD-09 is a further twist of GCJ-02, by Baidu.

Formulas: the widely published reconstruction ("eviltransform", after 2010) and Baidu's bd_encrypt. Published versions
differ by up to 0.73 m, so 1 m is the honest tolerance against others; the inverses here are fixed-point iterations
and undo our own forward formulas to well under a millimetre.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas.errors import UsageError

Floats = NDArray[np.float64]
_Transform = Callable[[Floats, Floats], tuple[Floats, Floats]]

#: west, east, south, north of the rectangle in which GCJ-02 is shifted
CHINA = (72.004, 137.8347, 0.8293, 55.8271)

# Krasovsky 1940, which GCJ-02 is computed on
_SEMI_MAJOR = 6_378_245.0
_ECCENTRICITY2 = 0.00669342162296594323
_BAIDU_TURN = np.pi * 3000 / 180
# Each round shrinks the error more than a hundredfold: 700 m -> below a millimetre.
_ROUNDS = 3

_ALIASES = {
    "wgs84": "wgs84",
    "epsg4326": "wgs84",
    "crs84": "wgs84",
    "gps": "wgs84",
    "cgcs2000": "cgcs2000",
    "epsg4490": "cgcs2000",
    "gcj02": "gcj02",
    "bd09": "bd09",
    "bd09ll": "bd09",
}
DATUMS = ("wgs84", "cgcs2000", "gcj02", "bd09")


def datum_name(datum: str) -> str:
    """One of DATUMS for any usual spelling ("GCJ-02", "EPSG:4490"); raises UsageError listing the known ones."""
    name = find_datum(datum)
    if not name:
        raise UsageError(
            f"unknown datum {datum!r}; known: {', '.join(DATUMS)}", f"未知坐标系 {datum!r}；可用：{'、'.join(DATUMS)}"
        )
    return name


def find_datum(datum: str) -> str:
    """Like `datum_name`, but "" for an unknown one: in data that is bad data, not a wrong configuration."""
    return _ALIASES.get("".join(c for c in datum.casefold() if c not in "-_ :/"), "")


def to_wgs84(x: ArrayLike, y: ArrayLike, datum: str) -> tuple[Floats, Floats]:
    """WGS 84 (lon, lat) of coordinates in `datum`, shape kept; NaN stays NaN."""
    return _apply(_TO[datum_name(datum)], x, y)


def from_wgs84(x: ArrayLike, y: ArrayLike, datum: str) -> tuple[Floats, Floats]:
    """Coordinates in `datum` of WGS 84 (lon, lat), shape kept; NaN stays NaN."""
    return _apply(_FROM[datum_name(datum)], x, y)


def in_china(x: Floats, y: Floats, slack: float = 0.0) -> NDArray[np.bool_]:
    """Inside the rectangle in which GCJ-02 is shifted, grown by `slack` degrees."""
    west, east, south, north = CHINA
    inside: NDArray[np.bool_] = (x >= west - slack) & (x <= east + slack) & (y >= south - slack) & (y <= north + slack)
    return inside


def _apply(transform: _Transform, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """The transform, which wants two arrays [n] of degrees, of coordinates of any shape.

    What cannot be degrees (beyond 360) comes back as it is: it lies nowhere in any datum.
    """
    xs, ys = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    lon, lat = xs.flatten(), ys.flatten()
    degrees = (np.abs(lon) <= 360.0) & (np.abs(lat) <= 360.0)
    lon[degrees], lat[degrees] = transform(lon[degrees], lat[degrees])
    return lon.reshape(xs.shape), lat.reshape(xs.shape)


def _same(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    return x, y


def _shift(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """GCJ-02 minus WGS 84 at WGS 84 points inside China, degrees."""
    x, y, pi = lon - 105.0, lat - 35.0, np.pi
    root = np.sqrt(np.abs(x))
    wave = np.sin(2.0 * pi * x)
    ripple = 20.0 * wave * (4.0 - 4.0 * wave * wave)  # 20 sin 6πx + 20 sin 2πx
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root
    north += (ripple + 20.0 * np.sin(pi * y) + 40.0 * np.sin(pi / 3.0 * y)) * (2.0 / 3.0)
    north += (160.0 * np.sin(pi / 12.0 * y) + 320.0 * np.sin(pi / 30.0 * y)) * (2.0 / 3.0)
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root
    east += (ripple + 20.0 * np.sin(pi * x) + 40.0 * np.sin(pi / 3.0 * x)) * (2.0 / 3.0)
    east += (150.0 * np.sin(pi / 12.0 * x) + 300.0 * np.sin(pi / 30.0 * x)) * (2.0 / 3.0)
    radians = lat * (pi / 180.0)
    magic = 1.0 - _ECCENTRICITY2 * np.sin(radians) ** 2
    meridian = _SEMI_MAJOR * (1.0 - _ECCENTRICITY2) / (magic * np.sqrt(magic)) * (pi / 180.0)
    parallel = _SEMI_MAJOR / np.sqrt(magic) * np.cos(radians) * (pi / 180.0)
    return east / parallel, north / meridian


def _gcj02_of_wgs84(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    out_x, out_y = lon.copy(), lat.copy()
    inside = in_china(lon, lat)
    dx, dy = _shift(lon[inside], lat[inside])
    out_x[inside] += dx
    out_y[inside] += dy
    return out_x, out_y


def _wgs84_of_gcj02(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The WGS 84 point whose GCJ-02 is (x, y), by fixed point; a point whose origin lies outside China is unshifted."""
    out_x, out_y = x.copy(), y.copy()
    near = in_china(x, y, slack=1.0)  # a point just inside may have been shifted out
    gx, gy = x[near], y[near]
    lon, lat = gx, gy
    for _ in range(_ROUNDS):
        dx, dy = _shift(lon, lat)
        lon, lat = gx - dx, gy - dy
    inside = in_china(lon, lat, slack=1e-7)  # what the rounds leave undone
    out_x[near], out_y[near] = np.where(inside, lon, gx), np.where(inside, lat, gy)
    return out_x, out_y


def _bd09_of_gcj02(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    radius = np.sqrt(x * x + y * y) + 0.00002 * np.sin(y * _BAIDU_TURN)
    angle = np.arctan2(y, x) + 0.000003 * np.cos(x * _BAIDU_TURN)
    return radius * np.cos(angle) + 0.0065, radius * np.sin(angle) + 0.006


def _gcj02_of_bd09(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    gx, gy = x - 0.0065, y - 0.006
    for _ in range(_ROUNDS):
        bx, by = _bd09_of_gcj02(gx, gy)
        gx, gy = gx - (bx - x), gy - (by - y)
    return gx, gy


def _wgs84_of_bd09(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    return _wgs84_of_gcj02(*_gcj02_of_bd09(x, y))


def _bd09_of_wgs84(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    return _bd09_of_gcj02(*_gcj02_of_wgs84(x, y))


_TO: dict[str, _Transform] = {"wgs84": _same, "cgcs2000": _same, "gcj02": _wgs84_of_gcj02, "bd09": _wgs84_of_bd09}
_FROM: dict[str, _Transform] = {"wgs84": _same, "cgcs2000": _same, "gcj02": _gcj02_of_wgs84, "bd09": _bd09_of_wgs84}
