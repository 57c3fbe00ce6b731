"""Square and hexagonal lattices on bands of latitude; the arithmetic behind `geo.regular`.

A lattice numbers its cells (row, column) with rows counted from the equator, columns from Greenwich. Within a band
(see `geo.regular`) a cell's place follows from metres: y = lat * M, x = lon * M * cos(middle of the band).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geo.metres import METRES_PER_DEGREE

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]
Cell = tuple[int, int]

#: codes kept made, a layer; more than a city has
_CODES = 1 << 17
#: of a longest line of a hexagon to the distance of its rows
_HEX = math.sqrt(3) / 2


class Lattice(Protocol):
    """What a regular grid needs of a layer."""

    size_m: float
    base_m: float
    band_m: float
    code: Callable[[int, int], str]

    def cells(self, lon: Floats, lat: Floats) -> tuple[Longs, Longs]:
        """Row and column of each point."""

    def neighbours(self, row: int, column: int) -> set[Cell]:
        """Cells that touch it."""

    def ring(self, row: int, column: int) -> list[tuple[float, float]]:
        """Its closed outline, (lon, lat)."""


def _coder(size_m: float, mark: str) -> Callable[[int, int], str]:
    @lru_cache(maxsize=_CODES)
    def code(row: int, column: int) -> str:
        return f"{size_m:g}{mark}{'S' if row < 0 else 'N'}{abs(row)}{'W' if column < 0 else 'E'}{abs(column)}"

    return code


class _Bands:
    """Bands of latitude `band_m` high."""

    def __init__(self, band_m: float) -> None:
        self._band_m = band_m

    def of(self, lat: Floats) -> Longs:
        bands: Longs = np.floor(lat * METRES_PER_DEGREE / self._band_m).astype(np.int64)
        return bands

    def scale(self, band: Longs) -> Floats:
        """Metres a degree of longitude measures; never 0, at the poles the last band is as wide as the one before."""
        lat = np.minimum((band + 0.5) * self._band_m / METRES_PER_DEGREE, 89.0)
        scale: Floats = METRES_PER_DEGREE * np.cos(np.radians(np.maximum(lat, -89.0)))
        return scale

    def scale_of(self, band: int) -> float:
        return float(self.scale(np.array([band]))[0])


class Squares:
    """Squares of `size_m`, a whole multiple of `base_m`; `band_m` is a whole multiple of `size_m`.

    Cells are found on squares of `base_m` first: all layers of one base agree to the last bit.
    """

    def __init__(self, size_m: float, band_m: float, base_m: float) -> None:
        self.size_m = size_m
        self.base_m = base_m
        self.band_m = band_m
        self.code = _coder(size_m, "")
        self._bands = _Bands(band_m)
        self._rows = round(band_m / size_m)
        self._ratio = round(size_m / base_m)

    def cells(self, lon: Floats, lat: Floats) -> tuple[Longs, Longs]:
        """Row and column of each point."""
        rows = np.floor(lat * METRES_PER_DEGREE / self.base_m).astype(np.int64) // self._ratio
        columns = np.floor(lon * self._bands.scale(rows // self._rows) / self.base_m).astype(np.int64) // self._ratio
        return rows, columns

    def neighbours(self, row: int, column: int) -> set[Cell]:
        """Cells that touch it, in a corner too."""
        near = {(row, column - 1), (row, column + 1)}
        scale = self._bands.scale_of(row // self._rows)
        for beside in (row - 1, row + 1):
            ratio = self._bands.scale_of(beside // self._rows) / scale
            near |= {(beside, c) for c in touching(column * ratio, (column + 1) * ratio)}
        return near

    def ring(self, row: int, column: int) -> list[tuple[float, float]]:
        """Its closed outline, (lon, lat), counter-clockwise."""
        step = self.size_m / self._bands.scale_of(row // self._rows)
        west, east = column * step, (column + 1) * step
        south, north = (r * self.size_m / METRES_PER_DEGREE for r in (row, row + 1))
        return [(west, south), (east, south), (east, north), (west, north), (west, south)]


class Hexagons:
    """Hexagons `size_m` from flat side to flat side, in rows; odd rows stand half a cell to the east."""

    def __init__(self, size_m: float, band_m: float) -> None:
        self.size_m = self.base_m = size_m
        self.code = _coder(size_m, "H")
        self.band_m = band_m
        self._bands = _Bands(band_m)
        self._rows = max(round(band_m / (size_m * _HEX)), 1)
        self._height = band_m / self._rows

    def cells(self, lon: Floats, lat: Floats) -> tuple[Longs, Longs]:
        """Row and column of each point: the nearest centre of its band."""
        band = self._bands.of(lat)
        x = lon * self._bands.scale(band) / self.size_m
        y = (lat * METRES_PER_DEGREE - band * self.band_m) / self._height
        best = np.full(lon.shape, np.inf)
        rows, columns = np.zeros(lon.shape, dtype=np.int64), np.zeros(lon.shape, dtype=np.int64)
        middle = np.floor(y).astype(np.int64)
        for step in (-1, 0, 1):
            row = middle + step
            shift = (row & 1) * 0.5
            column = np.ceil(x - shift).astype(np.int64) - 1
            distance = (x - column - shift - 0.5) ** 2 + ((y - row - 0.5) * _HEX) ** 2
            # Rows of the next band are not asked: the last cells of a band are cut straight.
            closer = (row >= 0) & (row < self._rows) & (distance < best)
            best[closer] = distance[closer]
            rows[closer], columns[closer] = row[closer] + band[closer] * self._rows, column[closer]
        return rows, columns

    def neighbours(self, row: int, column: int) -> set[Cell]:
        """Cells that share a side."""
        band, inner = divmod(row, self._rows)
        near = {(row, column - 1), (row, column + 1)}
        for step in (-1, 1):
            if 0 <= inner + step < self._rows:
                first = column if inner & 1 else column - 1
                near |= {(row + step, first), (row + step, first + 1)}
            else:
                other, last = divmod(row + step, self._rows)
                ratio = self._bands.scale_of(other) / self._bands.scale_of(band)
                west, shift = column + (inner & 1) * 0.5, (last & 1) * 0.5
                near |= {(row + step, c) for c in touching(west * ratio - shift, (west + 1) * ratio - shift)}
        return near

    def ring(self, row: int, column: int) -> list[tuple[float, float]]:
        """Its closed outline, (lon, lat), counter-clockwise; straight at the edges of its band."""
        band, inner = divmod(row, self._rows)
        west = column + (inner & 1) * 0.5
        low, high = (1 / 6 if inner else 0.0), (5 / 6 if inner < self._rows - 1 else 1.0)
        corners = [(0.0, low), (0.5, -1 / 6), (1.0, low), (1.0, high), (0.5, 7 / 6), (0.0, high)]
        if not inner:
            corners = [c for c in corners if c[1] >= 0]
        if inner == self._rows - 1:
            corners = [c for c in corners if c[1] <= 1]
        x_step, y_step = self.size_m / self._bands.scale_of(band), self._height / METRES_PER_DEGREE
        south = band * self.band_m / METRES_PER_DEGREE
        return [((west + x) * x_step, south + (inner + y) * y_step) for x, y in [*corners, corners[0]]]


def touching(low: float, high: float) -> range:
    """Columns whose closed span touches the closed span [low, high] (in columns); rounding counts as touching."""
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    return range(math.ceil(low - 1 - slack), math.floor(high + slack) + 1)
