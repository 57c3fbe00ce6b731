"""ClickHouse for tests: where it is, a database for each test, and rows to write."""

from __future__ import annotations

from itertools import count

from msgspec import Struct

from schemas import (
    Alert,
    Change,
    FeedHealth,
    HotSpot,
    Incident,
    Late,
    Located,
    Member,
    Pane,
    Rejected,
    RepeatCluster,
    Signal,
)
from sinks.clickhouse import Client
from sinks.clickhouse.client import quote

LAYERS = ("unit", "street", "district", "beat")
ZONE = "Asia/Shanghai"
DAY0 = 1_772_380_800_000  # 2026-03-02 00:00 in Shanghai
HOUR = 3_600_000
_databases = count(1)


class Where(Struct, frozen=True):
    """A `sinks.clickhouse.Config`."""

    url: str
    password: str = ""
    database: str = "quanyu"
    batch_rows: int = 10_000
    batch_s: float = 1.0
    retention_days: int = 0
    ca_file: str = ""
    cluster: str = ""
    shard: str = ""
    rejected_retention_days: int = 0


def empty(client: Client, database: str) -> None:
    """Empty the tables of a migrated database: ten times faster than making one."""
    sql = """
        SELECT name FROM system.tables
        WHERE database = {database:String} AND engine LIKE '%MergeTree' AND total_rows > 0 AND name != 'migrations'"""
    for (table,) in client.rows(sql, {"database": database}):
        client.command(f"TRUNCATE TABLE {quote(database)}.{quote(table)}")


def fresh_database() -> str:
    """A name that no other test of this process has."""
    return f"test_{next(_databases)}"


def located(
    name: str,
    at_ms: int,
    cell: str = "u1",
    place: str = "人民路1号",
    flags: tuple[str, ...] = (),
    text: str = "说的话",
    lon: float | None = 121.5,
    reported_ms: int | None = None,
) -> Located:
    """A located signal of source 110 in unit cell `cell`."""
    signal = Signal(
        id=f"110:{name}",
        source="110",
        revision=3,
        occurred_at_ms=at_ms,
        reported_at_ms=at_ms if reported_ms is None else reported_ms,
        received_at_ms=at_ms + 5,
        category="治安/盗窃/扒窃",
        category_code="010203",
        text=text,
        address=place,
        reporter="abc",
        relation="repeat",
        related_id="110:other",
        state="raised",
        severity=2,
        flags=flags,
    )
    cells = (cell, f"s{cell}", f"d{cell}", f"b{cell}") if cell else ("", "", "", "")
    lat = None if lon is None else 31.25
    return Located(signal, cells, lon, lat, (f"a:{place}", "p:x") if place else (), 10.0, "point")


def member(
    name: str, at_ms: int, version: int = 1, reported_ms: int = DAY0, cell: str = "u1", **more: object
) -> Member:
    """A row of `signals`."""
    place = located(name, at_ms, cell=cell, **more)  # type: ignore[arg-type]
    return Member(place, "inc-1", True, reported_ms, DAY0 + 9, version)


def change(after: Member, before: Member | None = None) -> Change:
    """A member that came, or moved."""
    return Change(before, after)


def late(name: str, at_ms: int, watermark_ms: int = DAY0 + 99 * HOUR, **more: object) -> Late:
    """A signal from beyond the horizon."""
    return Late(located(name, at_ms, **more), DAY0 + 100 * HOUR, watermark_ms)  # type: ignore[arg-type]


def incident(id: str, version: int = 1, messages: int = 1, opened_ms: int = DAY0) -> Incident:
    """A row of `incidents`."""
    cells = ("u1", "su1", "du1", "bu1")
    return Incident(
        id,
        "open",
        opened_ms,
        DAY0 + 7,
        "治安/盗窃",
        cells,
        "a:x",
        "人民路",
        messages,
        1,
        ("110", "grid"),
        2,
        "",
        version,
    )


def pane(cell: str, start_ms: int, version: int = 1, messages: int = 1, layer: str = "unit", minutes: int = 15) -> Pane:
    """A row of `grid_counts`."""
    return Pane(layer, minutes, start_ms, "治安", cell, messages, 1, 1, 1, "provisional", version)


def hotspot(id: str, revision: int = 1, state: str = "open", opened_ms: int = DAY0, score: float = 7.25) -> HotSpot:
    """A revision of a hot spot."""
    return HotSpot(
        id, revision, state, "quiet", False, "red", "unit", ("u1", "u2"), "治安", opened_ms, opened_ms + revision,
        opened_ms - HOUR, opened_ms, 9, 1.5, score, 14, {"grids": "g1", "code": "c1"},
    )  # fmt: skip


def repeat(id: str, revision: int = 1, state: str = "open", opened_ms: int = DAY0, incidents: int = 3) -> RepeatCluster:
    """A revision of a repeat cluster."""
    return RepeatCluster(
        id, revision, state, "a:x", "人民路1号", ("u1", "su1", "du1", "bu1"), "治安", opened_ms, opened_ms + revision,
        opened_ms - HOUR, opened_ms, incidents, 5, 2, ("110",), {"grids": "g1"},
    )  # fmt: skip


def alert(id: str, revision: int = 1, state: str = "open", opened_ms: int = DAY0) -> Alert:
    """A revision of an alert."""
    return Alert(id, revision, state, "red", "hotspot", "h1", opened_ms, opened_ms + revision, ("u1",), "治安", "why")


def feed(source: str = "110", at_ms: int = DAY0, version: int = 1, state: str = "ok", observed: int = 90) -> FeedHealth:
    """How a feed stood: at its pane's end."""
    return FeedHealth(
        source, at_ms, state, DAY0, 0, at_ms - 2000, at_ms - 1000, 120, observed, 100.0, 0.0, 10, 2.5, 60.0, 300, "",
        version,
    )  # fmt: skip


def rejected(offset: int, raw: bytes = b'{"a":\xff\x00;\n\n', received_ms: int = DAY0) -> Rejected:
    """A dead letter, with bytes that are no text."""
    return Rejected("110", "raw.110", 2, offset, "not_json", "行 1：不是 JSON", raw, received_ms)
