"""From Kafka into the archive, and from the archive on into Kafka: one log, wherever its messages lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from schemas import Envelope, QuanyuError, UsageError
from streams.archive import READ, Archive, Manifest, Message, check
from streams.envelopes import steps
from streams.kafka_range import Reach, reach, read_offsets
from streams.settings import Kafka, Settings
from streams.windows import Calendar


class Archived(Struct, frozen=True):
    """A day of the archive, and whether it was written now."""

    day: str
    first_offset: int
    next_offset: int
    messages: int
    bytes: int
    digest: str
    joins: bool
    state: Literal["written", "there"]


class Result(Struct, frozen=True):
    """What `quanyu archive` tells; the keys other programs rely on. Everything before offset `may_expire_before` is
    archived and checked: the topic may let go of it."""

    topic: str
    directory: str
    days: list[Archived]
    may_expire_before: int


def log_name(kafka: Kafka) -> str:
    """Of the city's log: the topic, with the partition where cities share it."""
    return kafka.log_topic if kafka.partitions == 1 else f"{kafka.log_topic}-{kafka.partition}"


def archive(settings: Settings, directory: Path, until: date, check_all: bool) -> Result:
    """Archive every closed day of the log up to `until` that is not there yet.

    `check_all`: read again what was there before, too. Raises UsageError for a day that is not closed or an archive of
    another log, QuanyuError for messages that are missing, Unreachable when Kafka does not answer.
    """
    kafka = settings.kafka
    store = Archive(directory, log_name(kafka))
    with store.locked():
        known = store.days()
        if check_all:
            for manifest in known:
                check(store.folder / manifest.day, manifest)
        held = reach(kafka, kafka.log_topic, ())
        _same_log(settings, store, known, held)
        days = _days(settings, known, held, until)
        ends = reach(kafka, kafka.log_topic, [_end(settings, day) for day in [*days, until]])
        if ends.at[_end(settings, until)] is None and not (known and known[-1].day >= until.isoformat()):
            raise UsageError(
                f"--until {until}: {kafka.log_topic} has no message after this day yet, so it is not closed",
                f"--until {until}：{kafka.log_topic} 中尚无该日之后的消息，该日还未结束",
            )
        written: list[Manifest] = []
        start = known[-1].next_offset if known else held.first
        for day in days:
            stop = max(start, ends.at[_end(settings, day)] or 0)
            joins = bool(known or written) or start == 0
            written.append(_write(settings, store, day, range(start, stop), joins))
            start = stop
    shown = [_archived(m, "there") for m in known if m.day <= until.isoformat()]
    return Result(store.topic, str(directory), [*shown, *(_archived(m, "written") for m in written)], start)


def _days(settings: Settings, known: Sequence[Manifest], held: Reach, until: date) -> list[date]:
    """The days to be written: behind the last one that is there, or from that of the first message."""
    if known:
        first = date.fromisoformat(known[-1].day) + timedelta(days=1)
    elif held.first_ms is None:
        return []
    else:
        zone = Calendar(settings.city.timezone, settings.panes.minutes).zone
        first = datetime.fromtimestamp(held.first_ms / 1000, zone).date()
    return [first + timedelta(days=n) for n in range((until - first).days + 1)]


def _end(settings: Settings, day: date) -> int:
    """End of the local day, ms UTC."""
    return Calendar(settings.city.timezone, settings.panes.minutes).day(day)[1]


def _write(settings: Settings, store: Archive, day: date, offsets: range, joins: bool) -> Manifest:
    kafka = settings.kafka
    read = read_offsets(kafka, kafka.log_topic, offsets.start, offsets.stop, READ) if offsets else iter(())
    messages = ([_message(record) for record in records] for records in read)
    return store.write(day.isoformat(), settings.city.timezone, offsets, joins, messages)


def _message(record: Any) -> Message:
    headers = [(str(name), value) for name, value in record.headers]
    return Message(record.offset, record.timestamp, record.key, record.value, headers)


def _archived(m: Manifest, state: Literal["written", "there"]) -> Archived:
    return Archived(m.day, m.first_offset, m.next_offset, m.messages, m.bytes, m.digest, m.joins, state)


def _same_log(settings: Settings, store: Archive, known: Sequence[Manifest], held: Reach) -> None:
    """Refuse to go on where the archive and Kafka do not join, or are not of one log (as far as Kafka still tells)."""
    if not known:
        return
    last, topic = known[-1], settings.kafka.log_topic
    if held.first > last.next_offset:
        raise QuanyuError(
            f"{topic} begins at offset {held.first}, but the archive in {store.folder} ends before "
            f"{last.next_offset}: what lay between is lost; name another --dir for what follows",
            f"{topic} 从偏移量 {held.first} 开始，而 {store.folder} 的归档止于 {last.next_offset} 之前："
            f"其间的消息已丢失；请为后续部分另选 --dir",
        )
    filled = [m for m in known if m.messages and m.next_offset > held.first]
    other = held.end < last.next_offset
    if filled and not other:
        at = filled[-1].next_offset - 1
        found = chain.from_iterable(read_offsets(settings.kafka, topic, at, at + 1))
        other = [_message(record) for record in found] != [store.last(filled[-1])]
    if other:
        raise UsageError(
            f"{store.folder} is the archive of another log than {topic} on {settings.kafka.servers}: name another "
            f"folder",
            f"{store.folder} 归档的不是 {settings.kafka.servers} 上的 {topic}：请另选目录",
        )


def archived_log(
    settings: Settings, directory: Path, from_ms: int | None, to_ms: int | None, signals: int, and_kafka: bool
) -> Iterator[Sequence[Envelope]]:
    """The envelopes of the archived log, in steps of about so many signals; then of what Kafka holds behind it.

    Times are those of the messages, as for a range of a topic.
    """
    kafka = settings.kafka
    store = Archive(directory, log_name(kafka))
    known = store.days()
    if not known:
        raise UsageError(
            f"--archive {directory}: holds no days of {store.topic}",
            f"--archive {directory}：其中没有 {store.topic} 的归档",
        )
    times = [at for at in (from_ms, to_ms) if at is not None]
    held = reach(kafka, kafka.log_topic, times) if and_kafka else None
    if held is not None:
        _same_log(settings, store, known, held)
    read = store.read(from_ms, to_ms)
    while True:
        try:
            messages = next(read)
        except StopIteration as end:
            over = bool(end.value)
            break
        yield from steps([message.value or b"" for message in messages], signals)
    if held is None or over:
        return
    start, stop = known[-1].next_offset, held.end
    if from_ms is not None:
        begin = held.at[from_ms]
        start = stop if begin is None else max(start, begin)
    if to_ms is not None and held.at[to_ms] is not None:
        stop = held.at[to_ms] or 0
    if start < stop:
        for records in read_offsets(kafka, kafka.log_topic, start, stop):
            yield from steps([record.value or b"" for record in records], signals)
