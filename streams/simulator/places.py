"""Where a report says it is: a coordinate, and an address as people spell it. One building has many spellings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.simulator.city import METRES_A_DEGREE, City
from streams.simulator.reports import BUILDING, CROSSING, ROAD, Reports

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_WIDE = str.maketrans("0123456789#", "０１２３４５６７８９＃")
_ERROR_M = 8.0
#: spelling of building 3: plain, and the same in full-width figures
_BUILDINGS = ("幢", "号楼", "#楼", "栋", "幢", "号楼")
_SPELLINGS = 6 * 8 * 4 * 2


def points(city: City, reports: Reports, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """WGS 84 (lon, lat) inside each report's cell: the place itself, some metres off."""
    spot, cell = reports.spot.astype(np.float64), reports.cell.astype(np.float64)
    # Golden ratio steps spread the buildings of a cell evenly, the same way every time.
    u, v = (spot * 0.618034 + cell * 0.754878) % 1, (spot * 0.569840 + cell * 0.324718) % 1
    u = np.choose(reports.where, [u, spot / 400 % 1, 0.0 * u, rng.random(len(reports))])
    v = np.choose(reports.where, [v, 0.02 + 0.0 * v, 0.0 * v, rng.random(len(reports))])
    lon, lat = city.place(reports.cell, 0.2 + 0.6 * u, 0.2 + 0.6 * v)
    off = rng.normal(0, _ERROR_M, (2, len(reports))).clip(-3 * _ERROR_M, 3 * _ERROR_M) / METRES_A_DEGREE
    return lon + off[0], lat + off[1]


class Addresses:
    """Spells addresses of one city; the parts that repeat are put together once."""

    def __init__(self, city: City) -> None:
        self._heads = [
            (
                f"{city.name}{city.districts[s.parent].name}{s.name}",
                f"{city.name}{city.districts[s.parent].name}",
                city.districts[s.parent].name,
                "",
                f"{city.districts[s.parent].name}{s.name}",
                f"{city.name}，{city.districts[s.parent].name}",
            )
            for s in city.streets
        ]
        self._street: list[int] = city.street.tolist()
        along, across = city.road_along.tolist(), city.road_across.tolist()
        self._road = [city.roads[i] for i in along]
        self._crossing = [f"{city.roads[a]}与{city.roads[b]}交叉口" for a, b in zip(along, across, strict=True)]
        self._compound = city.compounds
        self._compound_on_road = [
            f"{road}{3 + 7 * i % 389}号{name}"
            for i, (road, name) in enumerate(zip(self._road, city.compounds, strict=True))
        ]

    def spelt(self, reports: Reports, spelling: Ints) -> list[str]:
        """Addresses; `spelling` (any non-negative number) chooses head, building, room and figures."""
        columns = (reports.cell, reports.spot, reports.room, reports.where, spelling % _SPELLINGS)
        return [self.one(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def one(self, cell: int, spot: int, room: int, where: int, spelling: int = 0) -> str:
        """One address; spelling 0 is the full and usual one."""
        head = self._heads[self._street[cell]][spelling % 6]
        if where == BUILDING:
            style = spelling // 6 % 8
            base = self._compound[cell] if spelling >= _SPELLINGS // 2 else self._compound_on_road[cell]
            tail = f"{spot}{_BUILDINGS[style % 6]}"
            if room:
                tail += (f"{room}室", f"-{room}", f"{room}", f"{room}房")[spelling // 48 % 4]
            return head + base + (tail.translate(_WIDE) if style in (4, 5) else tail)
        if where == ROAD:
            return f"{head}{self._road[cell]}{spot}号"
        if where == CROSSING:
            return head + self._crossing[cell]
        return f"{head}{self._road[cell]}附近" if spelling & 1 else f"{self._compound[cell]}门口"
