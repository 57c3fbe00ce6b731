"""Live: both stages as Faust agents on Kafka. With `batches.py` the only file that imports faust.

Rules (see `batches.py` for how they are kept below this file):

1. Raw bytes on every topic; whole batches; one event is the records of one partition.
2. Ack last: an intake batch when its dead letters are stored and its envelope is on the log, in this order: what the
   log covers is never offered again, so a refused record must be safe before. A log batch when its rows are stored.
   Everything between is done again after a crash, and gives the same rows.
3. The body never raises for data (dead letters) nor for an outage (waits in place, un-acked: that is the
   back-pressure). Anything else ends the process, un-acked.
4. The city's state is a fold over the log and belongs to one offset of it, whatever the group has committed: that of
   the newest snapshot, or of what this worker has folded itself if nobody has gone on since; without either the fold
   begins at the log's first kept envelope.
5. Idle partitions tell time: an empty envelope with a watermark, so that a silent source does not stop the city.

    raw.*  --intake agent--> outbox --> signals.located --city agent--> store --> ClickHouse
                     + dead letters --> ClickHouse and signals.rejected; the outbox waits until both have them
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import faust
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from faust.exceptions import NotReady, ProducerSendError

from schemas import Unreachable
from sinks.base import Sink
from streams import logs, metrics
from streams.assemble import Assembly
from streams.batches import TP, Consumer, batch_app, batch_topic, credentials, process_of
from streams.kafka_security import refusal
from streams.kafka_watermark import WatermarkReader
from streams.live_city import CityWorker
from streams.live_intake import IntakeWorker
from streams.live_state import Snapshots
from streams.live_store import Health, Outbox, Store, until_answered
from streams.live_watch import Watch
from streams.settings import Kafka
from streams.state_topic import read

#: records of a batch of a raw partition
INTAKE_RECORDS = 4000
#: silence after which a worker counts as dead and others take its partitions, seconds; a consumer's own thread beats
SESSION_S = 10.0
#: how long a stop or a rebalance waits for work in hand, seconds
FINISH_S = 6.0
#: the city's watermark is told, and looked at, this often, seconds
ALIGN_S = 1.0
#: brokers are asked for a sign of life this often: who only waits for records does not notice that they are gone
PULSE_S = 5.0
#: after so long without an answer a message is sent again, seconds
PRODUCE_S = 30.0
#: what no repetition mends
HOPELESS = (MessageSizeTooLargeError, TopicAuthorizationFailedError, GroupAuthorizationFailedError)
WATERMARK_KEY = b"watermark"


def build_app(
    assembly: Assembly, sink: Sink, now: Callable[[], int], stages: tuple[str, ...], health: Health, watch: Watch
) -> faust.App:
    """The worker with the agents of `stages` ("intake", "city"), wired by hand. `now` is the wall clock, ms UTC."""
    kafka = assembly.settings.kafka
    store = Store(sink, health)
    city: CityWorker | None = None

    async def start_offsets(partitions: frozenset[TP]) -> dict[TP, int]:
        mine = [tp for tp in partitions if tp.topic == kafka.log_topic]
        if city is None:
            return {}
        if not mine:
            city.released()
            return {}
        consumer = cast("Consumer", app.consumer)
        for tp in mine:
            await city.assigned(consumer.committed(tp))
        first = await app.consumer.earliest_offsets(*mine)
        return {tp: city.next_offset or first[tp] or 0 for tp in mine}

    app = batch_app(
        kafka.group,
        kafka.servers,
        max_batch=INTAKE_RECORDS,
        start_offsets=start_offsets,
        finish_s=FINISH_S,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=SESSION_S / 4,
        producer_compression_type=None,
        producer_request_timeout=PRODUCE_S,
        **credentials(kafka),
    )

    async def send(topic: str, key: bytes | None, value: bytes | None, partition: int = 0) -> None:
        async def once() -> None:
            producer = await app.maybe_start_producer()
            try:
                await producer.send_and_wait(topic, key, value, partition, None, None)
            except NotReady:
                if not app.should_stop:
                    raise
                await asyncio.Event().wait()  # the producer is gone, and soon whoever sends is, too
            except (ProducerSendError, KafkaError) as error:
                cause = error.__cause__ or error
                if isinstance(cause, HOPELESS):
                    raise refusal(cause, kafka, f"writing to {topic}") or error from error
                raise _unreachable(kafka, error) from error

        await until_answered(once, "broker", health)

    def every(seconds: float, ask: Callable[[], Awaitable[None]]) -> None:
        """Do something that asks the brokers again and again; in an outage the next time comes after it."""

        async def once() -> None:
            try:
                await ask()
            except IllegalStateError:
                return  # a partition went to another worker meanwhile
            except KafkaError as error:
                raise _unreachable(kafka, error) from error

        app.timer(seconds)(lambda: until_answered(once, "broker", health))

    async def pulse() -> None:
        consumer = cast("Consumer", app.consumer)
        if mine := consumer.assignment():
            await consumer.highwaters(*mine)

    async def publish(topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        await send(topic, key, value, partition)

    async def assigned(*_: Any, **__: Any) -> None:
        health.assigned = True

    app.on_partitions_assigned.connect(assigned, weak=False)
    outbox = Outbox(publish)
    app.task(store.run)
    app.task(outbox.run)
    every(PULSE_S, pulse)
    if "intake" in stages:
        worker = IntakeWorker(assembly, store, outbox, watch, now)
        topics = [source.topic for source in assembly.settings.sources.values() if source.topic]
        app.agent(batch_topic(app, *topics), name="intake")(worker.run)

        async def beat() -> None:
            await worker.beat(cast("Consumer", app.consumer))

        every(kafka.heartbeat_s, beat)
        reader = WatermarkReader(kafka)

        async def align() -> None:
            await worker.align(cast("Consumer", app.consumer), await reader.latest())

        every(ALIGN_S, align)
    if "city" in stages:
        snapshots = Snapshots(assembly, send, lambda: read(kafka), health, now)
        city = CityWorker(assembly, store, outbox, snapshots, watch, now)
        app.agent(batch_topic(app, kafka.log_topic), name="city")(city.run)
        app.task(snapshots.run)
        app.on_before_shutdown.connect(city.stopping, weak=False)

        async def tell() -> None:
            consumer = cast("Consumer", app.consumer)
            for tp in [tp for tp in consumer.assignment() if tp.topic == kafka.log_topic]:
                end = (await consumer.highwaters(tp))[tp] or 0
                metrics.LOG_LAG.set(max(0, end - city.next_offset))
            if watermark := city.news():
                await send(kafka.watermark_topic, WATERMARK_KEY, b"%d" % watermark)

        every(ALIGN_S, tell)
    return app


def run(assembly: Assembly, sink: Sink, now: Callable[[], int], stages: tuple[str, ...], health: Health) -> None:
    """Run a worker until it is told to stop. Raises what crashed it."""
    watch = Watch(health, assembly.settings.live.stuck_s)
    app = build_app(assembly, sink, now, stages, health, watch)
    worker = process_of(app, override_logging=False, quiet=True)
    worker.spinner = None
    try:
        with watch.looking():
            worker.execute_from_commandline()
    except SystemExit:
        if app.crash_reason is None:
            _close(sink)
            return
    if isinstance(app.crash_reason, BaseException):
        raise refusal(app.crash_reason, assembly.settings.kafka, "working") or app.crash_reason
    raise SystemExit(1)


def _unreachable(kafka: Kafka, error: Exception) -> Unreachable:
    return Unreachable(
        f"Kafka at {kafka.servers} does not answer ({error})", f"Kafka（{kafka.servers}）没有响应（{error}）"
    )


def _close(sink: Sink) -> None:
    """What is not stored at a stop is not acked either: the next worker does it again."""
    try:
        sink.close()
    except Unreachable as error:
        logs.get().warning("stopped with rows that the next start will store", error=error.en)
