"""A small simulated city for tests of the shells: its raw records, both stages, and a fold into any sink."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache

from msgspec import structs

from schemas import Envelope, RawBatch
from sinks.base import Sink
from sinks.memory import MemorySink
from streams import demo
from streams.assemble import Assembly, assemble
from streams.replay import Feed, Folding, Summary, Told
from streams.runner import Writer
from streams.settings import HotSpots, Repeats, Settings
from streams.simulator.city import make_city
from streams.simulator.scenarios import scenario
from streams.simulator.simulation import Emission, simulate
from streams.windows import DAY_MS, HOUR_MS

START_MS = 1_772_380_800_000  # 2026-03-02 00:00 in Shanghai
NOW_MS = START_MS + 3 * DAY_MS
KEY = b"callers of the tests"
#: detectors that speak up in a city of 100 cells and 1,500 reports
EAGER = Settings(
    hotspots=HotSpots(min_history_days=1, min_count=2, open_score=0.5, keep_score=0.2, close_after_h=2),
    repeats=Repeats(incidents=2, days=2, close_days=1),
)


@cache
def records(seed: int = 1, name: str = "dirty", rate: float = 700.0, days: int = 2) -> tuple[Emission, ...]:
    """All records of a small city, in order of arrival."""
    return tuple(simulate(make_city(seed, 100), scenario(name), seed, days, rate, START_MS))


def wired(settings: Settings = EAGER, origins: Mapping[str, str] | None = None) -> Assembly:
    """Both stages over regular squares."""
    return assemble(settings, KEY, origins if origins is not None else demo.origins(settings))


def folded(assembly: Assembly, sink: Sink, walk: Callable[[Folding], object]) -> Summary:
    """`walk` over both stages into `sink`, until everything is stored."""
    writer = Writer(sink)
    folding = Folding(assembly, writer, lambda: NOW_MS, 1)
    try:
        walk(folding)
    except BaseException:
        writer.abandon()
        raise
    writer.close()
    return folding.summary


@cache
def lived(seed: int = 1, step_ms: int = HOUR_MS) -> tuple[tuple[Envelope, ...], MemorySink, Summary]:
    """The demo's walk through the city in steps of `step_ms`: the log that it made, what it stored, what it says."""
    settings, sink, log = EAGER, MemorySink(), list[Envelope]()

    def walk(folding: Folding) -> None:
        steps = demo.Walk(folding, settings)
        steps.log = log.append
        for end, arrived in demo.steps(iter(records(seed)), START_MS, lambda _: step_ms):
            steps.step(end, arrived)
        steps.finish()

    summary = folded(wired(settings), sink, walk)
    return tuple(log), sink, summary


def cut(log: Sequence[Envelope], size: int) -> Iterator[Sequence[Envelope]]:
    """The log, `size` envelopes a step."""
    return (log[n : n + size] for n in range(0, len(log), size))


def feeds(
    emissions: Iterable[Emission], settings: Settings, partitions: int, size: int, tick_ms: int = 0
) -> list[Feed]:
    """A feed a source: records on `partitions` partitions by their id, batches of up to `size`.

    With `tick_ms` each partition is told the time between its batches: what arrived, less the lateness bound.
    """
    return [
        Feed(name, source.topic, tuple(range(partitions)), items)
        for name, source in settings.sources.items()
        for items in [_items([e for e in emissions if e.source == name], name, source.topic, partitions, size, tick_ms)]
    ]


def _items(
    emissions: list[Emission], name: str, topic: str, partitions: int, size: int, tick_ms: int
) -> Iterator[RawBatch | Told]:
    next_offset = [0] * partitions
    told_ms = START_MS
    for n in range(0, len(emissions), size):
        part = emissions[n : n + size]
        for partition in range(partitions):
            mine = [e for e in part if zlib.crc32(e.id.encode()) % partitions == partition]
            if not mine:
                continue
            first = next_offset[partition]
            next_offset[partition] += len(mine)
            yield raw(name, topic, partition, first, mine)
        if tick_ms and part[0].arrival_ms - tick_ms > told_ms:
            told_ms = part[0].arrival_ms - tick_ms
            for partition in range(partitions):
                yield Told(topic, partition, told_ms)


def raw(source: str, topic: str, partition: int, first: int, emissions: Sequence[Emission]) -> RawBatch:
    """A batch as a broker would deliver it."""
    return RawBatch(
        source,
        topic,
        partition,
        [e.record for e in emissions],
        list(range(first, first + len(emissions))),
        [e.arrival_ms for e in emissions],
        NOW_MS,
    )


def facts(sink: MemorySink) -> dict[str, object]:
    """What any log of the same records agrees in: signals, incidents that stand, counts.

    No versions, no histories; nor the key `reported_at_ms`, which is that of the first revision to pass `order`.
    """
    groups: dict[str, set[str]] = {}
    for name, member in sink.members.items():
        if member.incident_id:
            groups.setdefault(member.incident_id, set()).add(name)
    return {
        "signals": {
            name: (
                structs.replace(m.located, signal=structs.replace(m.located.signal, received_at_ms=0)),
                m.incident_id,
                m.opens,
            )
            for name, m in sink.members.items()
        },
        "groups": groups,
        "incidents": {name: structs.replace(i, version=0) for name, i in sink.incidents.items() if i.state == "open"},
        "counts": {
            key: (p.messages, p.incidents, p.opened, p.reporters) for key, p in sink.panes.items() if p.messages
        },
        "rejected": sorted((r.source, r.reason, r.raw) for r in sink.rejected.values()),
    }
