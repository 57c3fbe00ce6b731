"""Knox's test: are there more pairs of events close in space and in time than chance brings (Knox 1964)?

Close is inclusive. Pairs in space are found with a tree, those in time by sorting, so that tens of thousands of events
fit into memory: what is kept are the pairs close in space, 8 bytes each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from streams.statistics.pairs import near_pairs, reach

Floats = NDArray[np.float64]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Knox:
    """Pairs of events. expected: near pairs x soon pairs / all pairs; p_more: P(Poisson(expected) > observed), as R
    surveillance has it; p_at_least: with >=; p: Monte Carlo, times permuted, the data counted as one."""

    events: int
    near: int
    soon: int
    observed: int
    expected: float
    p_more: float
    p_at_least: float
    p: float
    replications: int


def knox(
    points: Floats,
    time: Floats,
    distance: float,
    span: float,
    replications: int = 0,
    seed: int = 0,
    tell: Callable[[int], object] = lambda done: None,
) -> Knox:
    """Knox's test of events at points [n, dimensions] and times [n], for pairs <= distance and <= span apart. `tell`
    hears how many replications are done."""
    n = len(points)
    pairs = near_pairs(points, distance)
    observed, soon = _close(pairs, time, span), soon_pairs(time, span)
    expected = len(pairs) * soon / (n * (n - 1) / 2) if n > 1 else 0.0
    chance = np.random.default_rng(seed)
    reached = 0
    for done in range(1, replications + 1):
        reached += _close(pairs, chance.permutation(time), span) >= observed
        tell(done)
    p = (reached + 1) / (replications + 1)
    p_more, p_at_least = _tail(observed + 1, expected), _tail(observed, expected)
    return Knox(n, len(pairs), soon, observed, expected, p_more, p_at_least, p, replications)


def _tail(count: int, mean: float) -> float:
    """P(Poisson(mean) >= count)."""
    return float(special.gammainc(count, mean)) if count else 1.0


def soon_pairs(time: Floats, span: float) -> int:
    """How many pairs of times are at most `span` apart."""
    ordered = np.sort(time)
    after = np.searchsorted(ordered, ordered + reach(span), side="right")
    return int(np.sum(after - np.arange(len(time)) - 1))


def _close(pairs: NDArray[np.int32], time: Floats, span: float) -> int:
    found = 0
    for start in range(0, len(pairs), _CHUNK):
        one, other = time[pairs[start : start + _CHUNK]].T
        found += int(np.count_nonzero(np.maximum(one, other) <= np.minimum(one, other) + reach(span)))
    return found
