"""The agents' bodies without Faust: batches in, envelopes and rows out, acks last.

delivered   [0..9] [10..19]   (rebalance: seek to 15)   [15..19] [20..29]
folded       0..9   10..19                               nothing   20..29
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from schemas import Envelope, Rejected, TooMuchBadData, Unreachable
from schemas.rows import Rows
from sinks.memory import MemorySink
from streams.assemble import Assembly, assemble
from streams.batches import TP, Consumer, RecordBatch
from streams.envelopes import messages
from streams.kafka_range import TICK_KEY
from streams.live_city import CityWorker
from streams.live_intake import IntakeWorker
from streams.live_state import Snapshots
from streams.live_store import Health, Outbox, Store
from streams.live_watch import Watch
from streams.metrics import REGISTRY
from streams.pipeline import heartbeat
from streams.settings import Kafka, Settings, Source
from streams.state_topic import Kept
from tests.build import DAY0, signal
from tests.build import envelopes as build

MINUTE_MS = 60_000
encode = msgspec.msgpack.encode
NOW = DAY0 + 90 * MINUTE_MS
#: one for all: a queue belongs to the loop that it was first waited for in
LOOP = asyncio.Runner()
SETTINGS = Settings(sources={"110": Source(mapping="110", topic="raw.110", partitions=1)})


class Record(msgspec.Struct):
    """What RecordBatch needs of a consumer's record."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = NOW
    timestamp_type: int = 0


class Event:
    """A batch that can be acked."""

    def __init__(self, topic: str, records: list[Record]) -> None:
        self.value = RecordBatch(topic, 0, records)
        self.acked = False

    def ack(self) -> None:
        """Done with."""
        self.acked = True


class Bench:
    """Both workers on a memory sink; the log is a list."""

    def __init__(self, settings: Settings = SETTINGS, sink: MemorySink | None = None) -> None:
        self.sink = sink or MemorySink()
        self.log: list[bytes] = []
        self.letters: list[tuple[bytes | None, bytes]] = []
        self.stored: list[Rows] = []
        self.assembly: Assembly = assemble(settings, b"a key of the tests")
        self.store, self.outbox = Store(self.sink, Health()), Outbox(self._publish)
        watch = Watch(Health(), stuck_s=60)
        self.intake = IntakeWorker(self.assembly, self.store, self.outbox, watch, lambda: NOW)
        self.state: list[tuple[bytes, bytes | None]] = []
        snapshots = Snapshots(self.assembly, self._send, Kept, Health(), lambda: NOW)
        self.city = CityWorker(self.assembly, self.store, self.outbox, snapshots, lambda: NOW)

    async def _publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        if topic == self.assembly.settings.kafka.rejected_topic:
            self.letters.append((key, value))
        else:
            self.log.append(value)

    async def _send(self, topic: str, key: bytes, value: bytes | None) -> None:
        self.state.append((key, value))

    def take(self, worker: IntakeWorker | CityWorker, events: Sequence[Event]) -> None:
        """Hand the events over, one after the other, until all are acked."""

        async def work() -> None:
            for event in events:
                await worker.take(event)
            while not all(event.acked for event in events):
                await asyncio.sleep(0.001)

        async def run() -> None:
            tasks = [asyncio.ensure_future(c) for c in (self.store.run(), self.outbox.run(), work())]
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=30)
            for task in pending:
                task.cancel()
            assert done, "stuck"
            for task in done:
                task.result()

        LOOP.run(run())


def call(number: int, **fields: Any) -> bytes:
    """A 110 record."""
    plain = {
        "jjdbh": f"JJ{number}", "gxsj": "2026-03-02 00:10:00", "bjsj": f"2026-03-02 00:{number % 60:02d}:00",
        "bjlbdm": "010203", "bjnr": "报警", "sfdz": "人民路1号", "jd": 121.47, "wd": 31.23, "zbx": "GCJ02", "bjdh": "1",
    }  # fmt: skip
    return json.dumps(plain | fields).encode()


def test_intake_gives_one_envelope_a_batch_with_the_time_it_was_told() -> None:
    bench = Bench()
    tick = Record(13, b"%d" % (DAY0 + 5), TICK_KEY)
    no_tick = Record(14, b"soon", TICK_KEY)  # a record like any other: refused
    event = Event("raw.110", [Record(10, call(1)), Record(11, b"{"), Record(12, None), tick, no_tick])
    bench.take(bench.intake, [event])
    (envelope,) = map(msgspec.msgpack.Decoder(Envelope).decode, bench.log)
    assert (envelope.first_offset, envelope.last_offset, envelope.offsets) == (10, 14, [10])
    assert envelope.watermark_ms == DAY0 + 5
    assert bench.sink.counts()["rejected"] == 3
    assert envelope.rejected == [11, 12, 14]


def test_a_batch_of_nothing_but_a_tick_tells_time() -> None:
    bench = Bench()
    bench.take(bench.intake, [Event("raw.110", [Record(7, b"%d" % DAY0, TICK_KEY)])])
    (envelope,) = map(msgspec.msgpack.Decoder(Envelope).decode, bench.log)
    assert (envelope.first_offset, envelope.last_offset, envelope.located) == (7, 7, [])
    assert envelope.watermark_ms == DAY0


def test_too_much_bad_data_ends_the_worker_after_the_dead_letters_are_stored() -> None:
    intake = msgspec.structs.replace(SETTINGS.intake, bad_window=10)
    bench = Bench(msgspec.structs.replace(SETTINGS, intake=intake))
    event = Event("raw.110", [Record(n, call(n) if n % 2 else b"?") for n in range(20)])
    with pytest.raises(TooMuchBadData):
        bench.take(bench.intake, [event])
    assert not event.acked
    assert bench.sink.counts()["rejected"] == 10


def test_of_several_cities_only_the_one_with_too_much_bad_data_stops() -> None:
    class Held:
        """A consumer whose held partitions are noted."""

        def __init__(self) -> None:
            self.held: set[TP] = set()

        def assignment(self) -> set[TP]:
            return {TP("raw.110", 0), TP("raw.of.another", 0)}

        def hold(self, tps: set[TP]) -> None:
            self.held = self.held | tps

    intake = msgspec.structs.replace(SETTINGS.intake, bad_window=10)
    bench, told = Bench(msgspec.structs.replace(SETTINGS, intake=intake)), []
    watch = Watch(Health(), stuck_s=60)
    worker = IntakeWorker(bench.assembly, bench.store, bench.outbox, watch, lambda: NOW, told.append)
    bad, next_one = (
        Event("raw.110", [Record(n, call(n) if n % 2 else b"?") for n in range(at, at + 20)]) for at in (0, 20)
    )

    async def run() -> None:
        tasks = [asyncio.ensure_future(work) for work in (bench.store.run(), bench.outbox.run())]
        await worker.take(bad)
        while not told:
            await asyncio.sleep(0.001)
        await worker.take(next_one)
        await worker.align(cast("Consumer", consumer), 0)
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()

    consumer = Held()
    LOOP.run(run())
    assert [type(error) for error in told] == [TooMuchBadData]
    assert not bad.acked and not next_one.acked
    assert len(bench.log) == 1  # of the second batch nothing was taken in
    assert consumer.held == {TP("raw.110", 0)}


class Idle:
    """A consumer whose partition 0 has been read to its end, offset 7."""

    def assignment(self) -> set[TP]:
        """One partition."""
        return {TP("raw.110", 0)}

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """Ends."""
        return dict.fromkeys(partitions, 7)

    async def read_to_end(self, partition: TP, end: int) -> bool:
        """It has been."""
        return end == 7


@pytest.mark.parametrize(("clock", "ingested", "watermark"), [("wall", NOW, NOW - 120_000), ("events", 0, DAY0)])
def test_heartbeats_carry_the_clock_only_where_time_is_that_of_the_wall(
    clock: str, ingested: int, watermark: int
) -> None:
    bench = Bench(msgspec.structs.replace(SETTINGS, kafka=Kafka(heartbeat_clock=clock)))
    bench.intake._reached_ms[TP("raw.110", 1)] = DAY0  # another partition has been read so far

    async def beat() -> None:
        outbox = asyncio.ensure_future(bench.outbox.run())
        await bench.intake.beat(cast("Consumer", Idle()))
        while not bench.log:
            await asyncio.sleep(0)
        outbox.cancel()

    asyncio.run(beat())
    (envelope,) = map(msgspec.msgpack.Decoder(Envelope).decode, bench.log)
    assert envelope.heartbeat and envelope.first_offset == 7
    assert (envelope.ingested_at_ms, envelope.watermark_ms) == (ingested, watermark)


def test_an_idle_partition_tells_its_time_at_once_and_then_every_heartbeat() -> None:
    bench, now, told = Bench(), [NOW], []
    worker = IntakeWorker(bench.assembly, bench.store, bench.outbox, Watch(Health(), stuck_s=60), lambda: now[0])
    every = round(SETTINGS.kafka.heartbeat_s)

    async def beats() -> None:
        outbox = asyncio.ensure_future(bench.outbox.run())
        for second in range(2 * every + 1):
            now[0] = NOW + second * 1000
            await worker.beat(cast("Consumer", Idle()))
            await asyncio.sleep(0.001)
            told.append(len(bench.log))
        outbox.cancel()

    LOOP.run(beats())
    assert (told[0], told[every - 1], told[every], told[-1]) == (1, 1, 2, 3)


def test_the_city_shows_how_stale_its_feeds_are() -> None:
    bench, last = Bench(), DAY0 + 20 * MINUTE_MS
    beats = [heartbeat("raw.110", 0, 30, DAY0, at) for at in (last + 1000, NOW)]
    log = [*messages(build([signal(str(n), DAY0 + n * MINUTE_MS) for n in range(21)], 30)[0]), *map(encode, beats)]
    bench.take(bench.city, [Event("signals.located", [Record(n, value) for n, value in enumerate(log)])])
    assert (
        REGISTRY.get_sample_value("quanyu_feed_staleness_seconds", {"city": "示范市", "source": "110"})
        == (NOW - last) / 1000
    )
    assert REGISTRY.get_sample_value("quanyu_feed_alert", {"city": "示范市", "source": "110"}) == 0.0
    bench.city.released()
    assert REGISTRY.get_sample_value("quanyu_feed_alert", {"city": "示范市", "source": "110"}) is None


class Outage(MemorySink):
    """Does not answer the first calls, and notes what was on the log at each."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls
        self.log: list[bytes] = []
        self.seen: list[int] = []

    def write(self, rows: Rows) -> None:
        if len(rows) and len(self.seen) < self.calls:
            self.seen.append(len(self.log))
            raise Unreachable("gone", "没有响应", retry_after_s=0.001)
        super().write(rows)


def test_dead_letters_are_stored_before_the_log_covers_them_and_nothing_overtakes() -> None:
    """What the log covers is dropped when it is offered again: a letter that was not stored then would be lost.

    offsets   0 good  1 bad | 2 good    the database is gone     log: nothing          acked: nothing
                                        it is back               log: 0..1, 2..2       acked: both
    """
    bench = Bench(sink=(sink := Outage(3)))
    sink.log = bench.log
    events = [Event("raw.110", [Record(0, call(0)), Record(1, b"{")]), Event("raw.110", [Record(2, call(2))])]
    bench.take(bench.intake, events)
    assert sink.seen == [0, 0, 0]
    envelopes = list(map(msgspec.msgpack.Decoder(Envelope).decode, bench.log))
    assert [(e.first_offset, e.last_offset, e.offsets) for e in envelopes] == [(0, 1, [0]), (2, 2, [2])]
    assert bench.sink.counts()["rejected"] == 1


def test_the_topic_gets_each_letter_whole_under_its_position() -> None:
    bench = Bench()
    bad = b'{"a":\xff'
    bench.take(bench.intake, [Event("raw.110", [Record(5, bad, b"a key"), Record(6, call(1)), Record(7, None)])])
    letters = {key: msgspec.json.decode(value, type=Rejected) for key, value in bench.letters}
    assert list(letters) == [b"raw.110/0/5", b"raw.110/0/7"]
    assert (letters[b"raw.110/0/5"].raw, letters[b"raw.110/0/5"].key) == (bad, b"a key")
    assert set(letters.values()) == set(bench.sink.rejected.values())


def test_without_the_topic_a_letter_is_not_acked() -> None:
    class Gone(Bench):
        async def _publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
            if topic == SETTINGS.kafka.rejected_topic:
                raise OSError("no such topic")
            await super()._publish(topic, partition, value, key)

    bench, event = Gone(), Event("raw.110", [Record(0, call(0)), Record(1, b"{")])
    with pytest.raises(OSError, match="no such topic"):
        bench.take(bench.intake, [event])
    assert not event.acked
    assert bench.log == []


def test_no_topic_no_messages() -> None:
    kafka = msgspec.structs.replace(SETTINGS.kafka, rejected_topic="")
    bench = Bench(msgspec.structs.replace(SETTINGS, kafka=kafka))
    bench.take(bench.intake, [Event("raw.110", [Record(0, b"{")])])
    assert bench.letters == []
    assert len(bench.log) == bench.sink.counts()["rejected"] == 1


def log_events(spans: Sequence[tuple[int, int]]) -> list[Event]:
    """Batches of the log from offset to offset (inclusive)."""
    signals = [signal(str(n), DAY0 + n * MINUTE_MS, place=f"甲路{n % 3}号", cell=n % 7) for n in range(90)]
    log = [m for envelope in build(signals, 3) for m in messages(envelope)]
    return [Event("signals.located", [Record(n, log[n]) for n in range(first, last + 1)]) for first, last in spans]


def test_what_is_delivered_once_more_after_a_rebalance_is_not_folded_twice() -> None:
    plain, shaken = Bench(), Bench()
    plain.take(plain.city, log_events([(0, 29)]))
    shaken.take(shaken.city, log_events([(0, 9), (10, 19), (15, 19), (12, 24), (25, 29)]))
    assert plain.city.next_offset == shaken.city.next_offset == 30
    assert shaken.sink.digest() == plain.sink.digest()
    assert plain.sink.counts()["signals"] > 0
