"""One series of counts against its own recent past: EARS C1, C2, C3 and CUSUM. For comparison, not for alarms.

EARS: Hutwagner et al. 2003, as in R surveillance (earsC); CUSUM: Rossi, Lampugnani & Marchi 1999, as in its algo.cusum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

#: periods of EARS's baseline, and between it and now for C2 and C3
BASELINE, GUARD = 7, 2


@dataclass(frozen=True)
class Judged:
    """For each period the count above which (CUSUM: from which) there is an alarm; NaN where the past is too short."""

    bound: Floats
    alarm: NDArray[np.bool_]


def ears(counts: NDArray[np.number], method: str, alpha: float = 0.001) -> Judged:
    """EARS "C1", "C2" or "C3" of every period of a series.

    C1: mean and standard deviation of the 7 periods before; C2: with two periods in between; C3: what C2 had above 1 in
    the two periods before, added, takes room away (earsC's form). A constant baseline: any count above it is an alarm.
    """
    y = np.asarray(counts, dtype=np.float64)
    quantile = float(special.ndtri(1 - alpha))
    mean, spread = _baseline(y, 0 if method == "C1" else GUARD)
    if method in ("C1", "C2"):
        bound = mean + quantile * spread
    elif method == "C3":
        with np.errstate(divide="ignore", invalid="ignore"):
            c2 = np.where(y == mean, 0.0, (y - mean) / spread)
        over = np.maximum(c2 - 1, 0)
        summed = _before(over, 1) + _before(over, 2)
        with np.errstate(invalid="ignore"):
            room = spread * (quantile - summed)
        bound = np.maximum(y + np.where(spread == 0, np.where(summed > quantile, -np.inf, 0.0), room), 0)
        bound[np.isnan(summed)] = np.nan
    else:
        raise ValueError(f"{method}: C1, C2 or C3")
    return Judged(bound, y > bound)


def cusum(
    counts: NDArray[np.number], mean: float, k: float = 1.04, h: float = 2.26, transform: str = "standard"
) -> Judged:
    """One-sided CUSUM of counts with this mean: S = max(0, S + z - k), alarm at S >= h. It is not set back.

    transform: "standard" (y - m) / sqrt(m), or "anscombe" 3/2 (y^(2/3) - m^(2/3)) / m^(1/6), nearer to normal.
    """
    y = np.asarray(counts, dtype=np.float64)
    power, scale = {"standard": (1.0, mean**0.5), "anscombe": (2 / 3, mean ** (1 / 6) * 2 / 3)}[transform]
    z = (y**power - mean**power) / scale
    before = np.zeros(len(y))
    for t in range(1, len(y)):
        before[t] = max(0.0, before[t - 1] + z[t - 1] - k)
    bound = np.maximum(mean**power + scale * (h + k - before), 0.0) ** (1 / power)
    return Judged(bound, before + z - k >= h)


def _baseline(y: Floats, guard: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation (n - 1) of the baseline of each period; NaN where it is not whole."""
    mean, spread = np.full(len(y), np.nan), np.full(len(y), np.nan)
    first = BASELINE + guard
    if len(y) > first:
        runs = np.lib.stride_tricks.sliding_window_view(y, BASELINE)[: len(y) - first]
        mean[first:], spread[first:] = runs.mean(axis=1), runs.std(axis=1, ddof=1)
    return mean, spread


def _before(values: Floats, periods: int) -> Floats:
    return np.concatenate((np.full(periods, np.nan), values))[: len(values)]
