"""What a ClickHouse says of itself: version, clock, disks, replicas, parts, and what its user may do. Looks only."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from schemas import UsageError
from sinks.clickhouse.client import Client, quote
from sinks.clickhouse.writer import NAMES


class Disk(Struct, frozen=True):
    """A disk of the server (of each node that has the rows)."""

    name: str
    free_bytes: int
    total_bytes: int


class Health(Struct, frozen=True):
    """`ahead_ms`: the server's clock minus ours, give or take half of the question's way there and back."""

    version: tuple[int, int]
    ahead_ms: int
    disks: list[Disk]
    #: `table on host: why`
    lagging: list[str]
    #: most active parts of one partition, and where
    parts: int
    parts_of: str


#: seconds that a replica may be behind
DELAY_S = 60


def look(client: Client, database: str, now_ms: Callable[[], int]) -> Health:
    """Ask. Raises Unreachable and UsageError as every call does."""
    before = now_ms()
    ((version, clock_ms),) = client.rows("SELECT version(), toUnixTimestamp64Milli(now64(3))")
    ahead_ms = int(clock_ms) - (before + now_ms()) // 2
    major, minor = re.findall(r"\d+", str(version))[:2]
    home = {"database": client.layout.home(database)}
    disks, replicas, parts = (client.layout.system(table) for table in ("disks", "replicas", "parts"))
    lagging = client.rows(
        "SELECT table, replica_name, is_readonly ? 'read-only' : concat(toString(absolute_delay), ' s behind') "  # noqa: S608
        f"FROM {replicas} WHERE database = {{database:String}} AND (is_readonly OR absolute_delay > {DELAY_S}) "
        "ORDER BY ALL",
        home,
    )
    most = client.rows(
        f"SELECT count() AS n, table, partition FROM {parts} WHERE database = {{database:String}} AND active "  # noqa: S608
        "GROUP BY table, partition ORDER BY n DESC, table, partition LIMIT 1",
        home,
    )
    sizes = client.rows(
        f"SELECT name, min(free_space), argMin(total_space, free_space) FROM {disks} GROUP BY name ORDER BY ALL"  # noqa: S608
    )
    return Health(
        (int(major), int(minor)),
        ahead_ms,
        [Disk(str(name), int(free), int(total)) for name, free, total in sizes],
        [f"{table} on {replica}: {why}" for table, replica, why in lagging],
        int(most[0][0]) if most else 0,
        f"{most[0][1]} {most[0][2]}" if most else "",
    )


def refused(client: Client, database: str) -> list[UsageError]:
    """What the user may not do of what a worker does: read and write each table. Stores nothing: no row is selected."""
    found = []
    for table in [*NAMES.values(), "runs", "migrations"]:
        place = f"{quote(database)}.{table}"
        try:
            client.command(f"INSERT INTO {place} SELECT * FROM {place} WHERE 0")  # noqa: S608
        except UsageError as error:
            found.append(error)
    return found
