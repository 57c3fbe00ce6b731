"""The product, read from top to bottom: the way of a signal through the rooms.

    raw records --intake--> signals --locate--> located signals, in an envelope         the intake stage, stateless
                                                      |  the city's log
    envelope --order--> incidents--> panes--> hotspots--> repeats--> decide--> rows      the city stage, a fold
        `----feeds----------------------------------------------^

Live (Faust), replay (files, topic ranges) and the demo call the same two stages; what comes out depends on the log
alone: not on the batches, the clock or the shell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import asdict

from schemas import (
    Alert,
    Change,
    Envelope,
    HotSpot,
    Incident,
    Late,
    Located,
    Pane,
    RawBatch,
    Rejected,
    RepeatCluster,
    Signal,
    Versions,
)
from schemas.rows import Rows
from streams.rooms import decide, feeds, hotspots, incidents, order, panes, repeats
from streams.rooms.decide import Decide
from streams.rooms.feeds import Feeds, Watch
from streams.rooms.hotspots import HotSpots
from streams.rooms.incidents import Incidents
from streams.rooms.order import Order, Pace
from streams.rooms.panes import Panes
from streams.rooms.repeats import Repeats
from streams.settings import Settings
from streams.usual import Rhythm
from streams.windows import DAY_MS, HOUR_MS, MINUTE_MS, Calendar

ROOMS = ("intake", "locate", "order", "incidents", "panes", "hotspots", "repeats", "feeds", "decide")


class Meter(Protocol):
    """What watches the rooms at work; it changes nothing."""

    def room(self, name: str, items: int) -> AbstractContextManager[object]:
        """Wraps one step of a room over `items` items."""


class NoMeter:
    """Nobody watches."""

    def room(self, name: str, items: int) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext()


class IntakeRoom(Protocol):
    """Records -> signals with their offsets, and those refused."""

    def step(self, batch: RawBatch) -> tuple[list[Signal], list[int], list[Rejected]]: ...


class LocateRoom(Protocol):
    """Signals -> located signals."""

    def step(self, signals: list[Signal]) -> list[Located]: ...


@dataclass(frozen=True)
class IntakeStage:
    """Raw records of one origin in, an envelope of the city's log out. No state: any number of them may run."""

    intake: IntakeRoom
    locate: LocateRoom
    versions: Versions
    meter: Meter

    def step(self, batch: RawBatch, now_ms: int) -> tuple[Envelope, list[Rejected]]:
        """`now_ms` is stamped on the envelope, once, as the time of ingestion."""
        with self.meter.room("intake", len(batch.values)):
            signals, offsets, rejected = self.intake.step(batch)
        with self.meter.room("locate", len(signals)):
            located = self.locate.step(signals)
        envelope = Envelope(
            topic=batch.topic,
            partition=batch.partition,
            first_offset=batch.offsets[0],
            last_offset=batch.offsets[-1],
            ingested_at_ms=now_ms,
            located=located,
            offsets=offsets,
            versions=self.versions,
            rejected=[bad.offset for bad in rejected],
        )
        return envelope, rejected


class CityState(Struct):
    """Everything the city stage remembers: one value a room."""

    order: order.State = field(default_factory=order.State)
    incidents: incidents.State = field(default_factory=incidents.State)
    panes: panes.State = field(default_factory=panes.State)
    hotspots: hotspots.State = field(default_factory=hotspots.State)
    repeats: repeats.State = field(default_factory=repeats.State)
    decide: decide.State = field(default_factory=decide.State)
    feeds: feeds.State = field(default_factory=feeds.State)


@dataclass(frozen=True)
class CityStage:
    """Envelopes of the log in, rows out: a fold. One per city."""

    order: Order
    incidents: Incidents
    panes: Panes
    hotspots: HotSpots
    repeats: Repeats
    decide: Decide
    feeds: Feeds
    meter: Meter

    def start(self) -> CityState:
        """The state before the log's first envelope."""
        return CityState(
            self.order.start(),
            self.incidents.start(),
            self.panes.start(),
            self.hotspots.start(),
            self.repeats.start(),
            self.decide.start(),
            self.feeds.start(),
        )

    def step(self, state: CityState, envelopes: Sequence[Envelope], now_ms: int) -> Rows:
        """Fold envelopes into `state` (in place). `now_ms` is the shell's clock: stored, never decides."""
        room = self.meter.room
        with room("order", sum(len(e.located) for e in envelopes)):
            ordered = self.order.step(state.order, envelopes)
        with room("incidents", len(ordered)):
            filed = self.incidents.step(state.incidents, ordered)
        with room("panes", len(filed)):
            counted = self.panes.step(state.panes, filed)
        with room("hotspots", len(counted)):
            spotted = self.hotspots.step(state.hotspots, counted)
        with room("repeats", len(spotted)):
            listed = self.repeats.step(state.repeats, spotted)
        with room("feeds", len(envelopes)):
            heard = self.feeds.step(state.feeds, envelopes)
        with room("decide", len(listed) + len(heard)):
            decided = self.decide.step(state.decide, [*listed, *heard])
        return Rows(
            ingested_at_ms=now_ms,
            members=[x for x in filed if type(x) is Change],
            late=[x for x in filed if type(x) is Late],
            incidents=_newest(x for x in spotted if type(x) is Incident),
            panes=[x for x in counted if type(x) is Pane],
            hotspots=[x for x in decided if type(x) is HotSpot],
            repeats=[x for x in decided if type(x) is RepeatCluster],
            alerts=[x for x in decided if type(x) is Alert],
            feeds=heard,
        )


def _newest(rows: Iterable[Incident]) -> list[Incident]:
    """The last version of each incident in a batch; the ones before it would be replaced at once."""
    return list({row.id: row for row in rows}.values())


def heartbeat(topic: str, partition: int, next_offset: int, watermark_ms: int, now_ms: int = 0) -> Envelope:
    """An envelope that only tells time: its origin will bring nothing older than `watermark_ms`.

    `now_ms`: the clock by which the origin had been read to its end; 0 where time is that of the events alone.
    """
    return Envelope(topic, partition, next_offset, next_offset - 1, now_ms, [], [], watermark_ms)


def intake_stage(intake: IntakeRoom, locate: LocateRoom, versions: Versions, meter: Meter | None = None) -> IntakeStage:
    """Wire the intake stage."""
    return IntakeStage(intake, locate, versions, meter or NoMeter())


def city_stage(
    settings: Settings,
    layers: tuple[str, ...],
    versions: Versions,
    paces: Mapping[str, Pace],
    origins: Mapping[str, str],
    meter: Meter | None = None,
) -> CityStage:
    """Wire the city stage.

    `layers`: names of the grids' layers, finest first. `paces`: source -> how it keeps time (see `paces_of`).
    `origins`: origin -> its source; those of prompt sources hold the watermark, and if there are none, all do.
    """
    calendar = Calendar(settings.city.timezone, settings.panes.minutes)
    holders = [o for o, source in origins.items() if paces[source].holds] or list(origins)
    horizon_ms = max(p.horizon_ms for p in paces.values())
    named = {k: v for k, v in asdict(versions).items() if v and k != "code"}
    h, r, f = settings.hotspots, settings.repeats, settings.feeds
    return CityStage(
        order=Order(paces, tuple(sorted(holders)), calendar.pane_ms),
        incidents=Incidents(
            settings.incidents.session_gap_min * MINUTE_MS, horizon_ms, settings.incidents.category_depth
        ),
        panes=Panes(calendar, layers, settings.panes.resolutions_min, settings.panes.category_depth, horizon_ms),
        hotspots=HotSpots(
            calendar,
            layers[0],
            horizon_ms,
            h.window_panes,
            h.history_days,
            h.min_history_days,
            h.min_count,
            h.open_score,
            h.keep_score,
            h.close_after_h,
            h.dispersion,
            named,
        ),
        repeats=Repeats(r.incidents, r.days, r.close_days, horizon_ms, named),
        decide=Decide(),
        feeds=Feeds(
            origins,
            {
                name: Watch(pace.lateness_ms, settings.sources[name].max_silence_min * MINUTE_MS)
                for name, pace in paces.items()
            },
            calendar,
            Rhythm(calendar, f.silence_records, f.gap_factor),
            max(1, f.window_min // settings.panes.minutes),
            f.min_history_days * DAY_MS,
            f.thin_ratio,
            f.thin_score,
            f.unread_min * MINUTE_MS,
            f.hold_min * MINUTE_MS,
        ),
        meter=meter or NoMeter(),
    )


def paces_of(settings: Settings) -> dict[str, Pace]:
    """How each configured source keeps time."""
    return {
        name: Pace(
            s.lateness_s * 1000 if s.lateness_s >= 0 else -1,
            s.horizon_h * HOUR_MS,
            not s.tardy,
        )
        for name, s in settings.sources.items()
    }
