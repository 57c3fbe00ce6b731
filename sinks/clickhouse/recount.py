"""Counts of a day made a second time, by the database itself: from the signals that stand in it to the rows of
`grid_counts` that say otherwise, and to the sources' totals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from schemas import Pane
from schemas.city import CITY_LAYER, SOURCE_LAYER
from schemas.rows import above
from sinks.clickhouse.client import Client
from sinks.clickhouse.reconcile import STANDING, Stored

_COLUMNS = {"unit": "unit_cell", "street": "street", "district": "district"}


class Span(Struct, frozen=True):
    """A layer's panes of one length: start of each shortest pane of the day -> start of the pane that holds it, s."""

    layer: str
    minutes: int
    starts: dict[int, int]


class Day(Struct, frozen=True):
    """A local day and the panes in it. `pane_ms`: the shortest."""

    start_ms: int
    end_ms: int
    pane_ms: int
    category_depth: int
    spans: list[Span]


class Total(Struct, frozen=True):
    """Signals of a source that it took down on a day, withdrawn ones too; records refused that came on it."""

    source: str
    signals: int
    rejected: int


def wrong(stored: Stored, day: Day) -> list[Pane]:
    """Rows of `grid_counts` as they ought to be, where they are not; rows of which nothing is left are all zeros."""
    low, high = stored.reported(day.start_ms, day.end_ms)
    spots = ", ".join(f"({_place(stored.layers, span, n)})" for n, span in enumerate(day.spans))
    sql = f"""
        SELECT at_layer, at_minutes, at_start, at_category, at_cell, sum(n) AS messages_now, sum(i) AS incidents_now,
            sum(o) AS opened_now, sum(r) AS reporters_now, max(v) AS version_now
        FROM (
            SELECT spot.1 AS at_layer, spot.2 AS at_minutes, spot.3 AS at_start, path AS at_category,
                spot.4 AS at_cell, toInt64(count()) AS n, toInt64(uniqExact(incident)) AS i, toInt64(sum(first)) AS o,
                toInt64(uniqExactIf(caller, caller != '')) AS r, 0 AS n0, 0 AS i0, 0 AS o0, 0 AS r0, toUInt64(0) AS v
            FROM (
                SELECT arrayStringConcat(arraySlice(splitByChar('/', category), 1, {{depth:UInt8}}), '/') AS path,
                    incident_id AS incident, opens AS first, reporter AS caller,
                    toUInt32(intDiv(toUnixTimestamp64Milli(occurred_at), {{pane:Int64}}) * {{pane:Int64}} / 1000)
                        AS pane_s,
                    arrayJoin(arrayFilter(one -> one.4 != '', [{spots}])) AS spot
                FROM {STANDING} AND incident_id != ''
                AND reported_at BETWEEN fromUnixTimestamp64Milli({{low:Int64}})
                    AND fromUnixTimestamp64Milli({{high:Int64}})
                AND occurred_at >= fromUnixTimestamp64Milli({{start:Int64}})
                AND occurred_at < fromUnixTimestamp64Milli({{end:Int64}}))
            GROUP BY at_layer, at_minutes, at_start, at_category, at_cell
            UNION ALL
            SELECT toString(layer), minutes, toUnixTimestamp(pane_start), toString(category), cell, 0, 0, 0, 0,
                toInt64(messages), toInt64(incidents), toInt64(opened), toInt64(reporters), version
            FROM {{db:Identifier}}.grid_counts FINAL
            WHERE pane_start >= fromUnixTimestamp({{start_s:Int64}}) AND pane_start < fromUnixTimestamp({{end_s:Int64}})
            AND (layer, minutes) IN ({", ".join(f"({{l{n}:String}}, {s.minutes})" for n, s in enumerate(day.spans))}))
        GROUP BY at_layer, at_minutes, at_start, at_category, at_cell
        HAVING messages_now != sum(n0) OR incidents_now != sum(i0) OR opened_now != sum(o0) OR reporters_now != sum(r0)
        ORDER BY at_layer, at_minutes, at_start, at_category, at_cell"""
    bound: dict[str, Any] = {
        "db": stored.database,
        "depth": day.category_depth,
        "pane": day.pane_ms,
        "low": low,
        "high": high,
        "start": day.start_ms,
        "end": day.end_ms,
        "start_s": day.start_ms // 1000,
        "end_s": day.end_ms // 1000,
    }
    for n, span in enumerate(day.spans):
        bound |= {f"l{n}": span.layer, f"k{n}": list(span.starts), f"s{n}": list(span.starts.values())}
    return [
        Pane(layer, minutes, int(start) * 1000, category, cell, m, i, o, r, "revised", above(int(version)))
        for layer, minutes, start, category, cell, m, i, o, r, version in stored.client.rows(sql, bound)
    ]


def _place(layers: Sequence[str], span: Span, n: int) -> str:
    """(layer, minutes, start, cell) of a signal, in SQL."""
    start = f"transform(pane_s, {{k{n}:Array(UInt32)}}, {{s{n}:Array(UInt32)}}, toUInt32(0))"
    if span.layer == CITY_LAYER:
        cell = f"{{l{n}:String}}"
    elif span.layer == SOURCE_LAYER:
        cell = "toString(source)"
    elif span.layer in _COLUMNS:
        cell = f"toString({_COLUMNS[span.layer]})"
    else:
        cell = f"cells[{{l{n}:String}}]"
    return f"{{l{n}:String}}, toUInt16({span.minutes}), {start}, {cell}"


def totals(client: Client, database: str, start_ms: int, end_ms: int) -> list[Total]:
    """By source, of a local day."""
    sql = """
        SELECT who, sum(n), sum(bad) FROM (
            SELECT source AS who, uniqExact(signal_id) AS n, 0 AS bad FROM {db:Identifier}.signals FINAL
            WHERE NOT superseded AND reported_at >= fromUnixTimestamp64Milli({start:Int64})
            AND reported_at < fromUnixTimestamp64Milli({end:Int64}) GROUP BY who
            UNION ALL
            SELECT source AS who, 0, count() FROM {db:Identifier}.rejected FINAL
            WHERE received_at >= fromUnixTimestamp64Milli({start:Int64})
            AND received_at < fromUnixTimestamp64Milli({end:Int64}) GROUP BY who)
        GROUP BY who ORDER BY who"""
    rows = client.rows(sql, {"db": database, "start": start_ms, "end": end_ms})
    return [Total(str(source), int(signals), int(bad)) for source, signals, bad in rows]
