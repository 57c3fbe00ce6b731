"""The space-time permutation scan, whole and fast."""

from __future__ import annotations

import numpy as np
import pytest

from geo.adjacency import graph_of
from streams.statistics.monte_carlo import permuted, simulate
from streams.statistics.permutation import Recent, _needed, counts_of, permutation_study, recent_cluster
from streams.statistics.scan import ending_last
from streams.statistics.scores import poisson_llr
from streams.statistics.zones import Zones, listed, rings

SIDE, DURATIONS = 6, (1, 2, 4)


def grid(side: int) -> Zones:
    """k-rings 0..2 on squares."""
    cell = np.arange(side * side).reshape(side, side)
    one = np.concatenate((cell[:, :-1].ravel(), cell[:-1].ravel()))
    other = np.concatenate((cell[:, 1:].ravel(), cell[1:].ravel()))
    return rings(*graph_of(one, other, side * side), 2)


ZONES = grid(SIDE)
INSIDE = ZONES.matrix()


def quiet(seed: int) -> np.ndarray:
    """Busy and idle places, busy and idle periods, and no interaction."""
    chance = np.random.default_rng(seed)
    return chance.poisson(np.outer(chance.gamma(5, 0.2, 20), chance.gamma(2, 0.15, SIDE * SIDE)))


def fast(counts: np.ndarray, **options: float) -> Recent:
    return recent_cluster(counts, ZONES, INSIDE, DURATIONS, **({"seed": 1} | options))  # type: ignore[arg-type]


def test_a_list_of_cases() -> None:
    counts = counts_of(np.array([0, 1, 1, 1]), np.array([2, 0, 0, 1]), 2, 3)
    assert counts.tolist() == [[0, 0, 1], [2, 1, 0]]


def test_expected_by_hand() -> None:
    counts = np.array([[4, 2], [0, 2]])
    study = permutation_study(counts, listed(2, [[0], [1]]), ending_last(2, [1]))
    assert study.expected.tolist() == [[3.0, 3.0], [1.0, 1.0]]


def test_a_busy_day_everywhere_is_no_cluster_and_a_burst_is() -> None:
    counts = quiet(1)
    storm = counts.copy()
    storm[-1] = counts.sum(axis=0)  # ten times as many, where there are always many
    assert fast(storm).p > 0.05
    burst = counts.copy()
    burst[-2:, 14] += 5
    found = fast(burst)
    assert found.p == 0.001 and found.replications == 999
    assert 14 in ZONES.members(found.zone) and found.duration <= 4


@pytest.mark.parametrize("seed", range(5))
def test_the_fast_test_finds_what_the_whole_one_finds(seed: int) -> None:
    counts = quiet(seed)
    study = permutation_study(counts, ZONES, ending_last(20, DURATIONS))
    best, found = study.clusters(1)[0], fast(counts, alpha=1, replications=1999, seed=seed)
    assert found.llr == pytest.approx(best.llr, abs=1e-9)
    assert (found.observed, found.expected) == (best.observed, pytest.approx(best.expected))
    p = simulate(study, permuted(study), 1999, seed=seed + 50).p(best.llr)
    assert abs(found.p - p) < 4 * np.sqrt(2 * p * (1 - p) / 1999) + 1e-3


def test_the_same_seed_gives_the_same_answer_and_no_more_is_drawn_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = quiet(3)
    found = fast(counts)
    assert found.p > 0.01 and found.replications < 999
    assert found.p == 10 / found.replications
    monkeypatch.setattr("streams.statistics.permutation._AT_FIRST", 3)
    assert fast(counts) == found
    assert fast(counts, seed=2).replications != found.replications


def test_nothing_recent_is_no_cluster() -> None:
    counts = quiet(1)
    counts[-4:] = 0
    assert (fast(counts).llr, fast(counts).p, fast(counts).replications) == (0, 1, 0)
    assert fast(np.zeros_like(counts)).p == 1


def test_fewer_cases_than_asked_for_are_no_cluster() -> None:
    counts = quiet(1)
    counts[-4:] = 0
    counts[-1, 3] = 2
    assert fast(counts).observed == 2
    assert fast(counts, fewest=3).p == 1


def test_the_fewest_cases_that_reach_a_ratio() -> None:
    chance = np.random.default_rng(1)
    expected, most = chance.random((3, 40)) * 8, np.floor(chance.random((3, 40)) * 20)
    found = _needed(4.0, expected, most, 60)
    for (row, column), e in np.ndenumerate(expected):
        reach = [c for c in range(int(most[row, column]) + 1) if poisson_llr(c, e, 60) >= 4.0]
        assert found[row, column] == (reach[0] if reach else np.inf)
    exact = float(poisson_llr(6, 2.0, 60))
    assert _needed(exact, np.array([[2.0]]), np.array([[6.0]]), 60)[0, 0] == 6


def test_p_is_as_often_small_as_it_says() -> None:
    """300 cities without any cluster: p <= 0.1 in 30 of them, give or take four standard errors."""
    p = np.array([fast(quiet(seed), alpha=1, replications=99, seed=seed).p for seed in range(300)])
    assert abs(np.sum(p <= 0.1) - 30) < 4 * np.sqrt(300 * 0.1 * 0.9)
    assert abs(np.sum(p <= 0.5) - 150) < 4 * np.sqrt(300 * 0.25)
