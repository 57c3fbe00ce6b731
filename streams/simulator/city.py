"""A city made by code: unit grids that tile it exactly, streets and districts that are unions of them, names.

The plan is a lattice of jittered corners; every edge has a jittered midpoint, shared by the two cells beside it:
cells are irregular octagons without gap or overlap. Parents are sets of whole cells. Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas import UsageError
from streams.simulator import names

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SMALLEST, LARGEST = 24, 50_000
CENTRE_LON, CENTRE_LAT = 115.0, 33.0
CELL_M = 300.0
PROVINCE = "9901"  # GB/T 2260 gives 99 to no province: no real place is meant
METRES_A_DEGREE = 111_195.0
_ROAD_CELLS = 12  # a road keeps its name for so many cells
_COMMUNITY_CELLS = 8


@dataclass(frozen=True)
class Area:
    """A street or a district: its code, its name and the index of its parent (-1 none)."""

    code: str
    name: str
    parent: int


@dataclass(frozen=True, eq=False)
class City:
    """n cells; arrays are by cell unless said otherwise. Coordinates are WGS 84 degrees."""

    name: str
    seed: int
    points: Floats  # [vertices, 2] lon, lat
    rings: Ints  # [n, 8] vertex numbers, anticlockwise: corner, midpoint, corner, ...
    codes: tuple[str, ...]  # 15 digits
    cell_names: tuple[str, ...]
    street: Ints  # index into streets
    district: Ints  # index into districts
    streets: tuple[Area, ...]
    districts: tuple[Area, ...]
    roads: tuple[str, ...]
    road_along: Ints  # index into roads: the one running west-east, the one running south-north
    road_across: Ints
    compounds: tuple[str, ...]  # one a cell
    beside: Ints  # [n, 4] neighbours west, east, south, north; -1 none

    @property
    def cells(self) -> int:
        """Number of unit grids."""
        return len(self.codes)

    def place(self, cell: Ints, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Points (lon, lat) inside cells; u, v in [0.15, 0.85] run from west to east and from south to north."""
        corners = self.points[self.rings[cell][:, ::2]]
        weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1)
        at = np.einsum("nk,nkd->nd", weights, corners)
        return at[:, 0], at[:, 1]


def make_city(seed: int, size: int = 2000) -> City:
    """A city of `size` unit grids (24 to 50,000). Same seed and size: the same city."""
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(
            f"--cells {size}: a city has {SMALLEST} to {LARGEST} unit grids",
            f"--cells {size}：单元网格数须在 {SMALLEST} 到 {LARGEST} 之间",
        )
    rng = np.random.Generator(np.random.PCG64([seed, size, 1]))
    side = int(np.ceil(np.sqrt(size / 0.6)))
    row, col = _shape(rng, side, size)
    centre: Floats = np.stack([col, row], axis=1) + np.float64(0.5)
    district = _nearest(centre, rng, min(max(6, size // 200), len(names.DISTRICTS)))
    street = _streets(centre, district, rng, min(max(min(60, size // 3), size // 20), 200))
    parent = np.array([district[street == s][0] for s in range(street.max() + 1)])
    districts = [Area(f"{PROVINCE}{d + 1:02d}", names.DISTRICTS[d], -1) for d in range(district.max() + 1)]
    streets = _street_areas(rng, parent, districts)
    codes, cell_names = _codes(row, col, street, streets)
    roads, along, across = _roads(rng, row, col, side)
    lookup = np.full((side + 2, side + 2), -1)
    lookup[row + 1, col + 1] = np.arange(size)
    beside = [lookup[row + 1 + dr, col + 1 + dc] for dr, dc in ((0, -1), (0, 1), (-1, 0), (1, 0))]
    return City(
        name="示范市",
        seed=seed,
        points=_vertices(rng, side),
        rings=_rings(row, col, side),
        codes=codes,
        cell_names=cell_names,
        street=street,
        district=district,
        streets=tuple(streets),
        districts=tuple(districts),
        roads=roads,
        road_along=along,
        road_across=across,
        compounds=tuple(names.unique_names(rng, size, names.COMPOUND_ENDS)),
        beside=np.stack(beside, axis=1),
    )


def _shape(rng: np.random.Generator, side: int, size: int) -> tuple[Ints, Ints]:
    """Rows and columns of the `size` lattice cells nearest to the centre, in a bulging sense of near."""
    row, col = np.divmod(np.arange(side * side), side)
    y, x = row + 0.5 - side / 2, col + 0.5 - side / 2
    angle = np.arctan2(y, x)
    bulge = 1 + 0.12 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.06 * np.sin(3 * angle + rng.uniform(0, 6))
    kept = np.sort(np.argsort(np.hypot(x, y) / bulge, kind="stable")[:size])
    return row[kept], col[kept]


def _nearest(centre: Floats, rng: np.random.Generator, n: int) -> Ints:
    """Assign every cell to the nearest of `n` cells drawn as seeds."""
    seeds = centre[rng.choice(len(centre), n, replace=False)]
    seeds = seeds[np.argsort(seeds @ (1.0, 1.7))]
    nearest: Ints = np.argmin(((centre[:, None, :] - seeds[None]) ** 2).sum(axis=2), axis=1)
    return nearest


def _streets(centre: Floats, district: Ints, rng: np.random.Generator, n: int) -> Ints:
    """`n` streets inside districts (each has one at least), about as many cells each; numbered district by district."""
    street = np.zeros(len(centre), dtype=np.int64)
    upto = np.round(np.cumsum(np.bincount(district)) * n / len(centre)).astype(np.int64)
    first = 0
    for d, share in enumerate(np.maximum(np.diff(upto, prepend=0), 1).tolist()):
        inside = np.flatnonzero(district == d)
        street[inside] = first + _nearest(centre[inside], rng, min(share, len(inside)))
        first = int(street[inside].max()) + 1
    return street


def _street_areas(rng: np.random.Generator, parent: Ints, districts: list[Area]) -> list[Area]:
    """街道 001-099 and 镇 100-199 of every district; the later streets of a district are towns."""
    stems = names.unique_names(rng, len(parent), ("",))
    areas = []
    for s, d in enumerate(parent.tolist()):
        inside = np.flatnonzero(parent == d)
        place, towns = int(np.searchsorted(inside, s)), len(inside) // 4
        town = place - (len(inside) - towns)
        number = 100 + town if town >= 0 else 1 + place
        areas.append(Area(f"{districts[d].code}{number:03d}", stems[s] + ("镇" if town >= 0 else "街道"), d))
    return areas


def _codes(row: Ints, col: Ints, street: Ints, streets: list[Area]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """15-digit codes (district 6, street 3, community 3, sequence 3) and names, in cell order."""
    codes, titles = [""] * len(row), [""] * len(row)
    for s, area in enumerate(streets):
        inside = np.flatnonzero(street == s)
        # Bands of three rows, walked to and fro, so that a community is a compact run of cells.
        band = row[inside] // 3
        order = inside[np.lexsort((np.where(band % 2, -col[inside], col[inside]), band))]
        committee = 200 if area.name.endswith("镇") else 1
        for k, cell in enumerate(order.tolist()):
            community, place = divmod(k, _COMMUNITY_CELLS)
            codes[cell] = f"{area.code}{committee + community:03d}{place + 1:03d}"
            titles[cell] = f"{area.name}第{community + 1}{'村' if committee == 200 else '居'}{place + 1:03d}网格"
    return tuple(codes), tuple(titles)


def _roads(rng: np.random.Generator, row: Ints, col: Ints, side: int) -> tuple[tuple[str, ...], Ints, Ints]:
    """A road along every lattice line, taking a new name every dozen cells."""
    pieces = side // _ROAD_CELLS + 1
    along = row * pieces + col // _ROAD_CELLS
    across = side * pieces + col * pieces + row // _ROAD_CELLS
    return tuple(names.unique_names(rng, 2 * side * pieces, names.ROAD_ENDS)), along, across


def _vertices(rng: np.random.Generator, side: int) -> Floats:
    """Corners, then midpoints of west-east edges, then of south-north ones, as lon, lat (7 decimals: a centimetre).

    Corners move by less than a quarter of a cell, so that corner quads stay convex; midpoints move a little.
    """
    along, up = np.meshgrid(np.arange(side + 1.0), np.arange(side + 1.0))
    corners = np.stack([along, up], axis=2) + rng.uniform(-0.2, 0.2, (side + 1, side + 1, 2))
    flat = (corners[:, :-1] + corners[:, 1:]) / 2 + rng.uniform(-0.06, 0.06, (side + 1, side, 2))
    tall = (corners[:-1] + corners[1:]) / 2 + rng.uniform(-0.06, 0.06, (side, side + 1, 2))
    metres = (np.concatenate([p.reshape(-1, 2) for p in (corners, flat, tall)]) - side / 2) * CELL_M
    step = np.array([METRES_A_DEGREE * np.cos(np.radians(CENTRE_LAT)), METRES_A_DEGREE])
    vertices: Floats = np.round(metres / step + (CENTRE_LON, CENTRE_LAT), 7)
    return vertices


def _rings(row: Ints, col: Ints, side: int) -> Ints:
    """Vertex numbers [n, 8] of the cells at (row, col), anticlockwise from the south-west corner."""
    flats = (side + 1) ** 2
    talls = flats + (side + 1) * side
    corner = row * (side + 1) + col
    flat, tall = flats + row * side + col, talls + row * (side + 1) + col
    ring = [corner, flat, corner + 1, tall + 1, corner + side + 2, flat + side, corner + side + 1, tall]
    return np.stack(ring, axis=1)
