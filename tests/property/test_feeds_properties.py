"""feeds is a fold over the log: however it is cut; and each source is judged by its own records alone."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from schemas import Envelope, FeedHealth, Versions
from streams.pipeline import city_stage, heartbeat, paces_of
from streams.rooms.feeds import Feeds, State
from streams.settings import Feeds as Knobs
from streams.settings import Settings, Source
from streams.windows import HOUR_MS, MINUTE_MS
from tests.build import DAY0, LAYERS, signal

SETTINGS = Settings(
    sources={
        "110": Source(mapping="110", topic="raw.110"),
        "grid": Source(mapping="grid", topic="raw.grid", max_silence_min=200),
    },
    feeds=Knobs(min_history_days=2, window_min=60, thin_score=1.5, silence_records=5.0, gap_factor=1.0),
)
ORIGINS = {"raw.110/0": "110", "raw.110/1": "110", "raw.grid/0": "grid"}


def room(unread_min: int = 30) -> Feeds:
    knobs = structs.replace(SETTINGS, feeds=structs.replace(SETTINGS.feeds, unread_min=unread_min))
    return city_stage(knobs, LAYERS, Versions(), paces_of(knobs), ORIGINS).feeds


def origin(name: str, seed: int, beats: bool, astray: bool = True) -> list[Envelope]:
    """Four days of one origin: a rhythm with holes; with heartbeats or without, clocks that go `astray` or do not."""
    topic, _, partition = name.rpartition("/")
    chance = random.Random(f"{name}{seed}")
    every = chance.choice([5, 20, 60]) * MINUTE_MS
    holes = [chance.randint(40, 90) * HOUR_MS for _ in range(chance.randint(0, 2))]
    out: list[Envelope] = []
    offset, at = 0, DAY0
    while at < DAY0 + 96 * HOUR_MS:
        at += int(chance.expovariate(1 / every)) + 1
        if any(hole <= at - DAY0 < hole + 5 * HOUR_MS for hole in holes):
            if beats and chance.random() < 0.5:
                out.append(heartbeat(topic, int(partition), offset, at, at))
            continue
        n = chance.randint(1, 3)
        located = []
        for k in range(n):
            item = signal(f"{partition}-{offset + k}", at - chance.randint(0, 900_000), source=ORIGINS[name])
            arrived = at + (chance.choice([0, 0, 0, -120_000, 60_000]) if astray else 0)
            located.append(structs.replace(item, signal=structs.replace(item.signal, received_at_ms=arrived)))
        refused = list(range(offset + n, offset + n + (chance.choice([0, 0, 0, 2]) if astray else 0)))
        last = offset + n + len(refused) - 1
        offsets = list(range(offset, offset + n))
        out.append(Envelope(topic, int(partition), offset, last, 1, located, offsets, rejected=refused))
        offset = last + 1
        if beats:
            out.append(heartbeat(topic, int(partition), offset, at, at + 1))
    return out


def merged(parts: list[list[Envelope]], chance: random.Random) -> list[Envelope]:
    """Any interleaving that keeps the order of each origin."""
    left = [list(reversed(part)) for part in parts if part]
    out = []
    while left:
        part = chance.choice(left)
        out.append(part.pop())
        left = [p for p in left if p]
    return out


def walked(feeds: Feeds, log: list[Envelope], cut: int) -> tuple[State, list[FeedHealth]]:
    state = feeds.start()
    return state, [row for n in range(0, len(log), cut) for row in feeds.step(state, log[n : n + cut])]


seeds = st.integers(0, 2**32)


@given(seeds, st.booleans(), st.integers(2, 50))
@settings(max_examples=15, deadline=None)
def test_any_cut_of_the_log_gives_the_same_rows_and_state(seed: int, beats: bool, cut: int) -> None:
    log = merged([origin(name, seed, beats) for name in ORIGINS], random.Random(seed))
    one = walked(room(), log, 1)
    assert one == walked(room(), log, cut) == walked(room(), log, len(log))
    for source in ("110", "grid"):
        versions = [row.version for row in one[1] if row.source == source]
        assert versions == list(range(1, len(versions) + 1))


def test_the_stories_are_worth_the_properties() -> None:
    rows = [
        row
        for seed in range(12)
        for row in walked(room(), merged([origin(n, seed, True) for n in ORIGINS], random.Random(seed)), 9)[1]
    ]
    assert {"starting", "ok", "late", "thin", "silent", "unread"} == {row.state for row in rows}


@given(seeds, st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_source_is_judged_by_its_own_records_whatever_comes_between(seed: int, beats: bool) -> None:
    """As long as all are read (no source is unread), the others may come before or after."""
    feeds = room(unread_min=10**6)
    parts = {name: origin(name, seed, beats) for name in ORIGINS}
    _, alone = walked(feeds, parts["raw.grid/0"], 7)
    _, rows = walked(feeds, merged(list(parts.values()), random.Random(seed)), 7)
    assert alone and [row for row in rows if row.source == "grid"] == alone


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_a_hard_limit_is_told_exactly_when_a_naive_reader_tells_it(seed: int) -> None:
    """Before there is history the only rule is max_silence_min: every gap between two arrivals that is longer."""
    knobs = structs.replace(SETTINGS, feeds=structs.replace(SETTINGS.feeds, min_history_days=90))
    feeds = city_stage(knobs, LAYERS, Versions(), paces_of(knobs), ORIGINS).feeds
    log = origin("raw.grid/0", seed, beats=False, astray=False)
    state, rows = walked(feeds, log, 13)
    told = [row.since_ms for row in rows if row.state == "silent" and row.at_ms == row.since_ms]
    begun, upto = state.feeds["grid"].begun_ms, state.feeds["grid"].at_ms
    times = [max(x.signal.received_at_ms, begun) for e in log for x in e.located if x.signal.received_at_ms <= upto]
    limit = 200 * MINUTE_MS
    assert told == [a + limit for a, b in pairwise([begun, *times]) if b - a > limit]
