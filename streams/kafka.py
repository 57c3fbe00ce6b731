"""Kafka from the outside: topics, reachability, a producer. kafka-python; blocking; no consumer groups.

Topics are declared here and nowhere else (Faust dies of a topic that a broker made with another partition count):
one raw topic a source with its own partitions, and the city's log, late signals, dead letters, state and watermark with
one partition a city each. The log has ONE partition a city on purpose: it is a total order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import (
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
)
from msgspec import Struct

from schemas import Unreachable, UsageError
from streams import kafka_probe
from streams.kafka_security import CLUSTER, TOPIC, client_options, not_allowed, refusal
from streams.settings import Kafka, Settings

#: how long a broker may take to answer at first
CONNECT_S = 10.0
DAY_MS = 86_400_000
#: an envelope holds a whole batch of located signals
LOG_MESSAGE_BYTES = 8_000_000
#: the last message of a key is kept for ever; what is replaced goes within the hour
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 << 20),
    "segment.ms": "600000",
    "max.compaction.lag.ms": "3600000",
    "min.cleanable.dirty.ratio": "0.1",
}
UNKNOWN_TOPIC, ALREADY_EXISTS = 3, TopicAlreadyExistsError.errno

#: send(topic, value, key, partition, timestamp_ms, headers)
Send = Callable[..., None]


class Topic(Struct, frozen=True):
    """A topic as the configuration wants it and as the broker has it."""

    name: str
    partitions: int
    replication: int
    retention_ms: int
    max_message_bytes: int
    compacted: bool = False
    found_partitions: int | None = None
    found_retention_ms: int | None = None
    created: bool = False
    rights: tuple[str, ...] = ("READ", "WRITE")

    @property
    def ok(self) -> bool:
        """Whether it exists with the wanted number of partitions."""
        return self.found_partitions == self.partitions


@contextmanager
def kafka_errors(kafka: Kafka, tried: str, wait_s: float = CONNECT_S) -> Iterator[None]:
    """Turn the client's errors into ours: `UsageError` where the brokers refuse this user, who they are told we are or
    how we speak; else `Unreachable` with the servers, what was tried and what to check."""
    try:
        yield
    except (KafkaError, OSError) as error:
        if no := refusal(error, kafka, tried) or (_shut_out(error) and kafka_probe.refused(kafka, wait_s)):
            raise no from error
        servers = kafka.servers
        raise Unreachable(
            f"Kafka at {servers} did not answer while {tried} ({error}); check that the broker runs, that "
            f"kafka.servers (QUANYU__KAFKA__SERVERS) names it, and that its advertised.listeners can be reached "
            f"from here",
            f"Kafka（{servers}）没有响应，当时正在：{tried}（{error}）；请检查 broker 是否运行、"
            f"kafka.servers（QUANYU__KAFKA__SERVERS）是否正确，以及从本机能否访问其 advertised.listeners",
            retry_after_s=5.0,
        ) from error


def _shut_out(error: Exception) -> bool:
    """Whether no connection came about: the client does not say why."""
    return isinstance(error, KafkaTimeoutError | KafkaConnectionError)


@contextmanager
def admin(kafka: Kafka, tried: str, wait_s: float = CONNECT_S) -> Iterator[KafkaAdminClient]:
    """An admin client for a few calls; Unreachable when the broker does not answer."""
    with kafka_errors(kafka, tried, wait_s):
        client = KafkaAdminClient(**client_options(kafka, wait_s))
        try:
            yield client
        finally:
            client.close()


def reachable(kafka: Kafka, wait_s: float = CONNECT_S) -> list[str]:
    """The brokers of the cluster ("host:port"); raises Unreachable after `wait_s` without an answer."""
    with admin(kafka, "asking for the cluster", wait_s) as client:
        return [f"{broker['host']}:{broker['port']}" for broker in client.describe_cluster()["brokers"]]


def wanted_topics(settings: Settings) -> list[Topic]:
    """What the configuration needs: raw topics in the order of the sources, then those of the city.

    Dead letters are kept there as long as in the database: they are the same bytes.
    """
    kafka = settings.kafka
    rejected_days = settings.clickhouse.rejected_retention_days or kafka.retention_days
    counts = {source.topic: source.partitions for source in settings.sources.values() if source.topic}
    rejected = [kafka.rejected_topic] if kafka.rejected_topic else []
    own = [kafka.log_topic, kafka.late_topic, *rejected, kafka.state_topic, kafka.watermark_topic]
    compacted = (kafka.state_topic, kafka.watermark_topic)
    return [
        Topic(
            name=name,
            partitions=counts.get(name, kafka.partitions),
            replication=kafka.replication,
            retention_ms=(rejected_days if name == kafka.rejected_topic else kafka.retention_days) * DAY_MS,
            max_message_bytes=LOG_MESSAGE_BYTES if name in own else max(1_048_588, settings.intake.max_record_bytes),
            compacted=name in compacted,
        )
        for name in [*counts, *own]
    ]


def topic_states(settings: Settings) -> list[Topic]:
    """The wanted topics with what the broker has of them."""
    with admin(settings.kafka, "looking at the topics") as client:
        return _with_retention(client, _look(client, settings))


def check_topics(settings: Settings, needs: Sequence[tuple[str, str]] = ()) -> list[Topic]:
    """The wanted topics; raises UsageError that names every one that is missing or has another partition count.

    `needs`: what is to be done with which topic ("READ" or "WRITE", topic); UsageError that names what this user may
    not do.
    """
    with admin(settings.kafka, "looking at the topics") as client:
        topics = _look(client, settings)
    require_topics(topics, settings)
    rights = {topic.name: topic.rights for topic in topics}
    lacking = [f"{need} topic {name}" for need, name in needs if need not in rights[name]]
    if lacking:
        raise not_allowed(settings.kafka, "starting", ", ".join(lacking))
    return topics


def check_group(kafka: Kafka) -> None:
    """Raise UsageError if this user may not be a member of the group: Faust would wait for it in silence, for ever."""
    with admin(kafka, "joining the group") as client:
        try:
            (found,) = client.describe_groups([kafka.group]).values()
        except CoordinatorNotAvailableError:
            return  # of the first group of a new cluster; the broker asked for the right before it looked for it
    # of a group that nobody has joined yet the broker tells no rights
    if not found["error"] and "READ" not in (found.get("authorized_operations") or ("READ",)):
        raise not_allowed(kafka, "joining the group", f"READ group {kafka.group}")


def create_topics(settings: Settings) -> list[Topic]:
    """Create what is missing, change nothing that is there; raises UsageError for a wrong partition count."""
    with admin(settings.kafka, "creating topics") as client:
        missing = [topic for topic in _look(client, settings) if topic.found_partitions is None]
        created = _create(client, missing, settings.kafka) if missing else set()
        found = _with_retention(client, _look(client, settings))
    topics = [_with(topic, created=topic.name in created) for topic in found]
    require_topics(topics, settings)
    return topics


def _create(client: KafkaAdminClient, topics: list[Topic], kafka: Kafka) -> set[str]:
    """Names of the topics made here; one that somebody else made in the meantime is not among them."""
    answer = client.create_topics(
        {
            topic.name: {
                "num_partitions": topic.partitions,
                "replication_factor": topic.replication,
                "configs": {
                    "max.message.bytes": str(topic.max_message_bytes),
                    **(COMPACTED if topic.compacted else {"cleanup.policy": "delete"}),
                    "retention.ms": str(topic.retention_ms),
                    # of large messages the broker makes smaller ones faster than a Python client does
                    **({"compression.type": "lz4"} if topic.max_message_bytes == LOG_MESSAGE_BYTES else {}),
                },
            }
            for topic in topics
        },
        raise_errors=False,
        wait_for_metadata=True,
    )
    done: set[str] = set()
    for result in answer["topics"]:
        if result["error_code"] not in (0, ALREADY_EXISTS):
            name, why = result["name"], result["error_message"] or result["error_code"]
            if result["error_code"] in (TOPIC, CLUSTER):
                raise not_allowed(kafka, "creating topics", f"CREATE topic {name}")
            raise UsageError(
                f"topic {name} cannot be created: {why}; check kafka.replication against the number of brokers",
                f"无法创建主题 {name}：{why}；请检查 kafka.replication 是否超过 broker 数量",
            )
        if not result["error_code"]:
            done.add(result["name"])
    return done


def _look(client: KafkaAdminClient, settings: Settings) -> list[Topic]:
    """The wanted topics as they are, and what we may do with them. An old broker that does not say allows all."""
    wanted = wanted_topics(settings)
    described = client.describe_topics([topic.name for topic in wanted])
    if hidden := [topic["name"] for topic in described if topic["error_code"] == TOPIC]:
        raise not_allowed(settings.kafka, "looking at the topics", f"DESCRIBE topic {', '.join(sorted(hidden))}")
    found = {topic["name"]: topic for topic in described if topic["error_code"] == 0}
    return [
        _with(
            topic,
            found_partitions=len(found[topic.name]["partitions"]),
            rights=tuple(found[topic.name].get("authorized_operations") or Topic.rights),
        )
        if topic.name in found
        else topic
        for topic in wanted
    ]


def _with_retention(client: KafkaAdminClient, topics: list[Topic]) -> list[Topic]:
    found = [topic.name for topic in topics if topic.found_partitions is not None]
    if not found:
        return topics
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": None}) for name in found]
    configs = client.describe_configs(resources, config_filter="all")["topic"]
    kept = {name: int(configs[name]["retention.ms"]["value"]) for name in found}
    return [_with(topic, found_retention_ms=kept.get(topic.name)) for topic in topics]


def _with(topic: Topic, **changes: Any) -> Topic:
    return Topic(**{**{name: getattr(topic, name) for name in topic.__struct_fields__}, **changes})


def require_topics(topics: list[Topic], settings: Settings) -> None:
    """Raise UsageError with one line for each topic that is not as wanted."""
    source = {s.topic: f"sources.{name}.partitions" for name, s in settings.sources.items()}
    en, zh = [], []
    for topic in topics:
        if topic.found_partitions is None:
            en.append(f"topic {topic.name} is missing; run `quanyu topics create`")
            zh.append(f"缺少主题 {topic.name}；请运行 `quanyu topics create`")
        elif not topic.ok:
            have, want, key = topic.found_partitions, topic.partitions, source.get(topic.name)
            if key is None:
                fix = f"it has one partition a city: set kafka.partitions = {have}, or name another topic"
                zh_fix = f"每个城市一个分区：请设置 kafka.partitions = {have}，或改用另一个主题名"
            elif have > want:
                fix = f"set {key} = {have} (a topic cannot shrink)"
                zh_fix = f"请设置 {key} = {have}（主题分区数不能减少）"
            else:
                fix = f"set {key} = {have}, or add partitions with kafka-topics.sh --alter --partitions {want}"
                zh_fix = f"请设置 {key} = {have}，或用 kafka-topics.sh --alter --partitions {want} 增加分区"
            en.append(f"topic {topic.name} has {have} partitions, {want} wanted; {fix}")
            zh.append(f"主题 {topic.name} 有 {have} 个分区，应为 {want} 个；{zh_fix}")
    if en:
        raise UsageError("\n".join(en), "\n".join(zh))


@contextmanager
def producing(kafka: Kafka, compression: str | None = "lz4", wait_s: float = CONNECT_S) -> Iterator[Send]:
    """Write records: `send(topic, value, key=None, partition=None, timestamp_ms=None, headers=())`, idempotent, acks of
    all.

    The block ends only when the broker has everything; raises Unreachable when it did not take one of them (or the
    topic does not exist: a missing topic is never made), UsageError when this user may not write it.
    """
    failed: list[Exception] = []
    with kafka_errors(kafka, "connecting a producer", wait_s):
        producer = KafkaProducer(
            **client_options(kafka, wait_s),
            acks="all",
            enable_idempotence=True,
            compression_type=compression,
            linger_ms=20,
            batch_size=262_144,
            max_request_size=LOG_MESSAGE_BYTES,
            allow_auto_create_topics=False,
            max_block_ms=int(wait_s * 1000),
        )

    def send(
        topic: str,
        value: bytes,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        with kafka_errors(kafka, f"writing to {topic}"):
            if failed:
                raise failed[0]
            future = producer.send(
                topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms, headers=list(headers)
            )
            future.add_errback(failed.append)

    try:
        yield send
        with kafka_errors(kafka, "writing"):
            producer.flush()
            if failed:
                raise failed[0]
    finally:
        producer.close(timeout=10)
