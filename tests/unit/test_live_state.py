"""Snapshots on their way to the topic, without a broker: what is on it at every moment can be gone on from, or is not
a snapshot.

frozen behind 5 --chunks--> topic ... rows stored --manifest--> topic: complete
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from kafka import TopicPartition

from schemas import Unreachable
from streams import state_topic
from streams.assemble import Assembly, assemble
from streams.live_state import TOGETHER, Frozen, Snapshots
from streams.live_store import Health
from streams.pipeline import CityState
from streams.settings import Live, Settings, load
from streams.state_topic import MANIFEST, Kept
from tests.build import DAY0, envelopes, signal

SETTINGS = Settings(live=Live(snapshot_s=0.001))


class Topic:
    """What was sent, as a topic holds it; `history` is what was complete after each message."""

    def __init__(self, outages: int = 0) -> None:
        self.sent: list[tuple[bytes, bytes | None]] = []
        self.outages = outages

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Takes it."""
        assert topic == "city.state"
        self.sent.append((key, value))

    def kept(self, until: int | None = None) -> Kept:
        """What a reader finds after so many messages."""
        found = Kept()
        for key, value in self.sent[:until]:
            found.take(key, value)
        return found

    def read(self) -> Kept:
        """As the worker reads it."""
        if self.outages:
            self.outages -= 1
            raise Unreachable("gone", retry_after_s=0.001)
        return self.kept()


class Clock:
    """Ms, one later each time: editions have different names."""

    def __init__(self) -> None:
        self.at = DAY0

    def __call__(self) -> int:
        self.at += 1
        return self.at


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    return assemble(SETTINGS, b"a key of the tests")


def folded(assembly: Assembly, signals: int) -> CityState:
    """A state with so many signals."""
    state = assembly.city.start()
    log = envelopes([signal(str(n), DAY0 + n * 60_000, place=f"甲路{n}号") for n in range(signals)], 50)
    assembly.city.step(state, log, 0)
    return state


def running(snapshots: Snapshots, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work while snapshots are sent; raise what either raised."""

    async def both() -> None:
        sender, worker = asyncio.ensure_future(snapshots.run()), asyncio.ensure_future(work())
        done, _ = await asyncio.wait((sender, worker), return_when=asyncio.FIRST_COMPLETED, timeout=30)
        for task in (sender, worker):
            task.cancel()
        assert done, "stuck"
        for task in done:
            task.result()

    asyncio.run(both())


async def idle(true: Callable[[], bool]) -> None:
    """Until it is true."""
    while not true():
        await asyncio.sleep(0.001)


def begun(snapshots: Snapshots, state: CityState, next_offset: int) -> Frozen:
    """The last chance, so that no interval matters."""
    frozen = snapshots.begin(state, next_offset, last=True)
    assert frozen is not None
    return frozen


def test_it_is_no_snapshot_before_the_rows_are_stored(assembly: Assembly) -> None:
    topic = Topic()
    snapshots = Snapshots(assembly, topic.send, topic.read, Health(), Clock())
    state = folded(assembly, 30)

    async def work() -> None:
        await snapshots.assigned(0, 0)
        frozen = begun(snapshots, state, 5)
        await idle(lambda: len(topic.sent) >= 7)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert topic.kept().newest() == "" and not any(MANIFEST in key for key, _ in topic.sent)
        frozen.stored.set()
        await snapshots.sent()

    running(snapshots, work)
    kept = topic.kept()
    assert kept.manifests[kept.newest()].next_offset == 5

    async def again() -> None:
        loaded = await Snapshots(assembly, topic.send, topic.read, Health(), Clock()).assigned(0, 5)
        assert loaded == (state, 5)

    asyncio.run(again())


def test_at_every_moment_the_topic_holds_the_last_whole_snapshot(assembly: Assembly) -> None:
    topic = Topic()
    snapshots = Snapshots(assembly, topic.send, topic.read, Health(), Clock())
    marks: list[int] = []

    async def work() -> None:
        for next_offset in (1, 2, 3):
            if next_offset != 2:  # a new assignment: another edition
                await snapshots.assigned(next_offset, next_offset)
            begun(snapshots, folded(assembly, 20 * next_offset), next_offset).stored.set()
            await snapshots.sent()
            marks.append(len(topic.sent))

    running(snapshots, work)
    found = []
    for n in range(len(topic.sent) + 1):
        kept = topic.kept(n)
        name = kept.newest()
        found.append(kept.manifests[name].next_offset if name else 0)
    assert found == sorted(found)  # never back, never nothing again
    assert found[-1] == 3
    end = topic.kept()
    assert set(end.editions) == {end.newest()}  # what was replaced is gone
    assert len(end.values) == len(end.manifests[end.newest()].names)


def test_what_a_worker_of_before_still_sends_spoils_nothing(assembly: Assembly) -> None:
    topic = Topic()
    old = Snapshots(assembly, topic.send, topic.read, Health(), Clock())
    clock = Clock()
    clock.at += 1000
    new = Snapshots(assembly, topic.send, topic.read, Health(), clock)
    state = folded(assembly, 20)

    async def work() -> None:
        sender = asyncio.ensure_future(new.run())
        await old.assigned(0, 0)
        begun(old, state, 1).stored.set()
        await old.sent()
        assert (await new.assigned(0, 9)) == (state, 1)
        begun(new, folded(assembly, 40), 4).stored.set()
        await new.sent()
        begun(old, folded(assembly, 30), 2).stored.set()
        await old.sent()
        sender.cancel()

    running(old, work)
    kept = topic.kept()
    assert kept.manifests[kept.newest()].next_offset == 4 and kept.complete(kept.newest())


def test_a_city_that_has_moved_on_gets_no_manifest(assembly: Assembly) -> None:
    topic = Topic()
    snapshots = Snapshots(assembly, topic.send, topic.read, Health(), Clock())

    async def work() -> None:
        await snapshots.assigned(0, 0)
        frozen = begun(snapshots, folded(assembly, 10), 5)
        await idle(lambda: bool(topic.sent))
        snapshots.released()
        frozen.stored.set()
        await snapshots.sent()

    running(snapshots, work)
    assert topic.kept().newest() == ""


def test_while_nobody_has_gone_on_nothing_is_read(assembly: Assembly) -> None:
    def never() -> Kept:
        raise AssertionError("read")

    snapshots = Snapshots(assembly, Topic().send, never, Health(), Clock())
    assert asyncio.run(snapshots.assigned(7, 7)) is None


def test_a_broker_that_is_gone_is_waited_for(assembly: Assembly) -> None:
    topic, health = Topic(outages=2), Health()
    assert asyncio.run(Snapshots(assembly, topic.send, topic.read, health, Clock()).assigned(0, 0)) is None
    assert topic.outages == 0 and health.waiting == {}


def test_a_manifest_that_cannot_be_read_and_torn_chunks_are_passed_over(assembly: Assembly) -> None:
    topic = Topic()
    snapshots = Snapshots(assembly, topic.send, topic.read, Health(), Clock())

    async def work() -> None:
        await snapshots.assigned(0, 0)
        begun(snapshots, folded(assembly, 10), 5).stored.set()
        await snapshots.sent()

    running(snapshots, work)
    name = topic.kept().newest()
    manifest = msgspec.structs.replace(topic.kept().manifests[name], next_offset=9)
    topic.sent += [(b"x/" + MANIFEST, b"\xc1"), (b"y/" + MANIFEST, msgspec.msgpack.encode(manifest))]
    assert topic.kept().newest() == name


def test_chunks_are_sent_together_and_the_manifest_when_all_are_there(assembly: Assembly) -> None:
    class Slow(Topic):
        """Takes some turns of the loop for each message."""

        on_their_way = most = 0

        async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
            self.on_their_way += 1
            self.most = max(self.most, self.on_their_way)
            for _ in range(5):
                await asyncio.sleep(0)
            assert MANIFEST not in key or self.on_their_way == 1
            self.on_their_way -= 1
            await super().send(topic, key, value)

    topic = Slow()
    snapshots = Snapshots(assembly, topic.send, topic.read, Health(), Clock())
    state = folded(assembly, 30)

    async def work() -> None:
        await snapshots.assigned(0, 0)
        begun(snapshots, state, 5).stored.set()
        await snapshots.sent()

    running(snapshots, work)
    assert topic.kept().newest()
    assert 1 < topic.most <= TOGETHER


def test_a_broker_that_tells_no_position_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def assign(self, _: object) -> None: ...

        def seek_to_beginning(self, _: object) -> None: ...

        def close(self) -> None: ...

        def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
            return dict.fromkeys(partitions, 5)

        def position(self, _: object) -> None:
            return None

    monkeypatch.setattr(state_topic, "consumer", lambda *_, **__: Silent())
    with pytest.raises(Unreachable, match=r"localhost:1.*position"):
        state_topic.read(load(environ={"QUANYU__KAFKA__SERVERS": "localhost:1"}).kafka)
