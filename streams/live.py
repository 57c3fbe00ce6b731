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
6. A worker may serve several cities (see `cities.py`), each with its own stages, queues, database and partition of the
   log. The group spreads cities and raw partitions over its workers. Rubbish of one city stops that city alone; while
   one's database is gone, this worker folds no other (one agent reads the log, in turn).

    raw.*  --intake agent--> outbox --> signals.located --city agent--> store --> ClickHouse
                     + dead letters --> ClickHouse and signals.rejected; the outbox waits until both have them
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from faust.exceptions import NotReady, ProducerSendError

from schemas import TooMuchBadData, Unreachable
from sinks.base import Sink
from streams import logs, metrics
from streams.assemble import Assembly
from streams.batches import TP, Consumer, batch_app, batch_topic, credentials, process_of, taken
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
#: the city's watermark is told, and looked at, this often, seconds: partitions that are held wait so long for nothing
ALIGN_S = 0.2
#: how often a worker looks for idle partitions, and how far it is behind, seconds
LOOK_S = 1.0
#: brokers are asked for a sign of life this often: who only waits for records does not notice that they are gone
PULSE_S = 5.0
#: after so long without an answer a message is sent again, seconds
PRODUCE_S = 30.0
#: what no repetition mends
HOPELESS = (MessageSizeTooLargeError, TopicAuthorizationFailedError, GroupAuthorizationFailedError)
WATERMARK_KEY = b"watermark"


#: a city of this worker, and where its rows go
Served = tuple[Assembly, Sink]


class Shell:
    """The worker with the agents of `stages` ("intake", "city"), wired by hand. `now` is the wall clock, ms UTC."""

    def __init__(
        self,
        cities: Sequence[Served],
        now: Callable[[], int],
        stages: tuple[str, ...],
        health: Health,
        watch: Watch,
    ) -> None:
        self._kafka = kafka = cities[0][0].settings.kafka
        self._now, self._health, self._watch = now, health, watch
        self._alone = len(cities) == 1
        #: partition of the log -> the city that it is of
        self._folding: dict[int, CityWorker] = {}
        self.app = batch_app(
            kafka.group,
            kafka.servers,
            max_batch=INTAKE_RECORDS,
            start_offsets=self._start_offsets,
            finish_s=FINISH_S,
            broker_session_timeout=SESSION_S,
            broker_heartbeat_interval=SESSION_S / 4,
            producer_compression_type=None,
            producer_request_timeout=PRODUCE_S,
            **credentials(kafka),
        )
        self.app.on_partitions_assigned.connect(self._assigned, weak=False)
        self._every(PULSE_S, self._pulse)
        for assembly, sink in cities:
            self._serve(assembly, sink, stages)
        if "city" in stages:
            self.app.agent(batch_topic(self.app, kafka.log_topic), name="city")(self._fold)

    @property
    def _consumer(self) -> Consumer:
        return cast("Consumer", self.app.consumer)

    def _serve(self, assembly: Assembly, sink: Sink, stages: tuple[str, ...]) -> None:
        app, settings, name = self.app, assembly.settings, assembly.settings.city.name
        store = Store(sink, self._health, "" if self._alone else name)
        outbox = Outbox(self._publish, settings.kafka.partition)
        app.task(store.run)
        app.task(outbox.run)
        if "intake" in stages:

            def give_up(error: TooMuchBadData) -> None:
                logs.get().critical(f"nothing of {name} is taken in any more, un-acked", error=error.en)
                self._health.stopped[name] = error.en

            worker = IntakeWorker(assembly, store, outbox, self._watch, self._now, None if self._alone else give_up)
            topics = [source.topic for source in settings.sources.values() if source.topic]
            app.agent(batch_topic(app, *topics), name=f"intake-{settings.kafka.partition}")(worker.run)
            reader = WatermarkReader(settings.kafka)

            async def beat() -> None:
                await worker.beat(self._consumer)

            async def align() -> None:
                await worker.align(self._consumer, *await reader.latest())

            self._every(min(LOOK_S, settings.kafka.heartbeat_s), beat)
            self._every(ALIGN_S, align)
        if "city" in stages:
            self._add_fold(assembly, store, outbox)

    def _add_fold(self, assembly: Assembly, store: Store, outbox: Outbox) -> None:
        app, kafka, name = self.app, assembly.settings.kafka, assembly.settings.city.name
        log = TP(kafka.log_topic, kafka.partition)

        async def save(topic: str, key: bytes, value: bytes | None) -> None:
            await self._send(topic, key, value, kafka.partition)

        snapshots = Snapshots(assembly, save, lambda: read(kafka), self._health, self._now)
        city = self._folding[kafka.partition] = CityWorker(assembly, store, outbox, snapshots, self._now)
        app.task(snapshots.run)
        app.on_before_shutdown.connect(city.stopping, weak=False)

        async def show() -> None:
            if log in self._consumer.assignment():
                end = (await self._consumer.highwaters(log))[log] or 0
                metrics.LOG_LAG.labels(name).set(max(0, end - city.next_offset))

        async def tell() -> None:
            if news := city.news():
                await self._send(kafka.watermark_topic, WATERMARK_KEY, b"%d %d" % news, kafka.partition)

        self._every(LOOK_S, show)
        self._every(ALIGN_S, tell)

    async def _fold(self, stream: Any) -> None:
        """The body of the city agent: batches of the log, each to its city."""
        async for event in taken(stream):
            with self._watch.working("city"):
                await self._folding[event.value.partition].take(event)

    async def _start_offsets(self, partitions: frozenset[TP]) -> dict[TP, int]:
        mine = [tp for tp in partitions if tp.topic == self._kafka.log_topic and tp.partition in self._folding]
        for number, city in self._folding.items():
            if TP(self._kafka.log_topic, number) not in mine:
                city.released()
        for tp in mine:
            await self._folding[tp.partition].assigned(self._consumer.committed(tp))
        first = await self.app.consumer.earliest_offsets(*mine) if mine else {}
        return {tp: self._folding[tp.partition].next_offset or first[tp] or 0 for tp in mine}

    async def _assigned(self, *_: Any, **__: Any) -> None:
        self._health.assigned = True

    def _every(self, seconds: float, ask: Callable[[], Awaitable[None]]) -> None:
        """Do something that asks the brokers again and again; in an outage the next time comes after it."""

        async def once() -> None:
            try:
                await ask()
            except IllegalStateError:
                return  # a partition went to another worker meanwhile
            except KafkaError as error:
                raise _unreachable(self._kafka, error) from error

        self.app.timer(seconds)(lambda: until_answered(once, "broker", self._health))

    async def _pulse(self) -> None:
        if mine := self._consumer.assignment():
            await self._consumer.highwaters(*mine)

    async def _publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        await self._send(topic, key, value, partition)

    async def _send(self, topic: str, key: bytes | None, value: bytes | None, partition: int) -> None:
        await until_answered(lambda: self._send_once(topic, key, value, partition), "broker", self._health)

    async def _send_once(self, topic: str, key: bytes | None, value: bytes | None, partition: int) -> None:
        kafka = self._kafka
        producer = await self.app.maybe_start_producer()
        try:
            await producer.send_and_wait(topic, key, value, partition, None, None)
        except NotReady:
            if not self.app.should_stop:
                raise
            await asyncio.Event().wait()  # the producer is gone, and soon whoever sends is, too
        except (ProducerSendError, KafkaError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, HOPELESS):
                raise refusal(cause, kafka, f"writing to {topic}") or error from error
            raise _unreachable(kafka, error) from error


def run(cities: Sequence[Served], now: Callable[[], int], stages: tuple[str, ...], health: Health) -> None:
    """Run a worker until it is told to stop. Raises what crashed it."""
    settings = cities[0][0].settings
    watch = Watch(health, settings.live.stuck_s)
    app = Shell(cities, now, stages, health, watch).app
    worker = process_of(app, override_logging=False, quiet=True)
    worker.spinner = None
    try:
        with watch.looking():
            worker.execute_from_commandline()
    except SystemExit:
        if app.crash_reason is None:
            for _, sink in cities:
                _close(sink)
            return
    if isinstance(app.crash_reason, BaseException):
        raise refusal(app.crash_reason, settings.kafka, "working") or app.crash_reason
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
