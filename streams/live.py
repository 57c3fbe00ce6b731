"""Live: both stages as Faust agents on Kafka. With `batches.py` the only file that imports faust.

Rules (see `batches.py` for how they are kept below this file):

1. Raw bytes on every topic; whole batches; one event is the records of one partition.
2. Ack last: an intake batch when its envelope is on the log and its dead letters are stored; a log batch when its rows
   are stored. Everything between is done again after a crash, and gives the same rows.
3. The body never raises for data (dead letters) nor for an outage (waits in place, un-acked: that is the
   back-pressure). Anything else ends the process, un-acked.
4. The city's state is a fold over the log and belongs to one offset of it: at first the log's first kept envelope,
   later the one behind what was folded last, whatever the group has committed, and whoever had the log in between.
5. Idle partitions tell time: an empty envelope with a watermark, so that a silent source does not stop the city.

    raw.*  --intake agent--> outbox --> signals.located --city agent--> store --> ClickHouse
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import faust
import msgspec

from schemas import Envelope, RawBatch, Unreachable
from schemas.rows import Rows
from sinks.base import Sink
from streams import logs, metrics
from streams.assemble import Assembly
from streams.batches import TP, Consumer, RecordBatch, batch_app, batch_topic, credentials, process_of, taken
from streams.envelopes import messages, steps
from streams.kafka_range import TICK_KEY
from streams.kafka_security import refusal
from streams.live_store import Health, Outbox, Store
from streams.pipeline import heartbeat
from streams.runner import BadShare

#: records of a batch of a raw partition
INTAKE_RECORDS = 4000
#: signals that the city stage folds without letting other work in
CITY_SIGNALS = 4000
#: silence after which a worker counts as dead and others take its partitions, seconds; a consumer's own thread beats
SESSION_S = 10.0
#: how long a stop or a rebalance waits for work in hand, seconds
FINISH_S = 8.0

_encode = msgspec.msgpack.Encoder().encode


def build_app(
    assembly: Assembly, sink: Sink, now: Callable[[], int], stages: tuple[str, ...], health: Health
) -> faust.App:
    """The worker with the agents of `stages` ("intake", "city"), wired by hand. `now` is the wall clock, ms UTC."""
    kafka = assembly.settings.kafka
    store = Store(sink, health)
    city: CityWorker | None = None

    async def start_offsets(partitions: frozenset[TP]) -> dict[TP, int]:
        mine = [tp for tp in partitions if tp.topic == kafka.log_topic]
        if city is None or not mine:
            return {}
        first = await app.consumer.earliest_offsets(*mine)
        return {tp: city.next_offset or first[tp] or 0 for tp in mine}

    app = batch_app(
        kafka.group,
        kafka.servers,
        max_batch=INTAKE_RECORDS,
        start_offsets=start_offsets,
        finish_s=FINISH_S,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=SESSION_S / 4,
        producer_compression_type=None,
        **credentials(kafka),
    )

    async def publish(topic: str, partition: int, value: bytes) -> None:
        producer = await app.maybe_start_producer()
        await producer.send_and_wait(topic, None, value, partition, None, None)

    async def assigned(*_: Any, **__: Any) -> None:
        health.assigned = True

    app.on_partitions_assigned.connect(assigned, weak=False)
    outbox = Outbox(publish)
    app.task(store.run)
    app.task(outbox.run)
    if "intake" in stages:
        worker = IntakeWorker(assembly, store, outbox, now)
        topics = [source.topic for source in assembly.settings.sources.values() if source.topic]
        app.agent(batch_topic(app, *topics), name="intake")(worker.run)

        async def beat() -> None:
            await worker.beat(cast("Consumer", app.consumer))

        app.timer(kafka.heartbeat_s)(beat)
    if "city" in stages:
        city = CityWorker(assembly, store, outbox, now)
        app.agent(batch_topic(app, kafka.log_topic), name="city")(city.run)
    return app


def run(assembly: Assembly, sink: Sink, now: Callable[[], int], stages: tuple[str, ...], health: Health) -> None:
    """Run a worker until it is told to stop. Raises what crashed it."""
    app = build_app(assembly, sink, now, stages, health)
    worker = process_of(app, override_logging=False, quiet=True)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit:
        if app.crash_reason is None:
            _close(sink)
            return
    if isinstance(app.crash_reason, BaseException):
        raise refusal(app.crash_reason, assembly.settings.kafka, "working") or app.crash_reason
    raise SystemExit(1)


def _close(sink: Sink) -> None:
    """What is not stored at a stop is not acked either: the next worker does it again."""
    try:
        sink.close()
    except Unreachable as error:
        logs.get().warning("stopped with rows that the next start will store", error=error.en)


class IntakeWorker:
    """The intake stage of this worker: any number of raw partitions."""

    def __init__(self, assembly: Assembly, store: Store, outbox: Outbox, now: Callable[[], int]) -> None:
        self._stage, self._store, self._outbox, self._now = assembly.intake, store, outbox, now
        settings = assembly.settings
        self._kafka = settings.kafka
        self._sources = {source.topic: name for name, source in settings.sources.items()}
        self._lateness_ms = {s.topic: max(s.lateness_s, 0) * 1000 for s in settings.sources.values()}
        self._share = BadShare(settings.intake.max_bad_share, settings.intake.bad_window)
        self._reached_ms: dict[TP, int] = {}
        self._last_ms: dict[TP, int] = {}

    async def run(self, stream: Any) -> None:
        """The agent's body."""
        async for event in taken(stream):
            await self.take(event)

    async def take(self, event: Any) -> None:
        """One batch of one raw partition: an envelope for the log, dead letters for the store, then the ack."""
        batch: RecordBatch = event.value
        metrics.BATCH_ITEMS.labels("intake").observe(len(batch))
        now = self._now()
        source, tp = self._sources[batch.topic], TP(batch.topic, batch.partition)
        raw, told = _raw(batch, source, now)
        if raw.values:
            envelope, rejected = self._stage.step(raw, now)
            newest = max((x.signal.occurred_at_ms for x in envelope.located), default=0)
            self._reached_ms[tp] = max(self._reached_ms.get(tp, 0), newest - self._lateness_ms[batch.topic])
        else:
            envelope, rejected = heartbeat(batch.topic, batch.partition, batch.first_offset, 0, now), []
        envelope = msgspec.structs.replace(
            envelope, first_offset=batch.first_offset, last_offset=batch.offset, watermark_ms=told
        )
        self._reached_ms[tp] = max(self._reached_ms.get(tp, 0), told)
        self._last_ms[tp] = now
        for bad in rejected:
            metrics.REJECTED.labels(source, bad.reason).inc()

        def done() -> None:
            self._share.add(len(raw.values), len(rejected))
            event.ack()

        async def logged() -> None:
            if rejected:
                await self._store.put(Rows(ingested_at_ms=now, rejected=rejected), done)
            else:
                done()

        await self._outbox.put(self._kafka.log_topic, messages(envelope), logged)
        await asyncio.sleep(0)

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
                beats = [_encode(heartbeat(tp.topic, tp.partition, end, at, now))]
                await self._outbox.put(self._kafka.log_topic, beats)


def _raw(batch: RecordBatch, source: str, now: int) -> tuple[RawBatch, int]:
    """The records without the control records, and the latest time that those told (0: none)."""
    keys, values = batch.keys, batch.values
    data: Sequence[int] = range(len(values))
    told = 0
    if TICK_KEY in keys:
        ticks = [i for i in data if keys[i] == TICK_KEY and values[i].isdigit()]
        told = max((int(values[i]) for i in ticks), default=0)
        data = sorted(set(data).difference(ticks))
    offsets, stamps = batch.offsets, batch.timestamps_ms
    raw = RawBatch(
        source,
        batch.topic,
        batch.partition,
        [values[i] for i in data],
        [offsets[i] for i in data],
        [stamps[i] for i in data],
        now,
    )
    return raw, told


class CityWorker:
    """The city stage: one fold over the log. Folds on while what came before is being stored."""

    def __init__(self, assembly: Assembly, store: Store, outbox: Outbox, now: Callable[[], int]) -> None:
        self._stage, self._store, self._outbox, self._now = assembly.city, store, outbox, now
        self._kafka = assembly.settings.kafka
        self._state = assembly.city.start()
        self._started_ms = now()
        #: offset of the log behind what the state holds; 0: nothing yet
        self.next_offset = 0

    async def run(self, stream: Any) -> None:
        """The agent's body."""
        async for event in taken(stream):
            await self.take(event)

    async def take(self, event: Any) -> None:
        """One batch of the log, in steps that let other work in. Acked when all that came of it is safe."""
        batch: RecordBatch = event.value
        metrics.BATCH_ITEMS.labels("city").observe(len(batch))
        if self.next_offset and batch.first_offset > self.next_offset:
            raise RuntimeError(f"{batch.topic}: {batch.first_offset} came where {self.next_offset} was due")
        # after a rebalance some of it may be delivered once more
        values = [v for v, offset in zip(batch.values, batch.offsets, strict=True) if offset >= self.next_offset]
        self.next_offset = max(self.next_offset, batch.offset + 1)
        for envelopes in steps(values, CITY_SIGNALS):
            now = self._now()
            rows = self._stage.step(self._state, envelopes, now)
            if rows.late:
                await self._outbox.put(self._kafka.late_topic, [_encode(late) for late in rows.late])
            await self._store.put(rows, self._measured(envelopes))
            await asyncio.sleep(0)
        nothing = Rows(ingested_at_ms=self._now())
        await self._outbox.put(self._kafka.late_topic, [], lambda: self._store.put(nothing, event.ack))
        self._show()

    def _measured(self, envelopes: list[Envelope]) -> Callable[[], None]:
        """To be called when the rows of a step are stored: notes the age of each envelope's oldest signal."""
        arrived = [
            min(x.signal.received_at_ms for x in e.located)
            for e in envelopes
            if e.located and e.ingested_at_ms >= self._started_ms  # else the past is read again
        ]

        def stored() -> None:
            now = self._now()
            for at in arrived:
                metrics.EVENT_TO_CLICKHOUSE.observe(max(0, now - at) / 1000)

        return stored

    def _show(self) -> None:
        watermark = self._state.order.watermark_ms
        if watermark > 0:
            metrics.WATERMARK_LAG.set((self._now() - watermark) / 1000)
        for name, room in (("order", self._state.order.waiting), ("incidents", self._state.incidents.members)):
            metrics.STATE_ITEMS.labels(name).set(len(room))
