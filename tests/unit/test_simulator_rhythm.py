"""How the simulator's city lives: hours, rates, nuisance; and how little of it is held in memory."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest
from scipy.stats import chisquare

from streams.simulator.city import City, make_city
from streams.simulator.dictionaries import SOURCES
from streams.simulator.rhythm import DAY_MS, profile
from streams.simulator.scenarios import scenario
from streams.simulator.simulation import Emission, Simulation, simulate
from streams.simulator.truth import Truth
from streams.simulator.world import World

MONDAY_MS = 1_772_380_800_000  # 2026-03-02 00:00 +08:00


@pytest.fixture(scope="module")
def city() -> City:
    return make_city(1, 300)


def local_hour(emission: Emission) -> int:
    """Hour of the day, as written in the record."""
    record = json.loads(emission.record)
    if emission.source == "grid":
        return int(record["event_time"] // 3600 + 8) % 24
    if emission.source == "sensor":
        return datetime.fromisoformat(record["raisedAt"]).hour
    written = record["bjsj" if emission.source == "110" else "accept_time"]
    return int(written.split(" ")[1].split(":")[0])


@pytest.fixture(scope="module")
def hours(city: City) -> dict[str, Counter[int]]:
    """Reports by source and local hour in a week without followers."""
    plain = replace(scenario("quiet"), witnesses=0.0, chases=0.0)
    counts: dict[str, Counter[int]] = {source: Counter() for source in SOURCES}
    for e in simulate(city, plain, 11, 7, 10_000, MONDAY_MS):
        if e.kind == "report":
            counts[e.source][local_hour(e)] += 1
    return counts


@pytest.mark.parametrize("source", SOURCES)
def test_hours_follow_the_profile(hours: dict[str, Counter[int]], source: str) -> None:
    counts = hours[source]
    by_hour = profile(source).reshape(7, 24).sum(axis=0)
    expected = by_hour / by_hour.sum() * counts.total()
    assert chisquare([counts[hour] for hour in range(24)], expected).pvalue > 1e-3
    assert chisquare([counts[hour] for hour in range(24)]).pvalue < 1e-6  # it is not flat


def test_the_rate_is_kept(city: City) -> None:
    kinds = Counter(
        (e.source, e.kind) for e in simulate(city, scenario("city"), 1, 7, 16_000, MONDAY_MS) if e.kind == "report"
    )
    assert kinds.total() / 7 == pytest.approx(16_000, rel=0.1)
    assert kinds["110", "report"] / kinds.total() == pytest.approx(0.55, abs=0.05)


def test_memory_is_a_span_and_what_is_on_its_way(city: City) -> None:
    """The heap does not grow with the days: at midnight it holds an hour of 12345 and a few later corrections."""
    simulation = Simulation(World(city, scenario("city"), 1, 16, 6000, MONDAY_MS), Truth())
    waiting: dict[int, int] = {}
    for e in simulation:
        waiting[(e.arrival_ms - MONDAY_MS) // DAY_MS] = len(simulation.waiting)
    midnights = [waiting[day] for day in range(16)]
    assert max(midnights) < 0.03 * 6000
    assert sum(midnights[8:]) < 1.5 * sum(midnights[:8])


def test_nuisance_calls(city: City) -> None:
    calls = [
        json.loads(e.record) for e in simulate(city, scenario("quiet"), 1, 2, 10_000, MONDAY_MS) if e.source == "110"
    ]
    invalid = [call for call in calls if call["sfwx"] == "1"]
    assert len(invalid) / len(calls) == pytest.approx(0.28, abs=0.04)
    assert max(Counter(call["bjdh"] for call in invalid).values()) > 10  # heavy callers
