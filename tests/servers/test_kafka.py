"""Topics, ranges and the producer of `streams.kafka*` on a real broker."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from schemas import RawBatch, Unreachable, UsageError
from streams.commands.topics import topics as topics_command
from streams.kafka import check_topics, create_topics, producing, reachable, topic_states
from streams.kafka_range import TICK_KEY, PartitionTick, read_range
from streams.settings import Kafka, Settings, load
from tests.servers.broker import free_port

pytestmark = pytest.mark.servers

HOUR = 3_600_000
T0 = 1_772_409_600_000


def city(kafka: str, prefix: str, *more: str) -> Settings:
    """A city whose topics all carry the test's prefix."""
    names = {"110": "raw.110", "12345": "raw.12345", "grid": "raw.grid", "sensor": "raw.sensor"}
    sets = [f"sources.{name}.topic={prefix}{topic}" for name, topic in names.items()]
    sets += [f"kafka.{key}_topic={prefix}{key}" for key in ("log", "late", "rejected", "state", "watermark")]
    return load(environ={}, overrides=[f"kafka.servers={kafka}", *sets, *more])


def make(kafka: str, topic: str, partitions: int) -> None:
    """A topic of the test's own."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1}})


def batches(kafka: str, topic: str, **options: int) -> list[RawBatch]:
    """What `read_range` gives, without ticks."""
    return [door for door in read_range(Kafka(servers=kafka), topic, "110", **options) if isinstance(door, RawBatch)]


def test_create_is_idempotent_and_checked(kafka: str, prefix: str) -> None:
    wanted = city(kafka, prefix, "sources.110.partitions=6")
    assert {topic.found_partitions for topic in topic_states(wanted)} == {None}
    with pytest.raises(UsageError, match=r"raw[.]110 is missing; run `quanyu topics create`"):
        check_topics(wanted)
    created = create_topics(wanted)
    assert [(topic.name.removeprefix(prefix), topic.found_partitions, topic.created) for topic in created] == [
        ("raw.110", 6, True),
        ("raw.12345", 4, True),
        ("raw.grid", 4, True),
        ("raw.sensor", 4, True),
        ("log", 1, True),
        ("late", 1, True),
        ("rejected", 1, True),
        ("state", 1, True),
        ("watermark", 1, True),
    ]
    assert {topic.found_retention_ms for topic in created} == {30 * 24 * HOUR}
    assert not any(topic.created for topic in create_topics(wanted))
    assert all(topic.ok for topic in check_topics(wanted))


def test_a_wrong_partition_count_says_what_to_do(kafka: str, prefix: str) -> None:
    create_topics(city(kafka, prefix))
    with pytest.raises(UsageError) as raised:
        create_topics(city(kafka, prefix, "sources.grid.partitions=2"))
    assert f"{prefix}raw.grid has 4 partitions, 2 wanted; set sources.grid.partitions = 4" in raised.value.en
    assert "有 4 个分区，应为 2 个" in raised.value.zh


def test_the_command(kafka: str, prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "quanyu.toml"
    file.write_text(
        f'[kafka]\nservers = "{kafka}"\nlog_topic = "{prefix}log"\nlate_topic = "{prefix}late"\n'
        f'rejected_topic = "{prefix}rejected"\nstate_topic = "{prefix}state"\nwatermark_topic = "{prefix}watermark"\n'
        + "".join(f'[sources.{s}]\ntopic = "{prefix}{s}"\n' for s in ("110", "12345", "grid", "sensor"))
    )
    run = CliRunner().invoke
    missing = run(topics_command, ["check", "--config", str(file), "--json"])
    assert missing.exit_code == 2
    assert run(topics_command, ["create", "--config", str(file)]).exit_code == 0
    done = run(topics_command, ["check", "--config", str(file), "--json"])
    assert done.exit_code == 0
    answer = msgspec.json.decode(done.stdout)
    assert answer["ok"]
    assert [topic["partitions"] for topic in answer["topics"]] == [4, 4, 4, 4, 1, 1, 1, 1, 1]


def test_nobody_there(prefix: str) -> None:
    server = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable, match=server) as raised:
        reachable(Kafka(servers=server), wait_s=1)
    assert "advertised.listeners" in raised.value.en and "Kafka" in raised.value.zh


def test_reachable_names_the_brokers(kafka: str) -> None:
    assert reachable(Kafka(servers=kafka)) == [kafka]


def test_the_producer_never_makes_a_topic(kafka: str, prefix: str) -> None:
    with (
        pytest.raises(Unreachable, match=f"writing to {prefix}nowhere"),
        producing(Kafka(servers=kafka), wait_s=2) as send,
    ):
        send(f"{prefix}nowhere", b"x")


def test_an_error_of_the_block_is_not_the_brokers(kafka: str, prefix: str) -> None:
    with pytest.raises(FileNotFoundError), producing(Kafka(servers=kafka)):
        Path(f"/nowhere/{prefix}").read_bytes()


def test_range_by_time_in_offset_order(kafka: str, prefix: str) -> None:
    topic = f"{prefix}raw"
    make(kafka, topic, 2)
    with producing(Kafka(servers=kafka)) as send:
        for i in range(200):
            send(topic, str(i).encode(), partition=i % 2, timestamp_ms=T0 + i * 1000)
    found = batches(kafka, topic, from_ms=T0 + 50_000, to_ms=T0 + 150_000, now_ms=9, batch_size=20)
    assert sorted(int(value) for batch in found for value in batch.values) == list(range(50, 150))
    assert {batch.now_ms for batch in found} == {9} and {batch.source for batch in found} == {"110"}
    assert max(len(batch.values) for batch in found) == 20
    for partition in (0, 1):
        offsets = [o for batch in found if batch.partition == partition for o in batch.offsets]
        assert offsets == list(range(25, 75))
    first = found[0]
    assert first.received_at_ms[0] == T0 + 1000 * int(first.values[0])
    assert sum(len(batch.values) for batch in batches(kafka, topic)) == 200
    assert batches(kafka, topic, from_ms=T0 + HOUR) == []


def test_no_partition_runs_ahead_in_time(kafka: str, prefix: str) -> None:
    topic = f"{prefix}raw"
    make(kafka, topic, 3)
    with producing(Kafka(servers=kafka)) as send:
        for i in range(3000):
            send(topic, b"x", partition=0, timestamp_ms=T0 + i * 1000)
        for i in range(30):
            send(topic, b"x", partition=1, timestamp_ms=T0 + i * 100_000)
    heads = {0: T0, 1: T0}
    last = {0: T0 + 2_999_000, 1: T0 + 2_900_000}
    for batch in batches(kafka, topic, ahead_ms=60_000):
        other = 1 - batch.partition
        if heads[other] < last[other]:
            assert batch.received_at_ms[-1] <= heads[other] + 100_000 + 60_000
        heads[batch.partition] = batch.received_at_ms[-1]
    assert heads == last


def test_partitions_that_wait_are_read_to_their_end(kafka: str, prefix: str) -> None:
    topic = f"{prefix}raw"
    make(kafka, topic, 3)
    with producing(Kafka(servers=kafka)) as send:
        for i in range(4500):
            send(topic, os.urandom(2000), partition=i % 3, timestamp_ms=T0 + i)
    assert sum(len(batch.values) for batch in batches(kafka, topic, batch_size=50)) == 4500


def test_control_records_are_ticks_at_their_place(kafka: str, prefix: str) -> None:
    topic = f"{prefix}raw"
    make(kafka, topic, 1)
    with producing(Kafka(servers=kafka)) as send:
        send(topic, b"a", timestamp_ms=T0)
        send(topic, str(T0 + 5).encode(), key=TICK_KEY, timestamp_ms=T0)
        send(topic, b"b", key=b"else", timestamp_ms=T0)
        send(topic, b"not a time", key=TICK_KEY, timestamp_ms=T0)
    doors = list(read_range(Kafka(servers=kafka), topic, "110"))
    assert [door.values if isinstance(door, RawBatch) else door.tick.at_ms for door in doors] == [
        [b"a"],
        T0 + 5,
        [b"b", b"not a time"],
    ]
    assert isinstance(doors[1], PartitionTick) and doors[1].partition == 0


def test_refuses_what_retention_has_eaten(kafka: str, prefix: str) -> None:
    topic = f"{prefix}raw"
    make(kafka, topic, 2)
    with producing(Kafka(servers=kafka)) as send:
        for i in range(20):
            send(topic, b"x", partition=i % 2, timestamp_ms=T0 + i * 1000)
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        admin.delete_records({TopicPartition(topic, 1): 4})
    with pytest.raises(UsageError, match=r"partitions and their first kept record: 1 \(2026-03-02T00:00:09\+00:00\)"):
        batches(kafka, topic, from_ms=T0)
    later = batches(kafka, topic, from_ms=T0 + 10_000)
    assert sum(len(batch.values) for batch in later) == 10
    assert sum(len(batch.values) for batch in batches(kafka, topic)) == 16


def test_ends_behind_a_transactions_marker(kafka: str, prefix: str) -> None:
    topic = f"{prefix}raw"
    make(kafka, topic, 1)
    producer = KafkaProducer(bootstrap_servers=kafka, transactional_id=f"{prefix}tx", allow_auto_create_topics=False)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b"a")
    producer.commit_transaction()
    producer.close()
    assert [batch.values for batch in batches(kafka, topic)] == [[b"a"]]


def test_unknown_topic_and_empty_span(kafka: str, prefix: str) -> None:
    with pytest.raises(UsageError, match="has no topic"):
        batches(kafka, f"{prefix}nowhere")
    with pytest.raises(UsageError, match="is not before"):
        batches(kafka, f"{prefix}nowhere", from_ms=T0, to_ms=T0)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3600)), max_size=60),
    batch_size=st.integers(1, 30),
)
def test_every_record_once_whatever_the_cut(
    kafka: str, times: list[tuple[int, int]], batch_size: int, prefix: str, counter: list[int]
) -> None:
    counter.append(0)
    topic = f"{prefix}{len(counter)}"
    make(kafka, topic, 3)
    with producing(Kafka(servers=kafka)) as send:
        for i, (partition, second) in enumerate(times):
            send(topic, str(i).encode(), partition=partition, timestamp_ms=T0 + second * 1000)
    found = batches(kafka, topic, batch_size=batch_size)
    for partition in range(3):
        values = [int(v) for batch in found if batch.partition == partition for v in batch.values]
        assert values == [i for i, (p, _) in enumerate(times) if p == partition]


@pytest.fixture
def counter() -> list[int]:
    """Grows by one an example: topics of their own."""
    return []
