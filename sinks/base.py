"""What every sink promises. These rules bind `memory`, `clickhouse` and whatever comes after them.

1. Rows are absolute facts with a deterministic key and a version; the highest version is the truth. Writing a row
   again, in another batch, in another order, changes nothing.
2. What is a key never changes: `reported_at_ms` of a signal (as its Member says it), `opened_at_ms` of an incident,
   hot spot, cluster or alert. `sinks.memory` refuses rows that break this; it would be a bug in a room.
3. A call that raises Unreachable has taken nothing that matters: repeat the same call. It may be repeated for ever.
4. After `flush()` has returned, everything written before is stored: now, and not earlier, the input may be acked.
5. Signals from beyond the horizon (`late`) are stored in `late_signals` and, with version 0, in `signals`: they never
   override a row that the fold has made. They stand in no secondary order and no count until they are reconciled.
6. `digest()` depends on what was stored, never on when, in which batches or how often; it can be compared between
   sinks of one kind. Wall-clock columns (ingested_at, received_at) are left out of it.
7. One thread at a time.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from schemas import Located
from schemas.rows import Rows

#: tables of results, as `counts()` and `digest()` name them
TABLES = (
    "signals",
    "late_signals",
    "incidents",
    "grid_counts",
    "hotspots",
    "repeat_clusters",
    "alerts",
    "rejected",
    "feed_health",
)


class Sink(Protocol):
    """Where results end. Raises Unreachable(retry_after_s) on an outage; anything else it raises is a bug."""

    @property
    def pending(self) -> int:
        """Rows taken by `write` that are not stored yet."""

    def write(self, rows: Rows) -> None:
        """Take the rows of a step; they may stay buffered until `flush`, or until the batch is full or old enough."""

    def poll(self) -> None:
        """Store the buffered rows if their batch is old enough; for a shell that has had nothing to write."""

    def flush(self) -> None:
        """Store everything taken so far."""

    def close(self) -> None:
        """Flush, then let go of connections. A closed sink takes no more rows."""

    def counts(self) -> dict[str, int]:
        """Stored rows by table of TABLES, each key once (histories: each revision once)."""

    def digest(self) -> dict[str, str]:
        """A hash by table of TABLES of its newest versions (histories: of every revision)."""


def content(located: Located) -> str:
    """Hash of a located signal without its broker time: tells late ones apart that came under one watermark."""
    timeless = msgspec.structs.replace(located, signal=msgspec.structs.replace(located.signal, received_at_ms=0))
    return hashlib.blake2b(msgspec.msgpack.encode(timeless), digest_size=16).hexdigest()
