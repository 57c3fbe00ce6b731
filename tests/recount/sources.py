"""The evaluation files as frames of signals: a row a signal, in the order in which they were first seen.

Columns: `id`, `at_ms` (event time, ms UTC), `reported_ms`, `category` (path), `text`, `address`, `reporter`, `lon`,
`lat` (NaN: none). A record with an id seen before is a duplicate if it says the same, else a revision.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

Row = dict[str, str]
Said = tuple[object, ...]
COLUMNS = ("id", "at_ms", "reported_ms", "category", "text", "address", "reporter", "lon", "lat")


class Signals(NamedTuple):
    """What a file holds."""

    frame: pd.DataFrame
    read: int
    duplicates: int
    revisions: int

    @property
    def unlocated(self) -> int:
        """Signals without a coordinate."""
        return int(self.frame.lon.isna().sum())


def rows(path: Path) -> list[Row]:
    """Records of a gzipped CSV file."""
    text = io.StringIO(gzip.decompress(path.read_bytes()).decode("utf-8-sig"), newline="")
    return list(csv.DictReader(text))


def ms(at: datetime, zone: str = "UTC") -> int:
    """A time as ms UTC; one without an offset is in `zone`."""
    aware = at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))
    return round(aware.timestamp() * 1000)


def degrees(text: str) -> float:
    """A coordinate; NaN if there is none."""
    return float(text) if text.strip() else float("nan")


def level(text: str) -> str:
    """One level of a category path: a slash inside it is written wide."""
    return text.strip().replace("/", "／")


def seattle(path: Path) -> Signals:
    """Fire and medical calls; every time carries its offset."""

    def said(row: Row) -> Said:
        at = ms(datetime.strptime(row["Datetime"], "%m/%d/%Y %I:%M:%S %p %z"))
        kind, address = level(row["Type"]) or "unknown", row["Address"].strip()
        point = degrees(row["Longitude"]), degrees(row["Latitude"])
        return row["Incident Number"].strip(), at, at, kind, row["Type"].strip(), address, "", *point

    return _signals(map(said, rows(path)))


def chicago(path: Path) -> Signals:
    """Incidents of the open data portal, in no order; a newer `updated_on` is a newer revision."""

    def said(row: Row) -> Said:
        at = ms(datetime.strptime(row["date"], "%m/%d/%Y %H:%M"), "America/Chicago")
        kind = "/".join(level(row[k]) for k in ("primary_type", "description") if level(row[k]))
        point = degrees(row["longitude"]), degrees(row["latitude"])
        return row["id"].strip(), at, at, kind, "", row["block"].strip(), "", *point

    return _signals(map(said, rows(path)))


def montgomery(path: Path) -> Signals:
    """Emergency calls: `timeStamp` is the report, the event's own time stands inside `desc`."""
    inside = re.compile(r"\d{4}-\d\d-\d\d @ \d\d:\d\d:\d\d")

    def said(row: Row) -> Said:
        zone = "America/New_York"
        reported = ms(datetime.fromisoformat(row["timeStamp"].strip()), zone)
        found = inside.search(row["desc"])
        at = ms(datetime.strptime(found.group(), "%Y-%m-%d @ %H:%M:%S"), zone) if found else reported
        kind = "/".join(level(part) for part in row["title"].rstrip(" -").split(":"))
        point = degrees(row["lng"]), degrees(row["lat"])
        name = "|".join(row[k] for k in ("desc", "title", "timeStamp"))
        return name, at, reported, kind, row["desc"].strip(), row["addr"].strip(), "", *point

    return _signals(map(said, rows(path)))


def message_board(path: Path) -> Signals:
    """Residents' messages: no coordinate, no address, two forms of the date mixed."""

    def said(row: Row) -> Said:
        text = row["留言时间"].strip()
        form = "%Y/%m/%d %H:%M:%S" if "/" in text else "%Y-%m-%d %H:%M:%S"
        at = ms(datetime.strptime(text, form), "Asia/Shanghai")
        nowhere = float("nan"), float("nan")
        return row["留言编号"].strip(), at, at, "留言", "", "", row["留言用户"].strip(), *nowhere

    return _signals(map(said, rows(path)))


READ: dict[str, Callable[[Path], Signals]] = {
    "seattle_fire911": seattle,
    "chicago_crimes": chicago,
    "montgomery_911": montgomery,
    "message_board": message_board,
}


def backward(path: Path) -> int:
    """Rows of the Seattle file that are older than the newest one before them."""
    times = [datetime.strptime(row["Datetime"], "%m/%d/%Y %I:%M:%S %p %z").astimezone(UTC) for row in rows(path)]
    return sum(later < earlier for earlier, later in pairwise(times))


def _signals(records: Iterator[Said]) -> Signals:
    known: dict[object, Said] = {}
    read = duplicates = revisions = 0
    for said in records:
        read += 1
        before = known.get(said[0])
        if before is not None:
            same = repr(before) == repr(said)  # repr: a missing coordinate is the same as a missing one
            duplicates += same
            revisions += not same
        known[said[0]] = said
    return Signals(pd.DataFrame(known.values(), columns=list(COLUMNS)), read, duplicates, revisions)
