"""Live: both stages as Faust agents on Kafka. With `batches.py` the only file that imports faust.

Rules (see `batches.py` for how they are kept below this file):

1. Raw bytes on every topic; whole batches; one event is the records of one partition.
2. Ack last: an intake batch when its dead letters are stored and its envelope is on the log; a log batch when its rows
   are stored. Everything between is done again after a crash, and gives the same rows.
3. The body never raises for data (dead letters) nor for an outage (waits in place, un-acked: that is the
   back-pressure). Anything else ends the process, un-acked.
4. The city's state is a fold over the log: on assignment the log is read from its first kept envelope, whatever the
   group has committed.
5. Idle partitions tell time: an empty envelope with a watermark, so that a silent source does not stop the city.

    raw.*  --intake agent--> signals.located --city agent--> ClickHouse
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import faust
import msgspec

from schemas import Envelope, RawBatch, Rejected, Unreachable
from schemas.rows import Rows
from sinks.base import Sink
from streams import metrics
from streams.assemble import Assembly
from streams.batches import TP, Consumer, RecordBatch, batch_app, batch_topic
from streams.kafka_range import TICK_KEY
from streams.pipeline import heartbeat
from streams.runner import MAX_WAIT_S, BadShare

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode
#: un-flushed rows are looked at this often, seconds
POLL_S = 0.2

Publish = Callable[[str, int, bytes], Awaitable[None]]


def build_app(assembly: Assembly, sink: Sink, now: Callable[[], int], stages: tuple[str, ...]) -> faust.App:
    """The worker with the agents of `stages` ("intake", "city"), wired by hand. `now` is the wall clock, ms UTC."""
    kafka = assembly.settings.kafka
    app = batch_app(
        kafka.group,
        kafka.servers,
        start_offsets=_start_of_log(lambda: app, kafka.log_topic),
        producer_compression_type="lz4",
    )

    async def publish(topic: str, partition: int, value: bytes) -> None:
        await (await app.topic(topic, value_serializer="raw").send(value=value, partition=partition))

    store = Store(sink)
    if "intake" in stages:
        worker = IntakeWorker(assembly, store, publish, now)
        topics = [source.topic for source in assembly.settings.sources.values() if source.topic]
        app.agent(batch_topic(app, *topics), name="intake")(worker.run)

        async def beat() -> None:
            await worker.beat(cast("Consumer", app.consumer))

        app.timer(kafka.heartbeat_s)(beat)
    if "city" in stages:
        city = CityWorker(assembly, store, publish, now)
        app.agent(batch_topic(app, kafka.log_topic), name="city")(city.run)
        app.timer(POLL_S)(city.poll)
    return app


def run(
    assembly: Assembly, sink: Sink, now: Callable[[], int], stages: tuple[str, ...], ready: Callable[[], None]
) -> None:
    """Run a worker until it is told to stop. Raises what crashed it."""
    app = build_app(assembly, sink, now, stages)

    async def started() -> None:
        ready()

    app.task(started)
    try:
        faust.Worker(app, console_port=0, override_logging=False).execute_from_commandline()
    except SystemExit:
        if app.crash_reason is None:
            sink.close()
            return
    if isinstance(app.crash_reason, BaseException):
        raise app.crash_reason
    raise SystemExit(1)


def _start_of_log(app: Callable[[], faust.App], log_topic: str) -> Callable[[frozenset[TP]], Awaitable[dict[TP, int]]]:
    async def start(partitions: frozenset[TP]) -> dict[TP, int]:
        mine = [tp for tp in partitions if tp.topic == log_topic]
        if not mine:
            return {}
        first = await app().consumer.earliest_offsets(*mine)
        return {tp: first[tp] or 0 for tp in mine}

    return start


class Store:
    """The sink for asyncio: one call at a time, in a thread, waiting out an outage in place."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = asyncio.Lock()

    async def write(self, rows: Rows, flush: bool = False) -> bool:
        """Hand over rows; True when nothing is left un-stored."""
        async with self._lock:
            await self._waited(lambda: self._sink.write(rows))
            if flush:
                await self._waited(self._sink.flush)
            return not self._sink.pending

    async def poll(self) -> bool:
        """Store what is old enough; True when nothing is left un-stored."""
        async with self._lock:
            if self._sink.pending:
                await self._waited(self._sink.poll)
            return not self._sink.pending

    async def _waited(self, call: Callable[[], None]) -> None:
        tries = 0
        while True:
            try:
                return await asyncio.to_thread(call)
            except Unreachable as error:
                metrics.RETRIES.labels("sink").inc()
                await asyncio.sleep(min(error.retry_after_s * 2**tries, MAX_WAIT_S))
                tries += 1


class IntakeWorker:
    """The intake stage of this worker: any number of raw partitions."""

    def __init__(self, assembly: Assembly, store: Store, publish: Publish, now: Callable[[], int]) -> None:
        self._stage, self._store, self._publish, self._now = assembly.intake, store, publish, now
        settings = assembly.settings
        self._kafka = settings.kafka
        self._sources = {source.topic: name for name, source in settings.sources.items()}
        self._lateness_ms = {s.topic: max(s.lateness_s, 0) * 1000 for s in settings.sources.values()}
        self._share = BadShare(settings.intake.max_bad_share, settings.intake.bad_window)
        self._reached_ms: dict[TP, int] = {}
        self._last_ms: dict[TP, int] = {}

    async def run(self, stream: Any) -> None:
        """The agent's body."""
        async for event in stream.noack().events():
            await self.take(event.value)
            event.ack()

    async def take(self, batch: RecordBatch) -> None:
        """One batch of one raw partition: dead letters stored, envelope on the log."""
        metrics.BATCH_ITEMS.labels("intake").observe(len(batch))
        now = self._now()
        source = self._sources[batch.topic]
        told = [int(v) for k, v in zip(batch.keys, batch.values, strict=True) if k == TICK_KEY]
        data = [i for i, k in enumerate(batch.keys) if k != TICK_KEY]
        tp = TP(batch.topic, batch.partition)
        rejected: list[Rejected] = []
        if data:
            values, offsets, stamps = batch.values, batch.offsets, batch.timestamps_ms
            raw = RawBatch(
                source,
                batch.topic,
                batch.partition,
                [values[i] for i in data],
                [offsets[i] for i in data],
                [stamps[i] for i in data],
                now,
            )
            envelope, rejected = self._stage.step(raw, now)
            newest = max((x.signal.occurred_at_ms for x in envelope.located), default=0)
            self._reached_ms[tp] = max(self._reached_ms.get(tp, 0), newest - self._lateness_ms[batch.topic])
        else:
            envelope = heartbeat(batch.topic, batch.partition, batch.first_offset, 0, now)
        envelope = msgspec.structs.replace(
            envelope, first_offset=batch.first_offset, last_offset=batch.offset, watermark_ms=max(told, default=0)
        )
        if told:
            self._reached_ms[tp] = max(self._reached_ms.get(tp, 0), *told)
        if rejected:
            for bad in rejected:
                metrics.REJECTED.labels(source, bad.reason).inc()
            await self._store.write(Rows(ingested_at_ms=now, rejected=rejected), flush=True)
        await self._publish(self._kafka.log_topic, 0, _encode(envelope))
        self._last_ms[tp] = now
        self._share.add(len(data), len(rejected))

    async def beat(self, consumer: Consumer) -> None:
        """Tell the time of every assigned partition that has been read to its end and brings nothing."""
        now = self._now()
        mine = [tp for tp in consumer.assignment() if tp.topic in self._sources]
        idle = [tp for tp in mine if now - self._last_ms.get(tp, 0) >= self._kafka.heartbeat_s * 1000]
        if not idle:
            return
        ends = await consumer.highwaters(*idle)
        for tp in idle:
            end = ends[tp] or 0
            if not await consumer.read_to_end(tp, end):
                continue
            if self._kafka.heartbeat_clock == "wall":
                at = now - self._lateness_ms[tp.topic]
            else:
                at = max(self._reached_ms.values(), default=0)
            if at > self._reached_ms.get(tp, 0):
                self._reached_ms[tp] = at
                await self._publish(self._kafka.log_topic, 0, _encode(heartbeat(tp.topic, tp.partition, end, at, now)))


class CityWorker:
    """The city stage: one fold over the log. Folds the next batch while the last one is being stored."""

    def __init__(self, assembly: Assembly, store: Store, publish: Publish, now: Callable[[], int]) -> None:
        self._stage, self._store, self._publish, self._now = assembly.city, store, publish, now
        self._kafka = assembly.settings.kafka
        self._state = assembly.city.start()
        self._storing: asyncio.Task[None] | None = None
        self._unacked: list[tuple[Any, list[int]]] = []
        self._next_offset = 0

    async def run(self, stream: Any) -> None:
        """The agent's body."""
        async for event in stream.noack().events():
            await self.take(event)

    async def take(self, event: Any) -> None:
        """One batch of the log. Acked when its rows are stored, maybe by a later call."""
        batch: RecordBatch = event.value
        metrics.BATCH_ITEMS.labels("city").observe(len(batch))
        if batch.first_offset < self._next_offset:
            # assigned anew: the log is read from its start again, so the fold starts again too
            await self._settled()
            self._state, self._unacked = self._stage.start(), []
        self._next_offset = batch.offset + 1
        envelopes = [_decode(value) for value in batch.values]
        now = self._now()
        rows = self._stage.step(self._state, envelopes, now)
        await self._settled()
        for late in rows.late:
            await self._publish(self._kafka.late_topic, 0, _encode(late))
        received = [x.signal.received_at_ms for e in envelopes for x in e.located]
        self._unacked.append((event, received))
        self._storing = asyncio.create_task(self._write(rows))
        watermark = self._state.order.watermark_ms
        if watermark > 0:
            metrics.WATERMARK_LAG.set((now - watermark) / 1000)
        for name, room in (("order", self._state.order.waiting), ("incidents", self._state.incidents.members)):
            metrics.STATE_ITEMS.labels(name).set(len(room))

    async def poll(self) -> None:
        """Store rows that have waited long enough, and ack what they came from."""
        await self._settled()
        if self._unacked and await self._store.poll():
            self._ack()

    async def _write(self, rows: Rows) -> None:
        if await self._store.write(rows):
            self._ack()

    async def _settled(self) -> None:
        """The write under way has ended; its error, if any, is raised here."""
        storing, self._storing = self._storing, None
        if storing is not None:
            await storing

    def _ack(self) -> None:
        now = self._now()
        unacked, self._unacked = self._unacked, []
        for event, received in unacked:
            event.ack()
            for at in received:
                metrics.EVENT_TO_CLICKHOUSE.observe(max(0, now - at) / 1000)
