"""What arrived in the last panes of a feed: counts, delays, and how improbable it is that there are so few. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import log10

from msgspec import Struct
from scipy import special

#: bounds of the bins in which delays are counted, ms: each a fifth longer than the one before; 1 s to 80 days
BOUNDS_MS = tuple(int(1000 * 1.2**n) for n in range(86))


class Slot(Struct):
    """What came in one pane, and what was usual. `delays`: bin -> records."""

    observed: int = 0
    rejected: int = 0
    expected: float = 0.0
    delays: dict[int, int] = {}

    def take(self, delay_ms: int) -> None:
        """A record that arrived so long after its event."""
        self.observed += 1
        bin = bisect_right(BOUNDS_MS, delay_ms)
        self.delays[bin] = self.delays.get(bin, 0) + 1


def sums(window: Sequence[Slot]) -> tuple[int, float]:
    """Records observed and expected."""
    return sum(s.observed for s in window), sum(s.expected for s in window)


def percentiles(window: Sequence[Slot], *shares: float) -> list[float]:
    """Seconds within which these shares of the window's records came: upper bounds of bins; -1.0 without records."""
    bins: dict[int, int] = {}
    for slot in window:
        for bin, records in slot.delays.items():
            bins[bin] = bins.get(bin, 0) + records
    if not bins:
        return [-1.0] * len(shares)
    order = sorted(bins)
    upto = list(accumulate(bins[bin] for bin in order))
    at = (order[bisect_left(upto, share * upto[-1])] for share in shares)
    return [round(BOUNDS_MS[min(bin, len(BOUNDS_MS) - 1)] / 1000, 1) for bin in at]


def score_of_few(observed: int, mean: float, spread: float) -> float:
    """-log10 P(X <= observed), X negative binomial with this mean and variance mean + spread mean²; 0.0: not few."""
    if observed >= mean / 2**0.5:
        return 0.0
    size = 1 / spread
    tail = float(special.betainc(size, observed + 1, size / (size + mean)))
    return -log10(max(tail, 1e-300))
