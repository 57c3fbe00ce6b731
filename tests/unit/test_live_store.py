"""The live worker's queues: what is told to be safe is safe, in order, whatever the servers do meanwhile.

put(a) put(b) ---> write a, write b (stays in the sink's batch) --old enough--> flushed: done(a), done(b)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schemas import Rejected, Unreachable
from schemas.rows import Rows
from sinks.clickhouse.writer import MOST_TIMES, ClickHouseSink
from sinks.memory import MemorySink
from streams import live_store
from streams.live_city import CITY_SIGNALS
from streams.live_store import DEPTH, Health, Outbox, Store, until_answered


class Batching(MemorySink):
    """Keeps rows until it is polled twice; the first `outages` calls find no server."""

    def __init__(self, outages: int = 0) -> None:
        super().__init__()
        self.outages = outages
        self.waiting: list[Rows] = []
        self.polls = 0

    @property
    def pending(self) -> int:
        return len(self.waiting)

    def write(self, rows: Rows) -> None:
        self._answer()
        if len(rows):
            self.waiting.append(rows)

    def poll(self) -> None:
        self._answer()
        self.polls += 1
        if self.polls % 2 == 0:
            for rows in self.waiting:
                super().write(rows)
            self.waiting.clear()

    def _answer(self) -> None:
        if self.outages:
            self.outages -= 1
            raise Unreachable("gone", "没有响应", retry_after_s=0.001)


def rows(n: int) -> Rows:
    """A step with one dead letter."""
    return Rows(n, rejected=[Rejected("110", "raw.110", 0, n, "not_json", "", b"{", n)])


def while_running(work: Awaitable[None], run: Callable[[], Awaitable[None]]) -> None:
    """Do the work while a queue runs; raise what either raised."""

    async def both() -> None:
        running = asyncio.ensure_future(run())
        working = asyncio.ensure_future(work)
        done, _ = await asyncio.wait((running, working), return_when=asyncio.FIRST_COMPLETED, timeout=20)
        running.cancel()
        working.cancel()
        assert done, "stuck"
        for task in done:
            task.result()

    asyncio.run(both())


@pytest.mark.parametrize("outages", [0, 4])
def test_done_is_told_when_the_rows_are_stored_and_not_before(outages: int) -> None:
    sink, health, told = Batching(outages), Health(assigned=True), []

    async def work() -> None:
        over = asyncio.Event()

        def done(n: int) -> None:
            told.append((n, sink.pending, sink.counts()["rejected"]))
            if n == 2:
                over.set()

        for n in range(3):
            await store.put(rows(n), lambda n=n: done(n))  # type: ignore[misc]
        await over.wait()

    store = Store(sink, health)
    while_running(work(), store.run)
    assert [n for n, _, _ in told] == [0, 1, 2]
    assert all(pending == 0 and stored > n for n, pending, stored in told)
    assert sink.outages == 0 and not health.unready


def test_who_fills_the_store_waits_while_the_database_is_gone() -> None:
    sink, health = Batching(outages=10**9), Health(assigned=True)
    store = Store(sink, health)
    put = 0

    async def work() -> None:
        nonlocal put
        for n in range(DEPTH + 5):
            try:
                await asyncio.wait_for(store.put(rows(n)), 0.5)
            except TimeoutError:
                return
            put += 1

    while_running(work(), store.run)
    assert put == DEPTH + 1
    assert health.unready


class Inserts:
    """Stands where a client stands; each insert takes so many seconds of its own clock."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s, self.now, self.rows = takes_s, 0.0, list[int]()

    def insert(self, database: str, table: str, batch: Any, settings: object = None) -> None:
        """An insert of a batch."""
        self.now += self.takes_s
        self.rows.append(batch.num_rows)


@pytest.mark.parametrize(
    ("takes_s", "inserts"), [(0.1, [3] * 39), (3.0, [3, 6, 12, *[3 * MOST_TIMES] * 4])], ids=["quick", "slow"]
)
def test_a_slow_database_is_given_fewer_and_larger_inserts(takes_s: float, inserts: list[int]) -> None:
    """In steps of the city stage, of which three fill a batch."""
    server, steps, acked = Inserts(takes_s), sum(inserts), list[int]()
    batch_rows = 3 * CITY_SIGNALS
    sink = ClickHouseSink(server, "db", ("unit",), batch_rows, 1.0, lambda: server.now)  # type: ignore[arg-type]
    store = Store(sink, Health())
    step = Rows(0, rejected=[Rejected("110", "raw.110", 0, 0, "not_json", "", b"{", 0)] * CITY_SIGNALS)

    async def work() -> None:
        for n in range(steps):
            await store.put(step, lambda n=n: acked.append(n))  # type: ignore[misc]
        while len(acked) < steps:
            await asyncio.sleep(0.001)

    while_running(work(), store.run)
    assert server.rows == [n * CITY_SIGNALS for n in inserts]
    assert acked == list(range(steps))


def test_a_bug_of_the_sink_is_raised() -> None:
    class Broken(MemorySink):
        def write(self, rows: Rows) -> None:
            raise ValueError("a bug")

    store = Store(Broken(), Health())

    async def work() -> None:
        await store.put(rows(0))
        await asyncio.Event().wait()

    with pytest.raises(ValueError, match="a bug"):
        while_running(work(), store.run)


def test_the_outbox_keeps_the_order_and_tells_when_all_are_out() -> None:
    sent: list[str] = []

    async def publish(topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        await asyncio.sleep(0)
        sent.append(f"{topic}/{partition} {value.decode()}")

    outbox = Outbox(publish)

    async def work() -> None:
        over = asyncio.Event()

        async def then() -> None:
            sent.append("then")
            over.set()

        await outbox.put("log", [b"1", b"2"])
        await outbox.put("late", [], then)
        await over.wait()

    while_running(work(), outbox.run)
    assert sent == ["log/0 1", "log/0 2", "then"]


def test_a_message_that_fails_is_not_overtaken() -> None:
    sent: list[bytes] = []

    async def publish(topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        if value == b"bad":
            raise OSError("no broker")
        sent.append(value)

    outbox = Outbox(publish)

    async def work() -> None:
        for value in (b"1", b"bad", b"2"):
            await outbox.put("log", [value])
        await asyncio.Event().wait()

    with pytest.raises(OSError, match="no broker"):
        while_running(work(), outbox.run)
    assert sent == [b"1"]


def test_a_server_that_just_does_not_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call hangs, another of the same server comes back at once: it is the first that tells."""
    monkeypatch.setattr(live_store, "SILENT_S", 0.01)
    health = Health(assigned=True)

    async def both() -> None:
        answer = asyncio.Event()

        async def hang() -> None:
            await answer.wait()

        async def come_back() -> None:
            await asyncio.sleep(0)

        hanging = asyncio.ensure_future(until_answered(hang, "broker", health))
        while not health.unready:
            await asyncio.sleep(0.001)
        await until_answered(come_back, "broker", health)
        assert "no answer" in health.unready
        answer.set()
        await hanging
        assert not health.unready

    asyncio.run(both())
