"""What stands in ClickHouse's columns, and what the views show of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs

from schemas.rows import Rows
from sinks.clickhouse import ClickHouseSink, connect, migrate
from tests.clickhouse import (
    DAY0,
    HOUR,
    LAYERS,
    ZONE,
    Where,
    alert,
    change,
    fresh_database,
    hotspot,
    incident,
    late,
    member,
    pane,
    rejected,
    repeat,
)


@pytest.fixture(scope="module")
def sink(chdb_url: str) -> Iterator[ClickHouseSink]:
    """One of everything."""
    client, name = connect(Where(chdb_url)), fresh_database()
    migrate(client, name, ZONE)
    sink = ClickHouseSink(client, name, LAYERS, 10**6, 1e9, lambda: 0.0)
    sink.write(
        Rows(
            DAY0 + 77,
            members=[
                change(member("open", DAY0 + 1, cell="u1", text="公开的话\n第二行")),
                change(member("secret", DAY0 + 2, cell="u1", flags=("secret", "weapon"), text="机密的话")),
                change(member("nowhere", DAY0 + 3, cell="", place="", lon=None)),
            ],
            late=[late("late", DAY0 - 99 * HOUR)],
            incidents=[incident("i1", 2, 5)],
            panes=[pane("u1", DAY0, 3, 2)],
            hotspots=[hotspot("h1"), hotspot("h1", 2, "cooling"), hotspot("h2"), hotspot("h2", 2, "closed")],
            repeats=[repeat("r1"), repeat("r2"), repeat("r2", 2, "closed")],
            alerts=[alert("a1"), alert("a2"), alert("a2", 2, "closed")],
            rejected=[rejected(7)],
        )
    )
    sink.flush()
    yield sink
    client.close()


def row(sink: ClickHouseSink, table: str, where: str = "1", final: str = " FINAL") -> dict[str, Any]:
    """The one row, times as epoch milliseconds."""
    described = sink.client.rows(f"DESCRIBE {sink.database}.{table}")
    columns = [
        f"toUnixTimestamp64Milli(toDateTime64(`{name}`, 3))" if "DateTime" in type else f"`{name}`"
        for name, type, *_ in described
    ]
    found = sink.client.rows(f"SELECT {', '.join(columns)} FROM {sink.database}.{table}{final} WHERE {where}")
    assert len(found) == 1
    return dict(zip((name for name, *_ in described), found[0], strict=True))


def test_every_column_of_a_signal(sink: ClickHouseSink) -> None:
    assert row(sink, "signals", "signal_id = '110:open'") == {
        "reported_at": DAY0,
        "signal_id": "110:open",
        "version": 1,
        "source": "110",
        "revision": 3,
        "occurred_at": DAY0 + 1,
        "received_at": DAY0 + 6,
        "ingested_at": DAY0 + 9,
        "category": "治安/盗窃/扒窃",
        "category1": "治安",
        "category_code": "010203",
        "summary": "公开的话\n第二行",
        "severity": 2,
        "state": "raised",
        "relation": "repeat",
        "related_id": "110:other",
        "flags": [],
        "quality": "point",
        "uncertainty_m": 10.0,
        "lon": 121.5,
        "lat": 31.25,
        "unit_cell": "u1",
        "street": "su1",
        "district": "du1",
        "cells": {"beat": "bu1"},
        "place_key": "a:人民路1号",
        "address": "人民路1号",
        "reporter": "abc",
        "incident_id": "inc-1",
        "opens": 1,
    }


def test_a_signal_without_a_place(sink: ClickHouseSink) -> None:
    found = row(sink, "signals", "signal_id = '110:nowhere'")
    assert (found["lon"], found["lat"], found["unit_cell"], found["place_key"]) == (None, None, "", "")
    assert row(sink, "signals_by_cell", "unit_cell = ''")["signal_id"] == "110:nowhere"


def test_every_column_of_a_late_signal(sink: ClickHouseSink) -> None:
    found = row(sink, "late_signals")
    assert found["watermark_at"] == DAY0 + 99 * HOUR
    assert found["occurred_at"] == found["reported_at"] == DAY0 - 99 * HOUR
    shown = row(sink, "signals", "signal_id = '110:late'")
    same = set(found) - {"watermark_at", "content"}
    assert {name: shown[name] for name in same} == {name: found[name] for name in same}
    assert (shown["version"], shown["incident_id"]) == (0, "")
    orders = f"SELECT signal_id FROM {sink.database}.signals_by_"
    assert ("110:late",) not in sink.client.rows(orders + "cell") + sink.client.rows(orders + "address")


def test_every_column_of_the_others(sink: ClickHouseSink) -> None:
    assert row(sink, "incidents") == {
        "opened_at": DAY0,
        "incident_id": "i1",
        "version": 2,
        "state": "open",
        "last_at": DAY0 + 7,
        "category": "治安/盗窃",
        "category1": "治安",
        "unit_cell": "u1",
        "street": "su1",
        "district": "du1",
        "cells": {"beat": "bu1"},
        "place_key": "a:x",
        "address": "人民路",
        "messages": 5,
        "reporters": 1,
        "sources": ["110", "grid"],
        "severity": 2,
        "merged_into": "",
        "ingested_at": DAY0 + 77,
    }
    assert row(sink, "grid_counts") == {
        "layer": "unit",
        "minutes": 15,
        "pane_start": DAY0,
        "category": "治安",
        "cell": "u1",
        "messages": 2,
        "incidents": 1,
        "opened": 1,
        "reporters": 1,
        "state": "provisional",
        "version": 3,
    }
    letter = row(sink, "rejected")
    assert 0 <= time.time() * 1000 - letter.pop("stored_at") < HOUR  # by the database's own clock, to the second
    assert letter == {
        "source": "110",
        "topic": "raw.110",
        "partition": 2,
        "offset": 7,
        "reason": "not_json",
        "detail": "行 1：不是 JSON",
        "raw": rejected(7).raw.hex(),  # how the driver shows bytes that are no text
        "message_key": "",
        "received_at": DAY0,
        "ingested_at": DAY0 + 77,
    }


def test_every_column_of_claims(sink: ClickHouseSink) -> None:
    assert row(sink, "hotspots_now", "hotspot_id = 'h1'") == {
        "opened_at": DAY0,
        "hotspot_id": "h1",
        "revision": 2,
        "state": "cooling",
        "method": "quiet",
        "provisional": 0,
        "level": "red",
        "layer": "unit",
        "cells": ["u1", "u2"],
        "category": "治安",
        "updated_at": DAY0 + 2,
        "window_start": DAY0 - HOUR,
        "window_end": DAY0,
        "observed": 9,
        "expected": 1.5,
        "score": 7.25,
        "history_days": 14,
        "versions": {"code": "c1", "grids": "g1"},
        "ingested_at": DAY0 + 77,
    }
    assert row(sink, "repeat_clusters_now", "cluster_id = 'r1'") == {
        "opened_at": DAY0,
        "cluster_id": "r1",
        "revision": 1,
        "state": "open",
        "place_key": "a:x",
        "hidden": 0,
        "address": "人民路1号",
        "cells": ["u1", "su1", "du1", "bu1"],
        "category": "治安",
        "updated_at": DAY0 + 1,
        "first_at": DAY0 - HOUR,
        "last_at": DAY0,
        "incidents": 3,
        "messages": 5,
        "reporters": 2,
        "sources": ["110"],
        "versions": {"grids": "g1"},
        "ingested_at": DAY0 + 77,
    }
    assert row(sink, "alerts", "alert_id = 'a1'") == {
        "opened_at": DAY0,
        "alert_id": "a1",
        "revision": 1,
        "state": "open",
        "level": "red",
        "subject_kind": "hotspot",
        "subject_id": "h1",
        "updated_at": DAY0 + 1,
        "cells": ["u1"],
        "category": "治安",
        "reason": "why",
        "ingested_at": DAY0 + 77,
    }


def test_views_show_what_is_open(sink: ClickHouseSink) -> None:
    def ids(view: str, column: str) -> list[tuple[Any, ...]]:
        return sink.client.rows(f"SELECT {column}, revision FROM {sink.database}.{view} ORDER BY ALL")

    assert ids("v_hotspots_open", "hotspot_id") == [("h1", 2)]
    assert ids("v_hotspots", "hotspot_id") == [("h1", 1), ("h1", 2), ("h2", 1), ("h2", 2)]
    assert ids("v_repeats_open", "cluster_id") == [("r1", 1)]
    assert ids("v_alerts_open", "alert_id") == [("a1", 1)]


def test_views_hide_secrets_and_reporters(sink: ClickHouseSink) -> None:
    views = [name for (name,) in sink.client.rows(f"SHOW TABLES FROM {sink.database} LIKE 'v\\_%'")]
    assert len(views) > 10
    for view in views:
        everything = sink.client.raw(f"SELECT * FROM {sink.database}.{view}", "JSONEachRow").decode()
        assert "机密的话" not in everything, view
        assert 'reporter"' not in everything, view
        secret = [line for line in everything.splitlines() if "110:secret" in line]
        assert not any("人民路" in line or "121.5" in line for line in secret), view
    shown = row(sink, "v_signals", "signal_id = '110:open'", "")
    assert (shown["shown_summary"], shown["shown_lon"], shown["hidden"]) == ("公开的话\n第二行", 121.5, 0)
    hidden = row(sink, "v_signals", "signal_id = '110:secret'", "")
    assert (hidden["shown_summary"], hidden["shown_address"], hidden["shown_lon"]) == ("", "", None)
    assert row(sink, "v_cell_signals", "signal_id = '110:secret'", "")["summary"] == ""


def test_the_repeat_list_hides_the_address_of_a_secret_place(sink: ClickHouseSink) -> None:
    told = structs.replace(repeat("r-secret"), hidden=True)
    sink.write(Rows(DAY0, repeats=[told]))
    sink.flush()
    for view in ("v_repeats", "v_repeats_open"):
        shown = row(sink, view, "cluster_id = 'r-secret'", "")
        assert (shown["address"], shown["place_key"], shown["incidents"]) == ("", "", 3)


def test_feeds_know_when_they_were_last_heard(sink: ClickHouseSink) -> None:
    assert row(sink, "v_feeds", "1", "") == {
        "source": "110",
        "last_occurred": DAY0 + 3,
        "last_reported": DAY0,
        "last_ingested": DAY0 + 100 * HOUR,
    }


def test_the_finest_layer_stands_in_for_unit(chdb_url: str) -> None:
    client, name = connect(Where(chdb_url)), fresh_database()
    migrate(client, name, ZONE)
    sink = ClickHouseSink(client, name, ("beat", "a", "b", "street"), 1, 1.0, lambda: 0.0)
    first, second = member("1", DAY0), member("1", DAY0, version=2, cell="u2")
    sink.write(Rows(DAY0, members=[change(first), change(second, first)]))
    assert row(sink, "signals")["cells"] == {"beat": "u2", "a": "su2", "b": "du2"}
    assert row(sink, "signals")["street"] == "bu2"
    assert row(sink, "signals_by_cell")["unit_cell"] == "u2"
    sink.close()
