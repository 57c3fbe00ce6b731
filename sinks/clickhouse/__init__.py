"""ClickHouse, on a server or embedded (chDB): results are written here, and walls and analysts read them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sinks.clickhouse import dead_letters, runs, users
from sinks.clickhouse.client import Client, Config, connect
from sinks.clickhouse.layout import Layout
from sinks.clickhouse.migrate import migrate, pending, script
from sinks.clickhouse.writer import ClickHouseSink

__all__ = [
    "ClickHouseSink",
    "Client",
    "Config",
    "Layout",
    "connect",
    "dead_letters",
    "migrate",
    "open_sink",
    "pending",
    "runs",
    "script",
    "users",
]


def open_sink(
    config: Config,
    layers: Sequence[str],
    timezone: str,
    database: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> ClickHouseSink:
    """Connect, migrate `database` (default: the configured one) and give its sink.

    `layers`: the grids' layers, finest first. `timezone`: the city's, in which days and months are cut. Retention
    holds for the configured database alone: a run over old events would lose its rows while it writes them. That of the
    dead letters goes by the clock and holds for runs too.
    Raises Unreachable if ClickHouse does not answer, UsageError if it refuses or its tables are not ours.
    """
    client = connect(config)
    name = database or config.database
    try:
        days = config.retention_days if name == config.database else 0
        migrate(client, name, timezone, days, rejected_days=config.rejected_retention_days)
    except BaseException:
        client.close()
        raise
    return ClickHouseSink(client, name, layers, config.batch_rows, config.batch_s, clock)
