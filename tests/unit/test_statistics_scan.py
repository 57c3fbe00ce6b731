"""The scan: windows, clusters, chance. Small enough to see.

place    0  1  2  3      in a row, 1 and 2 nearest to each other; expected: 1 in each place and period
period 0 1  1  1  1
       1 1  1  1  1
       2 1  5  4  1      <- places 1 and 2 burst in the last period
"""

from __future__ import annotations

import re
from math import log
from pathlib import Path

import numpy as np
import pytest

from streams.statistics.monte_carlo import Chance, permuted, simulate, under_null
from streams.statistics.permutation import permutation_study
from streams.statistics.scan import Study, anywhere, ending_last, running_sums
from streams.statistics.zones import Zones, circles, listed

COUNTS = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 5, 4, 1]])
EXPECTED = np.ones((3, 4))
ROW = np.array([[0.0, 0.0], [1.0, 0.0], [1.9, 0.0], [3.5, 0.0]])
ZONES = circles(ROW, np.ones(4), 1.0)


def study(conditional: bool = True, zones: Zones = ZONES, fewest: int = 2) -> Study:
    return Study(COUNTS, EXPECTED, zones, ending_last(3, [1, 2, 3]), conditional, fewest)


def test_windows() -> None:
    last = ending_last(3, [2, 1, 9, 2])
    assert (last.start.tolist(), last.stop.tolist()) == ([2, 1], [3, 3])
    spans = anywhere(3, 2)
    assert list(zip(spans.start.tolist(), spans.stop.tolist(), strict=True)) == [(0, 1), (1, 2), (0, 2), (2, 3), (1, 3)]
    assert len(anywhere(0, 2).start) == 0


def test_the_burst_is_the_most_likely_cluster() -> None:
    scan = study()
    first = scan.clusters(1)[0]
    assert sorted(scan.zones.members(first.zone)) == [1, 2] and scan.windows.start[first.window] == 2
    expected = 2 * 19 / 12  # 19 cases, scaled onto an expectation of 12
    assert (first.observed, first.expected) == (9, pytest.approx(expected))
    assert first.llr == pytest.approx(9 * log(9 / expected) + 10 * log(10 / (19 - expected)))


def test_expectation_is_taken_as_given_where_nothing_is_conditioned_on() -> None:
    first = study(conditional=False).clusters(1)[0]
    assert (first.observed, first.expected, first.llr) == (9, 2.0, pytest.approx(9 * log(4.5) - 7))


def test_clusters_share_no_place() -> None:
    found = study(zones=listed(4, [[1, 2], [1], [2], [0], [0, 3]]), fewest=1).clusters()
    assert [c.zone for c in found] == [0]  # 0 and 3 have no excess
    counts = COUNTS + np.array([[0, 0, 0, 0], [0, 0, 0, 0], [3, 0, 0, 0]])
    scan = Study(counts, EXPECTED, listed(4, [[1, 2], [0, 1], [1], [0]]), ending_last(3, [1]), True)
    assert [scan.zones.members(c.zone).tolist() for c in scan.clusters()] == [[1, 2], [0]]


def test_the_highest_windows_overlap() -> None:
    scan = study()
    everything = scan.top(10_000)
    assert len(everything) == scan.zones.count * 3
    ratios = [c.llr for c in everything]
    assert ratios == sorted(ratios, reverse=True)
    assert [c.llr for c in scan.top(5)] == ratios[:5]
    assert ratios[0] == scan.clusters(1)[0].llr


def test_a_cluster_has_a_least_number_of_cases() -> None:
    counts = np.array([[0, 5], [1, 0]])
    expected = np.array([[4.0, 4.0], [0.001, 1.0]])
    one = Study(counts, expected, listed(2, [[0], [1]]), ending_last(2, [1]), True, fewest=1)
    two = Study(counts, expected, listed(2, [[0], [1]]), ending_last(2, [1]), True, fewest=2)
    assert one.clusters()[0].observed == 1
    assert two.clusters() == []


def test_nothing_at_all() -> None:
    empty = Study(np.zeros((2, 4), dtype=int), np.ones((2, 4)), ZONES, ending_last(2, [1]), True)
    assert empty.clusters() == []
    assert simulate(empty, under_null(empty), 5, seed=1).maxima.tolist() == [0] * 5
    single = Study(np.array([[3]]), np.array([[1.0]]), listed(1, [[0]]), ending_last(1, [1]), False)
    assert single.clusters()[0].llr == pytest.approx(3 * log(3) - 2)


def test_any_window_finds_what_is_over() -> None:
    counts = COUNTS[::-1].copy()
    scan = Study(counts, EXPECTED, ZONES, anywhere(3, 3), True)
    first = scan.clusters(1)[0]
    assert (scan.windows.start[first.window], scan.windows.stop[first.window]) == (0, 1)
    assert first.llr == pytest.approx(study().clusters(1)[0].llr)


@pytest.mark.parametrize("shape", [(1, 64), (5, 64), (16, 32), (37, 4, 10), (100, 3, 20), (64, 2)])
def test_running_sums(shape: tuple[int, ...]) -> None:
    rows = np.random.default_rng(1).integers(0, 9, shape).astype(np.int32)
    assert (running_sums(rows.copy()) == rows.cumsum(axis=0)).all()


# -- chance ------------------------------------------------------------------------------------------------------------


def test_p_counts_the_data_and_ties_against_it() -> None:
    chance = Chance(np.array([1.0, 2.0, 3.0 - 1e-9, 4.0]))
    assert chance.p(3.0) == 3 / 5
    assert chance.p(5.0) == 1 / 5
    assert Chance(np.zeros(0)).p(1.0) == 1.0
    assert Chance(np.array([1.0, 4.0, 2.0, 4.0]), stopped=True).p(3.0) == 2 / 4


def test_gumbel_of_known_moments() -> None:
    """Quantiles of a Gumbel distribution with mode 3 and scale 2 give its tail back."""
    share = (np.arange(20_000) + 0.5) / 20_000
    chance = Chance(3 - 2 * np.log(-np.log(share)))
    for llr in (3.0, 8.0, 20.0):
        assert chance.gumbel_p(llr) == pytest.approx(-np.expm1(-np.exp(-(llr - 3) / 2)), rel=0.05)
    assert np.isnan(Chance(np.ones(9)).gumbel_p(1.0))


@pytest.mark.parametrize("conditional", [True, False])
def test_maxima_are_those_of_whole_scans(conditional: bool) -> None:
    scan = study(conditional)
    drawn = under_null(scan)(np.random.default_rng(3), 50)
    assert drawn.shape == (*scan.counts.shape, 50)
    if conditional:
        assert (drawn.sum(axis=(0, 1)) == scan.total).all()
    for k, highest in enumerate(scan.maxima(drawn)):
        # the segments of last windows are the periods themselves
        alone = Study(drawn[:, :, k], EXPECTED, ZONES, ending_last(3, [1, 2, 3]), conditional).clusters(1)
        assert highest == pytest.approx(alone[0].llr if alone else 0, abs=1e-9)


def test_the_same_seed_gives_the_same_p_however_many_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for scan, draw in ((s, d(s)) for s in (study(), study(False)) for d in (under_null, permuted)):
        whole = simulate(scan, draw, 60, seed=9).maxima
        monkeypatch.setattr("streams.statistics.monte_carlo._batch", lambda _: 7)
        assert simulate(scan, draw, 60, seed=9).maxima.tolist() == whole.tolist()
        monkeypatch.undo()


def test_a_test_ends_when_it_is_lost() -> None:
    scan = study()
    whole = simulate(scan, under_null(scan), 500, seed=2).maxima
    level = float(np.median(whole))
    (reached,) = np.nonzero(whole >= level)
    early = simulate(scan, under_null(scan), 500, seed=2, llr=level, stop_after=10)
    assert early.stopped and len(early.maxima) == reached[9] + 1
    assert early.p(level) == 10 / len(early.maxima)
    never = simulate(scan, under_null(scan), 50, seed=2, llr=1e9, stop_after=10)
    assert not never.stopped and never.p(1e9) == 1 / 51


def test_progress_is_told() -> None:
    heard: list[int] = []
    simulate(study(), under_null(study()), 30, seed=1, tell=heard.append)
    assert heard[-1] == 30 and heard == sorted(heard)


def test_permuting_keeps_both_margins() -> None:
    scan = permutation_study(COUNTS, ZONES, ending_last(3, [1]))
    drawn = permuted(scan)(np.random.default_rng(1), 20)
    assert (drawn.sum(axis=0) == scan.counts.sum(axis=0)[:, None]).all()
    assert (drawn.sum(axis=1) == scan.counts.sum(axis=1)[:, None]).all()
    assert len({drawn[:, :, k].tobytes() for k in range(20)}) > 5


def test_the_code_of_the_page_works() -> None:
    page = (Path(__file__).parents[2] / "docs/statistics.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    known: dict[str, object] = {"counts": COUNTS, "expected": EXPECTED, "points": ROW}
    exec(code, known)
    assert known["p"] and all(0 < p <= 1 for p in known["p"])  # type: ignore[attr-defined]
