"""The comparison: a plain Faust agent that only counts (`async for`, one event a record), as Faust's manual shows it.

    python -m bench.plain_faust --servers HOST:PORT --topic TOPIC [--batches] [--json]

Reads the topic from its beginning to its end as of now with a group of its own and prints the messages a second,
measured from the first to the last one, so that start-up does not count. `--batches` reads the same with the batch
reader of `streams.batches`, to compare the two on one broker.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

import faust
import msgspec
from kafka import KafkaConsumer, TopicPartition

from schemas import UsageError
from streams.batches import batch_app, batch_topic, taken


class Count(msgspec.Struct):
    """Messages seen, and when the first and the last of them came (monotonic seconds)."""

    wanted: int
    seen: int = 0
    first_s: float = 0.0
    last_s: float = 0.0

    def add(self, records: int) -> bool:
        """Count; True when all have come."""
        self.last_s = time.perf_counter()
        if not self.seen:
            self.first_s = self.last_s
        self.seen += records
        return self.seen >= self.wanted


def records_in(servers: str, topic: str) -> int:
    """Records between the beginning and the end of the topic."""
    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=None)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    first, end = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    consumer.close()
    return sum(end[partition] - first[partition] for partition in partitions)


async def read(servers: str, topic: str, *, batches: bool, group: str) -> Count:
    """Read the whole topic in this process, with a Faust app of its own."""
    count, over = Count(records_in(servers, topic)), asyncio.Event()
    if not count.wanted:
        raise UsageError(f"{topic} is empty: nothing to measure", f"{topic} 为空：没有可测的数据")
    app = batch_app(group, servers) if batches else _plain_app(group, servers)

    async def plain(stream: Any) -> None:
        async for _ in stream:
            if count.add(1):
                over.set()

    async def whole(stream: Any) -> None:
        async for event in taken(stream):
            done = count.add(len(event.value))
            event.ack()
            if done:
                over.set()

    if batches:
        app.agent(batch_topic(app, topic))(whole)
    else:
        app.agent(app.topic(topic, key_serializer="raw", value_serializer="raw"))(plain)
    await app.start()
    await over.wait()
    await app.stop()
    return count


def _plain_app(group: str, servers: str) -> faust.App:
    return faust.App(
        group,
        broker=["kafka://" + server for server in servers.split(",")],
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )


def main() -> None:
    """Print the figure, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default="localhost:9092")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--batches", action="store_true", help="read whole batches instead")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    group = f"bench-plain-faust-{time.time_ns()}"
    count = asyncio.run(read(options.servers, options.topic, batches=options.batches, group=group))
    rate = count.seen / max(count.last_s - count.first_s, 1e-9)
    how = "batches" if options.batches else "plain"
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode({"reader": how, "messages": count.seen, "messages_per_s": rate}))
    else:
        print(f"{how}: {count.seen:,} messages, {rate:,.0f}/s")


if __name__ == "__main__":
    main()
