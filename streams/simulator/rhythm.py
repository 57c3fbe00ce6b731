"""How busy a source is: by hour of the week, by cell, by category."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ZONE_MS = 8 * 3_600_000  # Asia/Shanghai, without daylight saving since 1991
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

#: share of the records of a day
SHARES = {"110": 0.55, "12345": 0.20, "grid": 0.15, "sensor": 0.10}

# A quiet night, a morning and an evening peak, a late evening; office hours; the day shift of grid workers; devices.
_WEEKDAY = {
    "110": (
        45,
        34,
        26,
        20,
        18,
        22,
        38,
        72,
        105,
        118,
        122,
        112,
        104,
        108,
        116,
        120,
        126,
        138,
        140,
        136,
        132,
        124,
        98,
        68,
    ),
    "12345": (8, 5, 4, 3, 3, 6, 20, 70, 190, 230, 220, 160, 110, 130, 190, 200, 190, 140, 90, 80, 70, 50, 28, 14),
    "grid": (2, 1, 1, 1, 1, 4, 20, 80, 220, 260, 240, 170, 70, 110, 240, 250, 220, 150, 70, 50, 40, 25, 10, 4),
    "sensor": (
        80,
        78,
        76,
        74,
        74,
        78,
        92,
        105,
        110,
        112,
        110,
        116,
        112,
        106,
        106,
        106,
        108,
        118,
        122,
        118,
        108,
        100,
        92,
        84,
    ),
}
_WEEKEND = {"110": 1.06, "12345": 0.55, "grid": 0.40, "sensor": 1.0}
_FRIDAY_NIGHT = 1.3  # 110, from 20:00 to 03:00 of Friday and Saturday evening


def profile(source: str) -> Floats:
    """Intensity by hour of the week, float[168] from Monday 00:00 local, mean 1."""
    week = np.tile(np.array(_WEEKDAY[source], dtype=np.float64), 7)
    week[120:] *= _WEEKEND[source]
    if source == "110":
        for evening in (4 * 24 + 20, 5 * 24 + 20):
            week[evening : evening + 7] *= _FRIDAY_NIGHT
    shape: Floats = week / week.mean()
    return shape


def hour_of_week(ms: int) -> int:
    """0 (Monday 00:00 to 01:00 local) to 167. Day 0 of the epoch was a Thursday."""
    return int((ms + ZONE_MS) // HOUR_MS + 3 * 24) % 168


def cell_weights(seed: int, cells: int) -> dict[str, Floats]:
    """Weight of every cell by source, log-normal (sigma 0.9), partly shared by the sources; each sums to 1."""
    rng = np.random.Generator(np.random.PCG64([seed, cells, 2]))
    shared = rng.normal(0, 0.75, cells)
    weights = {source: np.exp(shared + rng.normal(0, 0.5, cells)) for source in SHARES}
    return {source: w / w.sum() for source, w in weights.items()}


class Draw:
    """Draws indices with given probabilities, many at once, by the inverse of the distribution function."""

    def __init__(self, weights: Floats) -> None:
        self._upto = np.cumsum(weights) / weights.sum()

    def __call__(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        """int64[n]"""
        at = np.searchsorted(self._upto, rng.random(n), side="right")
        return np.minimum(at, len(self._upto) - 1).astype(np.int64)
