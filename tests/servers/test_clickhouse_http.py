"""ClickHouse over HTTP: outages, kills and users, with its own engine in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import Unreachable, UsageError
from schemas.rows import Rows
from sinks.clickhouse import connect, open_sink, queries
from tests.clickhouse import DAY0, LAYERS, ZONE, Where, change, fresh_database, member, pane
from tests.servers.chdb_process import free_port, serve, start, stop

pytestmark = pytest.mark.servers


def step(number: int, size: int = 500) -> Rows:
    """Signals and panes of one step."""
    ids = range(number * size, (number + 1) * size)
    return Rows(
        DAY0 + number,
        members=[change(member(str(i), DAY0 + i, cell=f"u{i % 7}")) for i in ids],
        panes=[pane(f"u{i}", DAY0, number + 1, i) for i in range(50)],
    )


def test_an_outage_is_waited_out(tmp_path: Path) -> None:
    port = free_port()
    path, where = tmp_path / "db", Where(f"http://127.0.0.1:{port}", batch_rows=100)
    server = start(path, port)
    try:
        sink = open_sink(where, LAYERS, ZONE)
        sink.write(step(0))
        server.kill()
        server.wait()
        for _ in range(3):
            with pytest.raises(Unreachable, match=rf"127\.0\.0\.1:{port}"):
                sink.write(step(1))
        assert sink.pending == 0
        server = start(path, port)
        sink.write(step(1))
        sink.flush()
        assert sink.counts()["signals"] == 1000
        sink.close()
    finally:
        stop(server)


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """kill -9 in the middle of writing, six times; what raised is repeated from an earlier step on, in other cuts."""
    port = free_port()
    path, where = tmp_path / "db", Where(f"http://127.0.0.1:{port}", batch_rows=700)
    server = start(path, port)
    try:
        sink = open_sink(where, LAYERS, ZONE)
        done = 0
        for kill_at in (1, 3, 4, 6, 7, 9):
            while done < kill_at:
                sink.write(step(done))
                done += 1
            server.kill()
            server.wait()
            with pytest.raises(Unreachable):
                sink.write(step(done))
                sink.flush()
            server = start(path, port)
            done = max(0, done - 2)
            sink = open_sink(where, LAYERS, ZONE)
        for number in range(done, 12):
            sink.write(step(number))
        sink.flush()
        broken = sink.digest()
        whole = open_sink(Where(where.url, database="whole"), LAYERS, ZONE)
        for number in range(12):
            whole.write(step(number))
        whole.flush()
        assert broken == whole.digest()
        assert sink.counts()["signals"] == 12 * 500
        sink.close()
        whole.close()
    finally:
        stop(server)


def test_a_user_is_refused_and_let_in(tmp_path: Path) -> None:
    with serve(tmp_path / "db", "--user", "wall", "--password", "let me in") as url:
        mine = url.replace("default@", "wall@")
        for bad in (Where(mine, password="no"), Where(url, password="let me in")):
            with pytest.raises(UsageError, match="refuses the user"):
                connect(bad)
        client = connect(Where(mine, password="let me in"))
        assert client.rows("SELECT 1") == [(1,)]
        client.close()


def test_parameters_and_bytes_cross_the_wire(tmp_path: Path) -> None:
    with serve(tmp_path / "db") as url:
        sink = open_sink(Where(url, database=fresh_database()), LAYERS, ZONE)
        place = 'O\'Brien \\ 1号\t"x"'
        sink.write(Rows(DAY0, members=[change(member("1", DAY0, place=place))]))
        sink.flush()
        parameters = {
            "database": sink.database,
            "place_key": f"a:{place}",
            "from_ms": DAY0,
            "to_ms": DAY0 + 1,
            "limit": 5,
        }
        rows = sink.client.rows(queries.load("address_signals"), parameters)
        assert [row[:2] for row in rows] == [("110:1", DAY0)]
        assert sink.client.raw("SELECT 1 AS x", "JSONEachRow") == b'{"x":1}\n'
        with pytest.raises(UsageError, match="UNKNOWN_TABLE"):
            sink.client.rows(f"SELECT 1 FROM {sink.database}.nothing")
        sink.close()
