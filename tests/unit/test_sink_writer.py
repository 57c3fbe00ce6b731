"""When rows are stored: batches by size, by age, on flush; and what an outage leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Unreachable
from schemas.rows import Rows
from sinks.clickhouse.client import Client
from sinks.clickhouse.writer import MOST_TIMES, ClickHouseSink
from tests.clickhouse import DAY0, LAYERS, change, member, pane


class Server:
    """Stands where a client stands: remembers inserts, and may be down, or slow."""

    def __init__(self, watch: Watch | None = None) -> None:
        self.down = False
        self.inserts: list[tuple[str, int]] = []
        self.watch, self.takes_s = watch or Watch(), 0.0

    def insert(self, database: str, table: str, batch: Any, settings: object = None) -> None:
        """An insert of a batch."""
        if self.down:
            raise Unreachable("down")
        self.watch.now += self.takes_s
        self.inserts.append((table, batch.num_rows))


class Watch:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def server(watch: Watch) -> Server:
    return Server(watch)


@pytest.fixture
def sink(server: Server, watch: Watch) -> ClickHouseSink:
    client: Client = server  # type: ignore[assignment]
    return ClickHouseSink(client, "db", LAYERS, batch_rows=5, batch_s=2.0, clock=watch)


def panes(count: int) -> Rows:
    return Rows(DAY0, panes=[pane(f"u{i}", DAY0) for i in range(count)])


def test_rows_wait_until_the_batch_is_full(sink: ClickHouseSink, server: Server) -> None:
    sink.write(panes(2))
    sink.write(panes(2))
    assert (sink.pending, server.inserts) == (4, [])
    sink.write(panes(3))
    assert (sink.pending, server.inserts) == (0, [("grid_counts", 7)])


def test_rows_wait_until_the_batch_is_old(sink: ClickHouseSink, server: Server, watch: Watch) -> None:
    watch.now = 100.0
    sink.write(panes(1))
    watch.now = 101.9
    sink.write(panes(1))
    sink.poll()
    assert server.inserts == []
    watch.now = 102.0
    sink.poll()
    assert server.inserts == [("grid_counts", 2)]
    watch.now = 150.0
    sink.write(panes(1))
    assert sink.pending == 1, "the age of a batch is counted from its own first row"


def test_one_insert_a_table_and_dead_letters_first(sink: ClickHouseSink, server: Server) -> None:
    from tests.clickhouse import rejected

    sink.write(Rows(DAY0, members=[change(member("1", DAY0))], panes=[pane("u1", DAY0)]))
    sink.write(Rows(DAY0, panes=[pane("u2", DAY0)], rejected=[rejected(1)]))
    sink.flush()
    assert server.inserts == [("rejected", 1), ("signals_in", 1), ("grid_counts", 2)]
    sink.flush()
    assert len(server.inserts) == 3


def test_an_outage_takes_nothing_and_loses_nothing(sink: ClickHouseSink, server: Server) -> None:
    sink.write(panes(4))
    server.down = True
    for _ in range(3):
        with pytest.raises(Unreachable):
            sink.write(panes(4))
    with pytest.raises(Unreachable):
        sink.flush()
    assert sink.pending == 4
    server.down = False
    sink.write(panes(4))
    assert (sink.pending, server.inserts) == (0, [("grid_counts", 8)])


def inserted(sink: ClickHouseSink, server: Server, rows: int) -> int:
    """Rows of the next insert, when they come one by one."""
    before = len(server.inserts)
    for _ in range(rows):
        sink.write(panes(1))
        if len(server.inserts) > before:
            return server.inserts[-1][1]
    raise AssertionError("no insert")


def test_the_batch_grows_while_the_database_is_slow_and_shrinks_again(sink: ClickHouseSink, server: Server) -> None:
    server.takes_s = 2.1
    assert [inserted(sink, server, 100) for _ in range(6)] == [5, 10, 20, 40, 40, 40]
    server.takes_s = 1.5  # neither slow nor quick: as it is
    assert [inserted(sink, server, 100) for _ in range(2)] == [40, 40]
    server.takes_s = 0.9
    assert [inserted(sink, server, 100) for _ in range(5)] == [40, 20, 10, 5, 5]


def test_the_age_grows_with_it(sink: ClickHouseSink, server: Server, watch: Watch) -> None:
    server.takes_s = 2.1
    for wanted in (2.0, 4.0, 8.0, 16.0, 16.0):
        sink.write(panes(1))
        began, before = watch.now, len(server.inserts)
        watch.now = began + wanted - 0.1
        sink.poll()
        assert len(server.inserts) == before
        watch.now = began + wanted + 0.1
        sink.poll()
        assert len(server.inserts) == before + 1


def test_an_outage_and_an_empty_flush_do_not_change_it(sink: ClickHouseSink, server: Server, watch: Watch) -> None:
    server.takes_s = 2.1
    assert inserted(sink, server, 100) == 5
    sink.flush()
    server.down = True
    sink.write(panes(4))
    with pytest.raises(Unreachable):
        sink.flush()
    server.down = False
    assert inserted(sink, server, 100) == 10


@given(st.lists(st.tuples(st.integers(0, 12), st.floats(0, 10), st.booleans()), max_size=60))
def test_whatever_the_database_does_what_waits_is_bounded_and_all_is_stored(
    steps: list[tuple[int, float, bool]],
) -> None:
    watch = Watch()
    server = Server(watch)
    client: Client = server  # type: ignore[assignment]
    sink = ClickHouseSink(client, "db", LAYERS, batch_rows=5, batch_s=2.0, clock=watch)
    written = 0
    for count, server.takes_s, server.down in steps:
        try:
            sink.write(panes(count))
            written += count
        except Unreachable:
            pass
        assert sink.pending < 5 * MOST_TIMES
        watch.now += 0.1
    server.down = False
    sink.flush()
    assert sum(rows for _, rows in server.inserts) == written
    assert max((rows for _, rows in server.inserts), default=0) < 5 * MOST_TIMES + 12
