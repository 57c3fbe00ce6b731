"""What the bench programs count with: a feed at an even rate, records of now, a past that leaves the state wanted."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

import msgspec
import pytest

from bench.deployment import SOURCES, START_MS, Deployment, evenly
from bench.past import fold
from bench.records import records
from bench.snapshots import worst
from bench.steady import reports_a_day, thirds
from schemas import RawBatch
from streams.assemble import assemble
from streams.settings import Settings
from streams.simulator.city import make_city

SETTINGS = Settings()


def test_a_feed_is_even_and_ends() -> None:
    began = time.monotonic()
    assert len(list(evenly(iter(range(10**6)), rate=1000, seconds=0.1))) == 100
    assert 0.09 <= time.monotonic() - began < 2


def test_records_of_now_are_taken_in_as_they_are_called() -> None:
    now = START_MS + 12_345_678
    stage, seen = assemble(SETTINGS, b"a key of the tests").intake, set()
    for record in islice(records(make_city(1, 24), lambda: now), 400):
        batch = RawBatch(record.source, f"raw.{record.source}", 0, [record.value], [0], [now], now, keys=[record.key])
        envelope, rejected = stage.step(batch, now)
        assert not rejected
        (located,) = envelope.located
        assert located.signal.id == record.signal_id
        assert located.signal.occurred_at_ms == located.signal.reported_at_ms == now
        seen.add(record.signal_id)
    assert len(seen) == 400
    assert {name.split(":")[0] for name in seen} == set(SOURCES)


def test_the_past_leaves_as_many_places_and_takes_new_records() -> None:
    city: Any = None  # no servers
    deployment = Deployment(city, SETTINGS, make_city(1, 24), [city])
    past, state, assembly = fold(deployment, 3000, START_MS)
    assert len(state.repeats.places) == pytest.approx(3000, rel=0.01)
    assert len({cell for cell, _ in state.hotspots.codes}) == 24
    assert state.order.watermark_ms == past.at_ms == pytest.approx(START_MS, abs=900_000)
    assert not state.order.offsets and not state.order.counts.late
    assert all(len(state.order.recent[origin]) == 9 for origin in state.order.origins)
    envelope = next(e for e in past.pane() if e.located)
    first = msgspec.structs.replace(envelope, located=envelope.located[:1], offsets=[0], first_offset=0, last_offset=0)
    before = state.order.counts.signals
    assembly.city.step(state, [first], 0)
    assert state.order.counts.signals == before + 1


def test_thirds_and_the_city_behind_a_rate() -> None:
    assert thirds([1.0, 1.0, 2.0, 2.0, 5.0, 5.0]) == [1.0, 2.0, 5.0]
    assert reports_a_day(5000, 30) == pytest.approx(85_714, abs=1)
    assert reports_a_day(5000, 1) == reports_a_day(5000, 30)
    assert reports_a_day(5000, 60) == 2 * reports_a_day(5000, 30)


def test_the_worst_is_bounded_by_the_bucket_that_holds_all() -> None:
    found = {'s_bucket{le="0.1"}': 1.0, 's_bucket{le="0.2"}': 3.0, 's_bucket{le="+Inf"}': 3.0}
    assert worst(found, "s", 3) == 0.2
    assert worst(found, "s", 0) == 0.0
