"""What a replay reads: files, topic ranges, or the city's log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from schemas import Envelope, RawBatch
from schemas.sources.spec import Mapping as SourceMapping
from streams.envelopes import steps
from streams.files import read_batches
from streams.kafka_range import PartitionTick, ends_of_range, read_range
from streams.replay import SLICE, Feed, Told
from streams.settings import Settings

#: messages of the log that are fetched at a time: an envelope may hold thousands of signals
LOG_MESSAGES = 100


def file_feed(path: Path, source: str, mapping: SourceMapping, now_ms: int, number: int) -> Feed:
    """A file is one origin; `number` tells files of one name apart."""
    items = read_batches(path, source, mapping, SLICE, now_ms)
    if number:
        items = (msgspec.structs.replace(b, partition=number) for b in items)
    return Feed(source, f"file:{path.name}", (number,), items)


def topic_feed(
    settings: Settings, source: str, topic: str, from_ms: int | None, to_ms: int | None, now_ms: int
) -> Feed | None:
    """A topic's range: its partitions that have records in it are origins. None if none has."""
    kafka = settings.kafka
    ends = ends_of_range(kafka, topic, from_ms, to_ms)
    if not ends:
        return None

    def items() -> Iterator[RawBatch | Told]:
        for item in read_range(kafka, topic, source, from_ms, to_ms, now_ms=now_ms, batch_size=SLICE):
            if isinstance(item, PartitionTick):
                yield Told(item.topic, item.partition, item.tick.at_ms)
            else:
                yield item

    return Feed(source, topic, tuple(sorted(ends)), items(), ends)


def kafka_log(
    settings: Settings, from_ms: int | None, to_ms: int | None, signals: int = 5000
) -> Iterator[Sequence[Envelope]]:
    """The envelopes of the city's log, in steps of about so many signals."""
    kafka = settings.kafka
    log = read_range(kafka, kafka.log_topic, "", from_ms, to_ms, batch_size=LOG_MESSAGES, partition=kafka.partition)
    for item in log:
        if isinstance(item, RawBatch):
            yield from steps(item.values, signals)
