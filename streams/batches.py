"""Whole batches from Kafka through Faust: one event is the records of one partition, committed exactly.

Rules (each one was paid for with lost or slow records):

1. Raw bytes on every topic. Faust decodes nothing: a `RecordBatch` arrives as it was fetched.
2. One event is one batch; it is acked whole, by hand, after the sink has written: iterate `taken(stream)` and call
   `event.ack()` last. Plain iteration also acks the event whose body raised, and gives batches out of turn: one that
   Faust held in its hand during a rebalance comes first afterwards, before what lies between the commit and it.
3. What is committed is the longest acked prefix of what was *delivered since the last seek*. Acks of anything older
   (another generation, before a rebalance) do not count: those records are delivered again.
4. Where reading starts is the group's commit, unless `start_offsets` says otherwise: for the city's log the state
   snapshot is the truth, not the commit.
5. An exception in an agent's body is a bug: it crashes the app (`app.crash_reason` holds it; `faust.Worker` then exits
   with 1), un-acked. Faust by itself would restart the agent and leave its batch un-acked for ever.
6. Topics are declared by `quanyu topics create`; Faust creates none.

    app = batch_app("quanyu-intake", "localhost:9092", max_batch=5000)

    @app.agent(batch_topic(app, "raw.110", "raw.grid"))     # or app.agent(...)(function), wired by hand
    async def intake(stream):
        async for event in taken(stream):
            batch = event.value                             # RecordBatch
            await write(work(batch.values, batch.offsets))  # must not return before it is written
            event.ack()                                     # last

With a snapshot as the truth (called on every assignment, before the first record is delivered; sync or async;
partitions it does not name start at the group's commit):

    async def start_offsets(partitions: frozenset[TP]) -> dict[TP, int]:
        snapshot = await newest_snapshot()                  # and put the state back to it
        return {tp: snapshot.next_offset for tp in partitions if tp.topic == log_topic}

    app = batch_app("quanyu-city", servers, start_offsets=start_offsets)

To hold a partition that runs ahead: `app.consumer.hold([TP(topic, n)])`, later `await app.consumer.release(...)`. Not
Faust's `pause_partitions`: it drops what was fetched but not delivered. A rebalance releases all.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from threading import Timer
from time import monotonic
from typing import Any, ClassVar, cast

import faust
from aiokafka.errors import KafkaTimeoutError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from mode.utils.futures import maybe_async

from schemas import UsageError
from streams.kafka_security import SASL, sasl_options, tls_context
from streams.record_batch import RecordBatch
from streams.settings import Kafka

__all__ = [
    "TP",
    "BatchScheduler",
    "Consumer",
    "RecordBatch",
    "RecordsSchema",
    "Transport",
    "batch_app",
    "batch_topic",
    "credentials",
    "process_of",
    "taken",
]

#: where to start reading; partitions left out start at the group's commit
StartOffsets = Callable[[frozenset[TP]], Mapping[TP, int] | Awaitable[Mapping[TP, int]]]

#: What a worker of whole batches needs of Faust; `batch_app` takes overrides.
SETTINGS: Mapping[str, Any] = {
    "autodiscover": False,
    "agent_supervisor": "mode.supervisors.CrashingSupervisor",
    "processing_guarantee": "at_least_once",
    "key_serializer": "raw",
    "value_serializer": "raw",
    "consumer_auto_offset_reset": "earliest",
    "broker_commit_interval": 1.0,
    # batches, not records: what waits in memory is this many times `max_batch`
    "stream_buffer_maxsize": 8,
    # with False a rebalance loses what is being worked on
    "stream_wait_empty": True,
    "topic_allow_declare": False,
    "topic_disable_leader": True,
    "producer_acks": -1,
    "producer_max_request_size": 8_000_000,
    "web_enabled": False,
    # Faust keeps nothing there for us, but makes the directory
    "datadir": Path(gettempdir()) / "quanyu-faust",
}


#: what a crashed process may take to stop beyond `finish_s`, seconds
CRASH_S = 5.0
#: how long the last commit may take before a stop or a rebalance: its client tries again for ever, seconds
COMMIT_S = 4.0
#: what a process may take to stop after a signal, seconds
STOP_S = 25.0


class BatchScheduler(DefaultSchedulingStrategy):
    """Cuts what was fetched into batches of at most `max_batch` records, partitions in turn."""

    max_batch: ClassVar[int] = 5000

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, RecordBatch]]:
        """Batches of every partition, round by round, so that none runs far ahead of the others."""
        start, left = 0, {tp: fetched for tp, fetched in records.items() if fetched}
        while left:
            for tp, fetched in left.items():
                yield tp, RecordBatch(tp.topic, tp.partition, fetched[start : start + self.max_batch])
            start += self.max_batch
            left = {tp: fetched for tp, fetched in left.items() if len(fetched) > start}


class RecordsSchema(faust.Schema[Any, Any]):
    """Hands the batch through untouched."""

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> None:
        """Batches have no key."""

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        """The RecordBatch."""
        return message.value


class App(faust.App):
    """Ends for sure when anything in it has crashed: Faust can hang on the way out, above all without its brokers."""

    async def crash(self, reason: BaseException) -> None:
        """Called with what an agent, a task, a timer or a part of Faust raised."""
        on_crash = cast("Transport", self.transport).on_crash
        if on_crash is not None and not self.should_stop:
            on_crash(reason)
        await super().crash(reason)


class Consumer(driver.Consumer):
    """Commits the longest acked prefix of what was delivered, and starts where `start_offsets` says.

    Faust itself looks for consecutive acked offsets: with batches that commits one batch a tick, and on a partition
    that never committed it can commit past an un-acked first batch. Here the delivered messages themselves are kept,
    in order; an ack counts only for the delivery it belongs to.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delivered: defaultdict[TP, deque[Any]] = defaultdict(deque)
        self._settled: dict[TP, int] = {}
        #: next offset to deliver, and the one behind what was fetched
        self._next: dict[TP, int] = {}
        self._fetched: dict[TP, int] = {}
        #: rounds of fetching and delivering, and the one in which a partition was held
        self._round = 0
        self._held_in: dict[TP, int] = {}
        #: which assignment this is, and the last one whose positions were set; between the two nothing is known
        self._generation = self._sought = 0
        #: whether the partitions are ours: not from their revocation until they are assigned
        self._ours = False
        self._deliver = self.callback
        self.callback = self._track

    async def _track(self, message: Any) -> None:
        if self.app.topics.acks_enabled_for(message.topic):
            self._settle(message.tp)
            self._delivered[message.tp].append(message)
        self._next[message.tp] = message.offset + 1
        message.value.generation = self._generation
        await self._deliver(message)

    def take(self, batch: RecordBatch) -> bool:
        """Whether an agent may begin to work on the batch; False: it was delivered before a rebalance, drop it."""
        batch.taken = batch.generation == self._generation
        return batch.taken

    async def _wait_next_records(self, timeout: float) -> Any:
        self._round += 1
        return await super()._wait_next_records(timeout)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        records = await super()._getmany(active_partitions, timeout)
        self._fetched.update({ensure_TP(tp): part[-1].offset + 1 for tp, part in records.items() if part})
        return records

    async def read_to_end(self, tp: TP, end: int) -> bool:
        """Whether everything before offset `end` has been delivered and acked (offsets without a record included).

        During a rebalance nobody knows: what was not acked is forgotten, but the position still lies behind it.
        """
        reached = await self.position(tp)
        self._settle(tp)
        in_flight = self._fetched.get(tp, 0) > self._next.get(tp, 0)
        known = self._sought == self._generation
        return known and reached is not None and reached >= end and not in_flight and not self._delivered[tp]

    def committed(self, tp: TP) -> int:
        """The group's offset of an assigned partition; 0 if it never committed."""
        return max(self._committed_offset.get(tp) or 0, 0)

    @property
    def held(self) -> set[TP]:
        """Partitions that are held."""
        return set(self._held_in)

    def hold(self, tps: Iterable[TP]) -> None:
        """Deliver no more of these partitions until `release`, or until the next rebalance."""
        self._held_in.update(dict.fromkeys(tps, self._round))
        self.pause_partitions(self._held_in)

    async def release(self, tps: Iterable[TP]) -> None:
        """Go on where delivery stopped. Faust drops what it had fetched of a held partition, so it is fetched again;
        but not before the round that still has some of it is over (after a stop there are no more rounds)."""
        held = {tp: self._held_in.pop(tp) for tp in tps if tp in self._held_in}
        while self._round in held.values() and not self.should_stop:
            await self.sleep(0.02)
        offsets = {tp: self._next[tp] for tp in held if tp in self._paused_partitions}
        if offsets:
            await self.seek_wait(offsets)
            self._fetched.update(offsets)
            self.resume_partitions(offsets)

    def _settle(self, tp: TP) -> None:
        """Forget the acked prefix of what was delivered; remember the offset behind it."""
        waiting = self._delivered[tp]
        while waiting and waiting[0].acked:
            self._settled[tp] = waiting.popleft().offset + 1
        self._acked.pop(tp, None)
        self._acked_index.pop(tp, None)

    def _forget(self, tps: Iterable[TP]) -> None:
        for tp in tps:
            self._delivered.pop(tp, None)
            self._settled.pop(tp, None)
            self._next.pop(tp, None)
            self._fetched.pop(tp, None)
            self._held_in.pop(tp, None)
            self._acked.pop(tp, None)
            self._acked_index.pop(tp, None)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._delivered) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        self._settle(tp)
        return self._settled.pop(tp, None)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: gaps between offsets do not matter to what was delivered."""

    async def wait_empty(self) -> None:
        """Before a stop or a rebalance: wait for what is being worked on, commit; but not for ever (an outage).

        Nothing else is begun meanwhile: what only waits in a queue is delivered again.
        """
        self._generation += 1
        deadline = monotonic() + cast("Transport", self.transport).finish_s
        while self._in_hand() and not self.should_stop and monotonic() < deadline:
            await self._wait_for_ack(timeout=0.2)
        self._clean_unacked_messages()
        with suppress(TimeoutError):  # what is not committed is delivered again
            async with asyncio.timeout(COMMIT_S):
                await self.commit_and_end_transactions()

    def _in_hand(self) -> bool:
        return any(m.value.taken and not m.acked for waiting in self._delivered.values() for m in waiting)

    async def on_task_error(self, exc: BaseException) -> None:
        """An agent's body raised: end the app. What was acked before is still committed on the way out."""
        await self.app.crash(exc)

    async def earliest_offsets(self, *partitions: TP) -> Any:
        """The first offsets that are kept."""
        return await _answered(partial(super().earliest_offsets, *partitions))

    async def highwaters(self, *partitions: TP) -> Any:
        """The offsets behind the last records."""
        return await _answered(partial(super().highwaters, *partitions))

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Go on from these offsets."""
        await _answered(partial(super().seek_wait, partitions))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Faust waits here for what is being worked on and commits it; then the partitions are forgotten."""
        self._generation += 1
        self._ours = False
        await super().on_partitions_revoked(revoked)
        self._forget(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """What was sought before belongs to the assignment before."""
        self._generation += 1
        self._ours = True
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """To the group's commit, then to where `start_offsets` says (on every assignment, maybe more than once).

        Faust may also call it between a revocation and the next assignment: the positions found then are the old ones.
        """
        self._generation += 1
        found = self._generation if self._ours else -1
        self._forget({*self._delivered, *self._next, *self._fetched})
        await super().perform_seek()
        assigned = frozenset(self.assignment())
        hook = cast("Transport", self.transport).start_offsets
        if hook is not None and (wanted := await maybe_async(hook(assigned))):
            await self._check_kept(wanted)
            await self.seek_wait(wanted)
            for tp, offset in wanted.items():
                self._read_offset[tp] = offset
                self._committed_offset[tp] = offset
        for tp in assigned:
            self._next[tp] = await self.position(tp) or 0
        self._sought = found

    async def _check_kept(self, wanted: Mapping[TP, int]) -> None:
        """Refuse to start where the topic no longer (or not yet) reaches: Kafka would jump over the hole in silence."""
        first = await self.earliest_offsets(*wanted)
        end = await self.highwaters(*wanted)
        for tp, offset in wanted.items():
            low, high = first[tp] or 0, end[tp] or 0
            if not low <= offset <= high:
                raise UsageError(
                    f"{tp.topic}/{tp.partition}: the snapshot continues at offset {offset}, but the topic holds "
                    f"{low}..{high}; restore a snapshot from inside, or rebuild the state with a replay",
                    f"{tp.topic}/{tp.partition}：快照应从偏移量 {offset} 继续，但主题只保留 {low}..{high}；"
                    f"请恢复范围内的快照，或通过回放重建状态",
                )


async def _answered(ask: Callable[[], Awaitable[Any]]) -> Any:
    """What the brokers say, however long they are gone: their client gives up after `broker_request_timeout`."""
    while True:
        try:
            return await ask()
        except (KafkaTimeoutError, TimeoutError):
            continue


class Transport(driver.Transport):
    """The aiokafka transport with the exact consumer."""

    Consumer: ClassVar[type] = Consumer
    start_offsets: StartOffsets | None = None
    finish_s: float = 10.0
    on_crash: Callable[[BaseException], None] | None = None


class Process(faust.Worker):
    """The Faust worker that is this process. A crash and a signal end it for sure: Faust can hang on the way out."""

    def _schedule_shutdown(self, signal: Any) -> None:
        _end_within(STOP_S, 1)
        super()._schedule_shutdown(signal)


def process_of(app: faust.App, **options: Any) -> faust.Worker:
    """The worker, with deadlines for its end: `STOP_S` after a signal, `CRASH_S` and `finish_s` after a crash."""
    transport = cast("Transport", app.transport)
    transport.on_crash = lambda exc: _end_within(transport.finish_s + CRASH_S, getattr(exc, "exit_code", 1))
    return Process(app, console_port=0, **options)


def _end_within(seconds: float, exit_code: int) -> None:
    deadline = Timer(seconds, os._exit, (exit_code,))
    deadline.daemon = True
    deadline.start()


def credentials(kafka: Kafka) -> dict[str, Any]:
    """The settings of `batch_app` with which Faust's clients speak to the brokers as `kafka` says."""
    context = tls_context(kafka)
    if kafka.security_protocol in SASL:
        sasl = sasl_options(kafka)
        return {
            "broker_credentials": faust.SASLCredentials(
                username=sasl["sasl_plain_username"],
                password=sasl["sasl_plain_password"],
                mechanism=sasl["sasl_mechanism"],
                ssl_context=context,
            )
        }
    return {} if context is None else {"broker_credentials": faust.SSLCredentials(context)}


def batch_app(
    group: str,
    servers: str,
    *,
    max_batch: int = 5000,
    start_offsets: StartOffsets | None = None,
    finish_s: float = 10.0,
    **settings: Any,
) -> faust.App:
    """A Faust app whose agents read whole batches.

    `group` is the consumer group, `servers` "host:port[,host:port]"; a stop or a rebalance waits `finish_s` seconds
    for batches in work before it leaves them un-acked; `settings` override `SETTINGS`. Two apps in a process are fine.
    """
    scheduler = type("Scheduler", (BatchScheduler,), {"max_batch": max_batch})
    brokers = ["kafka://" + server.strip() for server in servers.split(",")]
    app = App(group, broker=brokers, ConsumerScheduler=scheduler, **{**SETTINGS, **settings})
    transport = Transport(app.conf.broker_consumer, app)
    transport.start_offsets, transport.finish_s = start_offsets, finish_s
    app.transport = transport
    return app


def batch_topic(app: faust.App, *topics: str) -> Any:
    """A channel over `topics` whose events carry a RecordBatch; the topics have to exist."""
    return app.topic(*topics, schema=RecordsSchema(), key_serializer="raw", value_serializer="raw")


async def taken(stream: Any) -> AsyncIterator[Any]:
    """Events of a stream of whole batches, to be acked by hand; those delivered before a rebalance are left out."""
    async for event in stream.noack().events():
        if cast("Consumer", stream.app.consumer).take(event.value):
            yield event
