"""intake: bytes and their position -> Signals, by the mapping of their source; or Rejected, with the reason.

Rules
* Every record becomes exactly one Signal or one Rejected; arbitrary bytes raise nothing.
* No state: any cut of the same records into batches gives the same results. Memories are of pure functions only.
* A record with several faults is refused for the first one in the order: bytes, id, times, revision, place, datum.
* A record of an unknown category is kept and marked; callers leave this room as keyed hashes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from schemas import RawBatch, Rejected, Signal, UsageError
from schemas.sources.adapter import Adapter
from schemas.sources.checks import wanted
from schemas.sources.faults import Faults, Refused
from schemas.sources.records import CsvReader, JsonReader
from schemas.sources.spec import Mapping as SourceMapping
from schemas.sources.times import EPOCH
from streams.settings import Intake as IntakeSettings

HOUR_MS = 3_600_000
#: records worked on at a time: their columns stay in the processor's cache
SLICE = 256


class Intake:
    """The room. `mappings`: one a source; `caller_key`: secret of the callers' hash, never empty.

    Without a configured secret the shell passes a random key: hashes then agree within a run, not between runs.
    """

    def __init__(self, mappings: Mapping[str, SourceMapping], settings: IntakeSettings, caller_key: bytes) -> None:
        if not caller_key:
            raise UsageError(
                "intake.caller_key is empty: set it, or build the room with a random key",
                "intake.caller_key 为空：请设置，或用随机密钥建立",
            )
        self._adapters = {source: Adapter(mapping, source, caller_key) for source, mapping in mappings.items()}
        self._json = {
            source: JsonReader(wanted(mapping), mapping.encoding)
            for source, mapping in mappings.items()
            if mapping.format == "json"
        }
        self._csv = lru_cache(maxsize=64)(self._csv_reader)
        self._max_bytes = settings.max_record_bytes
        self._ahead_ms = settings.max_ahead_h * HOUR_MS
        self._earliest_ms = _limit("earliest", settings.earliest)
        self._latest_ms = _limit("latest", settings.latest) if settings.latest else None

    def step(self, batch: RawBatch) -> tuple[list[Signal], list[int], list[Rejected]]:
        """Signals, the offset of each, and the refused; both in the order of the batch.

        Raises UsageError for a source that has no mapping, or a header that lacks a column the mapping reads.
        """
        if batch.source not in self._adapters:
            raise UsageError(
                f"no mapping for source {batch.source!r}; known: {', '.join(self._adapters)}",
                f"来源 {batch.source!r} 没有映射；已知：{', '.join(self._adapters)}",
            )
        signals: list[Signal] = []
        offsets: list[int] = []
        rejected: list[Rejected] = []
        for start in range(0, len(batch.values), SLICE):
            self._slice(batch, range(start, min(start + SLICE, len(batch.values))), signals, offsets, rejected)
        return signals, offsets, rejected

    def _slice(
        self, batch: RawBatch, places: range, signals: list[Signal], offsets: list[int], rejected: list[Rejected]
    ) -> None:
        faults = self._sizes(batch.values, places)
        sound: Sequence[int] = [i for i in places if i not in faults] if faults else places
        reader = self._json.get(batch.source) or self._csv(batch.source, batch.header)
        unread: Faults = {}
        table, readable = reader.read([batch.values[i] for i in sound], unread)
        rows = [sound[row] for row in readable]
        received = [batch.received_at_ms[i] for i in rows] if batch.received_at_ms else []
        latest = self._latest(received, batch.now_ms, len(rows))
        wrong: Faults = {}
        found = self._adapters[batch.source].signals(table, received, (self._earliest_ms, latest), wrong)
        if wrong:
            found = [signal for row, signal in enumerate(found) if row not in wrong]
        if unread or wrong:
            faults |= {sound[row]: fault for row, fault in unread.items()}
            faults |= {rows[row]: fault for row, fault in wrong.items()}
        signals += found
        offsets += [batch.offsets[i] for i in rows if i not in faults] if faults else [batch.offsets[i] for i in rows]
        rejected += [self._rejected(batch, i, faults[i]) for i in sorted(faults)]

    def _sizes(self, values: list[bytes], places: range) -> Faults:
        faults: Faults = {}
        for index in places:
            value = values[index]
            if len(value) > self._max_bytes:
                detail = f"{len(value)} bytes where {self._max_bytes} are allowed"
                faults[index] = Refused("oversized_record", detail)
            elif not value or value.isspace():
                faults[index] = Refused("empty_record", "no content")
        return faults

    def _latest(self, received: list[int], now_ms: int, n: int) -> list[int]:
        if self._latest_ms is not None:
            return [self._latest_ms] * n
        return [at + self._ahead_ms for at in received] if received else [now_ms + self._ahead_ms] * n

    def _csv_reader(self, source: str, header: tuple[str, ...]) -> CsvReader:
        mapping = self._adapters[source].mapping
        names = header or tuple(mapping.csv.columns)
        return CsvReader(wanted(mapping), names, mapping.csv.delimiter, mapping.encoding)

    @staticmethod
    def _rejected(batch: RawBatch, index: int, fault: Refused) -> Rejected:
        return Rejected(
            source=batch.source,
            topic=batch.topic,
            partition=batch.partition,
            offset=batch.offsets[index],
            reason=fault.reason,
            detail=fault.detail,
            raw=batch.values[index],
            received_at_ms=batch.received_at_ms[index] if batch.received_at_ms else batch.now_ms,
            key=(batch.keys[index] or b"") if batch.keys else b"",
        )


def _limit(key: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"intake.{key}: {text!r} is not a date; write 1990-01-01",
            f"intake.{key}：{text!r} 不是日期，应如 1990-01-01",
        ) from None
    return int(((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH).total_seconds() * 1000)
