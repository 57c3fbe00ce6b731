"""When rows are stored: batches by size, by age, on flush; and what an outage leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import Unreachable
from schemas.rows import Rows
from sinks.clickhouse.client import Client
from sinks.clickhouse.writer import ClickHouseSink
from tests.clickhouse import DAY0, LAYERS, change, member, pane


class Server:
    """Stands where a client stands: remembers inserts, and may be down."""

    def __init__(self) -> None:
        self.down = False
        self.inserts: list[tuple[str, int]] = []

    def insert(self, database: str, table: str, batch: Any, settings: object = None) -> None:
        """An insert of a batch."""
        if self.down:
            raise Unreachable("down")
        self.inserts.append((table, batch.num_rows))


class Watch:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def watch() -> Watch:
    return Watch()


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
