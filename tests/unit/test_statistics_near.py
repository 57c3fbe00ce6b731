"""Gi*, Knox, EARS, CUSUM and ST-DBSCAN by hand and at their edges."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
import pytest

from streams.statistics import pairs
from streams.statistics.gistar import Neighbours, gi, gi_star, with_itself, within
from streams.statistics.knox import knox, soon_pairs
from streams.statistics.pairs import TooManyPairs, near_pairs
from streams.statistics.stdbscan import st_dbscan
from streams.statistics.surveillance import cusum, ears

LINE = np.arange(4.0)[:, None]
VALUES = np.array([1.0, 2.0, 3.0, 10.0])


# -- Gi* ---------------------------------------------------------------------------------------------------------------


def test_gi_star_by_hand() -> None:
    # the last two: sum 13, of a mean of 4; spread sqrt(12.5); room (4 x 2 - 2^2) / 3
    z = gi_star(VALUES, with_itself(within(LINE, 1)))
    assert z[3] == pytest.approx((13 - 8) / (sqrt(12.5) * sqrt(4 / 3)))


def test_gi_by_hand() -> None:
    # the neighbour of the last has 3; the others are 1, 2, 3: mean 2, spread sqrt(2 / 3), room (3 - 1) / 2
    assert gi(VALUES, within(LINE, 1))[3] == pytest.approx((3 - 2) / sqrt(2 / 3))


def test_islands_and_constants_have_an_answer() -> None:
    alone = within(np.array([[0.0], [1.0], [9.0]]), 1)
    values = np.array([1.0, 2.0, 6.0])
    assert gi_star(values, with_itself(alone))[2] == pytest.approx(3 / values.std())
    assert np.isnan(gi(values, alone)).tolist() == [False, False, True]
    for constant in (np.zeros(3), np.full(3, 0.1)):
        assert gi_star(constant, with_itself(alone)).tolist() == [0, 0, 0]
        assert gi(constant, alone)[:2].tolist() == [0, 0]
    everyone = within(LINE, 9)
    assert gi_star(VALUES, with_itself(everyone)).tolist() == [0] * 4
    assert gi(VALUES, everyone).tolist() == [0] * 4
    assert gi_star(np.ones(1), with_itself(within(np.zeros((1, 1)), 1))).tolist() == [0]
    assert np.isnan(gi(np.ones(1), within(np.zeros((1, 1)), 1))).all()


def test_weights_that_are_all_two_are_as_good_as_one() -> None:
    near = within(LINE, 1)
    double = Neighbours(near.indptr, near.indices, np.full(len(near.indices), 2.0))
    assert gi(VALUES, double) == pytest.approx(gi(VALUES, near))
    assert gi_star(VALUES, with_itself(double, 2.0)) == pytest.approx(gi_star(VALUES, with_itself(near)))
    assert gi(VALUES, near.by_row()) == pytest.approx(gi(VALUES, near))
    assert near.by_row().weight().tolist() == [1, 0.5, 0.5, 0.5, 0.5, 1]


def test_neighbours_of_no_weight_are_none() -> None:
    near = within(LINE, 1)
    light = Neighbours(near.indptr, near.indices, np.zeros(len(near.indices)))
    for weights in (light, light.by_row()):
        assert np.isnan(gi(VALUES, weights)).all()
        assert gi_star(VALUES, with_itself(weights)) == pytest.approx((VALUES - 4) / VALUES.std())


def test_neighbours_within_a_distance_are_sorted_and_inclusive() -> None:
    near = within(np.array([[0.0, 0.0], [0.3, 0.4], [0.0, 0.5]]), 0.5)
    assert (near.indptr.tolist(), near.indices.tolist()) == ([0, 2, 4, 6], [1, 2, 0, 2, 0, 1])


# -- Knox --------------------------------------------------------------------------------------------------------------


def test_knox_by_hand() -> None:
    points, time = np.array([[0.0], [1.0], [2.0], [50.0]]), np.array([0.0, 10.0, 1.0, 1.0])
    found = knox(points, time, 2.0, 1.0, replications=19, seed=1)
    # near: 01 02 12; soon: 02 03 23; both: 02
    assert (found.near, found.soon, found.observed, found.expected) == (3, 3, 1, 1.5)
    assert found.p_at_least == pytest.approx(1 - exp(-1.5))
    assert found.p_more == pytest.approx(1 - exp(-1.5) * 2.5)
    assert found.p == knox(points, time, 2.0, 1.0, replications=19, seed=1).p
    assert 1 / 20 <= found.p <= 1


def test_knox_finds_what_repeats_and_not_what_does_not() -> None:
    chance = np.random.default_rng(4)
    points, time = chance.random((400, 2)) * 10_000, chance.random(400) * 365
    assert knox(points, time, 200, 7, 199, 1).p > 0.01
    again = knox(np.concatenate((points, points[:40] + 30)), np.concatenate((time, time[:40] + 3)), 200, 7, 199, 1)
    assert again.p == 1 / 200 and again.p_at_least < 1e-6


def test_knox_without_pairs() -> None:
    apart = knox(np.array([[0.0], [9.0]]), np.array([0.0, 9.0]), 1, 1, 9, 1)
    assert (apart.observed, apart.expected, apart.p, apart.p_at_least) == (0, 0, 1, 1)
    assert knox(np.zeros((1, 2)), np.zeros(1), 1, 1).expected == 0


def test_rounding_does_not_decide_what_is_soon() -> None:
    time = np.array([0.1, 0.4, 0.7])
    assert soon_pairs(time, 0.3) == 2
    assert knox(np.zeros((3, 1)), time, 1, 0.3).observed == 2


def test_more_pairs_than_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "MOST_PAIRS", 5)
    assert len(near_pairs(LINE, 1)) == 3
    with pytest.raises(TooManyPairs):
        near_pairs(LINE, 9)


# -- one series --------------------------------------------------------------------------------------------------------


def test_ears_of_a_jump() -> None:
    counts = np.array([1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 9, 9, 9])
    first, second = ears(counts, "C1"), ears(counts, "C2")
    baseline = np.array([2, 1, 2, 1, 2, 1, 2])
    assert first.bound[10] == pytest.approx(baseline[:7].mean() + 3.090232 * baseline[:7].std(ddof=1), abs=1e-5)
    assert np.isnan(first.bound[:7]).all() and np.isnan(second.bound[:9]).all()
    assert second.alarm[10] and second.alarm[11] and first.alarm[10] and not first.alarm[12]
    assert ears(counts, "C3").alarm.tolist() == [False] * 11 + [True, True]
    assert not ears(counts[:5], "C1").alarm.any()
    with pytest.raises(ValueError, match="C4"):
        ears(counts, "C4")


def test_ears_of_a_constant_baseline() -> None:
    counts = np.array([0] * 9 + [1, 0, 0])
    assert ears(counts, "C2").alarm.tolist() == [False] * 9 + [True, False, False]
    assert not ears(np.zeros(20), "C3").alarm.any()


@pytest.mark.parametrize("transform", ["standard", "anscombe"])
def test_cusum_adds_up_small_shifts(transform: str) -> None:
    counts = np.array([4] * 5 + [7] * 8)
    judged = cusum(counts, 4.0, k=0.5, h=4.0, transform=transform)
    assert not judged.alarm[:8].any() and judged.alarm[-1]
    assert ((counts >= judged.bound - 1e-9) == judged.alarm).all()
    # standard: 1.5 - 0.5 a period, so that the fourth reaches 4
    if transform == "standard":
        assert judged.alarm.tolist().index(True) == 8


# -- ST-DBSCAN ---------------------------------------------------------------------------------------------------------


def test_st_dbscan_wants_both_near_and_soon() -> None:
    """Two groups at one place, an hour and a day apart; one event between them in space only; one far away."""
    points = np.array([[0.0], [0.1], [0.2], [0.0], [0.1], [0.2], [5.0]])
    time = np.array([100.0, 100, 101, 0, 0, 1, 100])
    assert st_dbscan(points, time, 0.5, 2.0, 3).tolist() == [1, 1, 1, 2, 2, 2, 0]
    assert st_dbscan(points, time, 0.5, 2.0, 4).tolist() == [0] * 7
    assert st_dbscan(points[:1], time[:1], 1.0, 1.0, 1).tolist() == [1]


def test_an_edge_event_belongs_to_the_first_cluster() -> None:
    points = np.array([[10.0], [9.0], [8.5], [0.0], [1.0], [1.5], [5.0]])
    found = st_dbscan(points, np.zeros(7), 3.6, 1.0, 4)
    assert found.tolist() == [1, 1, 1, 2, 2, 2, 1]
