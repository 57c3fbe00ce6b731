"""A city's past without its records: signals as the intake stage gives them, for the real city stage to fold.

Each signal is a call of its own at a place of its own (its reporter, its address, one of the city's cells in turn), so
that a month of them leaves a state with as many places. They come from all partitions of all sources in turn, as if
these had been emptied since: at the end their offsets are forgotten, so that the first record sent is new to the state.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import ceil

import msgspec
from msgspec import Struct

from bench.deployment import Deployment
from schemas import Envelope, Located, Signal
from streams.assemble import Assembly, assemble, topic_origins
from streams.kafka import producing
from streams.pipeline import CityState, heartbeat
from streams.runner import quiet_gc
from streams.settings import Settings
from streams.simulator.city import City
from streams.snapshots import freeze, rules_of
from streams.state_topic import Edition
from streams.windows import DAY_MS, MINUTE_MS

#: days that the repeat list looks back, less half a day: nothing of the past is forgotten yet
DAYS = 29.5
CATEGORIES = ("纠纷/家庭纠纷", "治安/盗窃/扒窃", "群众求助/走失", "交通事故/财损")
TEXT = "报警人称此处因故发生纠纷，双方情绪激动，请派员处理，现场暂无人员受伤，附近有监控可查。"
PANE_MS = 15 * MINUTE_MS
#: signals folded in one step
STEP = 4000


class Saved(Struct):
    """A state on the state topic."""

    places: int
    cells: int
    bytes: int
    compressed: int
    chunks: int
    #: seconds that the fold stands still for a copy, and that the chunks take beside it; the best of three copies
    freeze_s: float
    encode_s: float


class Past:
    """So many signals a day over all cells of a city, from `start_ms` on; goes on for ever."""

    def __init__(self, city: City, settings: Settings, a_day: float, start_ms: int) -> None:
        self._city, self._a_day, self._start_ms = city, a_day, start_ms
        self._origins = [(s, *o.rpartition("/")[::2]) for o, s in topic_origins(settings).items()]
        self._streets = [city.streets[number].code for number in city.street.tolist()]
        self._districts = [city.districts[number].code for number in city.district.tolist()]
        self._next = 0
        self.at_ms = start_ms

    def pane(self) -> list[Envelope]:
        """The envelopes of the next quarter of an hour: of every origin its signals, and that it has ended."""
        self.at_ms += PANE_MS
        first = self._next
        self._next = ceil((self.at_ms - self._start_ms) * self._a_day / DAY_MS)
        envelopes = []
        for turn, (source, topic, partition) in enumerate(self._origins):
            offsets = [n for n in range(first, self._next) if n % len(self._origins) == turn]
            located = [self._located(number, source) for number in offsets]
            ends = (offsets[0], offsets[-1]) if offsets else (0, -1)
            envelopes.append(Envelope(topic, int(partition), *ends, self.at_ms, located, offsets, self.at_ms))
        return envelopes

    def until(self, end_ms: int) -> Iterator[list[Envelope]]:
        """Panes up to a time, in steps of about `STEP` signals."""
        step: list[Envelope] = []
        while self.at_ms < end_ms:
            step += self.pane()
            if sum(len(envelope.located) for envelope in step) >= STEP:
                yield step
                step = []
        yield step

    def _located(self, number: int, source: str) -> Located:
        cell = number * 7919 % self._city.cells
        at = self._start_ms + int(number * DAY_MS / self._a_day)
        address = f"示范市中山路{number}号"
        lon, lat = self._city.points[self._city.rings[cell][0]].tolist()
        signal = Signal(
            id=f"{source}:JJ{number:014}",
            source=source,
            revision=1,
            occurred_at_ms=at,
            reported_at_ms=at,
            received_at_ms=at,
            category=CATEGORIES[number // self._city.cells % len(CATEGORIES)],
            text=TEXT,
            x=lon,
            y=lat,
            address=address,
            reporter=f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}",
            severity=2,
        )
        cells = (self._city.codes[cell], self._streets[cell], self._districts[cell])
        return Located(signal, cells, lon, lat, (f"a:{address}",), 30.0, "point")


def fold(deployment: Deployment, places: int, end_ms: int) -> tuple[Past, CityState, Assembly]:
    """A month that ends at `end_ms` and leaves so many places, folded as a worker folds."""
    quiet_gc()
    past = Past(deployment.made, deployment.settings, places / DAYS, end_ms - int(DAYS * DAY_MS))
    assembly = assemble(deployment.settings, b"the past has hashes only")
    state = assembly.city.start()
    for envelopes in past.until(end_ms):
        assembly.city.step(state, envelopes, end_ms)
    state.order.offsets.clear()
    state.feeds.offsets.clear()
    return past, state, assembly


def save(deployment: Deployment, state: CityState, assembly: Assembly) -> Saved:
    """The state on the state topic, as a worker leaves it, and one message on the log, behind which it stands."""
    kafka = deployment.settings.kafka
    origin = min(state.order.origins).rpartition("/")
    beat = heartbeat(origin[0], int(origin[2]), 0, state.order.watermark_ms)
    with producing(kafka) as send:
        send(kafka.log_topic, msgspec.msgpack.encode(beat), partition=0)
    pauses = []
    for _ in range(3):
        began = time.perf_counter()
        frozen = freeze(state)
        pauses.append(time.perf_counter() - began)
    edition = Edition("past", rules_of(assembly.settings, assembly.grids.layers, assembly.versions), assembly.versions)
    began = time.perf_counter()
    chunks = list(edition.chunks(frozen))
    encode_s = time.perf_counter() - began
    with producing(kafka, compression=None) as send:
        for key, value in chunks:
            send(kafka.state_topic, value or b"", key=key, partition=0)
    manifest, (key, value) = edition.manifest(1, state.order.watermark_ms, time.time_ns() // 1_000_000)
    with producing(kafka, compression=None) as send:
        send(kafka.state_topic, value or b"", key=key, partition=0)
    cells = len({cell for cell, _ in state.hotspots.codes} | {s[0] for p in state.hotspots.recent.values() for s in p})
    return Saved(
        len(state.repeats.places),
        cells,
        manifest.bytes,
        sum(len(value or b"") for _, value in chunks),
        len(chunks),
        min(pauses),
        encode_s,
    )
