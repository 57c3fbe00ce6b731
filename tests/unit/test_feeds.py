"""feeds: whether each source still tells what it should.

records  ||||||| ... 9 days, ten an hour at night, 120 by day |        silent        ||||||
                                                        the last | told | opened    well | hold | closed
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from msgspec import structs

from schemas import ENDED_MS, Alert, Envelope, FeedHealth, Versions
from sinks.memory import MemorySink
from streams.pipeline import city_stage, heartbeat, paces_of
from streams.replay import replay
from streams.rooms.decide import Decide
from streams.rooms.feeds import Feeds, State
from streams.settings import Feeds as Knobs
from streams.settings import Settings, Source
from streams.windows import DAY_MS, HOUR_MS, MINUTE_MS
from tests.build import DAY0, LAYERS, fold, signal, stage
from tests.shells import feeds as sources
from tests.shells import folded, raw, records, wired

TOPIC = "raw.110"
ONE = Source(mapping="110", topic=TOPIC)
NOON = DAY0 + 9 * DAY_MS + 12 * HOUR_MS


def room(origins: dict[str, str] | None = None, source: Source = ONE, **knobs: float) -> Feeds:
    """The room as the city stage has it, one source on one partition by default."""
    settings = Settings(sources={"110": source}, feeds=Knobs(**knobs))  # type: ignore[arg-type]
    origins = origins or {f"{TOPIC}/0": "110"}
    return city_stage(settings, LAYERS, Versions(), paces_of(settings), origins).feeds


def rhythm(from_ms: int, to_ms: int, share: float = 1.0) -> list[int]:
    """Arrivals of a feed with a quiet night: ten records an hour from 0:00 to 6:00, else 120; even, and no chance."""
    out, at = [], float(from_ms)
    while at < to_ms:
        out.append(int(at))
        hour = int(at - DAY0) % DAY_MS // HOUR_MS
        at += HOUR_MS / (10 if hour < 6 else 120) / share
    return out


class Log:
    """A log of one partition, as the live shell writes it."""

    def __init__(self, partition: int = 0) -> None:
        self.partition = partition
        self.offset = 0

    def records(self, times: Sequence[int], delay_ms: int = 5000, refused: int = 0) -> Envelope:
        """An envelope of records that arrived then, of events `delay_ms` before; `refused` more were not taken."""
        first = self.offset
        located = []
        for n, at in enumerate(times):
            item = signal(f"{self.partition}-{first + n}", at - delay_ms)
            located.append(structs.replace(item, signal=structs.replace(item.signal, received_at_ms=at)))
        n = len(times)
        self.offset += n + refused
        bad = list(range(first + n, self.offset))
        return Envelope(
            TOPIC, self.partition, first, self.offset - 1, 1, located, list(range(first, first + n)), rejected=bad
        )

    def idle(self, now_ms: int) -> Envelope:
        """A heartbeat: read to its end by the shell's clock."""
        return heartbeat(TOPIC, self.partition, self.offset, now_ms - 120_000, now_ms)

    def living(self, from_ms: int, to_ms: int, share: float = 1.0, delay_ms: int = 5000) -> Iterator[Envelope]:
        """The rhythm, minute by minute."""
        for start in range(from_ms, to_ms, 30 * MINUTE_MS):
            end = min(start + 30 * MINUTE_MS, to_ms)
            times = [at for at in rhythm(start, end, share) if at < end]
            yield self.records(times, delay_ms)
            yield self.idle(end)

    def dead(self, from_ms: int, to_ms: int) -> Iterator[Envelope]:
        """Nothing but heartbeats."""
        return (self.idle(at + MINUTE_MS) for at in range(from_ms, to_ms, MINUTE_MS))


def changes(rows: Sequence[FeedHealth]) -> list[FeedHealth]:
    """The first row of each state in turn."""
    return [b for a, b in zip([None, *rows], rows, strict=False) if a is None or a.state != b.state]


def states(rows: Sequence[FeedHealth]) -> list[str]:
    """The states in turn."""
    return [row.state for row in changes(rows)]


def learnt(feeds: Feeds, log: Log, to_ms: int = NOON) -> State:
    """The state after nine good days."""
    state = feeds.start()
    rows = feeds.step(state, list(log.living(DAY0, to_ms)))
    assert states(rows) == ["starting", "ok"]
    assert changes(rows)[1].at_ms == DAY0 + 7 * DAY_MS + 30 * MINUTE_MS  # the clock was first heard at 0:30
    return state


def alerts(rows: Sequence[FeedHealth]) -> list[Alert]:
    """What decide tells."""
    decide = Decide()
    return [x for x in decide.step(decide.start(), rows) if isinstance(x, Alert)]


def test_a_good_feed_is_told_at_every_pane_with_what_is_usual() -> None:
    log = Log()
    state = learnt(room(), log)
    rows = room().step(state, list(log.living(NOON, NOON + HOUR_MS)))
    assert [row.at_ms - NOON for row in rows] == [n * 15 * MINUTE_MS for n in (1, 2, 3, 4)]
    last = rows[-1]
    assert (last.state, last.observed, last.window_min, last.opened_at_ms) == ("ok", 240, 120, 0)
    assert last.expected == pytest.approx(240, rel=0.01)
    assert 5.0 <= last.delay_p50_s <= 6.0 and 5.0 <= last.delay_p95_s <= 6.0
    assert last.last_arrived_ms - last.last_occurred_ms == 5000
    assert last.expected_gap_s == pytest.approx(20 / 120 * 3600, abs=5)


def test_a_dead_feed_is_told_when_twenty_records_are_missing() -> None:
    log = Log()
    state = learnt(room(), log)
    rows = room().step(state, list(log.dead(NOON, NOON + 2 * HOUR_MS)))
    assert states(rows) == ["ok", "silent"] or states(rows) == ["silent"]
    told = next(row for row in rows if row.state == "silent")
    missing_min = (told.at_ms - told.last_arrived_ms) / MINUTE_MS
    assert missing_min == pytest.approx(10, abs=0.1)  # 20 records at 120 an hour
    assert told.detail == "no record for 10 min, 20 expected"
    assert told.since_ms == told.opened_at_ms == told.at_ms
    assert [(a.state, a.level, a.subject_kind, a.subject_id) for a in alerts(rows)] == [
        ("open", "yellow", "feed", "110")
    ]


def test_the_alert_closes_when_the_feed_has_been_well_for_the_hold_time() -> None:
    log, feeds = Log(), room()
    state = learnt(feeds, log)
    back = NOON + 2 * HOUR_MS
    rows = feeds.step(state, [*log.dead(NOON, back), *log.living(back, back + 3 * HOUR_MS)])
    assert states(rows)[-2:] == ["silent", "ok"]
    told = alerts(rows)
    assert [(a.revision, a.state) for a in told] == [(1, "open"), (2, "closed")]
    assert told[1].updated_at_ms == back + 30 * MINUTE_MS
    assert told[0].id == told[1].id and told[0].opened_at_ms == told[1].opened_at_ms


def test_at_night_silence_lasts_longer_before_it_is_told() -> None:
    log, feeds = Log(), room()
    night = DAY0 + 10 * DAY_MS + HOUR_MS
    state = learnt(feeds, log, night)
    told = next(r for r in feeds.step(state, list(log.dead(night, night + 4 * HOUR_MS))) if r.state == "silent")
    assert told.at_ms - told.last_arrived_ms == pytest.approx(2 * HOUR_MS, abs=2 * MINUTE_MS)  # 20 at 10 an hour


def test_a_thinned_feed_is_told_once_and_ends() -> None:
    log, feeds = Log(), room()
    state = learnt(feeds, log)
    back = NOON + 4 * HOUR_MS
    rows = feeds.step(state, [*log.living(NOON, back, share=0.25), *log.living(back, back + 4 * HOUR_MS)])
    assert states(rows) == ["ok", "thin", "ok"]
    thin = changes(rows)[1]
    assert 60 * MINUTE_MS <= thin.at_ms - NOON <= 120 * MINUTE_MS
    assert thin.score >= 5.0 and thin.observed < thin.expected / 2
    assert [(a.state, a.level) for a in alerts(rows)] == [("open", "blue"), ("closed", "blue")]


def test_a_thin_feed_that_dies_is_one_alert_of_a_higher_level() -> None:
    log, feeds = Log(), room()
    state = learnt(feeds, log)
    rows = feeds.step(
        state,
        [*log.living(NOON, NOON + 3 * HOUR_MS, share=0.25), *log.dead(NOON + 3 * HOUR_MS, NOON + 5 * HOUR_MS)],
    )
    told = alerts(rows)
    assert [(a.revision, a.level) for a in told] == [(1, "blue"), (2, "yellow")] and len({a.id for a in told}) == 1


def test_garbage_is_no_silence_but_thin() -> None:
    log, feeds = Log(), room()
    state = learnt(feeds, log)
    ends = range(NOON + 5 * MINUTE_MS, NOON + 3 * HOUR_MS, 5 * MINUTE_MS)
    rows = feeds.step(state, [x for end in ends for x in (log.records([], refused=10), log.idle(end))])
    assert states(rows) == ["ok", "thin"]
    assert rows[-1].observed < 20 and rows[-1].rejected > 200


def test_before_it_knows_enough_it_says_starting_and_only_the_hard_limit_speaks() -> None:
    for limit, expected in ((0, ["starting"]), (90, ["starting", "silent", "starting"])):
        log = Log()
        feeds = room(source=structs.replace(ONE, max_silence_min=limit))
        back = DAY0 + DAY_MS + 6 * HOUR_MS
        story = [*log.living(DAY0, DAY0 + DAY_MS), *log.dead(DAY0 + DAY_MS, back), *log.living(back, back + HOUR_MS)]
        rows = feeds.step(feeds.start(), story)
        assert states(rows) == expected
        if limit:
            told = changes(rows)[1]
            assert told.at_ms - told.last_arrived_ms == 90 * MINUTE_MS


def test_a_feed_of_hourly_batches_is_not_silent_between_them() -> None:
    log, feeds = Log(), room()
    state = feeds.start()
    rows: list[FeedHealth] = []
    for hour in range(24 * 12):
        at = DAY0 + hour * HOUR_MS
        times = [at + 3 * MINUTE_MS + n * 100 for n in range(30 if hour % 24 < 6 else 200)]
        rows += feeds.step(state, [log.records(times), log.idle(at + HOUR_MS)])
    assert states(rows) == ["starting", "ok"]
    at = DAY0 + 12 * DAY_MS + 12 * HOUR_MS  # twelve hours of them missing
    told = [r for r in feeds.step(state, list(log.dead(DAY0 + 12 * DAY_MS, at))) if r.state == "silent"]
    assert told and told[0].at_ms < DAY0 + 12 * DAY_MS + 9 * HOUR_MS


def test_one_bad_day_neither_teaches_a_low_rate_nor_long_silences() -> None:
    log, feeds = Log(), room()
    state = learnt(feeds, log)
    usual = state.feeds["110"].usual
    before = feeds.rhythm.expected(usual, NOON + 7 * DAY_MS, NOON + 7 * DAY_MS + 4 * HOUR_MS)
    back = NOON + 4 * HOUR_MS
    feeds.step(state, [*log.dead(NOON, back), *log.living(back, back + 2 * DAY_MS)])
    after = feeds.rhythm.expected(usual, NOON + 7 * DAY_MS, NOON + 7 * DAY_MS + 4 * HOUR_MS)
    assert 0.75 * before < after < before
    assert feeds.rhythm.limit(usual) == 20.0


def test_a_wrong_clock_moves_nothing() -> None:
    log, feeds = Log(), room()
    state = learnt(feeds, log)
    ahead = log.records([NOON + 30 * DAY_MS] * 3)
    rows = feeds.step(state, [ahead, *log.living(NOON, NOON + 2 * HOUR_MS)])
    assert states(rows) == ["ok"] and rows[-1].at_ms == NOON + 2 * HOUR_MS


def test_late_is_told_and_is_no_alarm() -> None:
    log, feeds = Log(), room()
    state = learnt(feeds, log)
    rows = feeds.step(state, list(log.living(NOON, NOON + 4 * HOUR_MS, delay_ms=600_000)))
    assert states(rows) == ["ok", "late"] and not alerts(rows)
    assert 600 <= rows[-1].delay_p50_s <= 720


def test_a_partition_that_is_behind_is_not_silent_but_unread() -> None:
    """Partition 1 is not read from noon on, partition 0 tells time.

    partition 0  beats ............................ beats
    partition 1  ....noon|      30 min      |unread ....| reads what it had | ok
    """
    origins = {f"{TOPIC}/0": "110", f"{TOPIC}/1": "110"}
    feeds, idle, busy = room(origins), Log(0), Log(1)
    state = feeds.start()
    living = [x for e in busy.living(DAY0, NOON) for x in (e, idle.idle(max(e.ingested_at_ms, DAY0 + 1)))]
    assert states(feeds.step(state, living)) == ["starting", "ok"]
    rows = feeds.step(state, list(idle.dead(NOON, NOON + 2 * HOUR_MS)))
    assert states(rows) == ["unread"]
    assert rows[0].at_ms == NOON + 30 * MINUTE_MS and rows[0].last_arrived_ms < NOON
    assert [(a.state, a.level) for a in alerts(rows)] == [("open", "yellow")]
    rows += feeds.step(state, list(busy.living(NOON, NOON + 2 * HOUR_MS)))
    rows += feeds.step(
        state,
        [x for e in busy.living(NOON + 2 * HOUR_MS, NOON + 4 * HOUR_MS) for x in (e, idle.idle(e.ingested_at_ms))],
    )
    assert states(rows)[-1] == "ok"
    assert [a.state for a in alerts(rows)] == ["open", "closed"]


def test_a_dead_source_is_seen_though_it_holds_the_watermark() -> None:
    """Nobody reads raw.110: the watermark stands at the beginning of time, the clock of arrivals goes on."""
    city = stage(None, {"raw.110/0": "110", "raw.sensor/0": "sensor"})
    beats = [heartbeat("raw.sensor", 0, 0, at, at) for at in range(DAY0, DAY0 + 2 * HOUR_MS, MINUTE_MS)]
    state, rows = fold(city, beats, 10)
    assert state.order.watermark_ms < 0
    told = [a for step in rows for a in step.alerts]
    assert [(a.subject_kind, a.subject_id, a.opened_at_ms) for a in told] == [("feed", "110", DAY0 + 30 * MINUTE_MS)]


def test_without_a_clock_nothing_is_silent_after_the_last_record() -> None:
    """A replay: heartbeats carry no clock, an origin that has ended says no more."""
    log, feeds = Log(), room()
    state = learnt(feeds, log)
    for watermark in (NOON + 10 * DAY_MS, ENDED_MS):
        assert not feeds.step(state, [heartbeat(TOPIC, 0, log.offset, watermark)])


def test_a_file_with_a_hole_tells_of_it_and_its_end_is_no_hole() -> None:
    log, feeds = Log(), room()
    state = feeds.start()
    times = [*rhythm(DAY0, NOON), *rhythm(NOON + 5 * HOUR_MS, NOON + DAY_MS)]
    story = [log.records(times[n : n + 500]) for n in range(0, len(times), 500)]
    rows = feeds.step(state, story)
    assert states(rows) == ["starting", "ok", "silent", "ok"]
    assert rows[-1].at_ms <= NOON + DAY_MS


def test_a_source_without_a_promise_of_order_is_not_judged() -> None:
    log, feeds = Log(), room(source=structs.replace(ONE, lateness_s=-1))
    assert feeds.step(feeds.start(), list(log.living(DAY0, DAY0 + DAY_MS))) == []


def test_what_is_sent_again_after_a_crash_counts_once() -> None:
    log, feeds = Log(), room()
    story = [*log.living(DAY0, DAY0 + 3 * HOUR_MS), log.records([], refused=5), log.idle(DAY0 + 4 * HOUR_MS)]
    again = [
        structs.replace(  # cut otherwise: two envelopes in one
            story[0],
            last_offset=story[2].last_offset,
            located=story[0].located + story[2].located,
            offsets=story[0].offsets + story[2].offsets,
        ),
        story[-2],
    ]
    once = feeds.step(feeds.start(), story)
    twice = feeds.step(feeds.start(), [*story[:-1], *again, story[-1]])
    assert once == twice and once[-1].rejected == 5


def test_a_replay_of_raw_records_invents_no_alert() -> None:
    """The same files twice, by two clocks: the same rows."""
    sinks = [MemorySink(), MemorySink()]
    for sink in sinks:
        folded(wired(), sink, lambda folding: replay(sources(records(), wired().settings, 2, 50), folding))
    assert sinks[0].feeds and sinks[0].digest() == sinks[1].digest()
    assert {row.state for row in sinks[0].feeds.values()} == {"starting"}


def test_intake_says_which_records_it_refused() -> None:
    bad = [e for e in records() if e.kind.startswith("broken")][:3]
    good = [e for e in records() if e.source == bad[0].source and e.kind == "report"][:3]
    mixed = [x for pair in zip(good, [b for b in bad if b.source == good[0].source], strict=False) for x in pair]
    envelope, rejected = wired().intake.step(raw(good[0].source, TOPIC, 0, 100, mixed), 1)
    assert rejected and envelope.rejected == [r.offset for r in rejected]
