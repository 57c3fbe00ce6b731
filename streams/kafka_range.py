"""Read a span of time of one topic, without a consumer group, as a replay does.

The end is taken when reading starts, so that it ends while others write. Batches of the partitions come interleaved by
broker time: none runs more than `ahead_ms` before another that still has records, so that catching up turns no on-time
signal into a late one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError, OffsetOutOfRangeError
from msgspec import Struct

from schemas import RawBatch, Tick, UsageError
from streams.kafka import CONNECT_S, admin, kafka_errors
from streams.kafka_security import TOPIC, client_options, not_allowed
from streams.settings import Kafka

#: key of a control record: its value is a time (ASCII, ms UTC) the partition's writer has reached
TICK_KEY = b"quanyu.tick"
POLL_MS = 1000
#: polls without anything new before the broker counts as gone (the client itself waits for ever)
EMPTY_POLLS = 30
QUARTER_HOUR_MS = 900_000


class PartitionTick(Struct, frozen=True):
    """A control record of a partition, at its place among the partition's batches."""

    topic: str
    partition: int
    tick: Tick


class _Part:
    """One partition: how far it has to be read, and what is buffered of it.

    It has a consumer of its own, asked only when the buffer is empty: a consumer of many partitions has to pause those
    that are ahead, and kafka-python 3.0 now and then never resumes them.
    """

    __slots__ = ("consumer", "end", "partition", "position", "records")

    consumer: KafkaConsumer

    def __init__(self, partition: TopicPartition, start: int, end: int) -> None:
        self.partition = partition
        self.position = start
        self.end = end
        self.records: deque[Any] = deque()

    def open(self, kafka: Kafka, batch_size: int) -> None:
        """Connect and go to the start."""
        self.consumer = consumer(kafka, max_poll_records=batch_size)
        self.consumer.assign([self.partition])
        self.consumer.seek(self.partition, self.position)

    def fill(self) -> bool:
        """Wait for records, unless there are some; False at the end. Raises KafkaTimeoutError when none come."""
        empty = 0
        while not self.records and self.position < self.end:
            for records in self.consumer.poll(timeout_ms=POLL_MS).values():
                self.records.extend(record for record in records if record.offset < self.end)
            # also moves over offsets without a record (compacted, or a transaction's marker)
            before, self.position = self.position, self.consumer.position(self.partition)
            empty = empty + 1 if self.position == before else 0
            if empty == EMPTY_POLLS:
                raise KafkaTimeoutError(f"nothing new in {EMPTY_POLLS * POLL_MS // 1000} s, short of the end")
        return bool(self.records)


def consumer(kafka: Kafka, **options: Any) -> KafkaConsumer:
    """A consumer of no group: whoever makes it says where it reads, and closes it."""
    return KafkaConsumer(
        **client_options(kafka, CONNECT_S),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        # three quarters of the time, in pure Python; the broker checked them when it took the records
        check_crcs=False,
        **options,
    )


def read_range(
    kafka: Kafka,
    topic: str,
    source: str,
    from_ms: int | None = None,
    to_ms: int | None = None,
    *,
    now_ms: int = 0,
    batch_size: int = 5000,
    ahead_ms: int = QUARTER_HOUR_MS,
    partition: int | None = None,
) -> Iterator[RawBatch | PartitionTick]:
    """Records whose broker time lies in [from_ms, to_ms) (None: from the first kept, to the end as of now).

    Yields RawBatch (at most `batch_size` records of one partition of `topic`; `now_ms` is passed on) and PartitionTick,
    in offset order within a partition; of `partition` alone if it is given. Raises UsageError when the topic does not
    exist, when this user may not read it or when its retention has eaten part of the span (saying which partitions),
    Unreachable when Kafka does not answer.
    """
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise UsageError(
            f"empty range: {_iso(from_ms)} is not before {_iso(to_ms)}",
            f"时间范围为空：{_iso(from_ms)} 不早于 {_iso(to_ms)}",
        )
    with kafka_errors(kafka, f"reading {topic}"), ExitStack() as opened:
        parts = _look(kafka, topic, from_ms, to_ms, partition)
        try:
            for part in parts:
                part.open(kafka, batch_size)
                opened.callback(part.consumer.close, autocommit=False)
            while parts := [part for part in parts if part.fill()]:
                yield from _doors(_take(parts, batch_size, ahead_ms), topic, source, now_ms)
        except OffsetOutOfRangeError as error:
            raise UsageError(
                f"{topic}: retention removed records while they were being read; start later",
                f"{topic}：读取过程中保留期删除了记录；请选择更晚的起点",
            ) from error


def ends_of_range(kafka: Kafka, topic: str, from_ms: int | None = None, to_ms: int | None = None) -> dict[int, int]:
    """Offset of the last record in the range, for each partition that has any. Raises as `read_range` does."""
    with kafka_errors(kafka, f"reading {topic}"):
        return {part.partition.partition: part.end - 1 for part in _look(kafka, topic, from_ms, to_ms)}


class Span(Struct, frozen=True):
    """First kept offset of a partition, and the one behind its last record."""

    first: int
    end: int


def span(kafka: Kafka, topic: str) -> Span:
    """Of the city's partition of a topic. Raises UsageError when it is not there, or this user may not see it."""
    with kafka_errors(kafka, f"looking at {topic}"), closing(consumer(kafka)) as source:
        if kafka.partition not in (source.partitions_for_topic(topic) or ()):
            raise _not_there(kafka, topic)
        partition = TopicPartition(topic, kafka.partition)
        return Span(source.beginning_offsets([partition])[partition], source.end_offsets([partition])[partition])


def _look(
    kafka: Kafka, topic: str, from_ms: int | None, to_ms: int | None, partition: int | None = None
) -> list[_Part]:
    with closing(consumer(kafka)) as source:
        return _parts(source, kafka, topic, from_ms, to_ms, partition)


def _parts(
    source: KafkaConsumer, kafka: Kafka, topic: str, from_ms: int | None, to_ms: int | None, partition: int | None
) -> list[_Part]:
    """Partitions with their first and end offset in the span; those without records left out."""
    numbers = source.partitions_for_topic(topic) or set()
    numbers = numbers if partition is None else numbers & {partition}
    if not numbers:
        raise _not_there(kafka, topic)
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    first, end = source.beginning_offsets(partitions), source.end_offsets(partitions)
    start = dict(first)
    if from_ms is not None:
        found = source.offsets_for_times(dict.fromkeys(partitions, from_ms))
        _check_kept(topic, from_ms, first, end, found)
        start = {p: found[p].offset if found[p] else end[p] for p in partitions}
    if to_ms is not None:
        found = source.offsets_for_times(dict.fromkeys(partitions, to_ms))
        end = {p: min(end[p], found[p].offset) if found[p] else end[p] for p in partitions}
    return [_Part(p, start[p], end[p]) for p in partitions if start[p] < end[p]]


def _not_there(kafka: Kafka, topic: str) -> UsageError:
    """A topic that is hidden from this user looks to a consumer like one that is not there."""
    with admin(kafka, f"reading {topic}") as client:
        (found,) = client.describe_topics([topic])
    if found["error_code"] == TOPIC:
        return not_allowed(kafka, "reading", f"READ topic {topic}")
    return UsageError(
        f"Kafka has no topic {topic}; check sources.*.topic, or run `quanyu topics create`",
        f"Kafka 上没有主题 {topic}；请检查 sources.*.topic，或运行 `quanyu topics create`",
    )


def _check_kept(topic: str, from_ms: int, first: dict[Any, int], end: dict[Any, int], found: dict[Any, Any]) -> None:
    """Retention has eaten of the span if records are gone and the first one kept is not older than its start."""
    gone = []
    for partition, offset in first.items():
        if offset == 0:
            continue
        hit = found[partition]
        if hit is not None and hit.offset <= offset:
            gone.append(f"{partition.partition} ({_iso(hit.timestamp)})")
        elif hit is None and offset == end[partition]:
            gone.append(f"{partition.partition} (-)")
    if gone:
        listed = ", ".join(gone)
        raise UsageError(
            f"{topic}: retention has removed records after {_iso(from_ms)}; partitions and their first kept record: "
            f"{listed}; start later, or replay the archived log",
            f"{topic}：保留期已删除 {_iso(from_ms)} 之后的部分记录；各分区最早保留的记录：{listed}；"
            f"请选择更晚的起点，或回放归档日志",
        )


def _take(parts: list[_Part], batch_size: int, ahead_ms: int) -> list[Any]:
    """The next records of the partition that is furthest behind, not past the next one by more than `ahead_ms`."""
    behind = min(parts, key=lambda part: (part.records[0].timestamp, part.partition.partition))
    limit = min((part.records[0].timestamp for part in parts if part is not behind), default=None)
    taken: list[Any] = []
    while behind.records and len(taken) < batch_size:
        if limit is not None and taken and behind.records[0].timestamp > limit + ahead_ms:
            break
        taken.append(behind.records.popleft())
    return taken


def _doors(records: list[Any], topic: str, source: str, now_ms: int) -> Iterator[RawBatch | PartitionTick]:
    """Cut at control records."""
    data: list[Any] = []
    for record in records:
        if record.key == TICK_KEY and record.value is not None and record.value.isdigit():
            if data:
                yield _batch(data, topic, source, now_ms)
                data = []
            yield PartitionTick(topic, record.partition, Tick(int(record.value)))
        else:
            data.append(record)
    if data:
        yield _batch(data, topic, source, now_ms)


def _batch(records: list[Any], topic: str, source: str, now_ms: int) -> RawBatch:
    return RawBatch(
        source=source,
        topic=topic,
        partition=records[0].partition,
        values=[record.value or b"" for record in records],
        offsets=[record.offset for record in records],
        received_at_ms=[record.timestamp for record in records],
        now_ms=now_ms,
        keys=[record.key for record in records],
    )


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


class Reach(Struct, frozen=True):
    """How far a partition reaches: first kept offset and its time (None: empty), the end, and the first offset at or
    after each time that was asked for (None: there is none yet)."""

    first: int
    end: int
    first_ms: int | None
    at: dict[int, int | None]


def reach(kafka: Kafka, topic: str, times_ms: Iterable[int]) -> Reach:
    """Look at the city's partition of a topic.

    Raises UsageError if it is not there, Unreachable when Kafka does not answer.
    """
    with kafka_errors(kafka, f"looking at {topic}"), closing(consumer(kafka)) as source:
        if kafka.partition not in (source.partitions_for_topic(topic) or ()):
            raise UsageError(
                f"Kafka has no partition {kafka.partition} of topic {topic}; check kafka.log_topic and "
                f"kafka.partition, or run `quanyu topics create`",
                f"Kafka 上没有主题 {topic} 的分区 {kafka.partition}；请检查 kafka.log_topic 与 kafka.partition，"
                f"或运行 `quanyu topics create`",
            )
        part = TopicPartition(topic, kafka.partition)

        def found(at_ms: int) -> Any:
            return source.offsets_for_times({part: at_ms})[part]

        kept = found(0)
        first, end = source.beginning_offsets([part])[part], source.end_offsets([part])[part]
        at = {at_ms: hit.offset if (hit := found(at_ms)) else None for at_ms in times_ms}
        return Reach(first, end, kept.timestamp if kept else None, at)


def read_offsets(kafka: Kafka, topic: str, start: int, end: int, batch_size: int = 500) -> Iterator[list[Any]]:
    """The client's own records at offsets [start, end) of the city's partition, in order.

    Raises UsageError when retention removes some of them meanwhile, Unreachable when Kafka does not answer.
    """
    part = _Part(TopicPartition(topic, kafka.partition), start, end)
    with kafka_errors(kafka, f"reading {topic}"), ExitStack() as opened:
        part.open(kafka, batch_size)
        opened.callback(part.consumer.close, autocommit=False)
        try:
            while part.fill():
                records = list(part.records)
                part.records.clear()
                yield records
        except OffsetOutOfRangeError as error:
            raise UsageError(
                f"{topic}: retention removed records while they were being read",
                f"{topic}：读取过程中保留期删除了记录",
            ) from error
