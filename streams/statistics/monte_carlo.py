"""Monte Carlo p values of a scan: how often chance alone reaches as high a ratio somewhere.

Every draw is made of one seed in a fixed order, so that p does not depend on how many are drawn at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from streams.statistics.scan import BLOCK, Counts, Study

Floats = NDArray[np.float64]
#: (chance, n) -> counts [segments, places, n]
Draw = Callable[[Generator, int], Counts]

#: ratios that differ by less, relatively, are tied; ties count against the cluster
TIED = 1e-7
_EULER = 0.5772156649015329
_MOST_DRAWN, _MOST_AT_ONCE = 1 << 22, 256


@dataclass(frozen=True)
class Chance:
    """Highest ratios of the replications, in order; `stopped` if the last of them ended the test early."""

    maxima: Floats
    stopped: bool = False

    def p(self, llr: float) -> float:
        """Share of replications that reach `llr`, the data counted as one; after an early stop as Besag & Clifford
        (1991): reached / replications. 1 without replications."""
        reached = int(np.count_nonzero(self.maxima >= llr - TIED * (1 + llr)))
        return reached / len(self.maxima) if self.stopped else (reached + 1) / (len(self.maxima) + 1)

    def gumbel_p(self, llr: float) -> float:
        """The same from a Gumbel distribution fitted by its moments (Abrams, Kleinman & Kulldorff 2010): small p
        values of few replications. NaN with fewer than two different maxima."""
        spread = float(np.std(self.maxima, ddof=1)) if len(self.maxima) > 1 else 0.0
        if spread == 0:
            return float("nan")
        scale = spread * np.sqrt(6) / np.pi
        return float(-np.expm1(-np.exp(-(llr - float(np.mean(self.maxima)) + _EULER * scale) / scale)))


def simulate(
    study: Study,
    draw: Draw,
    replications: int,
    seed: int,
    llr: float = 0.0,
    stop_after: int = 0,
    tell: Callable[[int], object] = lambda done: None,
) -> Chance:
    """Draw and scan. `stop_after` > 0: end with the replication that is the so-manieth to reach `llr`. `tell` hears
    how many are done."""
    chance = np.random.default_rng(seed)
    at_once = _batch(study)
    maxima = np.zeros(0)
    while len(maxima) < replications:
        drawn = draw(chance, min(at_once, replications - len(maxima)))
        maxima = np.concatenate((maxima, study.maxima(drawn)))
        tell(len(maxima))
        if stop_after:
            (reached,) = np.nonzero(maxima >= llr - TIED * (1 + llr))
            if len(reached) >= stop_after:
                return Chance(maxima[: reached[stop_after - 1] + 1], stopped=True)
    return Chance(maxima)


def _batch(study: Study) -> int:
    """How many fit into a block of the scan, and into memory while they are drawn."""
    longest = int(np.diff(study.zones.first).max(initial=1))
    scanned = BLOCK // (longest * max(1, len(study.windows.start)))
    return max(1, min(_MOST_AT_ONCE, scanned, _MOST_DRAWN // max(1, study.counts.size, study.total)))


def under_null(study: Study) -> Draw:
    """Cases thrown where they are expected: as many as there are (conditional), or as many as come."""
    expected = study.expected

    def conditional(chance: Generator, n: int) -> Counts:
        drawn = chance.multinomial(study.total, expected.ravel() / (expected.sum() or 1.0), size=n)
        return np.ascontiguousarray(drawn.T.reshape(*expected.shape, n), dtype=np.int32)

    def free(chance: Generator, n: int) -> Counts:
        drawn = chance.poisson(expected, size=(n, *expected.shape))
        return np.ascontiguousarray(np.moveaxis(drawn, 0, -1), dtype=np.int32)

    return conditional if study.conditional else free


def permuted(study: Study) -> Draw:
    """Times permuted over cases: every place and every segment keeps its number of cases."""
    segments, places = study.counts.shape
    segment, place = np.nonzero(study.counts)
    of_case = study.counts[segment, place]
    segment, place = np.repeat(segment, of_case), np.repeat(place, of_case)

    def draw(chance: Generator, n: int) -> Counts:
        mixed = chance.permuted(np.broadcast_to(place, (n, len(place))), axis=1)
        cell = (segment * places + mixed) * n + np.arange(n)[:, None]
        drawn = np.bincount(cell.ravel(), minlength=segments * places * n)
        return drawn.reshape(segments, places, n).astype(np.int32)

    return draw
