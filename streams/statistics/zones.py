"""Zones: sets of places that a scan looks at as one.

Most zones grow out of one another: circles around a centre, rings around a cell. So they are kept as *families*: the
places of a family in the order in which they enter, and where each of its zones ends. A running sum along a family is
the sum of every zone in it. Units of distance are those of the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Floats = NDArray[np.float64]

#: kilometres; mean radius of the Earth (IUGG)
EARTH_KM = 6371.0088
#: distances that differ by less, relatively, are the same
SAME = 1e-9
#: memberships of places in families that are kept at most: 4 bytes each
MOST_MEMBERS = 100_000_000
_CENTRES = 128


class TooManyZones(ValueError):
    """The zones would not fit into memory: take a smaller share or radius."""


@dataclass(frozen=True)
class Zones:
    """Families of nested zones among `places` places.

    place: [m] places in order of entry, family after family; first: [families + 1] where each family begins in it;
    last: [zones] index into `place` of each zone's last member, ascending; family: [zones].
    """

    places: int
    place: Places
    first: Ints
    last: Ints
    family: Ints

    @property
    def count(self) -> int:
        """How many zones."""
        return len(self.last)

    @property
    def families(self) -> int:
        """How many families."""
        return len(self.first) - 1

    def members(self, zone: int) -> Places:
        """Places of a zone in order of entry; the first is the centre."""
        return self.place[self.first[self.family[zone]] : self.last[zone] + 1]

    def matrix(self) -> NDArray[np.float32]:
        """[places, zones] of 0 and 1: sums by one product, for a few hundred places."""
        inside = np.zeros((self.places, self.count), dtype=np.float32)
        for zone in range(self.count):
            inside[self.members(zone), zone] = 1
        return inside

    def without(self, places: Places) -> Zones:
        """The zones that hold none of these places."""
        taken = np.zeros(self.places, dtype=bool)
        taken[places] = True
        before = np.concatenate(([0], np.cumsum(taken[self.place])))
        free = before[self.last + 1] == before[self.first[self.family]]
        return Zones(self.places, self.place, self.first, self.last[free], self.family[free])


def circles(
    points: Floats, weight: Floats, max_share: float = 0.5, max_radius: float = np.inf, split_ties: bool = False
) -> Zones:
    """Circles around every place, up to a share of the weight and a radius (both inclusive), as Kulldorff (1997).

    points: [places, dimensions]; weight: [places] >= 0, mostly the population. Places at equal distance from a centre
    enter together; `split_ties`: one by one in the order of their coordinates, as SaTScan has them. A centre that alone
    has more than the share begins no circle.
    """
    most = max_share * float(weight.sum()) * (1 + SAME)
    orders, ends, kept = [], [], 0
    by_coordinates = np.argsort(np.lexsort(points.T[::-1]))
    for start in range(0, len(points), _CENTRES):
        apart = _distances(points[start : start + _CENTRES], points)
        order = np.argsort(apart, axis=1, kind="stable").astype(np.int32)
        apart = np.take_along_axis(apart, order, axis=1)
        more = apart[:, 1:] > apart[:, :-1] * (1 + SAME)
        complete = np.concatenate((more, np.ones((len(apart), 1), dtype=bool)), axis=1)
        if split_ties:
            tie = np.cumsum(complete, axis=1) - complete
            order = np.take_along_axis(order, np.argsort(tie * len(points) + by_coordinates[order], axis=1), axis=1)
            complete[:] = True
        inside = np.cumsum(weight[order], axis=1) <= most
        zone = complete & inside & (apart <= max_radius * (1 + SAME))
        for places, is_zone in zip(order, zone, strict=True):
            (here,) = np.nonzero(is_zone)
            if len(here):
                orders.append(places[: here[-1] + 1].copy())
                ends.append(here)
                kept += len(orders[-1])
        if kept > MOST_MEMBERS:
            raise TooManyZones(f"more than {MOST_MEMBERS} members of zones")
    return _families(len(points), orders, ends)


def _distances(centres: Floats, points: Floats) -> Floats:
    square = np.zeros((len(centres), len(points)))
    for one, other in zip(centres.T, points.T, strict=True):
        square += (one[:, None] - other[None, :]) ** 2
    return np.sqrt(square)


def rings(indptr: NDArray[np.integer], indices: NDArray[np.integer], most: int) -> Zones:
    """Every place with its 0, 1, ... `most` rings of neighbours, on an adjacency graph (CSR, as `geo.adjacency`).

    A family ends early where its island does.
    """
    count = len(indptr) - 1
    orders, ends = [], []
    for centre in range(count):
        known = {centre}
        order, end = [centre], [0]
        edge = [centre]
        for _ in range(most):
            edge = sorted({int(n) for cell in edge for n in indices[indptr[cell] : indptr[cell + 1]]} - known)
            if not edge:
                break
            known.update(edge)
            order += edge
            end.append(len(order) - 1)
        orders.append(np.array(order, dtype=np.int32))
        ends.append(np.array(end, dtype=np.int64))
    return _families(count, orders, ends)


def nearest(points: Floats, most: int) -> Zones:
    """Every place with its 0, 1, ... `most` - 1 nearest others, as R scanstatistics' knn_zones.

    Of places at equal distance the one with the smaller coordinates enters first.
    """
    return circles(points, np.ones(len(points)), min(1.0, most / max(len(points), 1)), split_ties=True)


def listed(places: int, members: Sequence[Sequence[int]]) -> Zones:
    """Zones as they are given, each a family of its own."""
    orders = [np.array(zone, dtype=np.int32) for zone in members]
    return _families(places, orders, [np.array([len(zone) - 1]) for zone in members])


def _families(places: int, orders: Sequence[Places], ends: Sequence[NDArray[np.integer]]) -> Zones:
    first = np.concatenate(([0], np.cumsum([len(order) for order in orders]))).astype(np.int64)
    place = np.concatenate([np.zeros(0, dtype=np.int32), *orders])
    last = np.concatenate([np.zeros(0, dtype=np.int64), *(e + f for e, f in zip(ends, first[:-1], strict=True))])
    return Zones(places, place, first, last, np.repeat(np.arange(len(orders)), [len(end) for end in ends]))


def on_sphere(lon: Floats, lat: Floats) -> Floats:
    """Points [n, 3] on a sphere, kilometres, of degrees: nearer along a chord is nearer along the great circle."""
    east, north = np.radians(lon), np.radians(lat)
    unit = np.column_stack((np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)))
    points: Floats = EARTH_KM * unit
    return points


def chord_km(great_circle_km: float) -> float:
    """The straight way between points of `on_sphere` that are so far apart along the ground."""
    return float(2 * EARTH_KM * np.sin(min(great_circle_km / (2 * EARTH_KM), np.pi / 2)))


def ground_km(chord: float) -> float:
    """The way along the ground of a straight one: the inverse of `chord_km`."""
    return float(2 * EARTH_KM * np.arcsin(min(chord / (2 * EARTH_KM), 1.0)))
