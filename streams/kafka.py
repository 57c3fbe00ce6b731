"""Kafka from the outside: topics, reachability, a producer. kafka-python; blocking; no consumer groups.

Topics are declared here and nowhere else (Faust dies of a topic that a broker made with another partition count):
one raw topic a source with its own partitions, and the city's log, late signals, state and watermark with one each. The
log has ONE partition a city on purpose: it is a total order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError
from msgspec import Struct

from schemas import Unreachable, UsageError
from streams.settings import Settings

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

    @property
    def ok(self) -> bool:
        """Whether it exists with the wanted number of partitions."""
        return self.found_partitions == self.partitions


@contextmanager
def kafka_errors(servers: str, tried: str) -> Iterator[None]:
    """Turn the client's errors into `Unreachable` with the servers, what was tried and what to check."""
    try:
        yield
    except (KafkaError, OSError) as error:
        raise Unreachable(
            f"Kafka at {servers} did not answer while {tried} ({error}); check that the broker runs, that "
            f"kafka.servers (QUANYU__KAFKA__SERVERS) names it, and that its advertised.listeners can be reached "
            f"from here",
            f"Kafka（{servers}）没有响应，当时正在：{tried}（{error}）；请检查 broker 是否运行、"
            f"kafka.servers（QUANYU__KAFKA__SERVERS）是否正确，以及从本机能否访问其 advertised.listeners",
            retry_after_s=5.0,
        ) from error


def bootstrap(servers: str) -> list[str]:
    """ "a:1, b:2" as the client wants it; UsageError when empty."""
    found = [server.strip() for server in servers.split(",") if server.strip()]
    if not found:
        raise UsageError(
            "kafka.servers is empty: want host:port[,host:port]", "kafka.servers 为空：应为 主机:端口[,主机:端口]"
        )
    return found


@contextmanager
def admin(servers: str, tried: str, wait_s: float = CONNECT_S) -> Iterator[KafkaAdminClient]:
    """An admin client for a few calls; Unreachable when the broker does not answer."""
    with kafka_errors(servers, tried):
        client = KafkaAdminClient(bootstrap_servers=bootstrap(servers), bootstrap_timeout_ms=int(wait_s * 1000))
        try:
            yield client
        finally:
            client.close()


def reachable(servers: str, wait_s: float = CONNECT_S) -> list[str]:
    """The brokers of the cluster ("host:port"); raises Unreachable after `wait_s` without an answer."""
    with admin(servers, "asking for the cluster", wait_s) as client:
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
            partitions=counts.get(name, 1),
            replication=kafka.replication,
            retention_ms=(rejected_days if name == kafka.rejected_topic else kafka.retention_days) * DAY_MS,
            max_message_bytes=LOG_MESSAGE_BYTES if name in own else max(1_048_588, settings.intake.max_record_bytes),
            compacted=name in compacted,
        )
        for name in [*counts, *own]
    ]


def topic_states(settings: Settings) -> list[Topic]:
    """The wanted topics with what the broker has of them."""
    with admin(settings.kafka.servers, "looking at the topics") as client:
        return _look(client, wanted_topics(settings))


def check_topics(settings: Settings) -> list[Topic]:
    """Like `topic_states`; raises UsageError that names every topic that is missing or has another partition count."""
    topics = topic_states(settings)
    require_topics(topics, settings)
    return topics


def create_topics(settings: Settings) -> list[Topic]:
    """Create what is missing, change nothing that is there; raises UsageError for a wrong partition count."""
    wanted = wanted_topics(settings)
    with admin(settings.kafka.servers, "creating topics") as client:
        missing = [topic for topic in _look(client, wanted) if topic.found_partitions is None]
        created = _create(client, missing) if missing else set()
        topics = [_with(topic, created=topic.name in created) for topic in _look(client, wanted)]
    require_topics(topics, settings)
    return topics


def _create(client: KafkaAdminClient, topics: list[Topic]) -> set[str]:
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
            raise UsageError(
                f"topic {name} cannot be created: {why}; check kafka.replication against the number of brokers, "
                f"and the rights of this user",
                f"无法创建主题 {name}：{why}；请检查 kafka.replication 是否超过 broker 数量，以及用户权限",
            )
        if not result["error_code"]:
            done.add(result["name"])
    return done


def _look(client: KafkaAdminClient, topics: list[Topic]) -> list[Topic]:
    names = [topic.name for topic in topics]
    found = {t["name"]: len(t["partitions"]) for t in client.describe_topics(names) if t["error_code"] == 0}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": None}) for name in found]
    configs: dict[str, Any] = {}
    if resources:
        configs = client.describe_configs(resources, config_filter="all")["topic"]
    return [
        _with(
            topic,
            found_partitions=found.get(topic.name),
            found_retention_ms=int(configs[topic.name]["retention.ms"]["value"]) if topic.name in found else None,
        )
        for topic in topics
    ]


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
                fix = "the city's log is one partition; move it away and create it anew, or name another topic"
                zh_fix = "城市日志只能有一个分区；请移走后重建，或改用另一个主题名"
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
def producing(servers: str, compression: str | None = "lz4", wait_s: float = CONNECT_S) -> Iterator[Send]:
    """Write records: `send(topic, value, key=None, partition=None, timestamp_ms=None, headers=())`, idempotent, acks of
    all.

    The block ends only when the broker has everything; raises Unreachable when it did not take one of them (or the
    topic does not exist: a missing topic is never made).
    """
    failed: list[Exception] = []
    with kafka_errors(servers, "connecting a producer"):
        producer = KafkaProducer(
            bootstrap_servers=bootstrap(servers),
            bootstrap_timeout_ms=int(wait_s * 1000),
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
        with kafka_errors(servers, f"writing to {topic}"):
            if failed:
                raise failed[0]
            future = producer.send(
                topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms, headers=list(headers)
            )
            future.add_errback(failed.append)

    try:
        yield send
        with kafka_errors(servers, "writing"):
            producer.flush()
            if failed:
                raise failed[0]
    finally:
        producer.close(timeout=10)
