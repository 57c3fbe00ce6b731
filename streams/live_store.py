"""Two queues between the agents of the live worker and its servers: rows to the database, envelopes to the log.

Both hand on in order, are short (who fills them waits: that is the back-pressure), and tell who gave something when it
is safe, so that an event is acked then and not before. Whatever goes wrong beyond an outage is raised from `run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from schemas import Unreachable
from schemas.rows import Rows
from sinks.base import Sink
from streams import logs, metrics
from streams.runner import MAX_WAIT_S

#: un-flushed rows are looked at this often, seconds
POLL_S = 0.2
#: steps that wait for their turn
DEPTH = 4
#: a server that has not answered a call for so long is said to be waited for, seconds
SILENT_S = 10.0

Done = Callable[[], None]
Step = Callable[[], Awaitable[None]]


class Publish(Protocol):
    """Sends one message; returns when the broker has it."""

    def __call__(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> Awaitable[None]: ...


class Health(Struct):
    """What `/readyz` looks at: partitions are assigned, and the servers answer."""

    assigned: bool = False
    #: of each call that has to wait: its server, and what that said
    waits: dict[object, tuple[str, str]] = {}
    #: city -> why nothing of it is taken in
    stopped: dict[str, str] = {}

    @property
    def waiting(self) -> dict[str, str]:
        """What each server that is waited for said."""
        return dict(sorted(self.waits.values()))

    @property
    def unready(self) -> str:
        """Why the worker does not work; "" when it does."""
        reasons = [f"waiting for {server}: {said}" for server, said in self.waiting.items()]
        reasons += [f"{city} has stopped: {why}" for city, why in sorted(self.stopped.items())]
        return "; ".join(reasons or ([] if self.assigned else ["no partitions are assigned yet"]))


async def until_answered(call: Callable[[], Awaitable[None]], server: str, health: Health, city: str = "") -> None:
    """Call until it does not raise Unreachable, with growing waits: an outage is waited out in place.

    `health` says meanwhile what is waited for, also while a call just does not come back. `city`: whose server it is,
    where cities have their own.
    """
    loop, me, tries = asyncio.get_running_loop(), object(), 0
    named = f"{server} of {city}" if city else server

    def waiting(why: str) -> None:
        if named not in health.waiting:
            logs.get().warning(f"waiting for the {named}; nothing is lost", error=why)
        health.waits[me] = named, why

    while True:
        silent = loop.call_later(SILENT_S, waiting, f"no answer for {SILENT_S:.0f} s")
        try:
            await call()
            break
        except Unreachable as error:
            metrics.RETRIES.labels(server).inc()
            waiting(error.en)
            wait = min(error.retry_after_s * 2**tries, MAX_WAIT_S)
        finally:
            silent.cancel()
        await asyncio.sleep(wait)
        tries += 1
    if health.waits.pop(me, None) and named not in health.waiting:
        logs.get().warning(f"the {named} answers again")


class Store:
    """The sink for asyncio: one call at a time, in a thread, waiting out an outage in place."""

    def __init__(self, sink: Sink, health: Health, city: str = "") -> None:
        self._sink, self._health, self._city = sink, health, city
        self._queue: asyncio.Queue[tuple[Rows, Done | None]] = asyncio.Queue(DEPTH)
        self._undone: list[Done] = []

    async def put(self, rows: Rows, done: Done | None = None) -> None:
        """Hand rows over; `done` is called when they, and all before them, are stored."""
        await self._queue.put((rows, done))

    async def run(self) -> None:
        """Store, for ever."""
        while True:
            try:
                rows, done = await asyncio.wait_for(self._queue.get(), POLL_S)
            except TimeoutError:
                if self._sink.pending:
                    await self._waited(self._sink.poll)
            else:
                if done is not None:
                    self._undone.append(done)
                await self._waited(lambda rows=rows: self._sink.write(rows))  # type: ignore[misc]
            if self._undone and not self._sink.pending:
                undone, self._undone = self._undone, []
                for done in undone:
                    done()

    async def _waited(self, call: Callable[[], None]) -> None:
        await until_answered(lambda: asyncio.to_thread(call), "database", self._health, self._city)


class Outbox:
    """Messages to the log and its neighbours, one after the other: one that failed is never overtaken.

    `partition`: the city's, of each of these topics.
    """

    def __init__(self, publish: Publish, partition: int = 0) -> None:
        self.publish, self.partition = publish, partition
        self._queue: asyncio.Queue[tuple[str, Sequence[bytes], Step | None, Step | None]] = asyncio.Queue(DEPTH)

    async def put(
        self, topic: str, values: Sequence[bytes], then: Step | None = None, first: Step | None = None
    ) -> None:
        """Hand over messages for a topic; `then` runs when the broker has them all.

        `first` is waited for before any of them is sent, and so before what was handed over later.
        """
        await self._queue.put((topic, values, then, first))

    async def run(self) -> None:
        """Publish, for ever."""
        while True:
            topic, values, then, first = await self._queue.get()
            if first is not None:
                await first()
            for value in values:
                await self.publish(topic, self.partition, value)
            if then is not None:
                await then()
