"""The schema on a cluster: made of the one text, understood by the engine, with the same rows in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas import UsageError
from sinks.clickhouse import Client, Layout, connect, migrate, script
from sinks.clickhouse.layout import SETTINGS
from sinks.clickhouse.migrate import shipped
from tests.clickhouse import ZONE, Where, fresh_database
from tests.command_line import Quanyu, command_line

NAMES = [migration.name for migration in shipped()]
REPLICATED, SHARDED = Layout("province"), Layout("province", "north")


def statements(layout: Layout, database: str = "city", days: int = 90) -> list[str]:
    """All that `migrate` runs for an empty database."""
    text = re.sub(r"^--.*\n", "", script(layout, database, ZONE, days, NAMES), flags=re.M)
    return [part for part in re.split(r";\n", text) if part]


def formatted(client: Client, statement: str) -> str:
    """The statement as the engine's parser understood it."""
    return str(client.rows("SELECT formatQuerySingleLine({sql:String})", {"sql": statement})[0][0])


@pytest.mark.parametrize("layout", [Layout(), REPLICATED, SHARDED])
def test_the_whole_script_drops_nothing_and_an_upgrade_does(layout: Layout) -> None:
    """It is also run where rows are: for a new replica."""
    whole = statements(layout)
    assert not [part for part in whole if part.startswith("DROP")]
    assert len([part for part in whole if re.match(r"CREATE .*TABLE .*\.feed_health\b", part)]) == (
        2 if layout.shard else 1
    )
    assert "DROP TABLE IF EXISTS" in script(layout, "city", ZONE, 0, NAMES[7:])


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `tests.sharded` has found."""
    command = [sys.executable, "-m", "tests.sharded", str(tmp_path_factory.mktemp("sharded") / "here")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("layout", [Layout(), REPLICATED, SHARDED], ids=["one node", "replicated", "sharded"])
def test_the_engine_understands_every_statement(layout: Layout, chdb: Client) -> None:
    for statement in statements(layout):
        tree = [line for (line,) in chdb.rows(f"EXPLAIN AST {statement}")]
        assert re.match(r"(Create|Alter|Insert|Drop)\w*Query", tree[0]), statement
        changes = re.match("CREATE|ALTER|DROP", statement) is not None
        assert (" ON CLUSTER " in formatted(chdb, statement)) == (changes and bool(layout.cluster)), statement


def test_a_replicated_cluster_differs_in_engine_and_place_alone(chdb: Client) -> None:
    single, cluster = statements(Layout()), statements(REPLICATED)
    assert len(single) == len(cluster)
    replica = r"Replicated(\w*MergeTree)\('/clickhouse/tables/\{shard\}/\{database\}/\{table\}', '\{replica\}'(?:, )?"
    for one, many in zip(single, cluster, strict=True):
        plain, found = re.subn(replica, r"\1(", formatted(chdb, many).replace(" ON CLUSTER province", ""))
        assert plain.replace("MergeTree()", "MergeTree") == formatted(chdb, one)
        assert found == len(re.findall(r"ENGINE = \w*MergeTree", one))


def test_on_a_shard_the_tables_stand_behind_distributed_ones_of_their_names(chdb: Client) -> None:
    """The statements of the shard are those of a cluster of its own; in front is one table for each table and view."""
    text = [formatted(chdb, s) for s in statements(SHARDED)]
    front = [s for s in text if "Distributed(" in s]
    home = [s for s in text if " ON CLUSTER north" in s]
    lonely = [formatted(chdb, s) for s in statements(Layout("north")) if not s.startswith("INSERT")]
    assert [s.replace("city_local", "city") for s in home] == lonely
    made = {
        match[1]: match[2]
        for s in front
        if (match := re.match(r"CREATE OR REPLACE TABLE city\.(\w+) ON CLUSTER province ENGINE = (.+)", s))
    }
    names = re.findall(r"CREATE (?:OR REPLACE )?(?:TABLE|VIEW) (?:IF NOT EXISTS )?city_local\.(\w+)", "\n".join(home))
    assert set(made) == set(names)
    assert all(engine == f"Distributed('north', 'city_local', '{name}')" for name, engine in made.items())
    others = [s for s in text if s not in front and s not in home]
    assert others[0].startswith("CREATE DATABASE IF NOT EXISTS city ON CLUSTER province")
    rest = [s for s in others[1:] if not re.match(r"(DROP|ALTER) TABLE ", s)]
    assert all(s.startswith("INSERT INTO city.migrations") for s in rest) and len(rest) == len(NAMES)


def test_the_same_rows_end_on_a_shard_as_on_one_node(sharded: dict[str, Any]) -> None:
    """Written and read through the Distributed tables: newest versions, tombstones, masks, runs, retention."""
    assert sharded["sharded"] == sharded["single"]
    found = sharded["sharded"]
    assert (found["applied"], found["again"], found["pending"]) == (NAMES, [], [])
    assert found["counts"]["signals"] == 3 and found["counts"]["rejected"] == 2
    assert found["run"] == [{"signals": 3}, 0]
    assert ["110:a" in row for row in found["views"]["v_cell_signals"]] == [False, True]
    assert all(found["views"][name] for name in ("v_signals", "v_grid_counts", "v_hotspots_open", "v_rejected"))


def test_rows_lie_in_the_home_alone(sharded: dict[str, Any]) -> None:
    engines = {(database, name): engine for database, name, engine in sharded["tables"]}
    assert {engine for (database, _), engine in engines.items() if database == "city"} == {"Distributed"}
    home = {name for (database, name) in engines if database == "city_local"}
    assert {name for (database, name) in engines if database == "city"} == {n for n in home if n[:3] != "mv_"}


def test_clusters_that_would_lose_rows_are_refused(sharded: dict[str, Any]) -> None:
    errors = sharded["errors"]
    assert "cluster wide has 2 shards" in errors["spread"] and "clickhouse.shard" in errors["spread"]
    assert "clickhouse.shard: cluster wide has 2 shards" in errors["two"]
    assert "clickhouse.cluster: the server knows no cluster 'nowhere'" in errors["unknown"]


def test_changes_of_later_migrations_have_a_cluster_form() -> None:
    def arranged(statement: str) -> list[str]:
        return SHARDED.arranged(statement, "city")

    assert arranged("ALTER TABLE `city`.signals ADD COLUMN x UInt8") == [
        "ALTER TABLE `city_local`.signals ON CLUSTER 'north' ADD COLUMN x UInt8",
        "CREATE OR REPLACE TABLE `city`.signals ON CLUSTER 'province' "
        "ENGINE = Distributed('north', 'city_local', 'signals')",
    ]
    assert arranged("DROP VIEW IF EXISTS `city`.mv_x") == [
        "DROP TABLE IF EXISTS `city`.mv_x ON CLUSTER 'province'",
        "DROP VIEW IF EXISTS `city_local`.mv_x ON CLUSTER 'north'",
    ]
    assert arranged("INSERT INTO `city`.a SELECT * FROM `city`.b") == ["INSERT INTO `city`.a SELECT * FROM `city`.b"]
    for unknown in ("RENAME TABLE `city`.a TO `city`.b", "ALTER TABLE `other`.a DROP COLUMN b"):
        with pytest.raises(ValueError, match="no cluster form"):
            arranged(unknown)


def test_settings_of_a_cluster_are_the_engine_s(chdb: Client) -> None:
    known = {name for (name,) in chdb.rows("SELECT name FROM system.settings")}
    assert set(SETTINGS) <= known


def test_the_embedded_database_has_no_cluster(chdb_url: str) -> None:
    with pytest.raises(UsageError, match="no clusters"):
        connect(Where(chdb_url, cluster="province"))


@pytest.fixture
def cli(chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quanyu:
    return command_line(chdb_url, tmp_path / "empty", monkeypatch)


def test_migrate_prints_what_would_run(cli: Quanyu, chdb: Client) -> None:
    name = fresh_database()
    place = [f"clickhouse.database={name}"]
    before = cli("migrate", "--sql", settings=place)
    assert before.exit_code == 0 and before.stdout == script(Layout(), name, ZONE, 0, NAMES, 30)
    assert not chdb.rows("SELECT 1 FROM system.databases WHERE name = {n:String}", {"n": name})
    migrate(chdb, name, ZONE)
    assert "0001" not in cli("migrate", "--sql", settings=place).stdout
    cluster = [*place, "clickhouse.cluster=province", "clickhouse.shard=north", "clickhouse.retention_days=9"]
    printed = cli("migrate", "--sql", "--all", settings=cluster)
    assert printed.stdout == script(SHARDED, name, ZONE, 9, NAMES, 30)
    assert cli("migrate", "--all").exit_code == cli("migrate", "--sql", "--json").exit_code == 2
    alone = cli("migrate", "--sql", "--all", settings=["clickhouse.shard=north"])
    assert alone.exit_code == 2 and "needs clickhouse.cluster" in alone.stderr
