"""What the nightly reconcile reads of a database, and the two things that only it writes: its plans, and which copies
of late signals are hidden. Times are epoch milliseconds; days are given as [start, end).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
from msgspec import Struct

from schemas import Incident, Late, Located, Member, Signal
from schemas.rows import RECONCILED, Corrected
from sinks.clickhouse import tables
from sinks.clickhouse.client import Client

#: values bound to one query: what a server takes in one parameter
CHUNK = 500

T = TypeVar("T")

COLUMNS = """
    signal_id, source, revision, toUnixTimestamp64Milli(occurred_at) AS occurred_ms,
    toUnixTimestamp64Milli(reported_at) AS reported_ms, toUnixTimestamp64Milli(received_at) AS received_ms,
    toUnixTimestamp64Milli(ingested_at) AS ingested_ms, category, category_code, summary, severity, state, relation,
    related_id, flags, quality, uncertainty_m, lon, lat, unit_cell, street, district, cells, place_key, address,
    reporter"""
#: rows of the fold and of reconcile, each signal once
STANDING = "{db:Identifier}.signals FINAL WHERE version > 0 AND NOT superseded"
#: what a source says of a signal
SAID = (
    "occurred_at, category, category_code, summary, severity, state, relation, related_id, flags, address, reporter, "
    "lon, lat"
)


class Plan(Struct, frozen=True):
    """Part of a plan. `whole`: all its parts have been noted, so some of it may have been written."""

    begun_at_ms: int
    day: str
    part: int
    parts: int
    corrected: Corrected
    whole: bool = True


class Stored:
    """A database as the reconcile sees it. `layers`: of the grids, finest first."""

    def __init__(self, client: Client, database: str, layers: Sequence[str]) -> None:
        self.client, self.database, self.layers = client, database, tuple(layers)

    def told_ms(self) -> dict[int, int]:
        """Length of a pane, minutes -> start of the newest one that live has closed; and 0 -> its newest watermark
        that a late signal has met. Everything the fold made before that is stored."""
        closed = self._rows(
            """SELECT minutes, toInt64(toUnixTimestamp(max(pane_start))) * 1000 FROM {db:Identifier}.grid_counts
            WHERE state != 'provisional' GROUP BY minutes"""
        )
        met = self._rows("SELECT toUnixTimestamp64Milli(max(watermark_at)) FROM {db:Identifier}.late_signals")
        return {0: int(met[0][0])} | {int(minutes): int(start) for minutes, start in closed}

    def late(self, start_ms: int, end_ms: int) -> list[Late]:
        """All late rows of each signal that has one on the day, or that stands on it, in the order of the log."""
        low, high = self.reported(start_ms, end_ms)
        sql = f"""
            SELECT {COLUMNS}, toUnixTimestamp64Milli(watermark_at) AS watermark_ms
            FROM {{db:Identifier}}.late_signals FINAL
            WHERE signal_id IN (
                SELECT signal_id FROM {{db:Identifier}}.late_signals
                WHERE occurred_at >= {_at("start")} AND occurred_at < {_at("end")}
                UNION DISTINCT
                SELECT signal_id FROM {STANDING}
                AND reported_at BETWEEN {_at("low")} AND {_at("high")}
                AND occurred_at >= {_at("start")} AND occurred_at < {_at("end")}
                AND signal_id IN (SELECT signal_id FROM {{db:Identifier}}.late_signals))
            ORDER BY ingested_at, watermark_at, signal_id, content"""
        found = self._dicts(sql, start=start_ms, end=end_ms, low=low, high=high)
        return [Late(self._located(row), row["ingested_ms"], row["watermark_ms"]) for row in found]

    def reported(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """First and last report of what happened on the day: the part of `signals` that has to be read."""
        sql = f"""
            SELECT toUnixTimestamp64Milli(min(reported_at)), toUnixTimestamp64Milli(max(reported_at))
            FROM {{db:Identifier}}.signals WHERE occurred_at >= {_at("start")} AND occurred_at < {_at("end")}"""
        ((low, high),) = self._rows(sql, start=start_ms, end=end_ms)
        return int(low), int(high)

    def members(self, ids: Iterable[str]) -> list[Member]:
        """The signals of these ids, as they stand."""
        return self._members("signal_id IN {some:Array(String)}", ids)

    def of_incidents(self, ids: Iterable[str]) -> list[Member]:
        """All signals of these incidents."""
        return self._members("incident_id IN {some:Array(String)}", ids)

    def near(self, located: Iterable[Located], gap_ms: int) -> list[Member]:
        """Counting signals that may be linked to one of these: the same reporter or place not longer than the gap
        before or after, or one names the other, or both the same one. Some more may be among them."""
        out: list[Member] = []
        for part in _parts(sorted(located, key=lambda item: item.signal.occurred_at_ms), CHUNK):
            low, high = part[0].signal.occurred_at_ms - gap_ms, part[-1].signal.occurred_at_ms + gap_ms
            first, last = self.reported(low, high + 1)
            for column, values in (
                ("reporter", {item.signal.reporter for item in part}),
                ("place_key", {key for item in part for key in item.place_keys[:1]}),
            ):
                condition = (
                    f"{column} IN {{some:Array(String)}} AND incident_id != '' AND occurred_at >= {_at('low')} AND "
                    f"occurred_at <= {_at('high')} AND reported_at BETWEEN {_at('first')} AND {_at('last')}"
                )
                out += self._read(condition, sorted(values - {""}), low=low, high=high, first=first, last=last)
            ids = {item.signal.id for item in part}
            named = {item.signal.related_id for item in part} - {""}
            out += self._members("related_id IN {some:Array(String)} AND incident_id != ''", ids | named)
            out += self._members("signal_id IN {some:Array(String)} AND incident_id != ''", named)
        return out

    def incidents(self, ids: Iterable[str]) -> list[Incident]:
        """Their stored rows, ended ones too."""
        sql = """
            SELECT incident_id, state, toUnixTimestamp64Milli(opened_at) AS opened_ms,
                toUnixTimestamp64Milli(last_at) AS last_ms, category, unit_cell, street, district, cells, place_key,
                address, messages, reporters, sources, severity, merged_into, version
            FROM {db:Identifier}.incidents FINAL WHERE (opened_at, incident_id) IN (
                SELECT opened_at, incident_id FROM {db:Identifier}.incidents
                WHERE incident_id IN {some:Array(String)})"""
        return [
            Incident(
                row["incident_id"],
                row["state"],
                row["opened_ms"],
                row["last_ms"],
                row["category"],
                self._codes(row),
                row["place_key"],
                row["address"],
                row["messages"],
                row["reporters"],
                tuple(row["sources"]),
                row["severity"],
                row["merged_into"],
                row["version"],
            )
            for part in _parts(sorted(ids), CHUNK)
            for row in self._dicts(sql, some=part)
        ]

    def shown_copies(self, ids: Iterable[str]) -> set[tuple[int, str]]:
        """(first report, id) of the rows of these signals that show a late copy."""
        sql = """
            SELECT toUnixTimestamp64Milli(reported_at), signal_id FROM {db:Identifier}.signals FINAL
            WHERE version = 0 AND (reported_at, signal_id) IN (
                SELECT reported_at, signal_id FROM {db:Identifier}.signals
                WHERE version = 0 AND signal_id IN {some:Array(String)})"""
        return {(int(at), str(id)) for part in _parts(sorted(ids), CHUNK) for at, id in self._rows(sql, some=part)}

    def due(self, before_ms: int, timezone: str) -> list[str]:
        """Days (ISO) before a time that hold late signals which say something new."""
        sql = f"""
            SELECT DISTINCT toString(toDate(late.occurred_at, {{zone:String}})) AS day
            FROM (SELECT *, ({SAID}) AS said FROM {{db:Identifier}}.late_signals FINAL) AS late
            LEFT JOIN (
                SELECT signal_id, version, revision, ingested_at, ({SAID}) AS said FROM {STANDING}
                AND signal_id IN (SELECT signal_id FROM {{db:Identifier}}.late_signals)
            ) AS known ON late.signal_id = known.signal_id
            WHERE late.occurred_at < {_at("before")} AND (known.version = 0 OR late.revision > known.revision
                OR (late.revision = -1 AND late.ingested_at > known.ingested_at AND late.said != known.said))
            ORDER BY day"""
        return [str(day) for (day,) in self._rows(sql, before=before_ms, zone=timezone)]

    # -- plans -----------------------------------------------------------------------------------------------------

    def unfinished(self) -> list[Plan]:
        """Parts of plans that were begun and never finished, oldest first."""
        sql = """
            SELECT toUnixTimestamp64Milli(begun_at), toString(day), part, parts, base64Encode(plan), whole
            FROM (
                SELECT *, count() OVER (PARTITION BY begun_at, day) = parts AS whole
                FROM {db:Identifier}.reconciliations FINAL)
            WHERE NOT finished ORDER BY begun_at, day, part"""
        decode = msgspec.msgpack.Decoder(Corrected).decode
        return [
            Plan(int(at), str(day), int(part), int(parts), decode(msgspec.convert(plan, bytes)), bool(whole))
            for at, day, part, parts, plan, whole in self._rows(sql)
        ]

    def note(self, plan: Plan, finished: bool) -> None:
        """Record a part before it is written, and again when it is."""
        corrected = plan.corrected
        row = {
            "begun_at": tables.times([plan.begun_at_ms]),
            "day": pa.array([date.fromisoformat(plan.day)]),
            "part": pa.array([plan.part], pa.uint32()),
            "parts": pa.array([plan.parts], pa.uint32()),
            "finished": pa.array([int(finished)], pa.uint8()),
            "signals": pa.array([len(corrected.rows.members)], pa.uint32()),
            "incidents": pa.array([len(corrected.rows.incidents)], pa.uint32()),
            "plan": pa.array([b"" if finished else msgspec.msgpack.encode(corrected)], pa.binary()),
        }
        self.client.insert(self.database, "reconciliations", pa.table(row))

    def hide(self, copies: Sequence[Late]) -> None:
        """Hide copies of late signals whose signal stands elsewhere."""
        if copies:
            found = tables.late_signals(copies, self.layers).drop_columns(["watermark_at", "content"])
            size = len(copies)
            found = found.append_column("version", pa.array([RECONCILED + 1] * size, pa.uint64()))
            found = found.append_column("superseded", pa.array([1] * size, pa.uint8()))
            self.client.insert(self.database, "signals", found)

    # -- rows to doors ---------------------------------------------------------------------------------------------

    def _members(self, condition: str, some: Iterable[str]) -> list[Member]:
        return [member for part in _parts(sorted(some), CHUNK) for member in self._read(condition, part)]

    def _read(self, condition: str, some: Sequence[str], **bound: Any) -> list[Member]:
        if not some:
            return []
        # two steps: the inner one reads a narrow column of the whole table, the outer one wide rows by their key
        sql = f"""
            SELECT {COLUMNS}, incident_id, opens, version FROM {STANDING} AND {condition}
            AND (reported_at, signal_id) IN (
                SELECT reported_at, signal_id FROM {{db:Identifier}}.signals WHERE version > 0 AND {condition})"""
        return [
            Member(
                self._located(row),
                row["incident_id"],
                bool(row["opens"]),
                row["reported_ms"],
                row["ingested_ms"],
                row["version"],
            )
            for row in self._dicts(sql, some=some, **bound)
        ]

    def _located(self, row: dict[str, Any]) -> Located:
        signal = Signal(
            id=row["signal_id"],
            source=row["source"],
            revision=row["revision"],
            occurred_at_ms=row["occurred_ms"],
            reported_at_ms=row["reported_ms"],
            received_at_ms=row["received_ms"],
            category=row["category"],
            category_code=row["category_code"],
            text=row["summary"],
            address=row["address"],
            reporter=row["reporter"],
            relation=row["relation"],
            related_id=row["related_id"],
            state=row["state"],
            severity=row["severity"],
            flags=tuple(row["flags"]),
        )
        key = row["place_key"]
        place = (key,) if key else ()
        return Located(signal, self._codes(row), row["lon"], row["lat"], place, row["uncertainty_m"], row["quality"])

    def _codes(self, row: dict[str, Any]) -> tuple[str, ...]:
        """A code a layer, as `tables` has laid them out."""
        own = {"unit": row["unit_cell"], "street": row["street"], "district": row["district"]}
        return tuple(own[layer] if layer in own else row["cells"].get(layer, "") for layer in self.layers)

    def _rows(self, sql: str, **bound: Any) -> list[tuple[Any, ...]]:
        return self.client.rows(sql, {"db": self.database, **bound})

    def _dicts(self, sql: str, **bound: Any) -> list[dict[str, Any]]:
        return self.client.dicts(sql, {"db": self.database, **bound})


def _at(name: str) -> str:
    """A bound time."""
    return f"fromUnixTimestamp64Milli({{{name}:Int64}})"


def _parts(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """The items, so many at a time."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
