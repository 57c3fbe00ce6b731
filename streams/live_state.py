"""Snapshots of the live city: taken between two batches of the log, sent while the fold goes on, loaded on assignment.

1. A snapshot is frozen at the end of a batch, every `snapshot_s`, and at a stop.
2. Its chunks are encoded in a thread and sent a few at a time; its manifest only when the rows of everything before its
   offset are stored. A restart therefore goes on from an offset behind which nothing is missing.
3. Each assignment writes an edition of its own (see `streams.state_topic`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from time import monotonic

from streams import logs, metrics
from streams.assemble import Assembly
from streams.live_store import Health, until_answered
from streams.pipeline import CityState
from streams.snapshots import freeze, restore, rules_of
from streams.state_topic import Edition, Kept, Message

#: messages on their way at once: one by one, each would wait for its turn beside the fold
TOGETHER = 64

#: send(topic, key, value): returns when the broker has it
Send = Callable[[str, bytes, bytes | None], Awaitable[None]]
#: what the topic holds now; blocks; raises Unreachable
Read = Callable[[], Kept]


class Frozen:
    """A copy of the state that waits to be sent: behind which offset, and whether what came before is stored."""

    def __init__(self, state: CityState, next_offset: int) -> None:
        self.state, self.next_offset = state, next_offset
        self.stored = asyncio.Event()


class Snapshots:
    """Takes and loads them for one city. `now` is the wall clock, ms UTC."""

    def __init__(self, assembly: Assembly, send: Send, read: Read, health: Health, now: Callable[[], int]) -> None:
        self._assembly, self._send, self._now = assembly, send, now
        self._read, self._health = read, health
        self._kafka, self._interval_s = assembly.settings.kafka, assembly.settings.live.snapshot_s
        self._rules = rules_of(assembly.settings, assembly.grids.layers, assembly.versions)
        self._edition: Edition | None = None
        self._others = True
        self._waiting: asyncio.Queue[Frozen] = asyncio.Queue(1)
        self._due = monotonic() + self._interval_s
        self._made_ms = now()
        self._offset = 0
        self._city = assembly.settings.city.name
        metrics.SNAPSHOT_AGE.labels(self._city).set_function(self._age_s)

    def released(self) -> None:
        """The log is another worker's: nothing is to be saved here."""
        self._edition = None

    async def assigned(self, next_offset: int, committed: int) -> tuple[CityState, int] | None:
        """What to go on from when it lies ahead of `next_offset`, which the worker holds itself; else None.

        `committed`: the group's offset of the log. Behind `next_offset` nobody has gone on meanwhile, and nothing is
        read. Raises UsageError for a snapshot that cannot be continued.
        """
        self._edition = Edition(f"{self._now():x}-{next_offset}", self._rules, self._assembly.versions)
        self._others = True
        if next_offset and committed <= next_offset:
            return None
        kept = await self._kept()
        name = kept.newest()
        if not name or kept.manifests[name].next_offset <= next_offset:
            return None
        manifest = kept.manifests[name]
        began = monotonic()
        state = await asyncio.to_thread(
            restore, manifest, lambda chunk: kept.chunk(name, chunk), self._rules, self._assembly.city.start()
        )
        self._made_ms, self._offset = manifest.made_at_ms, manifest.next_offset
        logs.get().info(
            "state loaded", offset=manifest.next_offset, bytes=manifest.bytes, seconds=round(monotonic() - began, 3)
        )
        return state, manifest.next_offset

    def begin(self, state: CityState, next_offset: int, last: bool = False) -> Frozen | None:
        """Freeze if it is time (or the `last` chance) and none is on its way. Call it between two batches."""
        if self._edition is None or next_offset <= self._offset or self._waiting.full():
            return None
        if not last and monotonic() < self._due:
            return None
        began = monotonic()
        frozen = Frozen(freeze(state), next_offset)
        metrics.SNAPSHOT_PAUSE.labels(self._city).observe(monotonic() - began)
        self._due = monotonic() + self._interval_s
        self._offset = next_offset
        self._waiting.put_nowait(frozen)
        return frozen

    def _age_s(self) -> float:
        """0 while the log is another worker's."""
        return 0.0 if self._edition is None else max(0, self._now() - self._made_ms) / 1000

    async def run(self) -> None:
        """Send what was frozen, for ever."""
        while True:
            frozen = await self._waiting.get()
            if self._edition is not None:
                await self._save(self._edition, frozen)
            self._waiting.task_done()

    async def sent(self) -> None:
        """Wait until `run` has sent what was frozen."""
        await self._waiting.join()

    async def _save(self, edition: Edition, frozen: Frozen) -> None:
        began = monotonic()
        await self._send_all(edition.chunks(frozen.state))
        await frozen.stored.wait()
        if edition is not self._edition:  # the city has moved on
            return
        manifest, last = edition.manifest(frozen.next_offset, frozen.state.order.watermark_ms, self._now())
        await self._send_all([last])
        self._made_ms = manifest.made_at_ms
        metrics.SNAPSHOT_SECONDS.labels(self._city).observe(monotonic() - began)
        metrics.SNAPSHOT_BYTES.labels(self._city).set(manifest.bytes)
        await self._send_all(edition.replaced(manifest))
        if self._others:
            await self._send_all(edition.older(await self._kept(), manifest))
            self._others = False

    async def _kept(self) -> Kept:
        found: list[Kept] = []

        async def look() -> None:
            found.append(await asyncio.to_thread(self._read))

        await until_answered(look, "broker", self._health)
        return found[0]

    async def _send_all(self, messages: Iterable[Message]) -> None:
        """Returns when the broker has them all, in whatever order. They are made in a thread."""
        rest, topic = iter(messages), self._kafka.state_topic
        while part := await asyncio.to_thread(lambda: list(islice(rest, TOGETHER))):
            await asyncio.gather(*[self._send(topic, key, value) for key, value in part])
