"""ClickHouse's users as we ship them, over TLS: each does its own work and none of another's.

A chDB front stands for the server: it reads the SQL of `quanyu migrate --users-sql` and holds every statement against
it, with the engine's own parser. What no server's access control has seen is said in docs/security.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from schemas import UsageError
from schemas.rows import Rows
from sinks.clickhouse import Client, connect, migrate, open_sink, queries, runs, users
from tests.clickhouse import DAY0, LAYERS, ZONE, Where, change, member, rejected
from tests.command_line import call as call_row
from tests.command_line import calls, write_mapping
from tests.servers.certificates import authority
from tests.servers.chdb_process import serve
from tests.servers.deployment import City

pytestmark = pytest.mark.servers
DATABASE = "quanyu"
NAMES = ("migrator", "writer", "replayer", "wall")


class Server(Struct):
    """A front with our users, over TLS."""

    url: str
    ca: str

    def at(self, name: str, password: str = "", ca: str | None = None) -> Where:
        """Where `quanyu_NAME` finds it."""
        url = self.url.replace("default@", f"quanyu_{name}@")
        return Where(url, password or f"Password-of-{name}", DATABASE, ca_file=self.ca if ca is None else ca)

    def told(self, name: str) -> dict[str, str]:
        """What a command of this user is told."""
        where = self.at(name)
        return {
            "QUANYU__CLICKHOUSE__URL": where.url,
            "QUANYU__CLICKHOUSE__PASSWORD": where.password,
            "QUANYU__CLICKHOUSE__CA_FILE": where.ca_file,
        }


def users_sql() -> str:
    """What we ship, with the hashes of the tests' passwords in place."""
    text = users.sql(DATABASE)
    for name in NAMES:
        digest = hashlib.sha256(f"Password-of-{name}".encode()).hexdigest()
        made = f"CREATE USER IF NOT EXISTS quanyu_{name} IDENTIFIED WITH sha256_hash BY '"
        assert made + users.PLACEHOLDER in text
        text = text.replace(made + users.PLACEHOLDER, made + digest)
    digest = hashlib.sha256(b"Password-of-clerk").hexdigest()
    return (
        f"{text}\nCREATE USER IF NOT EXISTS quanyu_clerk IDENTIFIED WITH sha256_hash BY '{digest}' HOST ANY;\n"
        "GRANT quanyu_dead_letters TO quanyu_clerk;\n"
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, migrated by the migrator, with rows stored by the writer."""
    folder = tmp_path_factory.mktemp("users")
    made = authority(folder / "tls")
    ours = made.vouch("clickhouse")
    (folder / "users.sql").write_text(users_sql(), encoding="utf-8")
    options = ("--users", str(folder / "users.sql"), "--cert", str(ours.cert), "--key", str(ours.key))
    with serve(folder / "data", *options) as url:
        found = Server(url, str(made.ca))
        client = connect(found.at("migrator"))
        migrate(client, DATABASE, ZONE)
        client.close()
        sink = open_sink(found.at("writer"), LAYERS, ZONE)
        sink.write(Rows(DAY0, members=[change(member("1", DAY0, flags=("secret",)))], rejected=[rejected(1)]))
        sink.flush()
        sink.close()
        yield found


def opened(server: Server, name: str) -> Client:
    return connect(server.at(name))


def denied(client: Client, sql: str) -> None:
    with pytest.raises(UsageError, match="ACCESS_DENIED"):
        client.command(sql)


def test_the_writer_stores_and_makes_nothing(server: Server) -> None:
    client = opened(server, "writer")
    assert client.rows(f"SELECT count() FROM {DATABASE}.signals FINAL") == [(1,)]
    for sql in (
        "CREATE DATABASE other",
        f"CREATE TABLE {DATABASE}.x (a Int32) ENGINE = MergeTree ORDER BY a",
        f"DROP TABLE {DATABASE}.signals",
        f"TRUNCATE TABLE {DATABASE}.signals",
        f"ALTER TABLE {DATABASE}.signals DELETE WHERE 1",
        f"ALTER TABLE {DATABASE}.signals REMOVE TTL",
        f"CREATE OR REPLACE VIEW {DATABASE}.v_signals AS SELECT 1",
    ):
        denied(client, sql)
    client.close()


def test_a_writer_is_told_to_let_the_migrator_work(server: Server) -> None:
    with pytest.raises(UsageError, match=r"ACCESS_DENIED.*grants.*CREATE DATABASE ON other"):
        open_sink(server.at("writer"), LAYERS, ZONE, database="other")


def test_the_wall_reads_every_view_and_nothing_behind(server: Server) -> None:
    client, writer = opened(server, "wall"), opened(server, "writer")
    names = "SELECT name, engine FROM system.tables WHERE database = {database:String}"
    tables = dict(writer.rows(names, {"database": DATABASE}))
    views = [name for name, engine in tables.items() if engine == "View"]
    assert len(views) >= 16
    for name in tables:
        sql = f"SELECT * FROM {DATABASE}.{name} LIMIT 1"
        if name in views:
            client.rows(sql)
        else:
            denied(client, sql)
    bytes_of = f"SELECT raw FROM {DATABASE}.v_rejected"
    with pytest.raises(Exception, match="UNKNOWN_IDENTIFIER"):
        client.rows(bytes_of)
    ((place, text, lon),) = client.rows(f"SELECT shown_place_key, shown_summary, shown_lon FROM {DATABASE}.v_signals")
    assert (place, text, lon) == ("", "", None)
    for sql in (
        f"INSERT INTO {DATABASE}.rejected SELECT * FROM {DATABASE}.v_rejected",
        f"SELECT * FROM {DATABASE}.v_signals WHERE signal_id IN (SELECT signal_id FROM {DATABASE}.signals)",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        f"DROP TABLE {DATABASE}.signals",
    ):
        denied(client, sql)
    client.close()
    writer.close()


def test_a_clerk_of_dead_letters_reads_them_and_cannot_hide_it(server: Server) -> None:
    client = opened(server, "clerk")
    assert client.rows(f"SELECT count() FROM {DATABASE}.rejected FINAL WHERE raw != ''") == [(1,)]
    client.command(f"INSERT INTO {DATABASE}.rejected_shown (user, records) VALUES ('clerk', 1)")
    for sql in (
        f"SELECT * FROM {DATABASE}.rejected_shown",
        f"ALTER TABLE {DATABASE}.rejected_shown DELETE WHERE 1",
        f"TRUNCATE TABLE {DATABASE}.rejected_shown",
        f"INSERT INTO {DATABASE}.rejected SELECT * FROM {DATABASE}.rejected",
        f"SELECT * FROM {DATABASE}.late_signals",
    ):
        denied(client, sql)
    client.close()


def test_the_wall_has_limits_that_it_cannot_raise(server: Server) -> None:
    client = opened(server, "wall")
    with pytest.raises(Exception, match="Limit for result exceeded"):
        client.rows("SELECT number FROM system.numbers LIMIT 1000001")
    with pytest.raises(Exception, match="SETTING_CONSTRAINT_VIOLATION"):
        client._driver.query("SELECT 1", settings={"max_execution_time": 3600})
    client.close()


@pytest.mark.parametrize("name", queries.names())
def test_every_query_of_the_wall_stays_within_the_views(name: str) -> None:
    tables = re.findall(r"\{database:Identifier\}\.(\w+)", queries.load(name))
    assert tables and all(table.startswith("v_") for table in tables)


def test_a_replay_keeps_to_its_own_database(server: Server, tmp_path: Path) -> None:
    file = calls(tmp_path / "calls.csv", [call_row(n) for n in range(50)])
    city = City("replayed", "127.0.0.1:1", "", tmp_path, server.told("replayer") | {"QUANYU__GRIDS__FILE": ""})
    city.settings["QUANYU__CLICKHOUSE__DATABASE"] = DATABASE
    made = write_mapping(tmp_path / "map.toml")
    told = ("--file", file, "--source", "110", "--map", made, "--id", "one", "--json")
    assert json.loads(city.ok("replay", "run", *told))["read"] == 50
    client = opened(server, "replayer")
    assert [run.id for run in runs.listed(client, DATABASE)] == ["one"]
    assert client.rows("SELECT count() FROM run_one.signals FINAL") == [(50,)]
    for table in ("signals", "rejected", "v_signals"):
        denied(client, f"SELECT * FROM {DATABASE}.{table}")
    client.close()
    wall = opened(server, "wall")
    denied(wall, "SELECT * FROM run_one.v_signals")
    wall.close()
    city.ok("replay", "rm", "one")


def test_tls_and_names_are_checked(server: Server, tmp_path: Path) -> None:
    other = authority(tmp_path / "other", "Somebody else")
    with pytest.raises(UsageError, match=r"not to be trusted: check clickhouse\.ca_file"):
        connect(server.at("wall", ca=str(other.ca)))
    with pytest.raises(UsageError, match="not to be trusted"):
        connect(server.at("wall", ca=""))
    with pytest.raises(UsageError, match=r"clickhouse\.ca_file: .*nowhere.pem cannot be used \(No such file"):
        connect(server.at("wall", ca=str(tmp_path / "nowhere.pem")))
    with pytest.raises(UsageError, match="is not https"):
        connect(Where(server.url.replace("https", "http"), ca_file=server.ca))
    with pytest.raises(UsageError, match="AUTHENTICATION_FAILED") as caught:
        connect(server.at("wall", password="Password-of-nobody"))
    assert "Password-of-nobody" not in caught.value.en + caught.value.zh
