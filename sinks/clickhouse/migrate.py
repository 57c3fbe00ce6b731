"""Numbered migrations: `migrations/NNNN_name.sql`, applied in order, each once a database, recorded with a checksum.

A migration is never edited once it has been applied anywhere (an edited one is an error); a change is a new one.
Every statement can be run again (IF NOT EXISTS, OR REPLACE), so that one cut off in its middle is simply repeated.
`{database}` and `{timezone}` are filled in; a statement ends with `;` at the end of a line and says something about one
table or view. On a cluster the same statements run in another form (`layout`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from zoneinfo import ZoneInfo

import pyarrow as pa
from msgspec import Struct

from schemas import UsageError
from sinks.clickhouse.client import Client, quote
from sinks.clickhouse.layout import Layout

EXISTS = "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = 'migrations'"
#: what `retention_days` empties, and the time that a row's age is counted from. Event times: the same row always
#: goes at the same moment, from every order it stands in.
RETENTION = {
    "signals": "reported_at",
    "late_signals": "reported_at",
    "signals_by_cell": "occurred_at",
    "signals_by_address": "occurred_at",
    "incidents": "opened_at",
    "grid_counts": "pane_start",
    "hotspots": "opened_at",
    "hotspots_now": "opened_at",
    "repeat_clusters": "opened_at",
    "repeat_clusters_now": "opened_at",
    "alerts": "opened_at",
    "alerts_now": "opened_at",
    "alert_deliveries": "at",
    "feed_health": "at",
    "reconciliations": "begun_at",
}
#: one node, nothing replicated
ONE_NODE = Layout()
#: what `rejected_retention_days` empties: bytes as they came, with whatever they hold. By the clock of the database,
#: from when they came into this table, whatever time it was in the records, or in a simulated city.
REJECTED = {"rejected": "stored_at"}
DROP = "DROP TABLE IF EXISTS "


class Migration(Struct, frozen=True):
    """A migration file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of the text before anything is filled in."""
        return hashlib.blake2b(self.text.encode(), digest_size=16).hexdigest()

    def statements(self, database: str, timezone: str, layout: Layout = ONE_NODE) -> list[str]:
        """The statements for a database."""
        filled = self.text.replace("{database}", quote(database)).replace("{timezone}", timezone)
        bare = re.sub(r"^--.*\n", "", filled, flags=re.M)
        parts = [part.strip() for part in re.split(r";\s*$", bare, flags=re.M) if part.strip()]
        return [statement for part in parts for statement in layout.arranged(part, database)]


def shipped() -> list[Migration]:
    """The migrations that come with this version, in order."""
    folder = resources.files("sinks.clickhouse") / "migrations"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name)
    return [Migration(int(item.name[:4]), item.name, item.read_text(encoding="utf-8")) for item in files]


def migrate(
    client: Client,
    database: str,
    timezone: str,
    retention_days: int = 0,
    migrations: list[Migration] | None = None,
    rejected_days: int | None = None,
) -> list[str]:
    """Bring `database` up to date and set how long rows are kept; gives the names of the migrations applied now.

    Days: 0 is for ever; `rejected_days` None leaves the dead letters' as they are.
    Raises UsageError if an applied migration was edited, or is newer than this program, or if there is no cluster as
    it is configured.
    """
    ZoneInfo(timezone)
    known = shipped() if migrations is None else migrations
    _look_at_cluster(client)
    # looked at first: a user who only writes may not even ask for what is there already
    if not client.rows(EXISTS, {"database": database}):
        for statement in _opening(client.layout, database, timezone):
            client.command(statement)
    applied = {number: (name, checksum) for number, name, checksum in _applied(client, database)}
    _check(known, applied, client.where, database)
    done = []
    for migration in known:
        if migration.number not in applied:
            for statement in migration.statements(database, timezone, client.layout):
                client.command(statement)
            client.insert(database, "migrations", _record(migration))
            done.append(migration.name)
    _keep(client, database, RETENTION, retention_days)
    if rejected_days is not None:
        _keep(client, database, REJECTED, rejected_days)
    return done


def pending(client: Client, database: str) -> list[str]:
    """Names of shipped migrations that `database` lacks (all of them if there is no such database)."""
    exists = client.rows(EXISTS, {"database": database})
    applied = {row[0] for row in _applied(client, database)} if exists else set()
    return [migration.name for migration in shipped() if migration.number not in applied]


def script(
    layout: Layout, database: str, timezone: str, retention_days: int, names: list[str], rejected_days: int = 0
) -> str:
    """What `migrate` would run for the migrations `names`, with its records, for an administrator to read or to run.

    Every statement may be repeated: what one of them would make for a later one to drop is left out, the drop with it.
    """
    parts = _opening(layout, database, timezone)
    for migration in shipped():
        if migration.name in names:
            values = f"({migration.number}, '{migration.name}', '{migration.checksum}')"
            record = f"INSERT INTO {quote(database)}.migrations (number, name, checksum) VALUES {values}"  # noqa: S608
            parts += [f"-- {migration.name}", *migration.statements(database, timezone, layout), record]
    parts = _without_passing(parts)
    for columns, days in ((RETENTION, retention_days), (REJECTED, rejected_days)):
        for table, column in columns.items() if days else ():
            parts += _ttl(layout, database, table, column, days)
    return "".join(part + ("\n" if part.startswith("--") else ";\n") for part in parts)


def _without_passing(parts: list[str]) -> list[str]:
    """The statements without tables that are made only to be dropped by a later one."""
    gone: set[int] = set()
    for at, part in enumerate(parts):
        if part.startswith(DROP):
            about = re.compile(re.escape(part.removeprefix(DROP).split()[0]) + r"\b")
            made = [n for n in range(at) if about.search(parts[n])]
            if any(parts[n].startswith(("CREATE TABLE", "CREATE OR REPLACE TABLE")) for n in made):
                gone |= {at, *made}
    return [part for at, part in enumerate(parts) if at not in gone]


def _opening(layout: Layout, database: str, timezone: str) -> list[str]:
    """The database, and the table that says which migrations it has."""
    table = (
        f"CREATE TABLE IF NOT EXISTS {quote(database)}.migrations (number UInt32, name String, checksum String, "
        f"applied_at DateTime64(3, '{timezone}') DEFAULT now64(3)) ENGINE = ReplacingMergeTree ORDER BY number"
    )
    return layout.databases(database) + layout.arranged(table, database)


def _look_at_cluster(client: Client) -> None:
    """Raise UsageError for a cluster that is not there, or that would spread a database over shards."""
    sql = "SELECT max(shard_num) FROM system.clusters WHERE cluster = {name:String} HAVING count()"
    layout = client.layout
    for key, name, single in (
        ("clickhouse.cluster", layout.cluster, not layout.shard),
        ("clickhouse.shard", layout.shard, True),
    ):
        found = client.rows(sql, {"name": name}) if name else [(1,)]
        if not found:
            raise UsageError(
                f"{client.where}: {key}: the server knows no cluster {name!r}: add it to its remote_servers, or see "
                f"system.clusters for those that there are",
                f"{client.where}：{key}：服务器没有名为 {name!r} 的集群：请在其 remote_servers 中添加，"
                f"或在 system.clusters 中查看现有集群",
            )
        if single and found[0][0] > 1:
            raise UsageError(
                f"{client.where}: {key}: cluster {name} has {found[0][0]} shards, and a city's rows stay on one: set "
                f"clickhouse.shard to the name of a cluster that is this one shard (docs/operations.md)",
                f"{client.where}：{key}：集群 {name} 有 {found[0][0]} 个分片，而一个城市的数据只放在一个分片上："
                f"请把 clickhouse.shard 设为仅含该分片的集群名（见 docs/operations.md）",
            )


def _applied(client: Client, database: str) -> list[tuple[int, str, str]]:
    sql = "SELECT number, name, checksum FROM {database:Identifier}.migrations FINAL ORDER BY number"
    rows = client.rows(sql, {"database": database})
    return [(int(number), str(name), str(checksum)) for number, name, checksum in rows]


def _check(known: list[Migration], applied: dict[int, tuple[str, str]], where: str, database: str) -> None:
    ours = {migration.number: migration for migration in known}
    for number, (name, checksum) in applied.items():
        if number not in ours:
            raise UsageError(
                f"{where}: database {database} has migration {name}, which this version of Quanyu does not know: "
                f"it was made by a newer one; update Quanyu, or use another clickhouse.database",
                f"{where}：数据库 {database} 含有本版本不认识的迁移 {name}，由更新的版本创建；"
                f"请升级全域，或换用另一个 clickhouse.database",
            )
        if ours[number].checksum != checksum:
            raise UsageError(
                f"{where}: migration {name} was edited after it had been applied to {database}: put the file back as "
                f"it was and write the change as a new migration",
                f"{where}：迁移 {name} 在应用到 {database} 之后被修改；请恢复原文件，并把改动写成新的迁移",
            )


def _record(migration: Migration) -> pa.Table:
    return pa.table(
        {
            "number": pa.array([migration.number], pa.uint32()),
            "name": [migration.name],
            "checksum": [migration.checksum],
        }
    )


def _keep(client: Client, database: str, columns: Mapping[str, str], days: int) -> None:
    """Set the TTL of every one of these tables (by the column named) where it is another one; 0 days: none."""
    home = client.layout.home(database)
    tables = client.layout.system("tables")
    sql = f"SELECT name, engine_full FROM {tables} WHERE database = {{database:String}}"  # noqa: S608
    engines = dict(client.rows(sql, {"database": home}))
    for table, column in columns.items():
        found = re.search(r"TTL toDateTime\((\w+)\) \+ toIntervalDay\((\d+)\)", engines.get(table, ""))
        now = (found.group(1), int(found.group(2))) if found else ("", 0)
        if table in engines and now != ((column, days) if days else ("", 0)):
            for statement in _ttl(client.layout, database, table, column, days):
                client.command(statement)


def _ttl(layout: Layout, database: str, table: str, column: str, days: int) -> list[str]:
    change = f"MODIFY TTL toDateTime({column}) + toIntervalDay({days})" if days else "REMOVE TTL"
    # the Distributed table in front, if there is one, has no part in it
    return layout.arranged(f"ALTER TABLE {quote(database)}.{table} {change}", database)[:1]
