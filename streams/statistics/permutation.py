"""Space-time permutation scan (Kulldorff, Heffernan, Hartman, Assuncao & Mostashari 2005): needs nothing but cases.

Expected in a cylinder: cases of its zone, over all time, times cases of its periods, everywhere, over all cases.
Chance: times permuted over cases. So neither busy places nor busy days are clusters, only too many here now.

`permutation_study` with `monte_carlo.permuted` gives every cluster its p value. `recent_cluster` answers one question
fast: is there a cluster that is alive at the end, and is it chance?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from streams.statistics.monte_carlo import TIED
from streams.statistics.scan import Ints, Study, Windows, ending_last
from streams.statistics.scores import poisson_llr
from streams.statistics.zones import Zones

Floats = NDArray[np.float64]
#: replications at first, and then: most tests are lost after a few
_AT_FIRST, _AT_ONCE = 32, 128


def counts_of(period: Ints, place: Ints, periods: int, places: int) -> Ints:
    """[periods, places] of a list of cases: their periods and places, numbered from 0."""
    counts = np.bincount(period * places + place, minlength=periods * places)
    return counts.reshape(periods, places)


def permutation_study(counts: Ints, zones: Zones, windows: Windows, fewest: int = 2) -> Study:
    """The scan of [periods, places] counts."""
    both = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(int(counts.sum()), 1)
    return Study(counts, both, zones, windows, conditional=True, fewest=fewest)


@dataclass(frozen=True)
class Recent:
    """The most likely cluster that ends with the last period. llr 0, p 1: none has more cases than expected."""

    zone: int
    duration: int
    observed: int
    expected: float
    llr: float
    p: float
    replications: int


def recent_cluster(
    counts: Ints,
    zones: Zones,
    inside: NDArray[np.float32],
    durations: Sequence[int],
    seed: int,
    replications: int = 999,
    alpha: float = 0.01,
    fewest: int = 2,
) -> Recent:
    """Most likely cluster of [periods, places] counts and its p value.

    inside: `zones.matrix()`, made once for a shape of window. Ends early when p can no longer be <= alpha; p is then
    reached / replications (Besag & Clifford 1991). Same seed, same answer.
    """
    windows = ending_last(len(counts), durations)
    recent = np.stack([counts[start:].sum(axis=0) for start in windows.start])
    total = int(counts.sum())
    of_zone, of_window = counts.sum(axis=0) @ inside, recent.sum(axis=1)
    observed = recent @ inside
    expected = np.outer(of_window, of_zone) / max(total, 1)
    llr = np.where(observed >= fewest, poisson_llr(observed, expected, total), 0.0)
    window, zone = np.unravel_index(int(np.argmax(llr)), llr.shape)
    best, length = float(llr[window, zone]), len(counts) - int(windows.start[window])
    if best <= 0:
        return Recent(int(zone), length, int(observed[window, zone]), float(expected[window, zone]), 0.0, 1.0, 0)
    needed = np.maximum(_needed(best, expected, np.minimum.outer(of_window, of_zone), total), np.float32(fewest))
    p, done = _chance(counts.sum(axis=0), of_window, inside, needed, seed, replications, alpha)
    return Recent(int(zone), length, int(observed[window, zone]), float(expected[window, zone]), best, p, done)


def _needed(llr: float, expected: Floats, most: Floats, total: int) -> NDArray[np.float32]:
    """The fewest cases of each window that reach `llr`, by bisection; infinite if it never holds so many."""
    low, high = np.floor(expected), np.floor(most) + 1  # low does not reach it, high does or is out of reach
    while (gap := high - low > 1).any():
        middle = np.floor((low + high) / 2)
        reached = poisson_llr(middle, expected, total) >= llr - TIED * (1 + llr)
        high, low = np.where(gap & reached, middle, high), np.where(gap & ~reached, middle, low)
    return np.where(high > most, np.inf, high).astype(np.float32)


def _chance(
    of_place: Ints,
    of_window: Ints,
    inside: NDArray[np.float32],
    needed: NDArray[np.float32],
    seed: int,
    replications: int,
    alpha: float,
) -> tuple[float, int]:
    """p value and replications: of the cases, which are the newest ones is drawn anew each time."""
    within_reach = np.isfinite(needed).any(axis=0)
    inside, needed = np.ascontiguousarray(inside[:, within_reach]), needed[:, within_reach]
    stop_after = max(1, int(alpha * (replications + 1) + 1e-9)) if alpha < 1 else replications + 1
    chance, reached = np.random.default_rng(seed), np.zeros(0, dtype=bool)
    cases = np.repeat(np.arange(len(of_place)), of_place)
    while len(reached) < replications:
        at_once = _AT_ONCE if len(reached) else _AT_FIRST
        drawn = _drawn(chance, min(at_once, replications - len(reached)), cases, of_window, len(of_place))
        sums = (drawn.reshape(-1, len(of_place)) @ inside).reshape(*drawn.shape[:2], -1)
        reached = np.concatenate((reached, (sums >= needed).any(axis=(1, 2))))
        (at,) = np.nonzero(reached)
        if len(at) >= stop_after:
            done = int(at[stop_after - 1]) + 1
            return stop_after / done, done
    return (int(reached.sum()) + 1) / (replications + 1), replications


def _drawn(chance: Generator, n: int, cases: Ints, of_window: Ints, places: int) -> NDArray[np.float32]:
    """[n, windows, places] counts: a window of k cases takes the first k of all cases in a random order.

    Only so much of the order is made as the longest window needs (Fisher & Yates, side by side in n rows).
    """
    newest = int(of_window.max(initial=0))
    left = len(cases) - np.arange(newest)
    pick = np.arange(newest) + (chance.random((n, newest)) * left).astype(np.int64)
    pool, rows = np.tile(cases, (n, 1)), np.arange(n)
    cell = np.empty((newest, n), dtype=np.int64)
    for k, at in enumerate(pick.T):
        cell[k] = rows * places + pool[rows, at]
        pool[rows, at] = pool[:, k]
    found = np.zeros((n, len(of_window), places), dtype=np.float32)
    before = 0
    for window, count in enumerate(of_window):
        found[:, window] = np.bincount(cell[before:count].ravel(), minlength=n * places).reshape(n, places)
        before = count
    return np.cumsum(found, axis=1, dtype=np.float32)
