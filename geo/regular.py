"""Regular grids by arithmetic, for a city without polygons: squares or hexagons in metres, no end, nothing built.

Latitude is cut into bands of whole coarsest squares, 10 km or more (from the equator up and down). Within a band a
degree of longitude counts what it measures on the band's middle parallel, for every layer that divides the coarsest
size evenly: so smaller squares nest in larger ones exactly, and a cell is true to its size (to 0.1 % in a band of
10 km at 35°). A layer that does not divide it has bands of its own and does not nest.

Hexagons (finest layer only) stand on a corner; their rows are stretched a little so that a whole number fills a
band, and the cells at a band's edge are cut straight. They do not nest in squares.

A code says everything: SIZE, H for a hexagon, N|S row, E|W column, e.g. 500N6944E24270. A cell holds its west and
south sides; a hexagon's borders go to the smaller column of the lower row.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from geo.adjacency import Graph, graph_of
from geo.lattices import Hexagons, Lattice, Squares
from schemas.city import CITY_LAYER, SOURCE_LAYER
from schemas.errors import UsageError

Floats = NDArray[np.float64]

_CODE = re.compile(r"([0-9.]+)(H?)([NS])(\d+)([EW])(\d+)")
#: bands are at least so high, metres
BAND_M = 10_000.0
_WORLD = (-180.0, -90.0, 180.0, 90.0)


class RegularGrids:
    """See `geo.grids.Grids`."""

    bounds = _WORLD

    def __init__(self, sizes_m: Mapping[str, float], shape: str) -> None:
        self.layers = tuple(sizes_m)
        squares = list(sizes_m.values())[shape == "hex" :]
        self._lattices: dict[str, Lattice] = {}
        for at, (name, size) in enumerate(sizes_m.items()):
            band = _band(size, list(sizes_m.values()))
            base = next((s for s in squares if _divides(s, size) and _divides(s, band)), size)
            hexagonal = shape == "hex" and at == 0
            self._lattices[name] = Hexagons(size, band) if hexagonal else Squares(size, band, base)
        self._parents = {name: self._nesting(name, self.layers[at + 1 :]) for at, name in enumerate(self.layers)}
        text = ";".join(f"{name}={size:g}" for name, size in sizes_m.items())
        self.version = f"regular-{hashlib.blake2b(f'{shape};{text}'.encode(), digest_size=6).hexdigest()}"

    def _nesting(self, name: str, coarser: Sequence[str]) -> str:
        """The next coarser layer in which squares of `name` lie whole, or ""."""
        cell = self._lattices[name]
        for other in coarser:
            above = self._lattices[other]
            together = (above.base_m, above.band_m) == (cell.base_m, cell.band_m)
            if isinstance(cell, Squares) and together and _divides(cell.size_m, above.size_m):
                return other
        return ""

    def locate(self, lon: Floats, lat: Floats) -> list[list[str]]:
        """A list of n codes for each layer; "" for NaN and off the globe."""
        west, south, east, north = _WORLD
        good = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
        x, y = np.where(good, lon, 0.0), np.where(good, lat, 0.0)
        out = []
        for lattice in self._lattices.values():
            rows, columns = lattice.cells(x, y)
            codes = list(map(lattice.code, rows.tolist(), columns.tolist()))
            for at in np.flatnonzero(~good).tolist():
                codes[at] = ""
            out.append(codes)
        return out

    def codes(self, layer: str) -> Sequence[str]:
        """Empty: there is no end of cells."""
        if layer not in self._lattices:
            raise KeyError(layer)
        return ()

    def names(self, layer: str) -> Mapping[str, str]:
        """Empty: cells have no names."""
        return MappingProxyType(dict.fromkeys(self.codes(layer), ""))

    def parent_layer(self, layer: str) -> str:
        """The next layer in which this one nests, or ""."""
        return self._parents[layer]

    def parent(self, layer: str, code: str) -> str:
        """Code of the square that holds it, or "" if the layer does not nest."""
        above = self._parents[layer]
        if not above:
            return ""
        row, column = self._read(layer, code)
        ratio = round(self._lattices[above].size_m / self._lattices[layer].size_m)
        return self._lattices[above].code(row // ratio, column // ratio)

    def within(self, layer: str, west: float, south: float, east: float, north: float) -> list[str]:
        """Codes of the cells that meet the box, row by row from the south."""
        lattice = self._lattices[layer]
        corners = lattice.cells(np.array([west, west]), np.array([south, north]))[0]
        codes = []
        for row in range(int(corners[0]) - 1, int(corners[1]) + 2):  # the tips of hexagons reach into the next row
            lats = [lat for _, lat in lattice.ring(row, 0)]
            if max(lats) <= south or min(lats) >= north:
                continue
            middle = np.full(2, (min(lats) + max(lats)) / 2)
            first, last = lattice.cells(np.array([west, east]), middle)[1].tolist()
            codes += [lattice.code(row, column) for column in range(first, last + 1)]
        return codes

    def adjacency(self, layer: str, codes: Sequence[str] | None = None) -> Graph:
        """CSR of neighbours among `codes`; the whole layer has no end, so None gives the empty graph."""
        chosen = list(codes or ())
        place = {code: at for at, code in enumerate(chosen)}
        pairs = [(place[c], place[n]) for c in chosen for n in self.neighbours(layer, c) if n in place]
        one, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return graph_of(one, other, len(chosen))

    def neighbours(self, layer: str, code: str) -> tuple[str, ...]:
        """Codes of the cells that touch it, sorted."""
        lattice = self._lattices[layer]
        return tuple(sorted(lattice.code(*cell) for cell in lattice.neighbours(*self._read(layer, code))))

    def polygon(self, layer: str, code: str) -> list[list[list[tuple[float, float]]]]:
        """GeoJSON MultiPolygon coordinates."""
        return [[self._lattices[layer].ring(*self._read(layer, code))]]

    def _read(self, layer: str, code: str) -> tuple[int, int]:
        found = _CODE.fullmatch(code)
        lattice = self._lattices[layer]
        if found:
            row = int(found[4]) * (1 if found[3] == "N" else -1)
            column = int(found[6]) * (1 if found[5] == "E" else -1)
            if lattice.code(row, column) == code:
                return row, column
        raise KeyError(code)


def regular_grids(sizes_m: Mapping[str, float], shape: str = "square") -> RegularGrids:
    """Grids of cells `sizes_m` (layer to size in metres, finest first); `shape` of the finest: square or hex.

    Raises UsageError for sizes that are not positive and rising, or an unknown shape.
    """
    sizes = list(sizes_m.values())
    if shape not in ("square", "hex"):
        raise UsageError(f"grids.shape: {shape!r} is not square or hex", f"grids.shape：{shape!r} 应为 square 或 hex")
    if not sizes or not all(1 <= size <= 100_000 for size in sizes):
        raise UsageError(
            "grids.sizes_m: at least one layer, sizes from 1 to 100 000 m",
            "grids.sizes_m：至少一层，边长为 1 至 100 000 米",
        )
    if any(a >= b for a, b in pairwise(sizes)):
        raise UsageError(
            f"grids.sizes_m: sizes {sizes} must rise, finest layer first",
            f"grids.sizes_m：边长 {sizes} 必须由细到粗递增",
        )
    for name in sizes_m:
        if name in (CITY_LAYER, SOURCE_LAYER):
            raise UsageError(f"grids.sizes_m: {name!r} is taken; choose another", f"grids.sizes_m：{name!r} 已被占用")
    return RegularGrids(sizes_m, shape)


def _band(size: float, sizes: list[float]) -> float:
    """Height of its bands, 10 km or more: whole coarsest squares, or whole cells of its own if it divides none."""
    cell = sizes[-1] if _divides(size, sizes[-1]) else size
    return cell * math.ceil(BAND_M / cell)


def _divides(size: float, larger: float) -> bool:
    ratio = larger / size
    return math.isclose(ratio, round(ratio), rel_tol=1e-9)
