"""Kafka and ClickHouse as the tests of faults need them: they can go away, come back and misbehave."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from msgspec import Struct

from tests.faults.front import Front
from tests.servers import chdb_process
from tests.servers.broker import Broker
from tests.servers.deployment import DAY5, MEMORY, City, Worker, wait
from tests.servers.recounted import check

#: whether this is the long form (`make soak`), with several times the faults
LONG = os.environ.get("QUANYU_FAULTS") == "long"
#: what a city goes through in every run: 5 % doubled, 1 % broken, much corrected, late by minutes to days, and one
#: partition an hour behind
TROUBLE = ("--scenario", "rough", "--behind", "110/0=60")
#: what a worker may log when nothing but its servers is wrong
NEWS = (
    "live",
    "state loaded",
    "waiting for the database; nothing is lost",
    "waiting for the broker; nothing is lost",
    "the database answers again",
    "the broker answers again",
)

#: beyond the deadline that a worker sets itself, and then ends with 1
STOP_S = 30.0


class Database:
    """ClickHouse's engine as a process, behind a proxy."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, chdb_process.free_port()
        self.front = Front(f"http://127.0.0.1:{self._port}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """That of the proxy."""
        return self.front.url

    def start(self) -> None:
        """Both."""
        self._process = chdb_process.start(self._folder, self._port)
        self.front.start()

    def end(self) -> None:
        """Both."""
        self.stop()
        self.front.end()

    def stop(self) -> None:
        """SIGTERM; nothing listens any more."""
        self.front.down()
        if self._process is not None:
            chdb_process.stop(self._process)

    def kill(self) -> None:
        """kill -9; nothing listens any more."""
        self.front.down()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def back(self) -> None:
        """Start again with what it held."""
        self._process = chdb_process.start(self._folder, self._port)
        self.front.up()


class Servers(Struct):
    """What a city runs on."""

    broker: Broker
    database: Database

    def city(self, name: str, folder: Path) -> City:
        """A deployment on these servers, with topics and tables."""
        city = City(name, self.broker.address, self.database.url, folder, dict(MEMORY))
        city.prepare()
        return city


def working(city: City) -> list[Worker]:
    """The workers that have not been stopped or killed; fails if one has ended by itself."""
    ended = [w for w in city.workers if w.process.poll() not in (None, 0, -9)]
    assert not ended, ended[0].said
    still = [w for w in city.workers if w.process.poll() is None]
    assert still
    return still


def rounds(long: int) -> pytest.MarkDecorator:
    """Runs a test once, or so often in the long form; gives it the number of the round."""
    return pytest.mark.parametrize("round", range(long if LONG else 1))


def reach(city: City, records: int, seconds: float = 90) -> None:
    """Until the group has taken in so many raw records."""

    def reached() -> bool:
        working(city)
        return city.committed(*city.raw) >= records

    wait(f"{records} records are taken in", reached, seconds)


def unready(workers: list[Worker], why: str) -> None:
    """Until one of the workers says that it waits for this; all live on meanwhile."""

    def said() -> bool:
        for worker in workers:
            assert worker.process.poll() is None, worker.said
        return any(status == 503 and why in text for status, text in (w.get("/readyz") for w in workers))

    wait(f"not ready: {why}", said)
    assert all(w.get("/healthz") == (200, "ok\n") for w in workers)


def ready(city: City) -> None:
    """Until all workers are."""
    wait("all are ready", lambda: all(w.get("/readyz") == (200, "ready\n") for w in working(city)))


def finish(city: City, repeats: bool = True) -> None:
    """Let the workers store everything, end them, and hold the result against a recount and an undisturbed replay."""

    def stored() -> bool:
        working(city)
        return city.left() == 0

    wait("all is stored", stored, 180)
    city.tell_time(DAY5)
    wait("all is stored", stored, 180)
    ready(city)
    for worker in working(city):
        assert worker.stop(STOP_S) == 0, worker.said
    check(city, repeats)
    for worker in city.workers:
        quiet(worker)


def quiet(worker: Worker) -> None:
    """Assert that the worker logged nothing that a person could not act on."""
    for line in worker.said.splitlines():
        assert line.startswith("{"), worker.said
        assert json.loads(line)["event"] in NEWS, line
