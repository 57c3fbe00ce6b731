"""The log on a real broker, in the archive, and in both: one log."""

from __future__ import annotations

import contextlib
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from streams.archive import FILE
from streams.kafka import producing
from streams.settings import Kafka
from streams.windows import DAY_MS
from tests.command_line import Quanyu, command_line, told
from tests.servers.deployment import read_topic
from tests.shells import START_MS, lived

pytestmark = pytest.mark.servers

FIRST = date(2026, 3, 2)


class Log:
    """A city's log of three days on its own topic, and the command line that knows it."""

    def __init__(self, kafka: str, topic: str, cli: Quanyu) -> None:
        self.kafka, self.topic, self.cli = kafka, topic, cli
        self.settings = [f"kafka.servers={kafka}", f"kafka.log_topic={topic}", "kafka.retention_days=36500"]
        self.settings += [f"sources.{s}.partitions=1" for s in ("110", "12345", "grid", "sensor")]
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
            configs = {"retention.ms": "-1"}
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1, "configs": configs}})

    def add(self, first: int, days: range) -> int:
        """The simulated envelopes from `first` on, spread over these days; returns how many."""
        envelopes = lived()[0]
        part = envelopes[first : len(envelopes) * days.stop // 3]
        with producing(Kafka(servers=self.kafka)) as send:
            for n, envelope in enumerate(part):
                at = START_MS + days.start * DAY_MS + n * len(days) * DAY_MS // len(part)
                send(self.topic, msgspec.msgpack.encode(envelope), partition=0, timestamp_ms=at)
        return first + len(part)

    def expire(self, before: int) -> None:
        """What retention does."""
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=self.kafka)) as admin:
            admin.delete_records({TopicPartition(self.topic, 0): before})

    def archive(self, day: int, folder: Path, *options: str) -> Any:
        until = (FIRST + timedelta(days=day)).isoformat()
        return self.cli("archive", "--until", until, "--dir", folder, *options, settings=self.settings)

    def archived(self, day: int, folder: Path, *options: str) -> dict[str, Any]:
        done = self.archive(day, folder, "--json", *options)
        assert done.exit_code == 0, done.output
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def replayed(self, *options: str | Path) -> dict[str, Any]:
        settings = [*self.settings, "hotspots.min_history_days=1", "repeats.incidents=2"]
        done = self.cli("replay", "run", "--json", *options, settings=settings)
        assert done.exit_code == 0, done.output
        summary: dict[str, Any] = json.loads(done.stdout)
        return summary


@pytest.fixture
def log(kafka: str, prefix: str, chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setenv("QUANYU__INTAKE__CALLER_KEY", "a secret of the tests")
    return Log(kafka, f"{prefix}log", command_line(chdb_url, tmp_path / "here", monkeypatch))


def test_archive_and_what_kafka_still_holds_are_one_log(log: Log, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    log.add(0, range(3))
    whole = log.replayed("--kafka", "--log")
    assert whole["signals"] > 1000 and whole["incidents"] > 500

    first = log.archived(0, folder)
    (day,) = first["days"]
    assert (day["day"], day["state"], day["first_offset"], day["joins"]) == ("2026-03-02", "written", 0, True)
    assert 0 < first["may_expire_before"] == day["next_offset"] < len(lived()[0])
    assert log.replayed("--archive", folder, "--kafka", "--log")["result_hash"] == whole["result_hash"]

    log.expire(first["may_expire_before"])
    assert log.replayed("--kafka", "--log")["result_hash"] != whole["result_hash"]
    assert log.replayed("--archive", folder, "--kafka", "--log")["result_hash"] == whole["result_hash"]

    second = log.archived(1, folder, "--check")
    assert [day["state"] for day in second["days"]] == ["there", "written"]
    log.expire(second["may_expire_before"])
    assert log.replayed("--archive", folder, "--kafka", "--log")["result_hash"] == whole["result_hash"]
    # a span that lies in both, and one beyond the archive
    for start in ("2026-03-03T12:00", "2026-03-04T03:00"):
        span = log.replayed("--archive", folder, "--kafka", "--log", "--from", start, "--to", "2026-03-04T06:00")
        assert 0 < span["read"] < whole["read"]
    inside = log.replayed("--archive", folder, "--from", "2026-03-02T06:00", "--to", "2026-03-03T06:00")
    assert 0 < inside["read"] < whole["read"]

    # again there is nothing to do, and the last day is not over
    assert [d["state"] for d in log.archived(1, folder)["days"]] == ["there", "there"]
    assert "not closed" in told(log.archive(2, folder), 2)
    shown = log.archive(1, folder)
    assert f"before offset {second['may_expire_before']}" in shown.stdout


def test_every_message_byte_for_byte(log: Log, tmp_path: Path) -> None:
    """Keys, headers, empty and missing values, stamps out of order: as kafka-python reads them."""
    from kafka import KafkaProducer

    from streams.archive import Archive

    producer = KafkaProducer(bootstrap_servers=log.kafka)
    for n, (key, value, headers) in enumerate(
        [(None, b"a", []), (b"k", None, []), (b"", b"", [("h", b"1"), ("h", b"")]), (None, b"\xff" * 300_000, [])]
    ):
        stamp = START_MS + n * DAY_MS // 5 - (n == 1) * 2 * DAY_MS // 5
        producer.send(log.topic, value, key=key, headers=headers, partition=0, timestamp_ms=stamp)
    producer.send(log.topic, b"next", partition=0, timestamp_ms=START_MS + DAY_MS)
    producer.send(log.topic, b"late", partition=0, timestamp_ms=START_MS + DAY_MS - 1)
    producer.send(log.topic, b"end", partition=0, timestamp_ms=START_MS + 3 * DAY_MS)
    producer.close()
    result = log.archived(2, tmp_path)
    assert [(d["day"], d["messages"]) for d in result["days"]] == [
        ("2026-03-02", 4), ("2026-03-03", 2), ("2026-03-04", 0)
    ]  # fmt: skip
    found = [m for part in Archive(tmp_path, log.topic).read() for m in part]
    held = read_topic(Kafka(servers=log.kafka), log.topic)[:-1]
    assert [(m.offset, m.timestamp_ms, m.key, m.value, m.headers) for m in found] == [
        (r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in held
    ]


def test_what_is_lost_or_another_log_is_refused(log: Log, tmp_path: Path) -> None:
    log.add(0, range(3))
    first = log.archived(0, tmp_path)
    log.expire(first["may_expire_before"] + 5)
    lost = log.archive(1, tmp_path)
    assert lost.exit_code == 1 and "what lay between is lost; name another --dir" in lost.stderr
    hole = log.cli("replay", "run", "--archive", tmp_path, "--kafka", "--log", settings=log.settings)
    assert hole.exit_code == 1 and "is lost" in hole.stderr
    # a new folder begins where the log does now; it does not join
    (day,) = log.archived(1, tmp_path / "new")["days"]
    assert (day["day"], day["joins"]) == ("2026-03-03", False) and day["messages"]


def test_the_archive_of_another_log_is_not_continued(log: Log, tmp_path: Path) -> None:
    log.add(0, range(3))
    log.archived(0, tmp_path)
    other = Log(log.kafka, f"{log.topic}.other", log.cli)
    with producing(Kafka(servers=log.kafka)) as send:
        for n in range(200):
            send(other.topic, b"%d" % n, partition=0, timestamp_ms=START_MS + n * DAY_MS // 50)
    (tmp_path / log.topic).rename(tmp_path / other.topic)
    manifest = tmp_path / other.topic / "2026-03-02" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(log.topic, other.topic))
    assert "the archive of another log" in told(other.archive(1, tmp_path), 2)
    assert (manifest.parent / FILE).exists()
