"""Times as vendors write them, for whole columns: local wall time of the city's zone."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streams.simulator.rhythm import ZONE_MS

Ints = NDArray[np.int64]


def dashed(ms: Ints) -> list[str]:
    """2026-03-02 08:03:11"""
    return _stamps(ms, "%Y-%m-%d ", "%H:%M:%S")


def compact(ms: Ints) -> list[str]:
    """20260302080311"""
    return _stamps(ms, "%Y%m%d", "%H%M%S")


def compact_t(ms: Ints) -> list[str]:
    """20260302T080311"""
    return _stamps(ms, "%Y%m%dT", "%H%M%S")


def iso(ms: Ints) -> list[str]:
    """2026-03-02T08:03:11+08:00"""
    return [f"{stamp}+08:00" for stamp in _stamps(ms, "%Y-%m-%dT", "%H:%M:%S")]


def iso_millis(ms: Ints) -> list[str]:
    """2026-03-02T08:03:11.120+08:00"""
    stamps = _stamps(ms, "%Y-%m-%dT", "%H:%M:%S")
    return [f"{stamp}.{milli:03d}+08:00" for stamp, milli in zip(stamps, (ms % 1000).tolist(), strict=True)]


def slashed(ms: Ints) -> list[str]:
    """2026/3/2 8:03:11"""
    clocks = _day_clock("%H:%M:%S")
    days, seconds = np.divmod((ms + ZONE_MS) // 1000, 86_400)
    return [
        f"{_date(day, '%Y')}/{int(_date(day, '%m'))}/{int(_date(day, '%d'))} {clocks[second].removeprefix('0')}"
        for day, second in zip(days.tolist(), seconds.tolist(), strict=True)
    ]


def days(ms: Ints) -> list[str]:
    """20260302"""
    return [_date(day, "%Y%m%d") for day in ((ms + ZONE_MS) // 86_400_000).tolist()]


def _stamps(ms: Ints, date: str, clock: str) -> list[str]:
    clocks = _day_clock(clock)
    days, seconds = np.divmod((ms + ZONE_MS) // 1000, 86_400)
    dates = {day: _date(day, date) for day in np.unique(days).tolist()}
    return [dates[day] + clocks[second] for day, second in zip(days.tolist(), seconds.tolist(), strict=True)]


@lru_cache(maxsize=4)
def _day_clock(form: str) -> list[str]:
    """The 86,400 seconds of a day, written out once."""
    colon = form[2] == ":"
    two = [f"{n:02d}" for n in range(60)]
    join = ":" if colon else ""
    return [f"{h}{join}{m}{join}{s}" for h in two[:24] for m in two for s in two]


@lru_cache(maxsize=256)
def _date(day: int, form: str) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).strftime(form)
