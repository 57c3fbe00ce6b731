"""Faust's whole-batch reader on a real broker, in processes that are killed.

topic   p0 |0 1 2 ... | p1 |0 1 2 ...|      worker: read a batch -> write it to a file -> ack -> commit
kill -9 anywhere: what was not committed is read again; what was committed had been written before.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from streams.kafka import producing
from streams.settings import Kafka

pytestmark = pytest.mark.servers

PARTITIONS = 3
ROOT = Path(__file__).parents[2]


class Group:
    """A topic with records 0..n-1 (record i in partition i % 3), and the workers of one group that read it."""

    def __init__(self, servers: str, prefix: str, folder: Path, records: int, partitions: int = PARTITIONS) -> None:
        self.servers, self.topic, self.name = servers, prefix + "raw", prefix + "group"
        self.folder, self.records, self.partitions = folder, records, partitions
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
            admin.create_topics({self.topic: {"num_partitions": partitions, "replication_factor": 1}})
        self.write(range(records))
        self.workers: list[subprocess.Popen[bytes]] = []

    def write(self, numbers: range, compression: str | None = None) -> None:
        """Produce these numbers."""
        with producing(Kafka(servers=self.servers), compression=compression) as send:
            for i in numbers:
                send(self.topic, str(i).encode(), partition=i % self.partitions)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker; its output goes to a file of its own."""
        number = len(self.workers)
        command = [sys.executable, "-m", "tests.servers.faust_worker", "--servers", self.servers]
        command += ["--topic", self.topic, "--group", self.name, "--out", str(self.folder / f"out{number}")]
        with (self.folder / f"log{number}").open("wb") as log:
            worker = subprocess.Popen([*command, *options], cwd=ROOT, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def lines(self, number: int | None = None) -> list[list[Any]]:
        """What the workers wrote (or one of them): [topic, partition, offsets, values] a batch."""
        numbers = range(len(self.workers)) if number is None else [number]
        text = [(self.folder / f"out{n}").read_bytes() for n in numbers if (self.folder / f"out{n}").exists()]
        whole = [part for t in text for part in t.split(b"\n")[:-1]]
        return [msgspec.json.decode(line) for line in whole]

    def seen(self, number: int | None = None) -> Counter[int]:
        """How often each record was written."""
        return Counter(int(value) for line in self.lines(number) for value in line[3])

    def committed(self) -> list[int | None]:
        """The group's commit of each partition."""
        with contextlib.closing(
            KafkaConsumer(bootstrap_servers=self.servers, group_id=self.name, enable_auto_commit=False)
        ) as consumer:
            return [consumer.committed(TopicPartition(self.topic, n)) for n in range(self.partitions)]

    def wait(self, done: Callable[[], bool], seconds: float = 60) -> None:
        """Poll until `done`; show the workers' logs when it does not come."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text() for path in sorted(self.folder.glob("log*")))
                raise AssertionError(f"not done in {seconds} s; {len(self.seen())} seen; {self.committed()}\n{logs}")
            time.sleep(0.1)

    def all_seen(self) -> bool:
        """Whether every record was written at least once."""
        return len(self.seen()) == self.records

    def close(self) -> None:
        """Kill what still runs."""
        for worker in self.workers:
            worker.kill()
            worker.wait()


@pytest.fixture
def group(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Group]:
    """3,000 records in 3 partitions."""
    made = Group(kafka, prefix, tmp_path, 3000)
    yield made
    made.close()


def test_everything_in_order_and_committed(group: Group) -> None:
    worker = group.start("--max-batch", "100")
    group.wait(group.all_seen)
    worker.terminate()
    assert worker.wait(20) == 0
    assert set(group.seen().values()) == {1}
    for partition in range(PARTITIONS):
        offsets = [o for line in group.lines() if line[1] == partition for o in line[2]]
        assert offsets == list(range(1000))
    assert max(len(line[2]) for line in group.lines()) == 100
    assert group.committed() == [1000, 1000, 1000]


def test_commits_the_longest_acked_prefix(group: Group) -> None:
    worker = group.start("--max-batch", "100", "--hold", "350")
    group.wait(group.all_seen)
    worker.terminate()
    assert worker.wait(20) == 0
    assert group.committed() == [300, 300, 300]
    group.start("--max-batch", "100")
    group.wait(lambda: len(group.seen(1)) == 3 * 700)
    assert min(o for line in group.lines(1) for o in line[2]) == 300


def test_an_exception_ends_the_process_unacked(group: Group) -> None:
    worker = group.start("--max-batch", "100", "--fail", "450")
    assert worker.wait(60) == 1
    assert max(offset or 0 for offset in group.committed()) <= 400 + 600
    failed = {int(value) for value in group.seen()}
    group.start("--max-batch", "100")
    group.wait(group.all_seen)
    again = group.seen(1)
    assert all(again[i] == 1 for i in range(group.records) if i not in failed)


def test_kill_9_loses_nothing(group: Group) -> None:
    for _ in range(3):
        before = len(group.seen())
        worker = group.start("--max-batch", "20", "--work", "0.02")
        group.wait(lambda known=before: len(group.seen()) > known + 300)  # type: ignore[misc]
        worker.kill()
        worker.wait()
    group.start("--max-batch", "200")
    group.wait(group.all_seen)
    assert group.seen().total() < 2 * group.records


def test_rebalances_lose_nothing(group: Group) -> None:
    group.start("--max-batch", "10", "--work", "0.03")
    group.wait(lambda: len(group.seen()) > 200)
    second = group.start("--max-batch", "10", "--work", "0.03")
    group.wait(lambda: len(group.seen(1)) > 200)
    group.start("--max-batch", "10", "--work", "0.03")
    group.wait(lambda: len(group.seen(2)) > 100 or group.all_seen())
    second.terminate()
    group.wait(group.all_seen, 90)
    group.write(range(group.records, group.records + 300))
    group.records += 300
    group.wait(group.all_seen)
    for worker in (group.workers[0], group.workers[2]):
        worker.terminate()
        assert worker.wait(20) == 0
    assert group.committed() == [1100, 1100, 1100]


def test_start_offsets_rule_over_the_commit(group: Group) -> None:
    first = group.start("--max-batch", "100")
    group.wait(group.all_seen)
    first.terminate()
    assert first.wait(20) == 0
    group.start("--max-batch", "100", "--start", "700")
    group.wait(lambda: len(group.seen(1)) >= 900)
    assert sorted(group.seen(1)) == list(range(2100, 3000))


def test_a_held_partition_goes_on_where_it_stopped(group: Group) -> None:
    worker = group.start("--max-batch", "50", "--pause")
    group.wait(group.all_seen)
    worker.terminate()
    assert worker.wait(20) == 0
    lines = group.lines()
    held = lines.index(["held", 0, [], []])
    assert sum(line[1] == 0 for line in lines[:held]) == 1
    offsets = [o for line in lines if line[0] != "held" and line[1] == 0 for o in line[2]]
    assert offsets == list(range(1000))
    assert group.committed() == [1000, 1000, 1000]


def test_reads_what_producers_compress(group: Group) -> None:
    for compression in ("gzip", "lz4"):
        group.write(range(group.records, group.records + 300), compression)
        group.records += 300
    group.start()
    group.wait(group.all_seen)
    assert set(group.seen().values()) == {1}


def test_refuses_to_start_behind_what_is_kept(group: Group) -> None:
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=group.servers)) as admin:
        admin.delete_records({TopicPartition(group.topic, 1): 500})
    worker = group.start("--start", "400")
    assert worker.wait(60) == 1
    assert "raw/1: the snapshot continues at offset 400, but the topic holds 500..1000" in (
        (group.folder / "log0").read_text()
    )
    assert not group.lines()
