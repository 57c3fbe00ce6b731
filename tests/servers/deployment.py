"""Quanyu as a city runs it: a broker, a ClickHouse, workers as processes; started, watched, stopped and killed.

Nothing here waits a fixed time: it polls what the servers say.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition
from msgspec import Struct, field

from sinks.clickhouse import Client, connect
from sinks.clickhouse.stored import digest
from streams.kafka import CONNECT_S, producing
from streams.kafka_range import TICK_KEY
from streams.kafka_security import client_options
from streams.settings import Kafka, load
from tests.clickhouse import Where
from tests.servers.broker import free_port

SOURCES = ("110", "12345", "grid", "sensor")
PARTITIONS = 2
#: 2026-03-05 in the city's zone: behind all that the simulated days bring
DAY5 = 1_772_640_000_000
#: reports of the simulated day
RATE = 12_000
#: the clock of idle partitions runs 10,000 times as fast as it should, so corrections need a longer memory
MEMORY = {f"QUANYU__SOURCES__{s}__HORIZON_H".upper(): "120" for s in SOURCES}


def wait(what: str, true: Callable[[], bool], seconds: float = 90) -> None:
    """Poll until it is true; fail with `what` otherwise."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


class Worker(Struct):
    """A running `quanyu live`."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    @property
    def said(self) -> str:
        """Its standard error so far."""
        return self.log.read_text(encoding="utf-8")

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of its HTTP endpoint; 0 when nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self) -> None:
        """Until it has partitions."""
        wait(f"ready\n{self.said}", lambda: self.get("/readyz")[0] == 200 or self.process.poll() is not None)
        assert self.process.poll() is None, self.said

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM; its exit code. Fails when it takes longer."""
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {seconds} s of SIGTERM:\n{self.said}") from None

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class City(Struct):
    """One deployment: its own topics, group and database on servers that others may share."""

    name: str
    servers: str
    url: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    #: what the tests themselves are told, where the brokers ask who one is
    looking: dict[str, str] = field(default_factory=dict)
    #: prefix of the group and the topics that it shares with other cities, its partition of them, and how many it has
    province: str = ""
    partition: int = 0
    partitions: int = 1

    @property
    def kafka(self) -> Kafka:
        """How the tests themselves look at the brokers."""
        return load(environ={"QUANYU__KAFKA__SERVERS": self.servers, **self.looking}).kafka

    @property
    def environment(self) -> dict[str, str]:
        """What every command of the deployment is told."""
        topics = {f"QUANYU__SOURCES__{s}__TOPIC".upper(): f"{self.name}.raw.{s}" for s in SOURCES}
        counts = {f"QUANYU__SOURCES__{s}__PARTITIONS".upper(): str(PARTITIONS) for s in SOURCES}
        return {
            **topics,
            **counts,
            "QUANYU__KAFKA__SERVERS": self.servers,
            "QUANYU__CITY__NAME": self.name,
            "QUANYU__KAFKA__GROUP": self.group,
            "QUANYU__KAFKA__LOG_TOPIC": self.log,
            "QUANYU__KAFKA__LATE_TOPIC": f"{self.group}.late",
            "QUANYU__KAFKA__STATE_TOPIC": f"{self.group}.state",
            "QUANYU__KAFKA__WATERMARK_TOPIC": f"{self.group}.watermark",
            "QUANYU__KAFKA__PARTITIONS": str(self.partitions),
            "QUANYU__KAFKA__PARTITION": str(self.partition),
            "QUANYU__LIVE__SNAPSHOT_S": "2",
            # partitions are held as soon as they are ahead
            "QUANYU__LIVE__AHEAD_SIGNALS": "0",
            "QUANYU__KAFKA__REJECTED_TOPIC": self.rejected,
            # the simulated days are long past, and always the same
            "QUANYU__KAFKA__RETENTION_DAYS": "36500",
            "QUANYU__KAFKA__HEARTBEAT_CLOCK": "events",
            "QUANYU__KAFKA__HEARTBEAT_S": "1",
            "QUANYU__CLICKHOUSE__URL": self.url,
            "QUANYU__CLICKHOUSE__DATABASE": self.database,
            "QUANYU__INTAKE__CALLER_KEY": "a secret of the tests",
            "QUANYU__GRIDS__FILE": str(self.folder / "grids.toml"),
            **self.settings,
        }

    @property
    def group(self) -> str:
        """Consumer group of its workers."""
        return self.province or self.name

    @property
    def log(self) -> str:
        """Topic of the city's log."""
        return f"{self.group}.log"

    @property
    def rejected(self) -> str:
        """Topic of the dead letters."""
        return f"{self.group}.rejected"

    @property
    def raw(self) -> list[str]:
        """The raw topics."""
        return [f"{self.name}.raw.{s}" for s in SOURCES]

    @property
    def database(self) -> str:
        """Name of the live database."""
        return self.name.replace("-", "_")

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """A command of `quanyu` to its end."""
        command, told = self._command(*arguments), self._told()
        return subprocess.run(command, cwd=self.folder, env=told, capture_output=True, text=True, timeout=300)

    def ok(self, *arguments: str | Path) -> str:
        """The same; it must end well. Gives its standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def prepare(self) -> None:
        """Topics and tables."""
        self.ok("topics", "create")
        self.ok("migrate")

    def start(self, *options: str) -> Worker:
        """A worker that has just been started."""
        return self.launch(self.environment, *options)

    def launch(self, environment: dict[str, str], *options: str | Path) -> Worker:
        """The same, told something else than the city's own environment."""
        port = free_port()
        log = self.folder / f"live-{len(self.workers)}.log"
        told = _clean(environment) | {"QUANYU__METRICS__PORT": str(port)}
        with log.open("wb") as out:
            process = subprocess.Popen(
                self._command("live", *options), cwd=self.folder, env=told, stdout=out, stderr=out
            )
        worker = Worker(process, log, port)
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        """Kill what still runs."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()

    @contextmanager
    def simulated(self, *options: str, whole: bool = True) -> Iterator[subprocess.Popen[bytes]]:
        """The simulator sending to the raw topics while the block runs; at its end all has been sent, if `whole`."""
        log = self.folder / "simulate.log"
        command = self._command(*self._simulate(), *options)
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=self.folder, env=self._told(), stdout=out, stderr=out)
        try:
            grids = self.folder / "grids.toml"  # a worker needs it
            wait("the city has its grids", lambda: grids.exists() or process.poll() is not None)
            yield process
            if whole:
                assert process.wait(120) == 0, log.read_text()
            else:
                assert process.poll() is None, "there was nothing left to send"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def tell_time(self, at_ms: int) -> None:
        """A control record on every raw partition: whatever waits for a pane to close has waited long enough."""
        with producing(self.kafka) as send:
            for topic in self.raw:
                for partition in range(PARTITIONS):
                    send(topic, b"%d" % at_ms, key=TICK_KEY, partition=partition)

    def simulate(self, *options: str) -> None:
        """All records of the simulated city, before anything is read."""
        self.ok(*self._simulate(), *options)

    def _command(self, *arguments: str | Path) -> list[str]:
        return [str(Path(sys.executable).with_name("quanyu")), *map(str, arguments)]

    def _told(self) -> dict[str, str]:
        return _clean(self.environment)

    def _simulate(self) -> list[str]:
        start = ("--start", "2026-03-02", "--days", "1", "--rate", str(RATE))
        return ["simulate", *start, "--cells", "300", "--to", "kafka", str(self.folder)]

    def committed(self, *topics: str) -> int:
        """Records the group has committed, over all partitions."""
        return sum(done for done, _ in self.offsets(*topics))

    def left(self) -> int:
        """Records that are not yet done: raw ones without an envelope, envelopes without stored rows."""
        return sum(end - done for done, end in self.offsets(*self.raw, self.log))

    def wait_stored(self, worker: Worker, seconds: float = 120) -> None:
        """Until everything on the topics is stored. Fails at once when the worker ends."""

        def done() -> bool:
            assert worker.process.poll() is None, worker.said
            return self.left() == 0

        wait("all is stored", done, seconds)

    def offsets(self, *topics: str) -> list[tuple[int, int]]:
        """(committed, end) of each partition of each topic, in order."""
        options = client_options(self.kafka, CONNECT_S)
        consumer = KafkaConsumer(**options, group_id=self.group, enable_auto_commit=False)
        try:
            parts = [TopicPartition(t, p) for t in topics for p in sorted(consumer.partitions_for_topic(t) or ())]
            parts = [part for part in parts if part.topic != self.log or part.partition == self.partition]
            # the ends last: what is committed before cannot be beyond them
            done = [consumer.committed(part) or 0 for part in parts]
            ends = consumer.end_offsets(parts)
            return [(d, ends[part]) for d, part in zip(done, parts, strict=True)]
        finally:
            consumer.close(autocommit=False)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client of the deployment's ClickHouse."""
        client = connect(Where(self.url))
        yield client
        client.close()

    def digest(self, database: str = "") -> dict[str, str]:
        """Digest of every table of the live database, or of a run's."""
        with self.client() as client:
            return digest(client, database or self.database)


def start_all(cities: Sequence[City], *options: str) -> Worker:
    """A worker of several cities, each told by a file; it belongs to the first."""
    secret = "QUANYU__INTAKE__CALLER_KEY"
    configs = [part for city in cities for part in ("--config", _written(city, secret))]
    return cities[0].launch({secret: cities[0].environment[secret]}, *configs, *options)


def _written(city: City, secret: str) -> Path:
    """Its configuration as a file, without the secret."""
    told = {name: text for name, text in city.environment.items() if name != secret}
    lines: list[str] = []

    def write(keys: list[str], value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                write([*keys, key], inner)
        elif value != "":
            lines.append(f"{'.'.join(map(json.dumps, keys))} = {json.dumps(value, ensure_ascii=False)}")

    write([], msgspec.to_builtins(load(environ=told)))
    path = city.folder / f"{city.name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _clean(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a process: none of the user's own configuration."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("QUANYU__")}
    return clean | {"LANG": "C.UTF-8"} | environment


def read_topic(kafka: Kafka, topic: str) -> list[Any]:
    """All records of a topic, by kafka-python."""
    options = client_options(kafka, CONNECT_S)
    consumer = KafkaConsumer(**options, group_id=None, enable_auto_commit=False, check_crcs=False)
    parts = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    records: list[Any] = []
    while any(consumer.position(part) < ends[part] for part in parts):
        for found in consumer.poll(timeout_ms=1000).values():
            records += found
    consumer.close(autocommit=False)
    return records
