"""The dead letters read back: how many, which are still open, what is stored of them by now; and what became of them.

A dead letter is *open* until a redrive has looked at it, *failing* when that refused it again, *redriven* when it was
sent again (or was found stored already). The record is told by its position and its broker time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct

from schemas import Rejected
from schemas.sources.privacy import mask_digits, mask_raw
from sinks.clickhouse.client import Client
from sinks.clickhouse.tables import I64, TEXT, U8, U32, times

#: states in `redrives`
FAILING, REDRIVEN, PRESENT = "failing", "redriven", "present"
_KEY = "source, topic, partition, offset, received_at"


class Reason(Struct, frozen=True):
    """Rejected records of one source and reason; `detail` is that of one of them, its long numbers hidden.

    records = open + failing + redriven.
    """

    source: str
    reason: str
    records: int
    detail: str
    open: int = 0
    failing: int = 0
    redriven: int = 0


class Asked(Struct, frozen=True):
    """Which dead letters: empty or None is all. Times are when the broker got them, ms UTC, `since` <= t < `until`."""

    source: str = ""
    reason: str = ""
    since_ms: int | None = None
    until_ms: int | None = None


class Stored(Struct, frozen=True):
    """The newest stored version of a signal, as far as it tells whether a record is in it."""

    id: str
    revision: int
    received_at_ms: int
    occurred_at_ms: int
    category: str
    category_code: str
    state: str
    severity: int
    text: str
    address: str


def by_reason(client: Client, database: str, source: str = "") -> list[Reason]:
    """Counts by source and reason, most first."""
    sql = """
        SELECT source, reason, count() AS records, any(detail),
            countIf(state = 'open'), countIf(state = 'failing'), countIf(state = 'redriven')
        FROM {database:Identifier}.v_rejected WHERE {source:String} = '' OR source = {source:String}
        GROUP BY source, reason ORDER BY records DESC, source, reason"""
    return [
        Reason(source, reason, records, mask_digits(detail), opened, failing, redriven)
        for source, reason, records, detail, opened, failing, redriven in client.rows(
            sql, {"database": database, "source": source}
        )
    ]


def records(
    client: Client, database: str, source: str, reason: str, limit: int, unmasked: bool = False
) -> Iterator[str]:
    """Newest first, one JSON object each; bytes that are not UTF-8 are shown with replacement characters.

    Unless `unmasked`, long numbers are hidden in bytes and detail; names and addresses in them are not.
    """
    sql = """
        SELECT source, topic, partition, offset, reason, detail, base64Encode(raw)
        FROM {database:Identifier}.rejected FINAL
        WHERE ({source:String} = '' OR source = {source:String}) AND ({reason:String} = '' OR reason = {reason:String})
        ORDER BY received_at DESC, topic, partition, offset DESC LIMIT {limit:UInt32}"""
    bound = {"database": database, "source": source, "reason": reason, "limit": limit}
    for *position, detail, encoded in client.rows(sql, bound):
        names = ("source", "topic", "partition", "offset", "reason")
        raw = _bytes(encoded)
        shown = {
            **dict(zip(names, position, strict=True)),
            "detail": mask_digits(detail),
            "raw": raw.decode("utf-8", "replace") if unmasked else mask_raw(raw),
        }
        yield msgspec.json.encode(shown).decode()


def note_shown(client: Client, database: str, user: str, source: str, reason: str, run: str, count: int) -> None:
    """Leave a row of who is about to see `count` records unmasked."""
    row = {
        "user": pa.array([user], TEXT),
        "source": pa.array([source], TEXT),
        "reason": pa.array([reason], TEXT),
        "run": pa.array([run], TEXT),
        "records": pa.array([count], U32),
    }
    client.insert(database, "rejected_shown", pa.table(row))


def unresolved(client: Client, database: str, asked: Asked, limit: int) -> Iterator[list[Rejected]]:
    """Dead letters that no redrive has sent yet, whole, by source, topic, partition and offset; `limit` at a time."""
    sql = f"""
        SELECT source, topic, partition, offset, reason, detail, base64Encode(raw),
            toUnixTimestamp64Milli(received_at), base64Encode(message_key)
        FROM {{database:Identifier}}.rejected FINAL
        WHERE ({{source:String}} = '' OR source = {{source:String}})
            AND ({{reason:String}} = '' OR reason = {{reason:String}})
            AND toUnixTimestamp64Milli(received_at) >= {{since:Int64}}
            AND toUnixTimestamp64Milli(received_at) < {{until:Int64}}
            AND (source, topic, partition, offset) >
                ({{s:String}}, {{t:String}}, toUInt32({{p:Int64}}), toInt64({{o:Int64}}))
            AND ({_KEY}) NOT IN (SELECT {_KEY} FROM {{database:Identifier}}.redrives FINAL WHERE final)
        ORDER BY source, topic, partition, offset LIMIT {{limit:UInt32}}"""  # noqa: S608
    bound: dict[str, Any] = {
        "database": database,
        "source": asked.source,
        "reason": asked.reason,
        "limit": limit,
        "since": -(2**62) if asked.since_ms is None else asked.since_ms,
        "until": 2**62 if asked.until_ms is None else asked.until_ms,
        "s": "",
        "t": "",
        "p": 0,
        "o": -1,
    }
    while rows := client.rows(sql, bound):
        yield [
            Rejected(source, topic, partition, offset, reason, detail, _bytes(raw), at, _bytes(key))
            for source, topic, partition, offset, reason, detail, raw, at, key in rows
        ]
        bound |= dict(zip("stpo", rows[-1][:4], strict=True))


def stored_signals(client: Client, database: str, ids: Sequence[str], from_ms: int, to_ms: int) -> dict[str, Stored]:
    """By id, the newest version of those signals that were first reported in [from_ms, to_ms]."""
    sql = """
        SELECT signal_id, revision, toUnixTimestamp64Milli(received_at), toUnixTimestamp64Milli(occurred_at),
            category, category_code, state, severity, summary, address
        FROM {database:Identifier}.signals FINAL
        WHERE reported_at BETWEEN fromUnixTimestamp64Milli({from:Int64}) AND fromUnixTimestamp64Milli({to:Int64})
            AND signal_id IN {ids:Array(String)}"""
    bound = {"database": database, "from": from_ms, "to": to_ms, "ids": list(ids)}
    return {row[0]: Stored(*row) for row in client.rows(sql, bound)}


def newest_event_ms(client: Client, database: str) -> int:
    """Event time that the sources have reached, ms UTC; 0: nothing is stored."""
    sql = "SELECT toUnixTimestamp64Milli(max(last_occurred)) FROM {database:Identifier}.v_feeds"
    ((at,),) = client.rows(sql, {"database": database})
    return int(at)


def mark(client: Client, database: str, letters: Sequence[tuple[Rejected, str, str]], at_ms: int, by: str) -> None:
    """Note what became of dead letters: (letter, state, reason if it still fails). Nothing is sent again after that."""
    if not letters:
        return
    found = [letter for letter, _, _ in letters]
    columns = {
        "source": pa.array([letter.source for letter in found], TEXT),
        "topic": pa.array([letter.topic for letter in found], TEXT),
        "partition": pa.array([letter.partition for letter in found], U32),
        "offset": pa.array([letter.offset for letter in found], I64),
        "received_at": times([letter.received_at_ms for letter in found]),
        "state": pa.array([state for _, state, _ in letters], TEXT),
        "reason": pa.array([reason for _, _, reason in letters], TEXT),
        "at": times([at_ms] * len(letters)),
        "by": pa.array([by] * len(letters), TEXT),
        "final": pa.array([int(state != FAILING) for _, state, _ in letters], U8),
    }
    client.insert(database, "redrives", pa.table(columns))


def _bytes(base64: str) -> bytes:
    return msgspec.convert(base64, bytes)
