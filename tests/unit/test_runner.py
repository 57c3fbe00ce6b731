"""runner: an outage is waited out in place and nothing is lost or doubled; too much bad data stops; bugs go up."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Rejected, TooMuchBadData, Unreachable
from schemas.rows import Rows
from sinks.memory import MemorySink
from streams.runner import MAX_WAIT_S, BadShare, Writer, until_stored


def letters(n: int) -> Rows:
    """Rows of a step: one dead letter, number n."""
    return Rows(ingested_at_ms=n, rejected=[Rejected("110", "raw.110", 0, n, "not_json", "", b"x", n)])


class Shaky(MemorySink):
    """A sink whose server is away for the first calls of `outages` (of write, then of flush)."""

    def __init__(self, writes: int = 0, flushes: int = 0) -> None:
        super().__init__()
        self.writes, self.flushes = writes, flushes
        self.taken: list[int] = []
        self.flushed = 0

    def write(self, rows: Rows) -> None:
        if self.writes > 0:
            self.writes -= 1
            raise Unreachable("gone", retry_after_s=0.0)
        self.taken.append(rows.ingested_at_ms)
        super().write(rows)

    def flush(self) -> None:
        if self.flushes > 0:
            self.flushes -= 1
            raise Unreachable("gone", retry_after_s=0.0)
        self.flushed += 1


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def failing(times: int, retry_after_s: float = 1.0) -> Callable[[], None]:
    left = [times]

    def call() -> None:
        if left[0]:
            left[0] -= 1
            raise Unreachable("gone", retry_after_s=retry_after_s)

    return call


def test_an_outage_is_waited_out_with_growing_waits() -> None:
    clock = Clock()
    until_stored(failing(8), sleep=clock.sleep, clock=clock)
    assert clock.slept == [1.0, 2.0, 4.0, 8.0, 16.0, MAX_WAIT_S, MAX_WAIT_S, MAX_WAIT_S]


def test_a_long_outage_is_given_up_only_where_a_limit_is_given() -> None:
    clock = Clock()
    with pytest.raises(Unreachable):
        until_stored(failing(100), give_up_s=20.0, sleep=clock.sleep, clock=clock)
    assert clock.slept == [1.0, 2.0, 4.0, 8.0]
    until_stored(failing(100), sleep=clock.sleep, clock=clock)
    assert len(clock.slept) == 104


def test_a_bug_is_not_retried() -> None:
    clock = Clock()

    def broken() -> None:
        raise ValueError("a key has changed")

    with pytest.raises(ValueError, match="a key has changed"):
        until_stored(broken, sleep=clock.sleep, clock=clock)
    assert clock.slept == []


@given(st.integers(0, 12), st.integers(0, 5), st.integers(0, 3), st.integers(1, 3))
def test_through_outages_every_row_is_written_once_and_in_order(
    rows: int, writes: int, flushes: int, depth: int
) -> None:
    sink = Shaky(writes, flushes)
    writer = Writer(sink, depth=depth)
    for n in range(rows):
        writer.write(letters(n))
    writer.close()
    assert sink.taken == list(range(rows))
    assert sink.flushed == 1
    assert sink.counts()["rejected"] == rows


def test_an_error_of_the_sink_is_raised_from_the_next_call() -> None:
    class Broken(MemorySink):
        def write(self, rows: Rows) -> None:
            raise ValueError("a key has changed")

    writer = Writer(Broken(), depth=1)
    with pytest.raises(ValueError, match="a key has changed"):  # at the latest when the queue would be full
        for n in range(4):
            writer.write(letters(n))
        writer.close()
    writer.abandon()


def test_an_outage_beyond_the_limit_is_raised_and_nothing_after_it_is_written() -> None:
    sink = Shaky(writes=10**6)
    writer = Writer(sink, give_up_s=0.0, depth=1)
    with pytest.raises(Unreachable):
        for n in range(4):
            writer.write(letters(n))
        writer.close()
    writer.abandon()
    assert sink.taken == []
    assert sink.flushed == 0


def test_an_error_of_flush_is_raised_from_close() -> None:
    class Full(MemorySink):
        def flush(self) -> None:
            raise Unreachable("disk full")

    writer = Writer(Full(), give_up_s=0.0)
    writer.write(letters(1))
    with pytest.raises(Unreachable, match="disk full"):
        writer.close()


def test_an_abandoned_writer_ends_its_thread_though_the_sink_is_behind() -> None:
    behind = threading.Event()
    entered = threading.Event()

    class Slow(MemorySink):
        def write(self, rows: Rows) -> None:
            entered.set()
            behind.wait()
            super().write(rows)

    sink = Slow()
    writer = Writer(sink, depth=1)
    writer.write(letters(1))
    entered.wait()
    writer.write(letters(2))  # waits in the queue
    threading.Timer(0.05, behind.set).start()
    writer.abandon()
    assert list(sink.rejected) == [("110", "raw.110", 0, 1)]
    with pytest.raises(RuntimeError, match="abandoned"):
        writer.write(letters(3))


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), max_size=30), st.integers(1, 100))
def test_the_share_of_bad_records_is_that_of_whole_windows(batches: list[tuple[int, int]], window: int) -> None:
    """Naive: cut the batches into windows of at least `window` records; the first over the limit stops the run."""
    batches = [(read, min(bad, read)) for read, bad in batches]
    stops, read, bad = None, 0, 0
    for n, (r, b) in enumerate(batches):
        read, bad = read + r, bad + b
        if read >= window:
            if bad > read * 0.2 and stops is None:
                stops = n
            read = bad = 0
    share = BadShare(0.2, window)
    for n, (r, b) in enumerate(batches):
        if n == stops:
            with pytest.raises(TooMuchBadData):
                share.add(r, b)
            return
        share.add(r, b)
    if sum(b for _, b in batches) > 0.2 * sum(r for r, _ in batches):
        with pytest.raises(TooMuchBadData, match=r"intake\.max_bad_share"):
            share.finish()
    else:
        share.finish()
