"""The compacted topic that carries a city's state from one worker to the next, in the city's partition.

Keys are EDITION/CHUNK and EDITION/manifest. An edition is what one worker wrote during one assignment: nobody else
writes or removes under its name, so a worker that was thought dead can spoil nothing. The manifest comes after its
chunks: an edition is complete when everything that its manifest names is there, and the complete one with the highest
offset is the state. Who has written a manifest removes what it replaces: its own old chunks, and older editions.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import closing, suppress

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError
from msgspec import Struct

from schemas import Versions
from streams.kafka import kafka_errors
from streams.kafka_range import EMPTY_POLLS, POLL_MS, consumer
from streams.pipeline import CityState
from streams.settings import Kafka
from streams.snapshots import FORM, Manifest, check, chunks

MANIFEST = b"manifest"
#: a snapshot is compressed chunk by chunk; more would take longer than it saves
LEVEL = 1

Message = tuple[bytes, bytes | None]


class Edition:
    """Messages of the snapshots of one assignment, in the order in which they have to be on the topic."""

    def __init__(self, name: str, rules: str, versions: Versions) -> None:
        self.name = name
        self._rules, self._versions = rules, versions
        self._sent: set[str] = set()
        self._parts: dict[str, list[str]] = {}
        self._bytes = 0

    def chunks(self, frozen: CityState) -> Iterator[Message]:
        """Those chunks of a snapshot that are not on the topic yet."""
        self._parts, self._bytes = {}, 0
        for part, name, piece in chunks(frozen):
            self._parts.setdefault(part, []).append(name)
            self._bytes += len(piece)
            if name not in self._sent:
                yield self._key(name.encode()), zlib.compress(piece, LEVEL)
                self._sent.add(name)

    def manifest(self, next_offset: int, watermark_ms: int, now_ms: int) -> tuple[Manifest, Message]:
        """What makes the chunks a snapshot: to be sent when they are on the topic and the rows are stored."""
        manifest = Manifest(
            FORM, self._rules, self._versions, next_offset, watermark_ms, now_ms, self._bytes, self._parts
        )
        return manifest, (self._key(MANIFEST), msgspec.msgpack.encode(manifest))

    def replaced(self, manifest: Manifest) -> Iterator[Message]:
        """Tombstones of this edition's chunks that the manifest no longer names."""
        gone = self._sent - manifest.names
        self._sent -= gone
        return ((self._key(name.encode()), None) for name in sorted(gone))

    def older(self, kept: Kept, manifest: Manifest | None) -> Iterator[Message]:
        """Tombstones of editions that the manifest replaces (None: of all others)."""
        for name, keys in kept.editions.items():
            theirs = kept.manifests.get(name)
            newer = manifest is not None and theirs is not None and theirs.next_offset > manifest.next_offset
            if name != self.name and not newer:
                yield from ((key, None) for key in sorted(keys))

    def _key(self, name: bytes) -> bytes:
        return self.name.encode() + b"/" + name


class Kept(Struct):
    """What the topic holds. `editions`: name -> its keys; `manifests`: name -> its manifest."""

    editions: dict[str, set[bytes]] = {}
    manifests: dict[str, Manifest] = {}
    values: dict[bytes, bytes] = {}

    def take(self, key: bytes, value: bytes | None) -> None:
        """The topic's next record; None removes what stood under the key."""
        name, _, chunk = key.partition(b"/")
        edition = name.decode(errors="replace")
        self.values.pop(key, None)
        if chunk == MANIFEST:
            self.manifests.pop(edition, None)
        keys = self.editions.setdefault(edition, set())
        if value is None:
            keys.discard(key)
            if not keys:
                del self.editions[edition]
            return
        keys.add(key)
        if chunk != MANIFEST:
            self.values[key] = value
            return
        with suppress(msgspec.DecodeError):  # not ours to read; removed with the first snapshot of this version
            self.manifests[edition] = msgspec.msgpack.decode(value, type=Manifest)

    def complete(self, name: str) -> bool:
        """Whether the edition's newest snapshot is all there."""
        wanted = {f"{name}/{chunk}".encode() for chunk in self.manifests[name].names}
        return wanted <= self.values.keys()

    def newest(self) -> str:
        """Name of the edition to go on from; "" if there is none."""
        complete = [name for name in self.manifests if self.complete(name)]
        return max(complete, key=lambda name: (self.manifests[name].next_offset, name), default="")

    def chunk(self, edition: str, name: str) -> bytes:
        """Bytes of a chunk of an edition."""
        return zlib.decompress(self.values[f"{edition}/{name}".encode()])


def read(kafka: Kafka) -> Kept:
    """Everything on the topic, as of now. Raises Unreachable when Kafka does not answer, UsageError when it refuses."""
    kept, topic = Kept(), kafka.state_topic
    with kafka_errors(kafka, f"reading {topic}"), closing(consumer(kafka, max_poll_records=2000)) as source:
        for key, value in _records(source, TopicPartition(topic, kafka.partition)):
            kept.take(key, value)
    return kept


def check_state(kafka: Kafka, rules: str) -> None:
    """Before a worker starts: raise UsageError if there is a snapshot that it could not continue."""
    kept = read(kafka)
    if name := kept.newest():
        check(kept.manifests[name], rules)


def _records(source: KafkaConsumer, partition: TopicPartition) -> Iterator[tuple[bytes, bytes | None]]:
    source.assign([partition])
    source.seek_to_beginning(partition)
    end, empty = source.end_offsets([partition])[partition], 0
    while (before := _position(source, partition)) < end:
        for records in source.poll(timeout_ms=POLL_MS).values():
            yield from ((record.key, record.value) for record in records if record.key is not None)
        empty = empty + 1 if _position(source, partition) == before else 0
        if empty == EMPTY_POLLS:
            raise KafkaTimeoutError(f"nothing new in {EMPTY_POLLS * POLL_MS // 1000} s, short of the end")


def _position(source: KafkaConsumer, partition: TopicPartition) -> int:
    """Where the next record is read. The client says None when the broker did not answer in time."""
    found = source.position(partition)
    if found is None:
        raise KafkaTimeoutError(f"no position of {partition.topic}")
    return int(found)
