"""Which configurations may share a worker."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from schemas import UsageError
from streams.cities import check_together
from streams.kafka import wanted_topics
from streams.settings import Settings, load


def city(number: int, *overrides: str) -> Settings:
    """One of two that may be together."""
    names = ("110", "12345", "grid", "sensor")
    topics = [f"sources.{name}.topic=c{number}.{name}" for name in names]
    own = [f"city.name=c{number}", f"clickhouse.database=c{number}", f"kafka.partition={number}"]
    return load(environ={}, overrides=[*topics, *own, "kafka.partitions=2", *overrides])


def test_two_cities_with_what_is_their_own() -> None:
    check_together([city(0), city(1, "kafka.retention_days=9", "incidents.session_gap_min=20")])
    check_together([load(environ={})])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("kafka.servers=b:9092", "kafka.servers"),
        ("kafka.log_topic=another", "kafka.log_topic"),
        ("metrics.port=1", "metrics.port"),
        ("kafka.partition=0", "kafka.partition: two cities have 0"),
        ("city.name=c0", "city.name: two cities have c0"),
        ("clickhouse.database=c0", "clickhouse.database"),
        ("sources.110.topic=c0.grid", "c0.grid"),
    ],
)
def test_what_cannot_be_together(change: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_together([city(0), city(1, change)])


def test_every_city_of_the_group_has_to_be_there() -> None:
    with pytest.raises(UsageError, match=r"kafka\.partition 1"):
        check_together([city(0)])
    alone = city(0)
    check_together([replace(alone, kafka=replace(alone.kafka, partitions=1))])


def test_what_they_share_has_a_partition_for_each() -> None:
    shared = {topic.name: topic.partitions for topic in wanted_topics(city(0)) if not topic.name.startswith("c0.")}
    assert len(shared) == 5 and set(shared.values()) == {2}


def test_a_partition_that_the_topics_do_not_have() -> None:
    with pytest.raises(UsageError, match=r"kafka\.partition.*must be below"):
        load(environ={}, overrides=["kafka.partition=1"])
