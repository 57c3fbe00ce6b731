"""The SQL of ClickHouse's users: the engine's parser takes it, what it names exists, and views show nobody's secret.

chDB has no users, so nothing is executed here; `tests/servers/test_clickhouse_users.py` holds statements against it.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from sinks.clickhouse import Client, migrate, users
from streams.settings import Settings
from tests.clickhouse import ZONE, fresh_database
from tests.command_line import command_line

NAMES = ("migrator", "writer", "replayer", "wall")
GRANT = re.compile(r"GRANT (?P<rights>[A-Z, ]+) ON (?P<on>\S+) TO (?P<user>\w+)")


def statements(database: str) -> list[str]:
    bare = re.sub(r"^--.*\n", "", users.sql(database), flags=re.M)
    return [part.strip() for part in re.split(r";\s*$", bare, flags=re.M) if part.strip()]


@pytest.fixture
def database(chdb: Client) -> str:
    """A migrated database."""
    name = fresh_database()
    migrate(chdb, name, ZONE)
    return name


def test_the_engine_can_read_every_statement(chdb: Client) -> None:
    for statement in statements("some name"):
        ((text,),) = chdb.rows("SELECT formatQuery({sql:String})", {"sql": statement})
        assert text.split()[0] == statement.split()[0]
    with pytest.raises(Exception, match="SYNTAX_ERROR"):
        chdb.rows("SELECT formatQuery({sql:String})", {"sql": statements("x")[0].replace("HOST", "HOSTS")})


def test_what_is_granted_exists_and_the_wall_has_the_views_alone(chdb: Client, database: str) -> None:
    tables = dict(chdb.rows("SELECT name, engine FROM system.tables WHERE database = {d:String}", {"d": database}))
    granted: dict[str, list[tuple[str, str]]] = {}
    for statement in statements(database):
        if found := GRANT.match(" ".join(statement.split())):
            rights, on = found["rights"].split(", "), found["on"].replace("`", "")
            granted.setdefault(found["user"], []).extend((right, on) for right in rights)
            if on.startswith(f"{database}."):
                assert any(fnmatchcase(f"{database}.{name}", on) for name in tables), on
            else:
                assert on == "run_*.*"
    assert set(granted) == {f"quanyu_{name}" for name in (*NAMES, "dead_letters")}
    assert granted["quanyu_wall"] == [("SELECT", f"{database}.v_*")]
    assert {name for name in tables if name.startswith("v_")} == {n for n, engine in tables.items() if engine == "View"}
    assert {right for right, _ in granted["quanyu_writer"]} == {"SELECT", "INSERT"}
    outside = {right for right, on in granted["quanyu_replayer"] if on.startswith(database)}
    assert outside == {"SELECT", "INSERT", "ALTER DELETE"}


def test_no_view_shows_a_reporter_or_the_bytes_of_a_record(chdb: Client, database: str) -> None:
    sql = "SELECT table, name FROM system.columns WHERE database = {d:String} AND table LIKE 'v_%'"
    columns = chdb.rows(sql, {"d": database})
    assert len({table for table, _ in columns}) >= 16
    assert not [(table, name) for table, name in columns if name in ("reporter", "raw", "lon", "lat")]


def test_the_wall_is_read_only_within_limits_it_cannot_raise() -> None:
    (profile,) = [s for s in statements("quanyu") if s.startswith("CREATE SETTINGS PROFILE")]
    limits = dict(re.findall(r"(\w+) = (\d+|'\w+') (?:MAX|CONST)", profile))
    assert limits["readonly"] == "2"
    for name in ("max_execution_time", "max_memory_usage", "max_result_rows", "max_result_bytes"):
        assert int(limits[name]) > 0 and f"{name} = {limits[name]} MAX {limits[name]}" in profile


def test_no_password_is_in_it_and_it_names_the_configured_database(
    chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = command_line(chdb_url, tmp_path / "here", monkeypatch)
    result = cli("migrate", "--users-sql", settings=["clickhouse.database=my_city"])
    assert result.exit_code == 0 and result.stdout == users.sql("my_city")
    assert "`my_city`.v_*" in result.stdout and "quanyu`" not in result.stdout
    made = json.loads(cli("migrate", "--users-sql", "--json").stdout)["sql"]
    assert made.count(f"BY '{users.PLACEHOLDER}'") == made.count("CREATE USER") == len(NAMES)
    assert not re.search(r"[0-9a-f]{64}", result.stdout)
    assert Settings().clickhouse.database in users.sql("quanyu")
