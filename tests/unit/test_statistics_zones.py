"""Zones: circles, rings, nearest, given ones.

A row of places, one apart:   0   1   2   3   4
"""

from __future__ import annotations

import numpy as np
import pytest

from geo.adjacency import graph_of
from streams.statistics import zones as module
from streams.statistics.zones import (
    EARTH_KM,
    TooManyZones,
    Zones,
    chord_km,
    circles,
    ground_km,
    listed,
    nearest,
    on_sphere,
    rings,
)

ROW = np.column_stack((np.arange(5.0), np.zeros(5)))
ONES = np.ones(5)


def sets(zones: Zones) -> list[set[int]]:
    return [set(zones.members(zone).tolist()) for zone in range(zones.count)]


def test_equal_distances_enter_together() -> None:
    around_two = circles(ROW, ONES, 1.0)
    two = [set(z.tolist()) for k in range(around_two.count) if (z := around_two.members(k))[0] == 2]
    assert two == [{2}, {1, 2, 3}, {0, 1, 2, 3, 4}]


def test_ties_split_by_coordinates() -> None:
    zones = circles(ROW, ONES, 1.0, split_ties=True)
    two = [zones.members(k).tolist() for k in range(zones.count) if zones.members(k)[0] == 2]
    assert two == [[2], [2, 1], [2, 1, 3], [2, 1, 3, 0], [2, 1, 3, 0, 4]]


def test_places_at_one_spot_are_never_apart() -> None:
    points = np.array([[0.0, 0.0], [0.0, 0.0], [9.0, 9.0]])
    assert sets(circles(points, np.ones(3), 0.7)) == [{0, 1}, {0, 1}, {2}]


def test_share_and_radius_are_inclusive() -> None:
    weight = np.array([4.0, 1.0, 1.0, 1.0, 1.0])  # the first place alone has half
    assert {0} in sets(circles(ROW, weight, 0.5)) and {0} not in sets(circles(ROW, weight, 0.49))
    assert max(map(len, sets(circles(ROW, ONES, 1.0, max_radius=1.0)))) == 3
    assert sets(circles(ROW, np.array([1.0, 0, 0, 0, 0]), 0.5)) == [
        {1}, {2}, {2, 1, 3}, {3}, {3, 2, 4}, {3, 2, 4, 1}, {4}, {4, 3}, {4, 3, 2}, {4, 3, 2, 1},
    ]  # fmt: skip


def test_too_many_zones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MEMBERS", 10)
    with pytest.raises(TooManyZones):
        circles(ROW, ONES, 1.0)


def test_rings_on_a_graph() -> None:
    graph = graph_of(np.array([0, 1, 2]), np.array([1, 2, 3]), 5)  # 0 - 1 - 2 - 3, and 4 alone
    zones = rings(*graph, 2)
    assert sets(zones) == [
        {0}, {0, 1}, {0, 1, 2}, {1}, {0, 1, 2}, {0, 1, 2, 3}, {2}, {1, 2, 3}, {0, 1, 2, 3}, {3}, {2, 3}, {1, 2, 3}, {4},
    ]  # fmt: skip
    assert (zones.families, zones.count) == (5, 13)


def test_nearest_zones() -> None:
    assert sets(nearest(np.array([[0.0], [1.0], [10.0]]), 2)) == [{0}, {0, 1}, {1}, {0, 1}, {2}, {1, 2}]
    assert nearest(ROW, 99).count == 25


def test_given_zones_and_their_matrix() -> None:
    zones = listed(4, [[2, 0], [3]])
    assert zones.matrix().tolist() == [[1, 0], [0, 0], [1, 0], [0, 1]]
    assert zones.members(0).tolist() == [2, 0]


def test_without_places() -> None:
    zones = circles(ROW, ONES, 1.0).without(np.array([3], dtype=np.int32))
    assert sets(zones) == [{0}, {0, 1}, {0, 1, 2}, {1}, {0, 1, 2}, {2}, {4}]


def test_kilometres_on_the_sphere() -> None:
    north, quarter = on_sphere(np.array([0.0, 0.0, 90.0]), np.array([0.0, 1.0, 0.0]))[[1, 2]]
    origin = on_sphere(np.zeros(1), np.zeros(1))[0]
    assert ground_km(float(np.linalg.norm(north - origin))) == pytest.approx(EARTH_KM * np.pi / 180)
    assert ground_km(float(np.linalg.norm(quarter - origin))) == pytest.approx(EARTH_KM * np.pi / 2)
    assert chord_km(ground_km(123.0)) == pytest.approx(123.0)
    assert chord_km(np.inf) == pytest.approx(2 * EARTH_KM)
