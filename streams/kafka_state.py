"""What a Kafka cluster says of itself, for those who look after it: versions, clocks, topics, rights, a group's lag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from msgspec import Struct

from schemas import UsageError
from streams.kafka import CONNECT_S, admin, kafka_errors
from streams.kafka_security import client_options
from streams.settings import Kafka, Settings

#: special offset of the record with the highest time stamp
MAX_TIMESTAMP = -3
#: what a worker does to a topic; a broker without authorisation allows everything
RIGHTS = {"READ", "WRITE", "DESCRIBE"}


class TopicState(Struct, frozen=True):
    """A topic that is there. `copies`: fewest replicas, and fewest of them in sync, of a partition."""

    name: str
    copies: int
    in_sync: int
    retention_ms: int
    max_message_bytes: int
    missing_rights: list[str]
    #: time stamp of its newest record, ms UTC; None: it has none
    newest_ms: int | None


class Lag(Struct, frozen=True):
    """Records of a topic that the group has not committed. `lost`: deleted before they were."""

    topic: str
    waiting: int
    lost: int
    started: bool


def broker_versions(kafka: Kafka, wait_s: float) -> dict[str, tuple[int, ...]]:
    """Version of each broker ("host:port"), as far as its API tells it."""
    with admin(kafka, "asking for versions", wait_s) as client:
        return {
            f"{broker['host']}:{broker['port']}": tuple(
                client.get_broker_version_data(broker["broker_id"]).broker_version
            )
            for broker in client.describe_cluster()["brokers"]
        }


def describe(settings: Settings, names: list[str]) -> list[TopicState]:
    """State of the topics `names` that exist."""
    with admin(settings.kafka, "describing topics") as client:
        topics = [topic for topic in client.describe_topics(names) if topic["error_code"] == 0]
        if not topics:
            return []
        keys = {"retention.ms": None, "max.message.bytes": None}
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic["name"], configs=keys) for topic in topics]
        configs = client.describe_configs(resources, config_filter="all")["topic"]
        partitions = [TopicPartition(t["name"], p["partition_index"]) for t in topics for p in t["partitions"]]
        stamps: dict[str, int] = {}
        for partition, found in client.list_partition_offsets(dict.fromkeys(partitions, MAX_TIMESTAMP)).items():
            stamps[partition.topic] = max(stamps.get(partition.topic, -1), found.timestamp)
        return [_state(topic, configs[topic["name"]], stamps[topic["name"]]) for topic in topics]


def lags(settings: Settings, topics: list[str]) -> list[Lag]:
    """What the consumer group has not done yet, topic by topic; of the log, the city's partition."""
    kafka = settings.kafka
    with kafka_errors(kafka, "asking for the group's offsets"):
        consumer = KafkaConsumer(
            **client_options(kafka, CONNECT_S),
            group_id=kafka.group,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
        )
        try:
            return [_lag(consumer, t, kafka.partition if t == kafka.log_topic else None) for t in topics]
        finally:
            consumer.close(autocommit=False)


def broker_ahead_ms(settings: Settings, name: str, now_ms: Callable[[], int]) -> int:
    """The broker's clock minus ours, by a record in a topic of its own that is made and removed again.

    Raises UsageError if the topic is there already or may not be made.
    """
    with _passing_topic(settings, name), kafka_errors(settings.kafka, f"writing to {name}"):
        producer = KafkaProducer(
            **client_options(settings.kafka, CONNECT_S), acks="all", allow_auto_create_topics=False
        )
        try:
            # the first one pays for finding the partition's leader
            producer.send(name, b"quanyu doctor").get(10)
            before = now_ms()
            stamped = producer.send(name, b"quanyu doctor").get(10)
            return int(stamped.timestamp) - (before + now_ms()) // 2
        finally:
            producer.close(timeout=10)


@contextmanager
def _passing_topic(settings: Settings, name: str) -> Iterator[None]:
    """A topic that is there for the block, whose records are stamped by the broker."""
    kafka = settings.kafka
    with admin(kafka, f"creating topic {name}") as client:
        configs = {"message.timestamp.type": "LogAppendTime", "retention.ms": "60000"}
        wanted = {name: {"num_partitions": 1, "replication_factor": kafka.replication, "configs": configs}}
        (made,) = client.create_topics(wanted, raise_errors=False, wait_for_metadata=True)["topics"]
        if made["error_code"]:
            why = made["error_message"] or made["error_code"]
            raise UsageError(f"topic {name} cannot be created: {why}", f"无法创建主题 {name}：{why}")
        try:
            yield
        finally:
            client.delete_topics([name])


def _state(topic: dict[str, Any], config: dict[str, Any], newest_ms: int) -> TopicState:
    allowed = set(topic["authorized_operations"] or RIGHTS)
    return TopicState(
        topic["name"],
        min(len(p["replica_nodes"]) for p in topic["partitions"]),
        min(len(p["isr_nodes"]) for p in topic["partitions"]),
        int(config["retention.ms"]["value"]),
        int(config["max.message.bytes"]["value"]),
        sorted(RIGHTS - allowed),
        newest_ms if newest_ms >= 0 else None,
    )


def _lag(consumer: KafkaConsumer, topic: str, partition: int | None) -> Lag:
    numbers = sorted(consumer.partitions_for_topic(topic) or ()) if partition is None else [partition]
    parts = [TopicPartition(topic, number) for number in numbers]
    # the ends last: what is committed before cannot be beyond them
    done = [consumer.committed(part) for part in parts]
    first, end = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
    pairs = list(zip(parts, done, strict=True))
    return Lag(
        topic,
        sum(end[part] - max(offset or 0, first[part]) for part, offset in pairs),
        sum(max(first[part] - offset, 0) for part, offset in pairs if offset is not None),
        any(offset is not None for _, offset in pairs),
    )
