"""The wall's queries, each against figures worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.rows import Rows
from sinks.clickhouse import ClickHouseSink, connect, migrate, queries
from tests.clickhouse import (
    DAY0,
    HOUR,
    LAYERS,
    ZONE,
    Where,
    alert,
    change,
    feed,
    fresh_database,
    hotspot,
    late,
    member,
    pane,
    repeat,
)

DAY = 24 * HOUR
TRICKY = 'a:O\'Brien \\ 1号\t"x"'


@pytest.fixture(scope="module")
def sink(chdb_url: str) -> Iterator[ClickHouseSink]:
    """Two days and a year of counts, a few signals and claims."""
    client, name = connect(Where(chdb_url)), fresh_database()
    migrate(client, name, ZONE)
    sink = ClickHouseSink(client, name, LAYERS, 10**6, 1e9, lambda: 0.0)
    first = member("moved", DAY0 + HOUR, cell="u1")
    sink.write(
        Rows(
            DAY0,
            members=[
                change(first),
                change(member("moved", DAY0 + HOUR, version=2, cell="u2"), first),
                change(member("a", DAY0 + 1, cell="u1", place=TRICKY[2:])),
                change(member("b", DAY0 + 2, cell="u1", place=TRICKY[2:])),
                change(member("c", DAY0 + DAY, cell="u1", place=TRICKY[2:])),
                change(member("d", DAY0 + 3, cell="u1", place=TRICKY[2:], flags=("secret",))),
            ],
            late=[late("late", DAY0 - DAY, reported_ms=DAY0 - DAY)],
            panes=[
                pane("u1", DAY0, 1, 3),
                pane("u1", DAY0, 2, 5),
                pane("u1", DAY0 + HOUR, 1, 2),
                pane("u2", DAY0 + HOUR, 1, 1),
                pane("u3", DAY0 + HOUR, 2, 0),
                pane("u4", DAY0 + 2 * HOUR, 1, 9),
                *(pane("city", DAY0 + at, 1, count, "city") for at, count in CITY.items()),
                pane("110", DAY0 + HOUR, 1, 4, "source", 60),
                pane("110", DAY0 + HOUR - 7 * DAY, 1, 6, "source", 60),
                pane("110", DAY0 + HOUR - DAY, 1, 50, "source", 60),
                *(pane(f"s{i}", DAY0, 1, i % 5, "street", 1440) for i in range(9)),
                pane("d1", DAY0, 1, 10, "district", 1440),
                pane("d1", DAY0 - DAY, 1, 20, "district", 1440),
                pane("d1", DAY0 - 365 * DAY, 1, 30, "district", 1440),
                pane("d2", DAY0 - 2 * DAY, 1, 99, "district", 1440),
            ],
            hotspots=[hotspot("h1", score=7.0), hotspot("h2", score=9.0), hotspot("h3"), hotspot("h3", 2, "closed")],
            repeats=[repeat("r1", incidents=3), repeat("r2", incidents=8)],
            alerts=[alert("a1"), alert("a2", opened_ms=DAY0 + HOUR)],
            feeds=[feed(), feed(at_ms=DAY0 + HOUR, version=3), feed(at_ms=DAY0 + HOUR, version=2), feed("12345")],
        )
    )
    sink.flush()
    yield sink
    client.close()


CITY = {0: 1, 2 * HOUR: 10, 3 * HOUR: 100, -DAY: 2, -DAY + 3 * HOUR: 20, -7 * DAY + HOUR: 3, -3 * DAY: 1000}


def ask(sink: ClickHouseSink, name: str, **parameters: object) -> list[tuple[Any, ...]]:
    return sink.client.rows(queries.load(name), {"database": sink.database, **parameters})


def heat(sink: ClickHouseSink, category: str, to_ms: int) -> list[tuple[Any, ...]]:
    return ask(sink, "heat", layer="unit", minutes=15, category=category, from_ms=DAY0, to_ms=to_ms)


def test_heat(sink: ClickHouseSink) -> None:
    assert heat(sink, "", DAY0 + 2 * HOUR) == heat(sink, "治安", DAY0 + 2 * HOUR) == [("u1", 7, 2), ("u2", 1, 1)]
    assert heat(sink, "", DAY0 + HOUR) == [("u1", 5, 1)]
    assert heat(sink, "火警", DAY0 + 2 * HOUR) == []


def test_totals(sink: ClickHouseSink) -> None:
    assert ask(sink, "totals", today_ms=DAY0, now_ms=DAY0 + 3 * HOUR) == [(11, 2, 3, 2, 1, 1)]


def test_profile(sink: ClickHouseSink) -> None:
    assert ask(sink, "profile", today_ms=DAY0) == [
        (DAY0 + HOUR - 7 * DAY, "110", "治安", 6),
        (DAY0 + HOUR, "110", "治安", 4),
    ]


def test_ranking(sink: ClickHouseSink) -> None:
    ranking = ask(sink, "ranking", layer="street", minutes=1440, from_ms=DAY0, limit=3)
    assert ranking == [("s4", 4, 1), ("s3", 3, 1), ("s8", 3, 1)]


def test_cell_signals(sink: ClickHouseSink) -> None:
    def ids(cell: str, limit: int = 50) -> list[str]:
        return [row[0] for row in ask(sink, "cell_signals", cell=cell, from_ms=DAY0, to_ms=DAY0 + DAY, limit=limit)]

    assert ids("u1") == ["110:d", "110:b", "110:a"]
    assert ids("u1", 1) == ["110:d"]
    assert ids("u2") == ["110:moved"]


def test_address_signals(sink: ClickHouseSink) -> None:
    rows = ask(sink, "address_signals", place_key=TRICKY, from_ms=DAY0, to_ms=DAY0 + 2 * DAY, limit=9)
    assert [(row[0], row[1]) for row in rows] == [
        ("110:c", DAY0 + DAY),
        ("110:b", DAY0 + 2),
        ("110:a", DAY0 + 1),
    ]


def test_what_is_open(sink: ClickHouseSink) -> None:
    assert [row[:3] for row in ask(sink, "hotspots_open", limit=9)] == [("h2", 1, "open"), ("h1", 1, "open")]
    assert [(row[0], row[10]) for row in ask(sink, "repeats_open", limit=9)] == [("r2", 8), ("r1", 3)]
    assert [row[0] for row in ask(sink, "alerts_open", limit=9)] == ["a2", "a1"]


def test_feeds(sink: ClickHouseSink) -> None:
    assert ask(sink, "feeds") == [("110", DAY0 + DAY, DAY0, DAY0 + 100 * HOUR)]


def test_feed_health_is_the_newest_of_each_source(sink: ClickHouseSink) -> None:
    rows = ask(sink, "feed_health")
    assert [(row[0], row[1], row[2]) for row in rows] == [("110", "ok", DAY0 + HOUR), ("12345", "ok", DAY0)]
    assert rows[0][5:] == (90, 100.0, 0.9, 0.1, 2.5, 60.0, 0, "")


def test_comparison(sink: ClickHouseSink) -> None:
    spans = {
        "from_ms": DAY0,
        "to_ms": DAY0 + DAY,
        "before_from_ms": DAY0 - DAY,
        "before_to_ms": DAY0,
        "year_from_ms": DAY0 - 365 * DAY,
        "year_to_ms": DAY0 - 364 * DAY,
    }
    assert ask(sink, "comparison", layer="district", **spans) == [("d1", 10, 20, 30)]


def test_every_query_has_a_test_and_reads_views_alone() -> None:
    assert set(queries.names()) == {
        "address_signals",
        "alerts_open",
        "cell_signals",
        "comparison",
        "feed_health",
        "feeds",
        "heat",
        "hotspots_open",
        "profile",
        "ranking",
        "repeats_open",
        "totals",
    }
    for name in queries.names():
        tables = re.findall(r"FROM (\S+)", queries.load(name))
        assert tables, name
        assert all(table.startswith("{database:Identifier}.v_") for table in tables), name


def test_an_unknown_query() -> None:
    with pytest.raises(KeyError):
        queries.load("../client")
