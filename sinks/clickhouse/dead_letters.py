"""Reading the dead letters back."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from sinks.clickhouse.client import Client


class Reason(Struct, frozen=True):
    """Rejected records of one source and reason; `detail` is that of one of them."""

    source: str
    reason: str
    records: int
    detail: str


def by_reason(client: Client, database: str, source: str = "") -> list[Reason]:
    """Counts by source and reason, most first."""
    sql = """
        SELECT source, reason, count() AS records, any(detail)
        FROM {database:Identifier}.rejected FINAL WHERE {source:String} = '' OR source = {source:String}
        GROUP BY source, reason ORDER BY records DESC, source, reason"""
    return [Reason(*row) for row in client.rows(sql, {"database": database, "source": source})]


def records(client: Client, database: str, source: str, reason: str, limit: int) -> Iterator[str]:
    """Newest first, one JSON object each; bytes that are not UTF-8 are shown with replacement characters."""
    sql = """
        SELECT source, topic, partition, offset, reason, detail, base64Encode(raw)
        FROM {database:Identifier}.rejected FINAL
        WHERE ({source:String} = '' OR source = {source:String}) AND ({reason:String} = '' OR reason = {reason:String})
        ORDER BY received_at DESC, topic, partition, offset DESC LIMIT {limit:UInt32}"""
    bound = {"database": database, "source": source, "reason": reason, "limit": limit}
    for *position, raw in client.rows(sql, bound):
        names = ("source", "topic", "partition", "offset", "reason", "detail")
        text = msgspec.convert(raw, bytes).decode("utf-8", "replace")
        yield msgspec.json.encode({**dict(zip(names, position, strict=True)), "raw": text}).decode()
