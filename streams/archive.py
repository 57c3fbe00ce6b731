"""Closed days of the city's log as files, so that the log can be replayed byte for byte when Kafka has let go of it.

    DIR/TOPIC/2026-03-02/log.parquet      every message: offset, time stamp, key, value, headers, in order of offset
    DIR/TOPIC/2026-03-02/manifest.json    what must be in it

1. A day holds the offsets from where the day before ends to the first message stamped at or after its own end. So days
   join without a hole, also where stamps are a little out of order.
2. A folder appears whole or not at all: it is written beside its place, read again and compared, then renamed.
3. What is there is never written over. A day that says otherwise than Kafka is an error.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from schemas import QuanyuError, UsageError

SCHEMA = pa.schema(
    [
        ("offset", pa.int64()),
        ("timestamp_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
    ]
)
FILE, MANIFEST = "log.parquet", "manifest.json"
#: messages that are read at a time, and bytes of a row group
READ, GROUP_BYTES = 500, 32_000_000


class Message(Struct, frozen=True, array_like=True):
    """A message of the log as it lay on Kafka."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] = []


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a day holds: messages at offsets [first_offset, next_offset). `digest`: BLAKE2b of all messages, in order;
    `sha256`: of the file. `joins`: it begins the log, or continues the day before in the archive."""

    topic: str
    day: str
    timezone: str
    first_offset: int
    next_offset: int
    joins: bool
    bytes: int
    max_timestamp_ms: int
    digest: str
    sha256: str
    file_bytes: int
    format: int = 1

    @property
    def messages(self) -> int:
        """How many: offsets have no holes."""
        return self.next_offset - self.first_offset


class Tally:
    """What passes by: offsets without a hole, a digest, sums."""

    def __init__(self, first_offset: int) -> None:
        self.next_offset = first_offset
        self.bytes = 0
        self.max_timestamp_ms = 0
        self._hash = hashlib.blake2b(digest_size=32)

    def add(self, message: Message) -> None:
        """The next message. QuanyuError if it is not the one that was due."""
        if message.offset != self.next_offset:
            raise QuanyuError(
                f"the log has no message at offset {self.next_offset}: {message.offset} came after it",
                f"日志缺少偏移量 {self.next_offset} 的消息：其后是 {message.offset}",
            )
        self.next_offset += 1
        self.bytes += len(message.value or b"")
        self.max_timestamp_ms = max(self.max_timestamp_ms, message.timestamp_ms)
        self._hash.update(msgspec.msgpack.encode(message))

    @property
    def digest(self) -> str:
        """Of all so far."""
        return self._hash.hexdigest()


class Archive:
    """The archived days of one log below `directory`; `topic` is its name, the folder's too."""

    def __init__(self, directory: Path, topic: str) -> None:
        self.topic = topic
        self.folder = directory / topic

    def days(self) -> list[Manifest]:
        """Manifests in order of day. QuanyuError for one that is damaged, or does not join the one before."""
        found = [self._manifest(path) for path in sorted(self.folder.glob("[0-9]*-*/" + MANIFEST))]
        for before, after in pairwise(found):
            if before.next_offset != after.first_offset:
                raise QuanyuError(
                    f"{self.folder}: {before.day} ends before offset {before.next_offset}, but {after.day} begins at "
                    f"{after.first_offset}: days are missing or of another log",
                    f"{self.folder}：{before.day} 止于偏移量 {before.next_offset} 之前，而 {after.day} 从 "
                    f"{after.first_offset} 开始：缺少日期，或属于另一日志",
                )
        return found

    def _manifest(self, path: Path) -> Manifest:
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Manifest)
            size = (path.parent / FILE).stat().st_size
        except (msgspec.DecodeError, OSError) as error:
            raise _damaged(path.parent, str(error)) from error
        if found.topic != self.topic or found.day != path.parent.name or size != found.file_bytes:
            raise _damaged(path.parent, "the manifest is of another day, topic or file")
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes while the block runs. UsageError if the folder cannot be written or someone does."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            raise UsageError(
                f"--dir: cannot write in {self.folder}: {error.strerror}",
                f"--dir：无法写入 {self.folder}：{error.strerror}",
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise QuanyuError(
                    f"another archive is being written in {self.folder}", f"{self.folder} 正由另一进程归档"
                ) from None
            yield

    def write(
        self, day: str, timezone: str, offsets: range, joins: bool, messages: Iterable[Iterable[Message]]
    ) -> Manifest:
        """Write the day of these offsets, check it, and put it in its place.

        QuanyuError if a message is missing, or if what was written is not what came; then nothing is left but a
        folder `.DAY.partial`, which the next try begins anew.
        """
        place, partial = self.folder / day, self.folder / f".{day}.partial"
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
        tally = Tally(offsets.start)
        with pq.ParquetWriter(partial / FILE, SCHEMA, compression="zstd") as writer:
            for group in _groups(messages, tally):
                writer.write_table(_table(group))
        if tally.next_offset != offsets.stop:
            raise QuanyuError(
                f"the log ends at offset {tally.next_offset}, {offsets.stop} was due",
                f"日志止于偏移量 {tally.next_offset}，应到 {offsets.stop}",
            )
        manifest = Manifest(
            self.topic, day, timezone, offsets.start, offsets.stop, joins, tally.bytes, tally.max_timestamp_ms,
            tally.digest, _sha256(partial / FILE), (partial / FILE).stat().st_size,
        )  # fmt: skip
        (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        for path in (partial / FILE, partial / MANIFEST, partial):
            _sync(path)
        check(partial, manifest)
        partial.rename(place)
        _sync(self.folder)
        return manifest

    def read(self, from_ms: int | None = None, to_ms: int | None = None) -> Generator[list[Message], None, bool]:
        """Messages from the first one stamped at or after `from_ms`, before the first one stamped at or after `to_ms`.

        Its return value: whether the latter was met. QuanyuError at the end of a day that is not what its manifest
        says.
        """
        begun = from_ms is None
        for manifest in self.days():
            if not begun and from_ms is not None and manifest.max_timestamp_ms < from_ms:
                continue
            for messages in checked(self.folder / manifest.day, manifest):
                kept: list[Message] = []
                for message in messages:
                    begun = begun or (from_ms is not None and message.timestamp_ms >= from_ms)
                    if to_ms is not None and message.timestamp_ms >= to_ms:
                        if kept:
                            yield kept
                        return True
                    if begun:
                        kept.append(message)
                if kept:
                    yield kept
        return False

    def last(self, manifest: Manifest) -> Message | None:
        """The last message of a day; None if it has none."""
        last = None
        for messages in _messages(self.folder / manifest.day):
            last = messages[-1]
        return last


def check(folder: Path, manifest: Manifest) -> None:
    """Read a day again, whole. QuanyuError if it is not what its manifest says."""
    if _sha256(folder / FILE) != manifest.sha256:
        raise _damaged(folder, "the file is not the one that was written")
    for _ in checked(folder, manifest):
        pass


def checked(folder: Path, manifest: Manifest) -> Iterator[list[Message]]:
    """The messages of a day; at its end QuanyuError if they are not those of the manifest."""
    tally = Tally(manifest.first_offset)
    for messages in _messages(folder):
        for message in messages:
            tally.add(message)
        yield messages
    if (tally.next_offset, tally.digest) != (manifest.next_offset, manifest.digest):
        raise _damaged(folder, "its messages are not those of the manifest")


def _messages(folder: Path) -> Iterator[list[Message]]:
    try:
        with pq.ParquetFile(folder / FILE) as file:
            for batch in file.iter_batches(READ):
                columns = [batch.column(name).to_pylist() for name in SCHEMA.names]
                yield [
                    Message(offset, at, key, value, [(h["name"], h["value"]) for h in headers])
                    for offset, at, key, value, headers in zip(*columns, strict=True)
                ]
    except (pa.ArrowException, OSError) as error:
        raise _damaged(folder, str(error)) from error


def _groups(messages: Iterable[Iterable[Message]], tally: Tally) -> Iterator[list[Message]]:
    """Messages of one row group each, counted on their way."""
    group: list[Message] = []
    size = 0
    for part in messages:
        for message in part:
            tally.add(message)
            group.append(message)
            size += len(message.value or b"")
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _table(group: list[Message]) -> Any:
    return pa.table(
        {
            "offset": [m.offset for m in group],
            "timestamp_ms": [m.timestamp_ms for m in group],
            "key": [m.key for m in group],
            "value": [m.value for m in group],
            "headers": [[{"name": name, "value": value} for name, value in m.headers] for m in group],
        },
        schema=SCHEMA,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Let it be on the disk before anything relies on it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(folder: Path, why: str) -> QuanyuError:
    return QuanyuError(
        f"{folder}: damaged: {why}; move it away and archive the day again while Kafka holds it, or restore a copy",
        f"{folder}：归档已损坏：{why}；请移走后趁 Kafka 仍保留时重新归档，或从备份恢复",
    )
