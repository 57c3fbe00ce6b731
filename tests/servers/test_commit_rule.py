"""The commit rule and the scheduler of `streams.batches`, against their naive definitions; no broker needed.

delivered   [0..4] [5..9] [12..14] [15..19]        (offsets 10, 11 are a gap)
acked          x      -       x        -      ->   commit 5
then           .      x       .        .      ->   commit 15
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import faust
import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from hypothesis import given
from hypothesis import strategies as st

from streams import batches
from streams.batches import TP, BatchScheduler, Consumer, RecordBatch, batch_app

HERE = TP("raw.110", 0)


def record(offset: int, tp: TP = HERE, value: bytes | None = b"x") -> ConsumerRecord[Any, Any]:
    """A record as aiokafka gives it."""
    return ConsumerRecord(tp.topic, tp.partition, offset, 1000 + offset, 0, None, value, None, 0, 1, ())


def batch(first: int, last: int) -> RecordBatch:
    """Records first..last."""
    return RecordBatch(HERE.topic, HERE.partition, [record(offset) for offset in range(first, last + 1)])


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for coroutines that never wait."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def consumer(loop: asyncio.AbstractEventLoop) -> Consumer:
    """A consumer that was not started: its bookkeeping needs no broker."""

    async def build() -> Consumer:
        async def ignore(*_: Any) -> None:
            return None

        app = batch_app("group", "localhost:1")
        app.topics._acking_topics.add(HERE.topic)
        made = app.transport.create_consumer(ignore, on_partitions_revoked=ignore, on_partitions_assigned=ignore)
        app._consumer = made
        return made  # type: ignore[no-any-return]

    return loop.run_until_complete(build())


def deliver(loop: asyncio.AbstractEventLoop, reader: Consumer, records: RecordBatch) -> Any:
    """Deliver a batch as Faust's fetcher does; the message, which can be acked."""
    message = reader._to_message(HERE, records)
    message.incref()
    loop.run_until_complete(reader.callback(message))
    return message


def test_the_picture_above(loop: asyncio.AbstractEventLoop) -> None:
    reader = consumer(loop)
    messages = [deliver(loop, reader, batch(*span)) for span in ((0, 4), (5, 9), (12, 14), (15, 19))]
    messages[2].ack(reader)
    assert reader._filter_committable_offsets([HERE]) == {}
    messages[0].ack(reader)
    assert reader._filter_committable_offsets([HERE]) == {HERE: 5}
    messages[1].ack(reader)
    assert reader._filter_committable_offsets([HERE]) == {HERE: 15}
    assert reader._filter_committable_offsets([HERE]) == {}


def test_an_ack_from_before_a_seek_does_not_count(loop: asyncio.AbstractEventLoop) -> None:
    reader = consumer(loop)
    deliver(loop, reader, batch(0, 10))
    stale = deliver(loop, reader, batch(11, 20))
    reader._forget([HERE])
    again = deliver(loop, reader, batch(0, 20))
    stale.ack(reader)
    assert reader._new_offset(HERE) is None
    again.ack(reader)
    assert reader._new_offset(HERE) == 21


def test_what_faust_held_during_a_rebalance_is_not_worked_on(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[0..4] is in hand, [5..9] was dropped with the queue, [10..14] comes out after the seek to 5: out of turn."""
    reader = consumer(loop)

    async def seek(_: Consumer) -> None:
        return None

    monkeypatch.setattr(driver.Consumer, "perform_seek", seek)
    monkeypatch.setattr(reader, "assignment", set)
    in_hand, dropped, held = (batch(*span) for span in ((0, 4), (5, 9), (10, 14)))
    for records in (in_hand, dropped, held):
        deliver(loop, reader, records)
    assert reader.take(in_hand)
    loop.run_until_complete(reader.perform_seek())
    assert not reader.take(held)
    again = batch(5, 14)
    deliver(loop, reader, again)
    assert reader.take(again)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2)), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
    data=st.data(),
)
def test_commit_is_the_longest_acked_prefix(
    loop: asyncio.AbstractEventLoop, lengths: list[tuple[int, int]], order: Any, data: st.DataObject
) -> None:
    reader, offset, messages = consumer(loop), 0, []
    for length, gap in lengths:
        messages.append(deliver(loop, reader, batch(offset, offset + length - 1)))
        offset += length + gap
    todo = list(range(len(messages)))
    order.shuffle(todo)
    committed: int | None = None
    for index in todo:
        messages[index].ack(reader)
        if data.draw(st.booleans()):
            committed = reader._new_offset(HERE) or committed
            prefix = 0
            while prefix < len(messages) and messages[prefix].acked:
                prefix += 1
            assert committed == (messages[prefix - 1].offset + 1 if prefix else None)
    assert (reader._new_offset(HERE) or committed) == messages[-1].offset + 1


@given(
    counts=st.dictionaries(st.integers(0, 5), st.integers(0, 40), max_size=5),
    max_batch=st.integers(1, 15),
)
def test_scheduler_cuts_in_order_and_in_turn(counts: dict[int, int], max_batch: int) -> None:
    scheduler = type("Scheduler", (BatchScheduler,), {"max_batch": max_batch})()
    fetched = {TP("t", p): [record(offset, TP("t", p)) for offset in range(n)] for p, n in counts.items()}
    seen: dict[TP, list[int]] = {tp: [] for tp in fetched}
    for tp, part in scheduler.iterate(fetched):
        assert 1 <= len(part) <= max_batch
        assert (part.topic, part.partition, part.offset) == (*tp, part.offsets[-1])
        seen[tp] += part.offsets
        behind = [len(seen[other]) for other in fetched if len(seen[other]) < counts[other.partition]]
        assert len(seen[tp]) - min(behind, default=len(seen[tp])) <= max_batch
    assert seen == {tp: list(range(counts[tp.partition])) for tp in fetched}


def test_a_tombstone_is_empty_bytes() -> None:
    one = RecordBatch("t", 0, [record(7, value=None)])
    assert (one.values, one.keys, one.first_offset, one.timestamps_ms) == ([b""], [None], 7, [1007])


def test_read_to_end_means_delivered_and_acked(loop: asyncio.AbstractEventLoop) -> None:
    reader = consumer(loop)

    async def position(_: TP) -> int:
        return 20

    reader.position = position  # type: ignore[method-assign, assignment]
    reader._fetched[HERE] = 18  # offsets 18 and 19 hold no record

    def read_to_end(end: int) -> bool:
        return loop.run_until_complete(reader.read_to_end(HERE, end))

    assert not read_to_end(20)
    message = deliver(loop, reader, batch(0, 17))
    assert not read_to_end(20)
    message.ack(reader)
    assert read_to_end(20) and not read_to_end(21)


def test_in_a_rebalance_nothing_counts_as_read_to_the_end(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not acked is forgotten and comes again; the old position must not make it look done."""
    reader = consumer(loop)

    async def position(_: TP) -> int:
        return 18

    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(reader, "position", position)
    monkeypatch.setattr(reader, "assignment", set)
    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", nothing)
    monkeypatch.setattr(driver.Consumer, "on_partitions_assigned", nothing)
    monkeypatch.setattr(driver.Consumer, "perform_seek", nothing)
    deliver(loop, reader, batch(0, 17))
    loop.run_until_complete(reader.on_partitions_revoked({HERE}))
    assert not loop.run_until_complete(reader.read_to_end(HERE, 18))
    # of the assignment before, late
    loop.run_until_complete(reader.perform_seek())
    assert not loop.run_until_complete(reader.read_to_end(HERE, 18))
    loop.run_until_complete(reader.on_partitions_assigned({HERE}))
    assert not loop.run_until_complete(reader.read_to_end(HERE, 18))
    loop.run_until_complete(reader.perform_seek())
    again = deliver(loop, reader, batch(0, 17))
    assert not loop.run_until_complete(reader.read_to_end(HERE, 18))
    again.ack(reader)
    assert loop.run_until_complete(reader.read_to_end(HERE, 18))


def test_a_commit_that_hangs_holds_up_neither_a_stop_nor_a_rebalance(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = consumer(loop)
    monkeypatch.setattr(batches, "COMMIT_S", 0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(reader, "commit_and_end_transactions", hang)
    loop.run_until_complete(asyncio.wait_for(reader.wait_empty(), 5))


def test_a_release_does_not_wait_for_a_round_that_never_comes(loop: asyncio.AbstractEventLoop) -> None:
    """A timer that hangs keeps its process from ending."""
    reader = consumer(loop)
    reader._held_in[HERE] = reader._round
    reader._stopped.set()
    loop.run_until_complete(asyncio.wait_for(reader.release([HERE]), 5))


def test_brokers_that_are_gone_are_asked_again(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, gone = consumer(loop), [KafkaTimeoutError(), TimeoutError(), KafkaTimeoutError()]

    async def highwaters(_: Consumer, *partitions: TP) -> dict[TP, int]:
        if gone:
            raise gone.pop()
        return dict.fromkeys(partitions, 7)

    monkeypatch.setattr(driver.Consumer, "highwaters", highwaters)
    assert loop.run_until_complete(reader.highwaters(HERE)) == {HERE: 7}
    assert not gone


def test_whatever_crashes_the_app_sets_a_deadline(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task or a timer, too: without brokers Faust would hang on the way out."""

    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(faust.App, "crash", nothing)
    app, told = consumer(loop).app, []
    app.transport.on_crash = told.append
    error = RuntimeError("a bug")
    loop.run_until_complete(app.crash(error))
    assert told == [error]
