"""Numbered migrations: `migrations/NNNN_name.sql`, applied in order, each once a database, recorded with a checksum.

A migration is never edited once it has been applied anywhere (an edited one is an error); a change is a new one.
Every statement can be run again (IF NOT EXISTS, OR REPLACE), so that one cut off in its middle is simply repeated.
`{database}` and `{timezone}` are filled in; a statement ends with `;` at the end of a line.
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from zoneinfo import ZoneInfo

import pyarrow as pa
from msgspec import Struct

from schemas import UsageError
from sinks.clickhouse.client import Client, quote

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
    "rejected": "received_at",
}


class Migration(Struct, frozen=True):
    """A migration file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of the text before anything is filled in."""
        return hashlib.blake2b(self.text.encode(), digest_size=16).hexdigest()

    def statements(self, database: str, timezone: str) -> list[str]:
        """The statements for a database."""
        filled = self.text.replace("{database}", quote(database)).replace("{timezone}", timezone)
        bare = re.sub(r"^--.*\n", "", filled, flags=re.M)
        return [part.strip() for part in re.split(r";\s*$", bare, flags=re.M) if part.strip()]


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
) -> list[str]:
    """Bring `database` up to date and set how long rows are kept; gives the names of the migrations applied now.

    Raises UsageError if an applied migration was edited, or is newer than this program.
    """
    ZoneInfo(timezone)
    known = shipped() if migrations is None else migrations
    # looked at first: a user who only writes may not even ask for what is there already
    if not client.rows(EXISTS, {"database": database}):
        client.command(f"CREATE DATABASE IF NOT EXISTS {quote(database)} ENGINE = Atomic")
        client.command(
            f"CREATE TABLE IF NOT EXISTS {quote(database)}.migrations (number UInt32, name String, checksum String, "
            f"applied_at DateTime64(3, '{timezone}') DEFAULT now64(3)) ENGINE = ReplacingMergeTree ORDER BY number"
        )
    applied = {number: (name, checksum) for number, name, checksum in _applied(client, database)}
    _check(known, applied, client.where, database)
    done = []
    for migration in known:
        if migration.number not in applied:
            for statement in migration.statements(database, timezone):
                client.command(statement)
            client.insert(database, "migrations", _record(migration))
            done.append(migration.name)
    _keep(client, database, retention_days)
    return done


def pending(client: Client, database: str) -> list[str]:
    """Names of shipped migrations that `database` lacks (all of them if there is no such database)."""
    exists = client.rows("SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": database})
    applied = {row[0] for row in _applied(client, database)} if exists else set()
    return [migration.name for migration in shipped() if migration.number not in applied]


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


def _keep(client: Client, database: str, days: int) -> None:
    """Set the TTL of every table of RETENTION where it is another one; 0 days: none."""
    sql = "SELECT name, engine_full FROM system.tables WHERE database = {database:String}"
    engines = dict(client.rows(sql, {"database": database}))
    for table, column in RETENTION.items():
        found = re.search(r"toIntervalDay\((\d+)\)", engines.get(table, ""))
        now = int(found.group(1)) if found else 0
        if table in engines and now != days:
            change = f"MODIFY TTL toDateTime({column}) + toIntervalDay({days})" if days else "REMOVE TTL"
            client.command(f"ALTER TABLE {quote(database)}.{table} {change}")
