"""The intake stage of a live worker: batches of raw partitions in, dead letters made safe, envelopes on the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from statistics import median_low
from typing import Any

import msgspec

from schemas import RawBatch, TooMuchBadData
from streams import metrics
from streams.assemble import Assembly
from streams.batches import TP, Consumer, RecordBatch, taken
from streams.envelopes import messages
from streams.kafka_range import TICK_KEY
from streams.letters import Letters
from streams.live_align import Alignment
from streams.live_store import Outbox, Store
from streams.live_watch import Watch
from streams.pipeline import heartbeat
from streams.runner import BadShare
from streams.windows import MINUTE_MS

_encode = msgspec.msgpack.Encoder().encode


class IntakeWorker:
    """The intake stage of this worker for one city: any number of its raw partitions.

    Too many bad records end the process; with `give_up`, which is told of it, only the intake of this city.
    """

    def __init__(
        self,
        assembly: Assembly,
        store: Store,
        outbox: Outbox,
        watch: Watch,
        now: Callable[[], int],
        give_up: Callable[[TooMuchBadData], None] | None = None,
    ) -> None:
        self._stage, self._outbox, self._now = assembly.intake, outbox, now
        self._watch, self._give_up = watch, give_up
        settings = assembly.settings
        self._kafka, self._city = settings.kafka, settings.city.name
        self._letters = Letters(store, outbox.publish, settings.kafka.rejected_topic, outbox.partition)
        self._sources = {source.topic: name for name, source in settings.sources.items()}
        self._lateness_ms = {s.topic: max(s.lateness_s, 0) * 1000 for s in settings.sources.values()}
        self._share = BadShare(settings.intake.max_bad_share, settings.intake.bad_window)
        self._stopped = False
        self._reached_ms: dict[TP, int] = {}
        self._last_ms: dict[TP, int] = {}
        self._alignment = Alignment(settings.live.ahead_min * MINUTE_MS, settings.live.ahead_signals)
        #: event time that the middle of a partition's last batch had
        self._middle_ms: dict[TP, int] = {}

    async def run(self, stream: Any) -> None:
        """The agent's body."""
        async for event in taken(stream):
            with self._watch.working("intake"):
                await self.take(event)

    async def take(self, event: Any) -> None:
        """One batch of one raw partition: its dead letters made safe, its envelope on the log, then the ack."""
        if self._stopped:
            return
        batch: RecordBatch = event.value
        metrics.BATCH_ITEMS.labels("intake").observe(len(batch))
        now = self._now()
        source, tp = self._sources[batch.topic], TP(batch.topic, batch.partition)
        raw, told = _raw(batch, source, now)
        if raw.values:
            envelope, rejected = self._stage.step(raw, now)
            newest = max((x.signal.occurred_at_ms for x in envelope.located), default=0)
            self._reached_ms[tp] = max(self._reached_ms.get(tp, 0), newest - self._lateness_ms[batch.topic])
            if envelope.located:
                self._middle_ms[tp] = median_low([x.signal.occurred_at_ms for x in envelope.located])
        else:
            envelope, rejected = heartbeat(batch.topic, batch.partition, batch.first_offset, 0, now), []
        envelope = msgspec.structs.replace(
            envelope, first_offset=batch.first_offset, last_offset=batch.offset, watermark_ms=told
        )
        self._reached_ms[tp] = max(self._reached_ms.get(tp, 0), told)
        self._last_ms[tp] = now
        for bad in rejected:
            metrics.REJECTED.labels(self._city, source, bad.reason).inc()

        async def logged() -> None:
            try:
                self._share.add(len(raw.values), len(rejected))
            except TooMuchBadData as error:
                if self._give_up is None:
                    raise
                if not self._stopped:
                    self._stopped = True
                    self._give_up(error)
            else:
                event.ack()

        safe = await self._letters.put(rejected, now) if rejected else None
        await self._outbox.put(self._kafka.log_topic, messages(envelope), logged, safe)
        await asyncio.sleep(0)

    async def align(self, consumer: Consumer, watermark_ms: int, waiting: int = 0) -> None:
        """Hold back the partitions that run ahead of the city, let those go on that no longer do."""
        mine = {tp for tp in consumer.assignment() if tp.topic in self._sources}
        # what another worker reads meanwhile may come back from an earlier offset
        self._middle_ms = {tp: middle for tp, middle in self._middle_ms.items() if tp in mine}
        ahead = mine if self._stopped else self._alignment.ahead(self._middle_ms, watermark_ms, self._now(), waiting)
        held = consumer.held
        if ahead - held:
            consumer.hold(ahead - held)
        if (held & mine) - ahead:
            await consumer.release((held & mine) - ahead)
        metrics.HELD_PARTITIONS.labels(self._city).set(len(ahead))

    async def beat(self, consumer: Consumer) -> None:
        """Tell the time of every partition that has been read to its end and brings nothing: once it is ours, and
        then every `heartbeat_s`."""
        now = self._now()
        mine = [tp for tp in consumer.assignment() if tp.topic in self._sources]
        every_ms = self._kafka.heartbeat_s * 1000
        idle = [tp for tp in mine if now - self._last_ms.get(tp, 0) >= every_ms]
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
                self._reached_ms[tp], self._last_ms[tp] = at, now
                clock = now if self._kafka.heartbeat_clock == "wall" else 0
                beats = [_encode(heartbeat(tp.topic, tp.partition, end, at, clock))]
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
        keys=[keys[i] for i in data],
    )
    return raw, told
