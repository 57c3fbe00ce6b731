"""How a live worker starts, answers and stops."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.kafka import producing
from tests.servers.broker import free_port
from tests.servers.deployment import City, wait
from tests.servers.recounted import stored

pytestmark = pytest.mark.servers

NewCity = Callable[[str, dict[str, str]], City]


def test_without_kafka_it_says_so_and_ends(new_city: NewCity) -> None:
    port = free_port()
    city = new_city("nokafka", {"QUANYU__GRIDS__FILE": ""})
    city.servers = f"127.0.0.1:{port}"
    done = city.run("live")
    assert done.returncode == 4
    assert done.stderr.count("error:") == 1
    assert f"Kafka at 127.0.0.1:{port} did not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_other_partitions_than_configured_it_ends(new_city: NewCity) -> None:
    city = new_city("partitions", {"QUANYU__GRIDS__FILE": ""})
    city.prepare()
    city.settings["QUANYU__SOURCES__GRID__PARTITIONS"] = "5"
    done = city.run("live")
    assert done.returncode == 2
    assert "topic partitions.raw.grid has 2 partitions, 5 wanted" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named(new_city: NewCity) -> None:
    city = new_city("port", {"QUANYU__GRIDS__FILE": ""})
    city.prepare()
    first = city.start()
    first.wait_ready()
    city.settings["QUANYU__METRICS__PORT"] = str(first.port)
    done = city.run("live")
    assert done.returncode == 2
    assert f"127.0.0.1:{first.port}" in done.stderr and "metrics.port" in done.stderr
    assert first.stop() == 0


def test_too_much_bad_data_ends_it_with_its_dead_letters_stored(new_city: NewCity) -> None:
    city = new_city("garbage", {"QUANYU__GRIDS__FILE": ""})
    city.prepare()
    with producing(city.kafka) as send:
        for _ in range(2_000):
            send(city.raw[0], b"no JSON", partition=0)
    done = city.run("live")
    assert done.returncode == 3, done.stderr
    assert "intake.max_bad_share" in done.stderr and "Traceback" not in done.stderr
    (refused,) = stored(city, "SELECT count() AS n FROM {run}.rejected FINAL")
    assert refused.n[0] >= 1_000


def test_it_answers_and_stops_at_once(new_city: NewCity) -> None:
    city = new_city("answers", {})
    city.prepare()
    city.simulate()
    worker = city.start()
    wait("alive", lambda: worker.get("/healthz") == (200, "ok\n"))
    worker.wait_ready()
    city.wait_stored(worker)
    status, metrics = worker.get("/metrics")
    assert status == 200
    assert 'quanyu_room_items_total{city="answers",direction="in",outcome="",room="intake"}' in metrics
    counted = {line.split()[0]: float(line.split()[1]) for line in metrics.splitlines() if line[0] != "#"}
    assert counted['quanyu_event_to_clickhouse_seconds_count{city="answers"}'] > 0
    assert sum(n for name, n in counted.items() if name.startswith("quanyu_rejected_total{")) > 10
    assert worker.get("/nothing")[0] == 404
    assert worker.stop(15) == 0, worker.said
