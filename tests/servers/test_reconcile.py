"""The nightly reconcile over HTTP, as a city's server is asked: more late signals than one query binds."""

from __future__ import annotations

import pytest

from sinks.clickhouse import ClickHouseSink, connect, migrate
from sinks.clickhouse.reconcile import CHUNK
from streams.windows import HOUR_MS, MINUTE_MS
from tests.beyond import lived, reconciled, store
from tests.build import DAY0, LAYERS, signal
from tests.clickhouse import ZONE, Where, fresh_database

pytestmark = pytest.mark.servers


def test_many_late_signals_over_http(clickhouse: str) -> None:
    many = CHUNK * 2 + 100
    on_time = [signal(str(n), DAY0 + 9 * HOUR_MS + n * 1000, place=f"甲路{n}号", revision=1) for n in range(many)]
    late = [
        signal(f"l{n}", DAY0 + 9 * HOUR_MS + n * 1000 + MINUTE_MS, place=f"甲路{n}号", revision=1) for n in range(many)
    ]
    client, name = connect(Where(clickhouse)), fresh_database()
    migrate(client, name, ZONE)
    sink = ClickHouseSink(client, name, LAYERS, 10**6, 1e9, lambda: 0.0)
    store(sink, lived(on_time, late, size=200))
    (report,) = reconciled(sink, 1)
    assert (report.late, report.new, report.signals, report.incidents) == (many, many, many, many)
    day = f"SELECT messages, incidents, opened FROM {name}.v_grid_counts WHERE layer = 'city' AND minutes = 1440"
    assert client.rows(f"{day} AND pane_start < '2026-03-03'") == [(2 * many, many, many)]
    (again,) = reconciled(sink, 1)
    assert (again.known, again.signals, again.panes, again.due) == (many, 0, 0, [])
    client.close()
