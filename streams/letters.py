"""Dead letters on their way out of the live worker: into the database, and as messages for other programs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from schemas import Rejected
from schemas.rows import Rows
from streams.live_store import Publish, Step, Store

#: the largest value of a message: what `producer_max_request_size` allows, less its frame
MAX_VALUE_BYTES = 7_900_000


class Letters:
    """Hands dead letters to the database and to a partition of a topic ("" for none), both at once."""

    def __init__(self, store: Store, publish: Publish, topic: str, partition: int = 0) -> None:
        self._store, self._publish, self._topic, self._partition = store, publish, topic, partition

    async def put(self, rejected: Sequence[Rejected], now_ms: int) -> Step:
        """Hand them over; what it gives, awaited, returns when both hold them all, and raises what went wrong."""
        stored = asyncio.Event()
        await self._store.put(Rows(ingested_at_ms=now_ms, rejected=list(rejected)), stored.set)
        letters = rejected if self._topic else ()
        sent = asyncio.gather(*(self._publish(self._topic, self._partition, *message(letter)) for letter in letters))

        async def safe() -> None:
            await stored.wait()
            await sent

        return safe


def message(letter: Rejected) -> tuple[bytes, bytes]:
    """Value (the door as JSON, bytes as base64: the published schema) and key (topic/partition/offset) of a letter.

    One that no message could hold goes without its bytes, which the database has.
    """
    value = msgspec.json.encode(letter)
    if len(value) > MAX_VALUE_BYTES:
        detail = f"{letter.detail} (its {len(letter.raw)} bytes are in the database only)"
        value = msgspec.json.encode(msgspec.structs.replace(letter, detail=detail, raw=b"", key=b""))
    return value, position(letter)


def position(letter: Rejected) -> bytes:
    """Where a letter was read."""
    return f"{letter.topic}/{letter.partition}/{letter.offset}".encode()
