"""Migrations: each once, never edited, repeatable; and how long rows are kept."""

from __future__ import annotations

import re

import msgspec
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas import UsageError
from sinks.clickhouse import Client, migrate, pending
from sinks.clickhouse.migrate import REJECTED, RETENTION, shipped
from tests.clickhouse import ZONE, fresh_database

#: what a statement may be: run again, it changes nothing

_REPEATABLE = (
    r"CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS|CREATE OR REPLACE VIEW|DROP TABLE IF EXISTS"
    r"|ALTER TABLE \S+ ADD COLUMN IF NOT EXISTS"
)


def test_numbers_rise() -> None:
    numbers = [migration.number for migration in shipped()]
    assert numbers == sorted(set(numbers)) and numbers[0] == 1


def test_every_statement_can_be_repeated(chdb: Client) -> None:
    name = fresh_database()
    assert pending(chdb, name) == [migration.name for migration in shipped()]
    assert migrate(chdb, name, ZONE) == [migration.name for migration in shipped()]
    assert (pending(chdb, name), migrate(chdb, name, ZONE)) == ([], [])
    for migration in shipped():
        for statement in migration.statements(name, ZONE):
            assert re.match(_REPEATABLE, statement)
            chdb.command(statement)


def test_an_edited_migration_is_refused(chdb: Client) -> None:
    name = fresh_database()
    migrate(chdb, name, ZONE)
    edited = [msgspec.structs.replace(shipped()[0], text=shipped()[0].text + "-- a word\n"), *shipped()[1:]]
    with pytest.raises(UsageError, match=r"0001_signals\.sql was edited"):
        migrate(chdb, name, ZONE, migrations=edited)


def test_a_newer_database_is_refused(chdb: Client) -> None:
    name = fresh_database()
    migrate(chdb, name, ZONE)
    with pytest.raises(UsageError, match="does not know"):
        migrate(chdb, name, ZONE, migrations=shipped()[:-1])


def test_a_migration_cut_off_in_its_middle_is_repeated(chdb: Client) -> None:
    name = fresh_database()
    broken = msgspec.structs.replace(shipped()[1], text=shipped()[1].text + "\nSELECT nonsense;\n")
    with pytest.raises(DatabaseError, match="nonsense"):
        migrate(chdb, name, ZONE, migrations=[shipped()[0], broken])
    assert migrate(chdb, name, ZONE) == [migration.name for migration in shipped()[1:]]


def engines(client: Client, database: str) -> dict[str, str]:
    sql = "SELECT name, engine_full FROM system.tables WHERE database = {d:String} AND engine LIKE '%MergeTree'"
    return dict(client.rows(sql, {"d": database}))


def test_retention_can_be_set_changed_and_removed(chdb: Client) -> None:
    name = fresh_database()
    migrate(chdb, name, ZONE)
    assert not any("TTL" in engine for engine in engines(chdb, name).values())
    for days in (30, 400, 400, 0):
        migrate(chdb, name, ZONE, retention_days=days)
        kept = {table for table, engine in engines(chdb, name).items() if f"toIntervalDay({days})" in engine}
        assert kept == (set(RETENTION) if days else set())
    kept_for_ever = {"migrations", "runs", "feed_last", "redrives", "rejected_shown"}
    assert set(RETENTION) | set(REJECTED) | kept_for_ever == set(engines(chdb, name))


def test_dead_letters_have_a_retention_of_their_own_from_when_they_were_stored(chdb: Client) -> None:
    name = fresh_database()
    migrate(chdb, name, ZONE, retention_days=9, rejected_days=30)
    assert "TTL toDateTime(stored_at) + toIntervalDay(30)" in engines(chdb, name)["rejected"]
    migrate(chdb, name, ZONE, retention_days=400)  # says nothing of them
    assert "TTL toDateTime(stored_at) + toIntervalDay(30)" in engines(chdb, name)["rejected"]
    insert = f"INSERT INTO {name}.rejected (offset, ingested_at, stored_at) VALUES "
    chdb.command(insert + "(1, '2020-01-01', now() - INTERVAL 31 DAY), (2, '2020-01-01', now() - INTERVAL 29 DAY)")
    chdb.command(f"OPTIMIZE TABLE {name}.rejected FINAL")
    assert chdb.rows(f"SELECT offset FROM {name}.rejected") == [(2,)]
    migrate(chdb, name, ZONE, rejected_days=0)
    assert "TTL" not in engines(chdb, name)["rejected"]


def test_a_retention_of_an_earlier_version_by_another_column_is_replaced(chdb: Client) -> None:
    name = fresh_database()
    migrate(chdb, name, ZONE)
    chdb.command(f"ALTER TABLE {name}.rejected MODIFY TTL toDateTime(received_at) + toIntervalDay(30)")
    migrate(chdb, name, ZONE, rejected_days=30)
    assert "TTL toDateTime(stored_at) + toIntervalDay(30)" in engines(chdb, name)["rejected"]


def test_retention_removes_old_rows(chdb: Client) -> None:
    name = fresh_database()
    migrate(chdb, name, ZONE, retention_days=30)
    insert = f"INSERT INTO {name}.incidents (incident_id, opened_at) VALUES "
    chdb.command(insert + "('old', now() - INTERVAL 31 DAY), ('new', now() - INTERVAL 29 DAY)")
    chdb.command(f"OPTIMIZE TABLE {name}.incidents FINAL")
    assert chdb.rows(f"SELECT incident_id FROM {name}.incidents") == [("new",)]


def test_names_and_zones_are_filled_in(chdb: Client) -> None:
    name = "run_a-b"
    migrate(chdb, name, "America/New_York")
    (zone,) = chdb.rows(
        "SELECT type FROM system.columns WHERE database = {d:String} AND table = 'signals' AND name = 'occurred_at'",
        {"d": name},
    )
    assert zone == ("DateTime64(3, 'America/New_York')",)
