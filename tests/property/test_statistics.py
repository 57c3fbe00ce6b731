"""Statistics against naive definitions, and what must not matter: order of rows, names of zones, units."""

from __future__ import annotations

from itertools import combinations
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streams.statistics.gistar import gi, gi_star, with_itself, within
from streams.statistics.knox import knox
from streams.statistics.permutation import permutation_study
from streams.statistics.scan import Study, anywhere, ending_last
from streams.statistics.stdbscan import st_dbscan
from streams.statistics.zones import circles, nearest
from tests.analyst import stats, write

PERIODS, PLACES = 4, 5
#: few values, so that distances tie
POINTS = arrays(float, (PLACES, 2), elements=st.integers(0, 3).map(float))
COUNTS = arrays(np.int64, (PERIODS, PLACES), elements=st.integers(0, 6))
EXPECTED = arrays(float, (PERIODS, PLACES), elements=st.integers(1, 40).map(lambda tenth: tenth / 10))
EVENTS = arrays(float, st.tuples(st.integers(2, 14), st.just(3)), elements=st.integers(0, 6).map(float))


def naive_circles(points: np.ndarray, share: float) -> set[frozenset[int]]:
    """Around each place, for each distance of another, all that are not farther."""
    found = set()
    for centre in points:
        apart = [float(np.hypot(*(point - centre))) for point in points]
        for radius in apart:
            zone = frozenset(k for k, d in enumerate(apart) if d <= radius + 1e-9)
            if len(zone) <= share * len(points) + 1e-9:
                found.add(zone)
    return found


def naive_ratio(cases: int, expected: float, total: int | None) -> float:
    if cases <= expected:
        return 0.0
    if total is None:
        return cases * log(cases / expected) + expected - cases
    outside = (total - cases) * log((total - cases) / (total - expected)) if total > cases else 0.0
    return cases * log(cases / expected) + outside


@given(POINTS, st.sampled_from([0.2, 0.4, 0.5, 0.8, 1.0]))
def test_circles_are_all_circles(points: np.ndarray, share: float) -> None:
    zones = circles(points, np.ones(PLACES), share)
    assert {frozenset(zones.members(k).tolist()) for k in range(zones.count)} == naive_circles(points, share)


@given(POINTS, st.integers(1, PLACES))
def test_nearest_zones_are_the_nearest(points: np.ndarray, most: int) -> None:
    zones = nearest(points, most)
    assert zones.count == PLACES * most
    for k in range(zones.count):
        inside = zones.members(k)
        assert len(inside) == k % most + 1
        apart = np.hypot(*(points - points[k // most]).T)
        assert sorted(apart[inside]) == pytest.approx(sorted(apart)[: len(inside)])


@given(POINTS, COUNTS, EXPECTED, st.booleans(), st.booleans(), st.integers(1, 3))
def test_the_best_window_is_the_best_of_all(
    points: np.ndarray, counts: np.ndarray, expected: np.ndarray, conditional: bool, last: bool, fewest: int
) -> None:
    zones = circles(points, np.ones(PLACES), 0.8)
    windows = ending_last(PERIODS, range(1, 4)) if last else anywhere(PERIODS, 3)
    study = Study(counts, expected, zones, windows, conditional, fewest)
    total = int(counts.sum())
    scale = total / expected.sum() if conditional else 1.0
    want = []
    for start, stop in combinations(range(PERIODS + 1), 2):
        if stop - start > 3 or (last and stop != PERIODS):
            continue
        for zone in naive_circles(points, 0.8):
            inside = sum(int(counts[t, p]) for t in range(start, stop) for p in zone)
            awaited = scale * sum(float(expected[t, p]) for t in range(start, stop) for p in zone)
            if inside >= fewest:
                want.append(naive_ratio(inside, awaited, total if conditional else None))
    best = study.clusters(1)
    assert (best[0].llr if best else 0.0) == pytest.approx(max(want, default=0.0), abs=1e-7)
    assert study.maxima(study.counts[:, :, None])[0] == pytest.approx(max(want, default=0.0), abs=1e-7)
    found = study.clusters()
    places = [p for c in found for p in zones.members(c.zone).tolist()]
    assert len(places) == len(set(places))
    assert [c.llr for c in found] == sorted((c.llr for c in found), reverse=True)


@given(st.floats(1e-6, 1e5), st.integers(1, 200_000), st.booleans())
def test_no_window_is_passed_over(expected: float, cases: int, conditional: bool) -> None:
    """The bound that spares logarithms is never above the cases that reach a ratio."""
    study = Study(
        np.array([[300_000]]), np.ones((1, 1)), nearest(np.zeros((1, 1)), 1), ending_last(1, [1]), conditional
    )
    llr = float(study.llr(cases, expected))
    assert cases <= expected or study._enough(np.array([expected]), llr)[0] <= max(cases, study.fewest)


@given(POINTS, COUNTS, st.permutations(range(PLACES)))
def test_names_of_places_do_not_matter(points: np.ndarray, counts: np.ndarray, order: list[int]) -> None:
    def ratios(points: np.ndarray, counts: np.ndarray) -> list[float]:
        study = permutation_study(counts, circles(points, np.ones(PLACES), 0.6), ending_last(PERIODS, [1, 2]))
        return [c.llr for c in study.top(1000)]

    assert ratios(points[order], counts[:, order]) == pytest.approx(ratios(points, counts), abs=1e-9)


@given(COUNTS.filter(lambda counts: counts.sum() > 0), st.floats(0.1, 100))
def test_units_of_population_do_not_matter(counts: np.ndarray, unit: float) -> None:
    people = np.arange(1.0, PERIODS * PLACES + 1).reshape(PERIODS, PLACES)
    zones = circles(np.arange(PLACES * 1.0)[:, None], np.ones(PLACES), 0.5)
    one, other = (Study(counts, p, zones, ending_last(PERIODS, [2]), True).top(9) for p in (people, people * unit))
    assert [c.llr for c in one] == pytest.approx([c.llr for c in other], abs=1e-9)


# -- Gi*, Knox, ST-DBSCAN ----------------------------------------------------------------------------------------------


@given(POINTS, arrays(float, PLACES, elements=st.integers(0, 9).map(float)), st.sampled_from([1.0, 1.5, 2.0]))
def test_gi_is_its_definition(points: np.ndarray, values: np.ndarray, distance: float) -> None:
    near = within(points, distance)
    plain, star = gi(values, near), gi_star(values, with_itself(near))
    for i in range(PLACES):
        for own, got in ((False, plain[i]), (True, star[i])):
            all_of = [k for k in range(PLACES) if own or k != i]
            inside = [k for k in all_of if k == i or np.hypot(*(points[k] - points[i])) <= distance]
            w, n = len(inside), len(all_of)
            spread = np.std(values[all_of])
            room = (n * w - w * w) / (n - 1)
            if w == 0:
                assert np.isnan(got)
            elif spread < 1e-9 or room == 0:
                assert got == 0
            else:
                z = (values[inside].sum() - w * values[all_of].mean()) / (spread * np.sqrt(room))
                assert got == pytest.approx(z, abs=1e-9)


@given(EVENTS, st.sampled_from([0.0, 1.0, 2.5]), st.sampled_from([0.0, 1.0, 3.0]))
def test_knox_counts_pairs(events: np.ndarray, distance: float, span: float) -> None:
    found = knox(events[:, :2], events[:, 2], distance, span)
    pairs = list(combinations(range(len(events)), 2))
    near = [np.hypot(*(events[i, :2] - events[j, :2])) <= distance for i, j in pairs]
    soon = [abs(events[i, 2] - events[j, 2]) <= span for i, j in pairs]
    assert (found.near, found.soon) == (sum(near), sum(soon))
    assert found.observed == sum(a and b for a, b in zip(near, soon, strict=True))
    assert found.expected == pytest.approx(sum(near) * sum(soon) / len(pairs))


@given(EVENTS, st.integers(1, 4))
def test_st_dbscan_is_its_definition(events: np.ndarray, fewest: int) -> None:
    n = len(events)
    near = [
        [k for k in range(n) if np.hypot(*(events[k, :2] - e[:2])) <= 1 and abs(events[k, 2] - e[2]) <= 2]
        for e in events
    ]
    want, number = [0] * n, 0
    for seed in range(n):
        if want[seed] or len(near[seed]) < fewest:
            continue
        number += 1
        todo = [seed]
        while todo:
            event = todo.pop()
            if want[event] == 0:
                want[event] = number
                todo += near[event] if len(near[event]) >= fewest else []
    assert st_dbscan(events[:, :2], events[:, 2], 1.0, 2.0, fewest).tolist() == want


# -- the command -------------------------------------------------------------------------------------------------------


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    rows = [
        (f"区{p}", f"2026-03-{t + 1:02d}", int(chance.poisson(2 + 6 * (p == 3 and t == 8))), 50 + p, p % 5, p // 5)
        for p in range(15)
        for t in range(10)
    ]
    file = tmp_path / "rows.csv"
    for kind in ("poisson", "eb-poisson", "permutation"):
        found = []
        for _ in range(3):
            chance.shuffle(rows)  # type: ignore[arg-type]
            write(file, "zone,time,count,population,x,y", rows)
            found.append(stats("scan", file, "--kind", kind, "--monte-carlo", 99))
        assert found[0] == found[1] == found[2]
        assert "区3" in found[0]["clusters"][0]["zones"]
