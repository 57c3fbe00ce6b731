"""The simulation itself: span by span, everything drawn at once, handed on in order of arrival.

Held in memory: one span, and a heap of what arrives later (12345 batches, corrections, follow-ups, bursts). The same
arguments give the same bytes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import repeat
from operator import attrgetter
from zlib import crc32

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from streams.simulator.city import City
from streams.simulator.damage import DAMAGES, KIND_WEIGHTS, KINDS
from streams.simulator.delivery import arrivals, cleared, corrected
from streams.simulator.dictionaries import SOURCES
from streams.simulator.matters import matters, origins, span
from streams.simulator.places import Addresses
from streams.simulator.plan import Day, plan_day
from streams.simulator.records import RENDER
from streams.simulator.reports import with_followers
from streams.simulator.rhythm import DAY_MS
from streams.simulator.scenarios import Scenario
from streams.simulator.truth import Truth
from streams.simulator.world import World
from streams.simulator.written import Ints, write

#: reports that are drawn together, about
SPAN_REPORTS = 20_000
_PARTS_OF_A_DAY = (1, 2, 3, 4, 6, 8, 12, 24, 48, 96, 288, 1440)


class Emission(Struct, frozen=True, gc=False):
    """A record as it arrives. `kind`: report, cleared, duplicate, correction:WHAT or broken:REASON."""

    arrival_ms: int
    source: str
    record: bytes
    kind: str
    id: str


def simulate(
    city: City, scenario: Scenario, seed: int, days: int, rate: float, start_ms: int, truth: Truth | None = None
) -> Iterator[Emission]:
    """Records of all sources in order of arrival.

    Matters begin in `days` days from `start_ms` (a local midnight, ms UTC), about `rate` reports a day; corrections,
    follow-ups and batches of them arrive up to 2 days after. `truth` is told what is planted, and closed at the end.
    """
    return iter(Simulation(World(city, scenario, seed, days, rate, start_ms), truth or Truth()))


class Simulation:
    """An iterator over emissions whose memory can be looked at: `waiting` is the heap of what arrives later."""

    def __init__(self, world: World, truth: Truth) -> None:
        self.world = world
        self.truth = truth
        self.waiting: list[tuple[int, int, Emission]] = []
        self._addresses = Addresses(world.city)
        self._numbers: Counter[str] = Counter()
        self._pushed = 0
        wanted = world.rate / SPAN_REPORTS
        self._span_ms = DAY_MS // next((p for p in _PARTS_OF_A_DAY if p >= wanted), _PARTS_OF_A_DAY[-1])

    def __iter__(self) -> Iterator[Emission]:
        world = self.world
        yesterday = Day(-1, world.start_ms - DAY_MS, {}, (), (), ())
        for number in range(world.days):
            midnight = world.start_ms + number * DAY_MS
            today = self._plan(number, midnight)
            for start in range(midnight, midnight + DAY_MS, self._span_ms):
                self.truth.passed(world, start)
                yield from self._span((yesterday, today), start, start + self._span_ms)
            yesterday = today
        while self.waiting:
            yield heapq.heappop(self.waiting)[2]
        self.truth.close(world, self._addresses)

    def _plan(self, number: int, midnight: int) -> Day:
        world = self.world
        day = plan_day(world.city, world.scenario, world.dictionaries, world.seed, number, midnight, world.end_ms)
        self.truth.planned(world, day)
        return day

    def _span(self, plans: tuple[Day, Day], start_ms: int, end_ms: int) -> Iterator[Emission]:
        """What arrives in [start_ms, end_ms); what is drawn now and arrives later waits."""
        due = []
        while self.waiting and self.waiting[0][0] < end_ms:
            due.append(heapq.heappop(self.waiting)[2])
        for number, source in enumerate(SOURCES):
            rng = np.random.Generator(np.random.PCG64([self.world.seed, 6, number, (start_ms // 60_000)]))
            for emission in self._emissions(source, rng, plans, start_ms, end_ms):
                if emission.arrival_ms < end_ms:
                    due.append(emission)
                else:
                    self._pushed += 1
                    heapq.heappush(self.waiting, (emission.arrival_ms, self._pushed, emission))
        due.sort(key=attrgetter("arrival_ms"))
        return iter(self._heard(plans, due))

    def _emissions(
        self, source: str, rng: np.random.Generator, plans: tuple[Day, Day], start_ms: int, end_ms: int
    ) -> list[Emission]:
        """All records of the reports that begin in the span, whenever they arrive; in no order."""
        world = self.world
        told = with_followers(world, source, rng, matters(world, source, rng, span(plans, start_ms, end_ms)))
        first = write(world, source, rng, self._addresses, told, 1 + self._numbers[source])
        self._numbers[source] += len(first)
        arrival = arrivals(world, source, rng, plans, first)
        self.truth.written(world, source, first, arrival, origins(world, source, plans))
        records = RENDER[source](world, first)
        out = _emit(arrival, source, records, repeat("report"), first.ids)
        if source == "sensor":
            later = cleared(rng, first)
            at = arrivals(world, source, rng, plans, later)
            out += _emit(at, source, RENDER[source](world, later), repeat("cleared"), later.ids)
        else:
            later, what = corrected(world, source, rng, first)
            at = arrivals(world, source, rng, plans, later)
            kinds = [f"correction:{w}" for w in what]
            out += _emit(at, source, RENDER[source](world, later), kinds, later.ids)
        out += self._doubled(rng, out)
        out = self._broken(source, rng, out) + out
        for kind, n in Counter(e.kind for e in out).items():
            self.truth.counts[source, kind] += n
        return out

    def _doubled(self, rng: np.random.Generator, sent: list[Emission]) -> list[Emission]:
        """The same bytes once more, up to half an hour later."""
        chosen = np.flatnonzero(rng.random(len(sent)) < self.world.scenario.duplicates)
        after = np.minimum(1000 + rng.lognormal(np.log(60_000), 1.0, len(chosen)), 1_800_000)
        return [
            replace(sent[i], arrival_ms=sent[i].arrival_ms + ms, kind="duplicate")
            for i, ms in zip(chosen.tolist(), after.astype(np.int64).tolist(), strict=True)
        ]

    def _heard(self, plans: tuple[Day, Day], arriving: list[Emission]) -> list[Emission]:
        """Of what arrives, what the faults of feeds leave; what they lose was not sent. Chance is by record."""
        faults = [fault for plan in plans for fault in plan.faults]
        lost = {
            i
            for i, e in enumerate(arriving)
            for fault in faults
            if fault.source == e.source
            and fault.start_ms <= e.arrival_ms < fault.end_ms
            and crc32(f"{fault.id}|{e.id}".encode()) >= fault.kept * 2**32
        }
        self.truth.counts.subtract((arriving[i].source, arriving[i].kind) for i in lost)
        return [e for i, e in enumerate(arriving) if i not in lost]

    def _broken(self, source: str, rng: np.random.Generator, sent: list[Emission]) -> list[Emission]:
        """Damaged copies; they come at the very moment of the true record, before it."""
        chosen = np.flatnonzero(rng.random(len(sent)) < self.world.scenario.broken)
        kinds = rng.choice(len(KINDS), len(chosen), p=KIND_WEIGHTS)
        return [
            replace(sent[i], record=DAMAGES[KINDS[kind]](source, sent[i].record), kind=f"broken:{KINDS[kind]}")
            for i, kind in zip(chosen.tolist(), kinds.tolist(), strict=True)
        ]


def _emit(arrival: Ints, source: str, records: list[bytes], kinds: Iterable[str], ids: list[str]) -> list[Emission]:
    return list(map(Emission, arrival.tolist(), repeat(source), records, kinds, ids))
