"""Cities that share workers: spread over them, moved when one dies, and nothing of one depends on another."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from streams.kafka import producing
from tests.servers.deployment import DAY5, MEMORY, RATE, City, Worker, start_all, wait
from tests.servers.recounted import check

pytestmark = pytest.mark.servers

#: simulated time against the clock
PACE = ("--pace", "10000x")


@pytest.fixture
def province(
    kafka: str, clickhouse: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], list[City]]:
    """Makes two cities, of which every one has its partition of what they share."""

    def make(name: str) -> list[City]:
        made = [
            City(f"{name}{n}", kafka, clickhouse, tmp_path_factory.mktemp(f"{name}{n}"), dict(MEMORY)) for n in range(2)
        ]
        for n, city in enumerate(made):
            city.province, city.partition, city.partitions = name, n, len(made)
            request.addfinalizer(city.end)
            city.prepare()
        return made

    return make


def folds(worker: Worker) -> set[str]:
    """Cities whose log the worker has."""
    return set(re.findall(r'^quanyu_log_lag\{city="(\w+)"\}', worker.get("/metrics")[1], re.MULTILINE))


def reach(city: City, share: float, worker: Worker) -> None:
    """Until this share of a day's records has been taken in."""

    def reached() -> bool:
        assert worker.process.poll() is None, worker.said
        return city.committed(*city.raw) >= share * RATE

    wait(f"{share} of the records", reached)


def test_two_cities_on_two_workers_then_on_one(province: Callable[[str], list[City]]) -> None:
    one, other = cities = province("pair")
    with one.simulated("--rate", str(2 * RATE), *PACE), other.simulated("--seed", "7", "--rate", str(2 * RATE), *PACE):
        first = start_all(cities)
        first.wait_ready()
        second = start_all(cities)
        wait("each worker has a city", lambda: len(folds(first)) == len(folds(second)) == 1)
        assert folds(first) | folds(second) == {"pair0", "pair1"}
        for city in cities:
            reach(city, 1.0, second)
        second.kill()
        third = start_all(cities)
        for city in cities:
            reach(city, 1.6, first)
        first.kill()
    for city in cities:
        city.wait_stored(third)
        city.tell_time(DAY5)
    for city in cities:
        city.wait_stored(third)
    assert third.stop() == 0, third.said
    assert {line["event"] for line in map(json.loads, third.said.splitlines())} == {"live", "state loaded"}
    assert one.digest() != other.digest()
    for city in cities:
        check(city)


def test_rubbish_of_one_city_stops_that_city_alone(province: Callable[[str], list[City]]) -> None:
    bad, good = cities = province("rubbish")
    with producing(bad.kafka) as send:
        for _ in range(2_000):
            send(bad.raw[0], b"no JSON", partition=0)
    bad.simulate()
    good.simulate()
    worker = start_all(cities)
    good.wait_stored(worker)
    wait("says which city, and why", lambda: "rubbish0 has stopped" in worker.get("/readyz")[1])
    status, why = worker.get("/readyz")
    assert status == 503 and "intake.max_bad_share" in why
    good.tell_time(DAY5)
    good.wait_stored(worker)
    assert bad.left() >= 2_000
    assert worker.stop(25) == 0, worker.said
    assert worker.said.count("is taken in any more") == 1
    check(good)


def test_a_worker_that_lacks_a_city_of_its_group_does_not_start(province: Callable[[str], list[City]]) -> None:
    cities = province("lacking")
    done = cities[0].run("live")
    assert done.returncode == 2
    assert "kafka.partition 1" in done.stderr
