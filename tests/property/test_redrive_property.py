"""Dead letters sent again after a fix: the same facts as if the mapping had been right from the start.

Records go through the live worker's own agents (on a broker that is a list): first under a mapping that knows one way
of writing times, then, as a redrive sends them, under one that knows both. The redrive may be killed between sending
and marking, and workers may come back to a batch, any number of times.

    raw     g s x g | s g        g good, s times with slashes, x garbage, | cut of the batches
    before  1   - 1 |   1        letters: s x s
    redrive                s s   at new offsets; x stays
    after   1 1 - 1 | 1 1
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from schemas import Rejected, Signal
from schemas.sources.mapping import load_mapping
from sinks.clickhouse.dead_letters import Stored
from streams.pipeline import heartbeat
from streams.redrive import judge, send_again
from streams.settings import Settings, Source
from tests.build import DAY0
from tests.shells import facts
from tests.unit.test_live_workers import NOW, Bench, Event, Record

MAPPING = """
name = "calls"
format = "json"
id = {{ from = "id" }}
{revision}
[time]
occurred = "at"
formats = [{formats}]
[category]
path = "kind"
[place]
x = "lon"
y = "lat"
address = "where"
[reporter]
from = "caller"
"""
COUNTED = 'revision = { from = "revision" }'
ISO, SLASHED = '"iso"', '"iso", "%Y/%m/%d %H:%M"'


KINDS = ["治安", "噪音"]


class Sent(msgspec.Struct, frozen=True):
    """A record as drawn."""

    number: int
    minute: int
    revision: int
    kind: str
    slashed: bool

    def raw(self, counted: bool) -> bytes:
        """Its bytes. Where revisions are `counted`, one revision says one thing."""
        day = "2026/03/02 %02d:%02d" if self.slashed else "2026-03-02T%02d:%02d:00"
        minute = self.number * 30 + self.revision * 3 if counted else self.minute
        plain = {"id": f"c{self.number}", "at": day % divmod(minute, 60), "revision": self.revision}
        place = {"lon": 121.47, "lat": 31.23 + self.number % 3 / 10, "where": f"甲路{self.number % 2}号", "caller": "1"}
        kind = KINDS[self.revision % 2] if counted else self.kind
        return json.dumps(plain | place | {"kind": kind}).encode()


sent = st.builds(Sent, st.integers(0, 4), st.integers(0, 200), st.integers(0, 3), st.sampled_from(KINDS), st.booleans())
wild = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"{}", b"\xff{", b'{"id":"c1","at":"soon"}']))
raws = st.lists(st.one_of(sent, sent, sent, wild), min_size=1, max_size=14)
cuts = st.lists(st.integers(1, 13), max_size=3)


@pytest.fixture(scope="module")
def mappings(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[bool, bool], Path]:
    """(the source counts revisions, the mapping is right) -> file."""
    folder = tmp_path_factory.mktemp("mappings")
    found = {}
    for counted in (False, True):
        for right in (False, True):
            path = folder / f"{counted}-{right}.toml"
            formats, revision = SLASHED if right else ISO, COUNTED if counted else ""
            path.write_text(MAPPING.format(formats=formats, revision=revision))
            found[counted, right] = path
    return found


def of(mapping: Path) -> Settings:
    source = Source(mapping=str(mapping), topic="raw.calls", partitions=1, lateness_s=60, horizon_h=400)
    plain = Settings(sources={"calls": source})
    return msgspec.structs.replace(plain, intake=msgspec.structs.replace(plain.intake, max_bad_share=1.0))


class Topic:
    """The raw topic: every record lies one millisecond after the one before, those sent again keep their time."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self.records = [Record(n, raw, None, NOW - 10**6 + n) for n, raw in enumerate(values)]

    def send(self, _topic: str, value: bytes, key: Any, _partition: Any, at_ms: int, _headers: Any) -> None:
        self.records.append(Record(len(self.records), value, key, at_ms))

    def events(self, start: int, cut: Sequence[int]) -> list[Event]:
        """Batches of what lies there from `start` on."""
        ends = sorted({start, len(self.records), *(start + n for n in cut if start + n < len(self.records))})
        return [Event("raw.calls", self.records[a:b]) for a, b in pairwise(ends)]


def fold(bench: Bench, log: Sequence[bytes], start: int) -> None:
    """Take the log from `start` on through the city stage of `bench`."""
    if len(log) > start:
        bench.take(bench.city, [Event("log", [Record(n, log[n]) for n in range(start, len(log))])])


def tell(bench: Bench, topic: Topic) -> None:
    """Tell the time behind every record, as an idle partition does: what waited is stored."""
    bench.log.append(msgspec.msgpack.encode(heartbeat("raw.calls", 0, len(topic.records), DAY0 + 10**8, NOW)))
    fold(bench, bench.log, len(bench.log) - 1)


def stored(bench: Bench, signals: Sequence[Signal]) -> dict[str, Stored]:
    """The stored versions, as ClickHouse would give them."""
    members = bench.sink.members
    found = [members[s.id].located.signal for s in signals if s.id in members]
    return {s.id: Stored(*(getattr(s, name) for name in Stored.__struct_fields__)) for s in found}


def redrive(topic: Topic, bench: Bench, right: Settings, done: set[int], killed: bool) -> None:
    """Judge, send, mark; `killed`: it comes to no mark."""
    room = Bench(right).assembly.intake.intake
    letters = sorted((x for x in bench.sink.rejected.values() if x.offset not in done), key=lambda x: x.offset)
    found = judge(room, right.sources, letters, NOW, lambda signals: stored(bench, signals))  # type: ignore[arg-type]
    send_again(topic.send, right.sources, (letter for letter, _ in found.passing))
    if not killed:
        done |= {letter.offset for letter, _ in found.passing} | {letter.offset for letter in found.present}


def goes_back(drawn: Sequence[Any]) -> bool:
    """Whether a record says again what it said before it said something else.

    Of a source that counts no revisions nobody can tell then what is newest, once what lay between was refused: the
    second of two equal ones is a duplicate, and leaves no trace of when it came.
    """
    said: dict[int, list[tuple[int, str]]] = {}
    for x in drawn:
        if isinstance(x, Sent):
            said.setdefault(x.number, []).append((x.minute, x.kind))
    changes = [[a for a, b in zip(one, [None, *one], strict=False) if a != b] for one in said.values()]
    return any(len(set(one)) < len(one) for one in changes)


def balance(topic: Topic, bench: Bench, letters: int) -> None:
    """Every record on the raw topic is accounted for, exactly once."""
    counts = bench.city._state.order.counts
    assert len(topic.records) == counts.signals + counts.duplicates + counts.revisions + letters


A, B, OTHER = Sent(1, 5, 0, "治安", True), Sent(1, 9, 1, "噪音", False), Sent(2, 6, 0, "治安", True)


@given(raws, cuts, st.booleans(), st.lists(st.booleans(), max_size=3))
@example([A, B], [1], False, [])  # the older content must not override the newer
@example([A, OTHER], [], True, [True, True])  # killed twice before it could mark
@example([B, A, A, b"\xff"], [2], False, [True])
@settings(max_examples=60, deadline=None)
def test_a_redrive_gives_what_the_right_mapping_would_have_given(
    mappings: dict[tuple[bool, bool], Path], drawn: list[Any], cut: list[int], counted: bool, kills: list[bool]
) -> None:
    assume(counted or not goes_back(drawn))
    values = [x.raw(counted) if isinstance(x, Sent) else x for x in drawn]
    wrong, right = of(mappings[counted, False]), of(mappings[counted, True])
    assert load_mapping(right.sources["calls"].mapping) != load_mapping(wrong.sources["calls"].mapping)

    straight, plain = Bench(right), Topic(values)
    straight.take(straight.intake, plain.events(0, cut))
    fold(straight, straight.log, 0)
    tell(straight, plain)
    balance(plain, straight, len(straight.sink.rejected))

    bench, topic = Bench(wrong), Topic(values)
    bench.take(bench.intake, topic.events(0, cut))
    fold(bench, bench.log, 0)
    tell(bench, topic)
    balance(topic, bench, len(bench.sink.rejected))
    before = {name: member.located for name, member in bench.sink.members.items()}
    done: set[int] = set()
    for killed in [*kills, False]:
        first, folded, fixed = len(topic.records), len(bench.log), Bench(right)
        redrive(topic, bench, right, done, killed)
        if len(topic.records) > first:
            fixed.take(fixed.intake, topic.events(first, cut))
        assert not fixed.sink.rejected  # what passed in the command passes in the worker
        bench.log.extend(fixed.log)
        fold(bench, bench.log, folded)
        tell(bench, topic)
    balance(topic, bench, len(bench.sink.rejected))

    ours, theirs = facts(bench.sink), facts(straight.sink)
    left = sorted((r.source, r.reason, r.raw) for r in bench.sink.rejected.values() if r.offset not in done)
    assert left == theirs.pop("rejected")
    ours.pop("rejected")
    assert ours == theirs
    assert set(before) <= set(bench.sink.members)


def test_a_second_redrive_sends_nothing(mappings: dict[tuple[bool, bool], Path]) -> None:
    wrong, right = of(mappings[True, False]), of(mappings[True, True])
    bench, topic, done = Bench(wrong), Topic([A.raw(True), OTHER.raw(True), b"{"]), set[int]()
    bench.take(bench.intake, topic.events(0, []))
    redrive(topic, bench, right, done, killed=False)
    assert len(topic.records) == 5
    redrive(topic, bench, right, done, killed=False)
    assert len(topic.records) == 5
    assert isinstance(next(iter(bench.sink.rejected.values())), Rejected)
