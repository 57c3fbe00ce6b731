"""Runs: a database and a record each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas import UsageError
from sinks.clickhouse import Client, migrate, runs
from tests.clickhouse import DAY0, ZONE, fresh_database


@pytest.fixture
def base(chdb: Client) -> Iterator[str]:
    """A migrated base database."""
    name = fresh_database()
    migrate(chdb, name, ZONE)
    yield name


def test_the_life_of_a_run(chdb: Client, base: str) -> None:
    runs.start(chdb, base, "what-if_1", DAY0, {"file": "a.csv", "set": ["x=1"]})
    running = runs.shown(chdb, base, "what-if_1")
    assert running == runs.Run("what-if_1", DAY0, None, {"file": "a.csv", "set": ["x=1"]}, {})
    migrate(chdb, running.database, ZONE)
    runs.finish(chdb, base, "what-if_1", DAY0 + 5, {"read": 7, "说": "明"})
    done = runs.shown(chdb, base, "what-if_1")
    assert (done.finished_at_ms, done.manifest, done.started_at_ms) == (DAY0 + 5, {"read": 7, "说": "明"}, DAY0)
    runs.drop(chdb, base, "what-if_1")
    assert runs.listed(chdb, base) == []
    assert chdb.rows("SELECT name FROM system.databases WHERE name = 'run_what-if_1'") == []


def test_newest_first(chdb: Client, base: str) -> None:
    for number in range(3):
        runs.start(chdb, base, f"r{number}", DAY0 + number, {})
    assert [run.id for run in runs.listed(chdb, base)] == ["r2", "r1", "r0"]


def test_a_name_is_used_once(chdb: Client, base: str) -> None:
    runs.start(chdb, base, "once", DAY0, {})
    with pytest.raises(UsageError, match="quanyu replay rm once"):
        runs.start(chdb, base, "once", DAY0, {})


def test_rows_left_by_a_run_without_record_do_not_come_back(chdb: Client, base: str) -> None:
    chdb.command("CREATE DATABASE IF NOT EXISTS `run_left-over`")
    chdb.command("CREATE TABLE `run_left-over`.t (x UInt8) ENGINE = MergeTree ORDER BY x")
    runs.start(chdb, base, "left-over", DAY0, {})
    assert chdb.rows("SELECT name FROM system.tables WHERE database = 'run_left-over'") == []


@pytest.mark.parametrize("id", ["", "a b", "-x", "a`b", "x" * 65, "名"])
def test_bad_names(id: str) -> None:
    with pytest.raises(UsageError, match="name has"):
        runs.database(id)


def test_an_unknown_run_lists_the_known(chdb: Client, base: str) -> None:
    with pytest.raises(UsageError, match="there are none"):
        runs.shown(chdb, base, "x")
    runs.start(chdb, base, "known", DAY0, {})
    with pytest.raises(UsageError, match="there are: known"):
        runs.drop(chdb, base, "x")
