"""Scan statistics: of all windows (a zone over a span of periods) those that hold far more cases than expected.

Kulldorff's Poisson scan, purely spatial (1997) and in space-time (1997, 2001), conditional on the total of cases; with
population for expectation it is the population-based Poisson scan of R scanstatistics. The expectation-based Poisson
scan (Neill 2009) takes the expectation as it is given. The space-time permutation scan is in `permutation`.

Periods are numbered from 0. Counts and expectations are [periods, places].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streams.statistics.scores import expectation_poisson_llr, poisson_llr
from streams.statistics.zones import Zones

Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Floats = NDArray[np.float64]

#: counts in one block of windows: 2 MB, which a processor's cache holds
BLOCK = 1 << 19
_TINY = 1e-300
#: numbers in a row from which it pays to add rows instead of columns
_WIDE = 32


@dataclass(frozen=True)
class Windows:
    """Spans of periods, [start, stop): shape [windows]."""

    start: Ints
    stop: Ints


def ending_last(periods: int, durations: Sequence[int]) -> Windows:
    """Spans of these durations that end with the last period (prospective); longer ones than there is are left out."""
    found = np.array(sorted({d for d in durations if 1 <= d <= periods}), dtype=np.int64)
    return Windows(periods - found, np.full(len(found), periods, dtype=np.int64))


def anywhere(periods: int, longest: int) -> Windows:
    """Every span of at most `longest` periods (retrospective), by its end, the shortest first."""
    spans = [(stop - d, stop) for stop in range(1, periods + 1) for d in range(1, min(longest, stop) + 1)]
    start, stop = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    return Windows(start, stop)


@dataclass(frozen=True)
class Cluster:
    """A window and what is in it. `zone` and `window` are numbers in those of the study."""

    zone: int
    window: int
    observed: int
    expected: float
    llr: float


class Study:
    """A scan made ready: counts and expectations in the segments between the bounds of its windows.

    counts: [periods, places] >= 0; expected: the same shape; conditional: scaled so that it adds up to the cases;
    fewest: a cluster has at least so many cases (2, as SaTScan has it: a single case is none).
    """

    def __init__(
        self, counts: Ints, expected: Floats, zones: Zones, windows: Windows, conditional: bool, fewest: int = 2
    ) -> None:
        bounds = np.unique(np.concatenate(([0], windows.start, windows.stop)))
        bounds = bounds[bounds < len(counts)]
        self.zones, self.windows = zones, windows
        self.conditional, self.fewest = conditional, max(1, fewest)
        self.counts = np.add.reduceat(counts, bounds, axis=0).astype(np.int32)
        self.expected = np.add.reduceat(expected.astype(np.float64), bounds, axis=0)
        self.total = int(self.counts.sum())
        if conditional:
            self.expected *= self.total / max(float(self.expected.sum()), _TINY)
        bounds = np.concatenate((bounds, [len(counts)]))
        self._start, self._stop = np.searchsorted(bounds, windows.start), np.searchsorted(bounds, windows.stop)

    def clusters(self, most: int = 10) -> list[Cluster]:
        """The most likely cluster, then the most likely of those that share no place with the ones before."""
        zones, found = self.zones, list[Cluster]()
        numbers = np.arange(zones.count)
        while len(found) < most and zones.count:
            best = self._best(zones)
            if best.llr <= 0:
                break
            free = zones.without(zones.members(best.zone))
            found.append(self._at(int(numbers[best.zone]), best.window))
            numbers = numbers[np.searchsorted(zones.last, free.last)]
            zones = free
        return found

    def top(self, most: int) -> list[Cluster]:
        """The windows of the highest ratios, whatever they share; without excess also those of ratio 0."""
        kept = np.zeros((0, 3))
        for zone, window, c, e in self._blocks(self.counts[:, :, None], self.zones):
            llr = self.llr(c[:, :, 0], e)
            best = np.argsort(-llr, axis=None, kind="stable")[:most]
            one, other = np.unravel_index(best, llr.shape)
            kept = np.concatenate((kept, np.column_stack((llr.flat[best], zone + one, window + other))))
            kept = kept[np.argsort(-kept[:, 0], kind="stable")[:most]]
        return [self._at(int(zone), int(window)) for _, zone, window in kept]

    def llr(self, cases: ArrayLike, expected: ArrayLike) -> Floats:
        """The log-likelihood ratio of this study, element by element."""
        return (
            poisson_llr(cases, expected, self.total) if self.conditional else expectation_poisson_llr(cases, expected)
        )

    def maxima(self, counts: Counts) -> Floats:
        """The highest ratio in each of [segments, places, n] counts, as `monte_carlo` draws them: shape [n]."""
        best = np.zeros(counts.shape[2])
        for _, _, c, e in self._blocks(counts, self.zones):
            (high,) = np.nonzero((c >= self._enough(e, float(best.min()))[:, :, None]).ravel())
            window, draw = np.divmod(high, counts.shape[2])
            np.maximum.at(best, draw, self.llr(c.ravel()[high], e.ravel()[window]))
        return best

    def _best(self, zones: Zones) -> Cluster:
        found = Cluster(0, 0, 0, 0.0, 0.0)
        for first_zone, first_window, c, e in self._blocks(self.counts[:, :, None], zones):
            zone, window, _ = np.nonzero(c >= self._enough(e, found.llr)[:, :, None])
            llr = self.llr(c[zone, window, 0], e[zone, window])
            at = int(np.argmax(llr)) if len(llr) else -1
            if at >= 0 and llr[at] > found.llr:
                found = Cluster(first_zone + int(zone[at]), first_window + int(window[at]), 0, 0.0, float(llr[at]))
        return found

    def _enough(self, expected: Floats, llr: float) -> Counts:
        """Fewer cases than this cannot reach `llr`: from x^2 / 2 >= (1 + x) log(1 + x) - x for x >= 0, and x^2 for the
        cases outside. It spares the logarithms of nearly all windows."""
        outside = 1 / np.maximum(self.total - expected, _TINY) if self.conditional else 0.0
        excess = np.sqrt(llr / (0.5 / np.maximum(expected, _TINY) + outside))
        enough = np.ceil((expected + excess) * (1 - 1e-9) - 1e-9)
        return np.clip(enough, self.fewest, np.iinfo(np.int32).max).astype(np.int32)

    def _at(self, zone: int, window: int) -> Cluster:
        span = slice(self._start[window], self._stop[window])
        members = self.zones.members(zone)
        observed = int(self.counts[span, members].sum())
        expected = float(self.expected[span, members].sum())
        return Cluster(zone, window, observed, expected, float(self.llr(observed, expected)))

    def _blocks(self, counts: Counts, zones: Zones) -> Iterator[tuple[int, int, Counts, Floats]]:
        """All windows: (first zone, first window, counts [zones, windows, n], expected [zones, windows]) by turns."""
        cumulative = np.concatenate((np.zeros_like(counts[:1]), np.cumsum(counts, axis=0, dtype=np.int32)))
        hoped = np.concatenate((np.zeros_like(self.expected[:1]), np.cumsum(self.expected, axis=0)))
        longest = int(np.diff(zones.first).max(initial=1))
        step = max(1, BLOCK // (longest * counts.shape[2]))
        of_family = np.searchsorted(zones.family, np.arange(zones.families + 1))
        for window in range(0, len(self._start), step):
            start, stop = self._start[window : window + step], self._stop[window : window + step]
            inside = np.ascontiguousarray((cumulative[stop] - cumulative[start]).swapaxes(0, 1))
            awaited = np.ascontiguousarray((hoped[stop] - hoped[start]).T)
            for family in range(zones.families):
                one, after = of_family[family], of_family[family + 1]
                if one < after:
                    begin = zones.first[family]
                    members = zones.place[begin : zones.last[after - 1] + 1]
                    ends = zones.last[one:after] - begin
                    c = running_sums(inside.take(members, axis=0))[ends]
                    yield int(one), window, c, awaited[members].cumsum(axis=0)[ends]


def running_sums(rows: Counts) -> Counts:
    """`rows.cumsum(axis=0)`, in place, four times as fast where rows are long: strips of rows are added side by side,
    then the strips."""
    count, width = len(rows), int(np.prod(rows.shape[1:]))
    step = int(np.sqrt(count))
    if width < _WIDE or step < 4:
        return rows.cumsum(axis=0, dtype=rows.dtype)
    flat = rows.reshape(count, width)
    whole = count - count % step
    strips = flat[:whole].reshape(-1, step, width)
    for k in range(1, step):
        strips[:, k] += strips[:, k - 1]
    strips[1:] += strips[:-1, -1].cumsum(axis=0, dtype=rows.dtype)[:, None]
    for k in range(whole, count):
        flat[k] += flat[k - 1]
    return rows
