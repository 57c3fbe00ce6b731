"""What is planned for a day beside the background: surges, storms, gateway outages, faults of feeds.

It depends on (seed, day) alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.simulator.city import City
from streams.simulator.dictionaries import Dictionary
from streams.simulator.rhythm import HOUR_MS
from streams.simulator.scenarios import Scenario

Ints = NDArray[np.int64]

STORM_WORDS = (
    "积水",
    "内涝",
    "水位",
    "停水停电",
    "停电",
    "下水道",
    "井盖",
    "塌陷",
    "漏水",
    "污水外溢",
    "行道树",
    "被困",
    "雨水",
)
#: where surges come from, and of what
SURGE_WORDS = {
    "110": ("治安", "纠纷", "交通秩序", "聚集", "火警"),
    "12345": ("生态环境", "停水", "停电", "城市管理"),
    "grid": ("街面秩序", "市容环境", "施工管理"),
}
#: day from which feeds fail: what is usual must be known first
FIRST_FAULT_DAY = 7
_SURGE_SHARES = (0.6, 0.2, 0.2)
_LONGEST_H = 12.0


@dataclass(frozen=True, eq=False)
class Surge:
    """An injected hot spot: extra matters of one category of one source, in a few neighbouring cells."""

    id: str
    source: str
    category: int
    cells: tuple[int, ...]
    start_ms: int
    end_ms: int
    times: Ints  # of each extra matter, rising
    at: Ints  # its cell


@dataclass(frozen=True, eq=False)
class Storm:
    """All categories that rain swells, in the whole city, `factor` times as many."""

    id: str
    name: str
    factor: float
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Outage:
    """A street's sensors are not heard; what they raised comes in a burst after `end_ms`."""

    id: str
    street: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Fault:
    """A source's feed is broken: of what would arrive in the span, this share is `kept`, the rest is lost for good."""

    id: str
    source: str
    kept: float
    start_ms: int
    end_ms: int


@dataclass(frozen=True, eq=False)
class Day:
    """The plan of one day, which starts at `start_ms` (local midnight, UTC ms). Things may run into the next day."""

    number: int
    start_ms: int
    busy: dict[str, float]  # factor of the whole day by source
    surges: tuple[Surge, ...]
    storms: tuple[Storm, ...]
    outages: tuple[Outage, ...]
    faults: tuple[Fault, ...] = ()


def plan_day(
    city: City,
    scenario: Scenario,
    dictionaries: dict[str, Dictionary],
    seed: int,
    number: int,
    start_ms: int,
    end_ms: int,
) -> Day:
    """Plan day `number`; nothing is planned beyond `end_ms`, the end of the simulation."""
    rng = np.random.Generator(np.random.PCG64([seed, 3, number]))
    busy = {source: float(rng.gamma(400.0, 1 / 400.0)) for source in dictionaries}
    fixed = scenario.surge_at_hour is not None
    count = round(scenario.surges_a_day) if fixed else int(rng.poisson(scenario.surges_a_day))
    surges = [_surge(city, scenario, dictionaries, rng, f"H{number:04d}-{i}", start_ms, end_ms) for i in range(count)]
    outages = [
        Outage(f"O{number:04d}-{i}", int(rng.integers(len(city.streets))), *_span(rng, (1.0, 3.0), start_ms, end_ms))
        for i in range(rng.poisson(scenario.outages_a_day))
    ]
    storm = Storm(f"S{number:04d}", "暴雨", scenario.storm_factor, *_span(rng, scenario.storm_hours, start_ms, end_ms))
    return Day(
        number,
        start_ms,
        busy,
        tuple(surge for surge in surges if len(surge.times)),
        (storm,) if rng.random() < scenario.storm_chance else (),
        tuple(outages),
        _faults(scenario, tuple(dictionaries), seed, number, start_ms, end_ms),
    )


def _faults(
    scenario: Scenario, sources: tuple[str, ...], seed: int, number: int, start_ms: int, end_ms: int
) -> tuple[Fault, ...]:
    """Two of three silent, the others thinned to a fifth; drawn apart, so that other scenarios stay as they are."""
    if number < FIRST_FAULT_DAY:
        return ()
    rng = np.random.Generator(np.random.PCG64([seed, 8, number]))
    return tuple(
        Fault(
            f"F{number:04d}-{i}",
            sources[int(rng.integers(len(sources)))],
            0.0 if rng.random() < 2 / 3 else 0.2,
            *_span(rng, scenario.fault_hours, start_ms, end_ms),
        )
        for i in range(rng.poisson(scenario.faults_a_day))
    )


def _span(
    rng: np.random.Generator, hours: tuple[float, float], start_ms: int, end_ms: int, at_hour: float | None = None
) -> tuple[int, int]:
    """A span of `hours` that starts in the day and ends at `end_ms` at the latest."""
    start = start_ms + int((rng.uniform(0, 24) if at_hour is None else at_hour) * HOUR_MS)
    length = int(min(rng.uniform(*hours), _LONGEST_H) * HOUR_MS)
    return start, min(start + length, end_ms)


def _surge(
    city: City,
    scenario: Scenario,
    dictionaries: dict[str, Dictionary],
    rng: np.random.Generator,
    name: str,
    start_ms: int,
    end_ms: int,
) -> Surge:
    source = list(SURGE_WORDS)[int(np.searchsorted(np.cumsum(_SURGE_SHARES), rng.random()))]
    categories = dictionaries[source].having(SURGE_WORDS[source])
    cells = _patch(city, rng, int(rng.integers(scenario.surge_cells[0], scenario.surge_cells[1] + 1)))
    start, end = _span(rng, scenario.surge_hours, start_ms, end_ms, scenario.surge_at_hour)
    count = int(rng.integers(scenario.surge_reports[0], scenario.surge_reports[1] + 1))
    times = np.sort(rng.integers(start, end, count)) if end > start else np.zeros(0, dtype=np.int64)
    at = np.array(cells, dtype=np.int64)[rng.integers(0, len(cells), len(times))]
    return Surge(name, source, int(rng.choice(categories)), cells, start, end, times, at)


def _patch(city: City, rng: np.random.Generator, n: int) -> tuple[int, ...]:
    """Up to `n` cells that hang together by edges."""
    cells = [int(rng.integers(city.cells))]
    while len(cells) < n:
        around = sorted({int(c) for cell in cells for c in city.beside[cell] if c >= 0} - set(cells))
        if not around:
            break
        cells.append(around[int(rng.integers(len(around)))])
    return tuple(sorted(cells))
