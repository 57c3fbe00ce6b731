"""The live worker among crashes, outages and other workers: nothing is lost, nothing counted twice.

In all of it the log says what happened: replayed, it gives the digest of the live database.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import chdb_process
from tests.servers.deployment import DAY5, RATE, City, Worker, wait
from tests.servers.recounted import hold, recount

pytestmark = pytest.mark.servers

#: the clock of idle partitions runs 10,000 times as fast as it should, so corrections need a longer memory
MEMORY = {f"QUANYU__SOURCES__{s}__HORIZON_H": "120" for s in ("110", "12345", "GRID", "SENSOR")}
PACE = ("--pace", "10000x")
NewCity = Callable[[str, dict[str, str]], City]


def check(city: City) -> None:
    """Every count is right, and the log gives the same."""
    hold(city, recount(city))
    live = city.digest()
    run = json.loads(city.ok("replay", "run", "--kafka", "--log", "--json"))
    again = city.digest(run["database"])
    assert again | {"rejected": ""} == live | {"rejected": ""}


def reach(city: City, share: float, worker: Worker) -> None:
    """Until this share of the day's records has been taken in."""

    def reached() -> bool:
        assert worker.process.poll() is None, worker.said
        return city.committed(*city.raw) >= share * RATE

    wait(f"{share} of the records", reached)


def test_killed_again_and_again(new_city: NewCity) -> None:
    city = new_city("killed", MEMORY)
    city.prepare()
    city.simulate("--rate", str(2 * RATE))
    for share in (0.2, 0.7, 1.2):
        worker = city.start()
        reach(city, share, worker)
        assert city.left() > 0
        worker.kill()
    worker = city.start()
    city.wait_stored(worker)
    city.tell_time(DAY5)
    city.wait_stored(worker)
    worker.wait_ready()
    assert worker.stop() == 0
    check(city)


def test_workers_come_and_go(new_city: NewCity) -> None:
    """Partitions change hands, at first in a flood and then in a trickle whose silences are told as time.

    In the end the owner of the log is killed. Two workers have then folded the log: they write the same rows.
    """
    city = new_city("members", MEMORY)
    city.prepare()
    with city.simulated("--rate", str(3 * RATE), *PACE):
        first = city.start()
        reach(city, 0.1, first)
        helper = city.start("--stages", "intake")
        helper.wait_ready()
        second = city.start()
        reach(city, 1.5, second)
        assert helper.stop() == 0, helper.said
        reach(city, 2.7, second)
        first.kill()
    city.wait_stored(second)
    city.tell_time(DAY5)
    city.wait_stored(second)
    assert second.stop() == 0, second.said
    check(city)


def test_the_database_stops_for_a_while(new_city: NewCity, tmp_path: Path) -> None:
    port = chdb_process.free_port()
    database = chdb_process.start(tmp_path / "data", port)
    city = new_city("outage", MEMORY)
    city.url = f"http://default@127.0.0.1:{port}"
    try:
        city.prepare()
        with city.simulated(*PACE):
            worker = city.start()
            reach(city, 0.3, worker)
            chdb_process.stop(database)
            wait("not ready without its database", lambda: worker.get("/readyz")[0] == 503)
            assert worker.get("/healthz") == (200, "ok\n")
            done = city.committed(city.log)
            database = chdb_process.start(tmp_path / "data", port)
            wait("goes on", lambda: city.committed(city.log) > done)
            chdb_process.stop(database)
            wait("waits again", lambda: worker.get("/readyz")[0] == 503)
            assert worker.stop() == 0, worker.said
            database = chdb_process.start(tmp_path / "data", port)
            worker = city.start()
        city.wait_stored(worker)
        city.tell_time(DAY5)
        city.wait_stored(worker)
        assert worker.get("/readyz") == (200, "ready\n")
        assert worker.stop() == 0
        check(city)
    finally:
        chdb_process.stop(database)
