"""ClickHouse's engine with a cluster of one node, as a process of its own: `python -m tests.sharded DIR`.

Embedded, it knows `remote_servers` and Distributed tables but has no keeper: what needs one (ON CLUSTER, Replicated
engines) is taken out of each statement before it runs; everything else is the statement that a server would get. Writes
the same rows into a database on one shard of a cluster and into one on a single node, and prints what each holds.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import clickhouse_connect

from schemas import UsageError
from schemas.rows import Rows
from sinks.clickhouse import ClickHouseSink, Client, Layout, migrate, pending, runs
from sinks.clickhouse.layout import SETTINGS
from tests.clickhouse import (
    DAY0,
    HOUR,
    LAYERS,
    ZONE,
    alert,
    change,
    hotspot,
    incident,
    late,
    member,
    pane,
    rejected,
    repeat,
)

CLUSTERS = """<clickhouse><tcp_port>9000</tcp_port><remote_servers>
<province><shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard></province>
<home><shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard></home>
<wide><shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>
<shard><replica><host>127.0.0.2</host><port>9000</port></replica></shard></wide>
</remote_servers></clickhouse>"""


class Keeperless(Client):
    """A client whose statements do without a keeper."""

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        super().command(without_keeper(sql), parameters)


def without_keeper(sql: str) -> str:
    """The statement for one node: neither distributed to others nor replicated."""
    sql = re.sub(r" ON CLUSTER ('\w+'|\w+)", "", sql)
    sql = re.sub(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?", r"\1(", sql)
    return sql.replace("MergeTree()", "MergeTree")


def rows() -> list[Rows]:
    """Two batches: the second moves a signal, closes what was open and repeats a dead letter."""
    first = member("a", DAY0 + HOUR)
    moved = member("a", DAY0 + 2 * HOUR, version=2, cell="u2", place="湖滨街5号")
    return [
        Rows(
            DAY0 + 9,
            members=[change(first), change(member("b", DAY0 + HOUR, flags=("secret",)))],
            late=[late("c", DAY0 - 90 * HOUR)],
            panes=[pane("u1", DAY0 + HOUR, messages=2), pane("d", DAY0, layer="city", minutes=60, messages=2)],
            incidents=[incident("i1"), incident("i2")],
            hotspots=[hotspot("h1"), hotspot("h2")],
            repeats=[repeat("r1")],
            alerts=[alert("x1")],
            rejected=[rejected(1), rejected(2)],
        ),
        Rows(
            DAY0 + 19,
            members=[change(moved, first)],
            panes=[pane("u1", DAY0 + HOUR, version=2, messages=1), pane("u2", DAY0 + 2 * HOUR)],
            incidents=[incident("i1", version=2, messages=4)],
            hotspots=[hotspot("h1", revision=2, state="closed")],
            alerts=[alert("x1", revision=2, state="closed")],
            rejected=[rejected(2)],
        ),
    ]


def stored(client: Client, database: str) -> dict[str, Any]:
    """Migrate, write, and read every view."""
    applied = migrate(client, database, ZONE, retention_days=100_000)
    sink = ClickHouseSink(client, database, LAYERS, 100, 1.0, lambda: 0.0)
    for batch in rows():
        sink.write(batch)
        sink.flush()
    views = client.rows(
        f"SELECT name FROM {client.layout.system('tables')} WHERE database = {{d:String}} AND engine = 'View'",
        {"d": client.layout.home(database)},
    )
    runs.start(client, database, "one", DAY0, {})
    runs.finish(client, database, "one", DAY0 + HOUR, {"signals": 3})
    (run,) = runs.listed(client, database)
    runs.drop(client, database, "one")
    return {
        "applied": applied,
        "again": migrate(client, database, ZONE, retention_days=100_000),
        "pending": pending(client, database),
        "counts": sink.counts(),
        "digest": sink.digest(),
        "views": {
            name: sorted(map(repr, client.rows(f"SELECT * FROM {database}.{name} ORDER BY ALL")))
            for (name,) in sorted(views)
        },
        "run": [run.manifest, len(runs.listed(client, database))],
    }


def main() -> None:
    """Print one JSON object."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    (folder / "config.xml").write_text(CLUSTERS)
    path = f"{folder / 'data'}?config-file={folder / 'config.xml'}"
    driver = clickhouse_connect.get_client(interface="chdb", path=path, settings=SETTINGS)
    sharded = Keeperless(driver, "sharded", Layout("province", "home"))
    found = {"sharded": stored(sharded, "city"), "single": stored(Client(driver, "single"), "alone")}
    sql = "SELECT database, name, engine FROM system.tables WHERE database LIKE 'city%' ORDER BY ALL"
    tables = sharded.rows(sql)
    errors = {}
    for name, layout in {"spread": Layout("wide"), "unknown": Layout("nowhere"), "two": Layout("wide", "wide")}.items():
        try:
            migrate(Keeperless(driver, "here", layout), "other", ZONE)
        except UsageError as error:
            errors[name] = error.en
    print(json.dumps({**found, "tables": tables, "errors": errors}, ensure_ascii=False))


if __name__ == "__main__":
    main()
