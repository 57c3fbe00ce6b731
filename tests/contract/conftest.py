"""The sinks that have to keep the contract: in memory, embedded ClickHouse, ClickHouse over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sinks.base import Sink
from sinks.clickhouse import open_sink
from sinks.memory import MemorySink
from tests.clickhouse import LAYERS, ZONE, Where, empty
from tests.servers.chdb_process import serve


@pytest.fixture(scope="session")
def http_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """ClickHouse's engine behind HTTP, in a process of its own."""
    with serve(tmp_path_factory.mktemp("chdb_http")) as url:
        yield url


@pytest.fixture(params=["memory", "chdb", pytest.param("http", marks=pytest.mark.servers)])
def new_sink(request: pytest.FixtureRequest) -> Iterator[Callable[[], Sink]]:
    """Makes empty sinks of one kind; small batches, and a clock that stands still."""
    opened: list[Sink] = []

    def make() -> Sink:
        if request.param == "memory":
            return MemorySink()
        url = request.getfixturevalue("chdb_url" if request.param == "chdb" else "http_url")
        where = Where(url, database=f"contract_{len(opened)}", batch_rows=7)
        sink = open_sink(where, LAYERS, ZONE, clock=lambda: 0.0)
        opened.append(sink)
        empty(sink.client, sink.database)
        return sink

    yield make
    for sink in opened:
        sink.close()
