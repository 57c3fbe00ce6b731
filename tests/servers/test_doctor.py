"""`quanyu doctor` on real servers, in the states that somebody who calls it is in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata

from streams.kafka import producing
from tests.servers.deployment import City

pytestmark = pytest.mark.servers

NewCity = Callable[[str, dict[str, str]], City]
NO_GRIDS = {"QUANYU__GRIDS__FILE": ""}


def doctor(city: City, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and findings by id."""
    done = city.run("doctor", "--json", *options)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, {check["id"]: check for check in json.loads(done.stdout)["checks"]}


def test_before_and_after_everything_is_made(new_city: NewCity) -> None:
    city = new_city("fresh", NO_GRIDS)
    code, found = doctor(city)
    assert code == 2 and "quanyu topics create" in found["topics"]["detail"]
    assert found["clickhouse"]["level"] == "warning"
    city.prepare()
    code, found = doctor(city, "--probe")
    # how full the disk of this machine is, is its own affair
    assert code == found["clickhouse_disk"]["exit_code"], found
    assert {check["level"] for id, check in found.items() if id != "clickhouse_disk"} == {"ok"}, found
    assert set(found) == {
        *("stages", "caller_key", "clickhouse", "clickhouse_rights", "clickhouse_clock", "clickhouse_disk"),
        *("clickhouse_parts", "metrics_port", "kafka", "kafka_version", "kafka_clock", "topics", "copies"),
        *("retention", "sizes", "kafka_rights", "stamps", "lag"),
    }
    assert found["lag"]["detail"] == "fresh has not run yet"
    admin = KafkaAdminClient(bootstrap_servers=[city.servers])
    assert "fresh.doctor" not in {topic["name"] for topic in admin.describe_topics()}
    admin.close()


def test_what_waits_is_counted_and_a_worker_of_ours_may_have_the_port(new_city: NewCity) -> None:
    city = new_city("waiting", NO_GRIDS)
    city.prepare()
    with producing(city.kafka) as send:
        for _ in range(7):
            send(city.raw[0], b'{"a": 1}', partition=0)
    worker = city.start("--set", "intake.max_bad_share=1")
    worker.wait_ready()
    city.wait_stored(worker)
    assert worker.stop() == 0
    with producing(city.kafka) as send:
        for _ in range(5):
            send(city.raw[1], b'{"a": 1}', partition=1)
    _, found = doctor(city)
    assert found["lag"]["detail"] == "waiting: 5 raw records and 0 log messages wait"
    worker = city.start("--set", "intake.max_bad_share=1")
    worker.wait_ready()
    city.settings["QUANYU__METRICS__PORT"] = str(worker.port)
    assert "a worker listens" in doctor(city)[1]["metrics_port"]["detail"]
    assert worker.stop() == 0


def test_a_log_that_forgets_too_soon_is_an_error(new_city: NewCity) -> None:
    city = new_city("forgets", NO_GRIDS | {"QUANYU__KAFKA__RETENTION_DAYS": "2"})
    city.prepare()
    code, found = doctor(city)
    assert code == 2 and found["retention"]["level"] == "error"
    assert "forgets.log keeps 2 d, 3 d are needed" in found["retention"]["detail"]


def test_records_that_kafka_has_deleted_unread_are_told(new_city: NewCity) -> None:
    city = new_city("deleted", NO_GRIDS)
    city.prepare()
    part = TopicPartition(city.raw[0], 0)
    with producing(city.kafka) as send:
        for _ in range(10):
            send(part.topic, b"x", partition=0)
    consumer = KafkaConsumer(bootstrap_servers=city.servers, group_id=city.name, enable_auto_commit=False)
    consumer.assign([part])
    consumer.commit({part: OffsetAndMetadata(2, "", -1)})
    consumer.close(autocommit=False)
    admin = KafkaAdminClient(bootstrap_servers=[city.servers])
    admin.delete_records({part: 6})
    admin.close()
    code, found = doctor(city)
    assert code == 1 and f"{part.topic} 4" in found["lag"]["detail"]
    assert "retention.ms" in found["lag"]["fix"]


def test_a_server_that_is_away_is_one_finding(new_city: NewCity) -> None:
    city = new_city("away", NO_GRIDS)
    city.url = "http://default@127.0.0.1:1"
    code, found = doctor(city)
    assert code == 4 and found["clickhouse"]["exit_code"] == 4
    assert "clickhouse_rights" not in found and found["kafka"]["ok"]
