"""The city stage of a live worker: one fold over the log, its rows to the store, its state to the snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from schemas import Envelope
from schemas.rows import Rows
from streams import logs, metrics
from streams.assemble import Assembly
from streams.batches import RecordBatch
from streams.envelopes import steps
from streams.live_state import Snapshots
from streams.live_store import Outbox, Store

#: signals that the city stage folds without letting other work in
CITY_SIGNALS = 4000
#: how long the last snapshot may take at a stop, seconds
LAST_S = 4.0

_encode = msgspec.msgpack.Encoder().encode


class CityWorker:
    """The city stage: one fold over the log. Folds on while what came before is being stored."""

    def __init__(
        self,
        assembly: Assembly,
        store: Store,
        outbox: Outbox,
        snapshots: Snapshots,
        now: Callable[[], int],
    ) -> None:
        self._stage, self._store, self._outbox, self._now = assembly.city, store, outbox, now
        self._kafka, self._snapshots, self._city = assembly.settings.kafka, snapshots, assembly.settings.city.name
        self._state = assembly.city.start()
        self._started_ms = now()
        #: offset of the log behind what the state holds; 0: nothing yet
        self.next_offset = 0
        #: whether the state holds whole batches: not while one is being folded
        self._whole = True
        self._told = (0, 0)

    async def assigned(self, committed: int) -> None:
        """The log is ours from now on: go on from what we hold, or from a newer snapshot."""
        newer = await self._snapshots.assigned(self.next_offset, committed)
        if newer is not None:  # a batch that is still being folded ends where it stands
            self._state, self.next_offset, self._whole = *newer, True

    def released(self) -> None:
        """The log is another worker's from now on."""
        self._snapshots.released()
        metrics.forget(self._city)

    async def stopping(self, *_: Any, **__: Any) -> None:
        """The consumer has stopped: a last snapshot, so that the next start has nothing to do again."""
        if not self._whole:
            return
        try:
            async with asyncio.timeout(LAST_S):
                await self._freeze(last=True)
                await self._snapshots.sent()
        except TimeoutError:
            logs.get().warning("no last snapshot in time; the next start folds on from the one before")

    async def take(self, event: Any) -> None:
        """One batch of the log, in steps that let other work in. Acked when all that came of it is safe."""
        batch: RecordBatch = event.value
        metrics.BATCH_ITEMS.labels("city").observe(len(batch))
        if self.next_offset and batch.first_offset > self.next_offset:
            raise RuntimeError(f"{batch.topic}: {batch.first_offset} came where {self.next_offset} was due")
        # after a rebalance some of it may be delivered once more
        values = [v for v, offset in zip(batch.values, batch.offsets, strict=True) if offset >= self.next_offset]
        self.next_offset = max(self.next_offset, batch.offset + 1)
        self._whole, state = False, self._state
        for envelopes in steps(values, CITY_SIGNALS):
            if self._state is not state:
                return
            now = self._now()
            rows = self._stage.step(state, envelopes, now)
            if rows.late:
                await self._outbox.put(self._kafka.late_topic, [_encode(late) for late in rows.late])
            await self._store.put(rows, self._measured(envelopes))
            await asyncio.sleep(0)
        if self._state is not state:
            return
        self._whole = True
        await self._then(event.ack)
        await self._freeze()
        self._show()

    def news(self) -> tuple[int, int] | None:
        """The city's watermark, ms, and how many signals wait for it, if that is another than was told last."""
        now = self._state.order.watermark_ms, len(self._state.order.waiting)
        if now[0] <= 0 or now == self._told:
            return None
        self._told = now
        return now

    async def _freeze(self, last: bool = False) -> None:
        frozen = self._snapshots.begin(self._state, self.next_offset, last)
        if frozen is not None:
            await self._then(frozen.stored.set)

    async def _then(self, done: Callable[[], None]) -> None:
        """Call `done` when everything handed over so far is safe."""
        nothing = Rows(ingested_at_ms=self._now())
        await self._outbox.put(self._kafka.late_topic, [], lambda: self._store.put(nothing, done))

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
                metrics.EVENT_TO_CLICKHOUSE.labels(self._city).observe(max(0, now - at) / 1000)

        return stored

    def _show(self) -> None:
        watermark = self._state.order.watermark_ms
        if watermark > 0:
            metrics.WATERMARK_LAG.labels(self._city).set((self._now() - watermark) / 1000)
        for name, room in (("order", self._state.order.waiting), ("incidents", self._state.incidents.members)):
            metrics.STATE_ITEMS.labels(self._city, name).set(len(room))
        for source, feed in self._state.feeds.feeds.items():
            if feed.last_arrived_ms:
                metrics.FEED_STALENESS.labels(self._city, source).set((self._now() - feed.last_arrived_ms) / 1000)
            metrics.FEED_ALERT.labels(self._city, source).set(bool(feed.opened_ms))
