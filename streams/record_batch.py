"""The records of one partition as one value: what an agent of `streams.batches` is given."""

from __future__ import annotations

from typing import Any


class RecordBatch:
    """Records of one partition, in offset order, at least one. Also what Faust takes for a single Kafka record."""

    __slots__ = (
        "generation",
        "headers",
        "key",
        "offset",
        "partition",
        "records",
        "taken",
        "timestamp",
        "timestamp_type",
        "topic",
    )

    checksum = None
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, topic: str, partition: int, records: list[Any]) -> None:
        last = records[-1]
        self.topic: str = topic
        self.partition: int = partition
        self.records = records
        #: offset of the last record: acking the event acks all of them
        self.offset: int = last.offset
        self.timestamp: int = last.timestamp
        self.timestamp_type: int = last.timestamp_type
        self.headers: tuple[()] = ()
        self.key = None
        #: the assignment it was delivered under, and whether an agent has begun to work on it
        self.generation = 0
        self.taken = False

    @property
    def value(self) -> RecordBatch:
        """The batch itself: Faust hands `record.value` on."""
        return self

    @property
    def first_offset(self) -> int:
        """Offset of the first record."""
        return int(self.records[0].offset)

    @property
    def values(self) -> list[bytes]:
        """Value of each record; a tombstone is b""."""
        return [record.value or b"" for record in self.records]

    @property
    def keys(self) -> list[bytes | None]:
        """Key of each record."""
        return [record.key for record in self.records]

    @property
    def offsets(self) -> list[int]:
        """Offset of each record, rising."""
        return [record.offset for record in self.records]

    @property
    def timestamps_ms(self) -> list[int]:
        """Broker time stamp of each record, ms UTC."""
        return [record.timestamp for record in self.records]

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<RecordBatch {self.topic}/{self.partition} {self.first_offset}..{self.offset}>"
