"""feeds: whether each source still tells us what it should, so that a hole in the data never reads as calm.

The rules:

1. **Clock of arrivals.** A record arrived at its broker time stamp (in a file: when it was reported). An origin has
   been *listened to* up to the median arrival of its last nine records, or to where a heartbeat of the live shell says
   that it was read to its end (`ingested_at_ms`, the shell's clock, recorded in the log; heartbeats of a replay carry
   none). A source is judged up to where all its origins have been listened to, never beyond: a file that has ended, or
   a partition that is only behind, is not silent. The watermark, which a dead source may hold, has no part in it.
2. **silent**: more records than `streams.usual` allows should have come since the last one, or `max_silence_ms` passed.
3. **thin**: in the last `window` panes fewer than `thin_ratio` of the expected records were taken, and so few have a
   probability below 10^-`thin_score` (negative binomial); until the window holds `THIN_END` of them again.
4. **unread**: the source has not been listened to for `unread_ms`, while heartbeats tell that time has gone on.
5. **late**: half of the window's records came after the source's lateness bound. It is told, and is no alarm.
6. **starting**: less than `min_history_ms` is known. Only `max_silence_ms` and rule 4 speak then.
7. An alert is open from the first of silent, thin or unread until the feed has been well for `hold_ms`.
8. A source without a promise of order (`lateness_s = -1`) is not judged: its arrivals say nothing.

    records    ||| || ||| |           |silent     || ||| ||
                        last |- expected grows -|  alert open ... |- hold -| closed
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct, field

from schemas import ENDED_MS, Envelope, FeedHealth
from streams.arrivals import Slot, percentiles, score_of_few, sums
from streams.usual import Rhythm, Usual
from streams.windows import HOUR_MS, MINUTE_MS, Calendar

BEGINNING = -(2**62)
WEEK_MS = 168 * HOUR_MS
#: event time of a refused record
REFUSED = -(2**62)
#: records whose median arrival tells how far an origin has been read, as in `order`
RECENT = 9
#: share of the expected records at which a thin feed is well again
THIN_END = 0.7
#: records that a window needs to be called late
LATE_RECORDS = 20
#: states that open an alert
ALARMS = frozenset({"silent", "thin", "unread"})


class Watch(Struct, frozen=True):
    """How one source is watched. `max_silence_ms` 0: no hard limit; `lateness_ms` < 0: it is not judged."""

    lateness_ms: int
    max_silence_ms: int = 0


class Feed(Struct):
    """What is known of one source. `waiting`: (arrival, event) of records from beyond `at_ms`, (arrival, REFUSED);
    `last_ms`: of the last arrival, or where listening began; `short_ms`: a gap that needs no look; `missing`: records
    expected from the last arrival up to `gap_ms`, a pane's end, as things were then: silence itself teaches nothing.
    """

    origins: tuple[str, ...]
    usual: Usual = field(default_factory=Usual)
    waiting: list[tuple[int, int]] = []
    begun_ms: int = BEGINNING
    at_ms: int = BEGINNING
    last_ms: int = BEGINNING
    short_ms: int = 0
    gap_ms: int = BEGINNING
    missing: float = 0.0
    slot: Slot = field(default_factory=Slot)
    window: list[Slot] = []
    hour_ms: int = BEGINNING
    hour_count: int = 0
    last_arrived_ms: int = 0
    last_occurred_ms: int = 0
    state: str = "starting"
    since_ms: int = 0
    detail: str = ""
    unread_ms: int = 0
    opened_ms: int = 0
    well_ms: int = 0
    version: int = 0


class State(Struct):
    """`reached`: origin -> listened to up to; `recent`: origin -> arrivals of its last records; `offsets`: as in
    `order`; `clock_ms`: what heartbeats tell, `first_ms`: what the first one told."""

    reached: dict[str, int] = {}
    recent: dict[str, list[int]] = {}
    offsets: dict[str, int] = {}
    feeds: dict[str, Feed] = {}
    clock_ms: int = BEGINNING
    first_ms: int = BEGINNING


@dataclass(frozen=True)
class Feeds:
    """`origins`: origin -> source; `watches`: source -> how; the rest is `[feeds]`, in ms and panes."""

    origins: Mapping[str, str]
    watches: Mapping[str, Watch]
    calendar: Calendar
    rhythm: Rhythm
    window: int
    min_history_ms: int
    thin_ratio: float
    thin_score: float
    unread_ms: int
    hold_ms: int

    def start(self) -> State:
        """Nothing has been heard."""
        judged = {o: s for o, s in sorted(self.origins.items()) if self.watches[s].lateness_ms >= 0}
        return State(
            reached=dict.fromkeys(judged, BEGINNING),
            feeds={s: Feed(tuple(o for o in judged if judged[o] == s)) for s in sorted(set(judged.values()))},
        )

    def step(self, state: State, batch: Sequence[Envelope]) -> list[FeedHealth]:
        """Fold envelopes; returns how feeds stood at the ends of panes and at every change, in the order of the log."""
        out: list[FeedHealth] = []
        for envelope in batch:
            origin = envelope.origin
            if origin not in state.reached:
                continue
            source = self.origins[origin]
            feed = state.feeds[source]
            self._take(state, feed, origin, envelope)
            heard = _heard(state, feed)
            if feed.begun_ms > BEGINNING and heard > feed.at_ms:
                self._advance(feed, source, heard, out)
            if envelope.heartbeat and envelope.ingested_at_ms > state.clock_ms:
                state.clock_ms = envelope.ingested_at_ms
                state.first_ms = state.clock_ms if state.first_ms == BEGINNING else state.first_ms
                for name, one in state.feeds.items():
                    self._behind(state, one, name, out)
            elif feed.unread_ms:
                self._behind(state, feed, source, out)
        return out

    def _take(self, state: State, feed: Feed, origin: str, envelope: Envelope) -> None:
        """Put the new records of an envelope among the waiting, and note how far its origin has been listened to."""
        seen = state.offsets.get(origin, -1)
        before = reached = state.reached[origin]
        recent = state.recent.setdefault(origin, [])
        waiting = feed.waiting
        for located, offset in zip(envelope.located, envelope.offsets, strict=True):
            if offset > seen:
                arrived = located.signal.received_at_ms
                waiting.append((arrived, min(located.signal.occurred_at_ms, arrived)))
                recent.append(arrived)
                if len(recent) > RECENT:
                    del recent[0]
                if reached == BEGINNING and len(recent) == RECENT:
                    reached = sorted(recent)[RECENT // 2]
                    feed.begun_ms = _earlier(feed.begun_ms, reached)
        if envelope.last_offset > seen:
            state.offsets[origin] = envelope.last_offset
            middle = sorted(recent)[len(recent) // 2] if recent else BEGINNING
            if len(recent) == RECENT:
                reached = max(reached, middle)
            refused = sum(offset > seen for offset in envelope.rejected)
            waiting += [(max(middle, before), REFUSED)] * refused  # they carry no time of their own
        if envelope.heartbeat:
            if envelope.watermark_ms >= ENDED_MS:
                reached = ENDED_MS
            elif envelope.ingested_at_ms:
                reached = max(reached, envelope.ingested_at_ms)
                feed.begun_ms = _earlier(feed.begun_ms, reached) if before == BEGINNING else feed.begun_ms
        state.reached[origin] = reached

    def _advance(self, feed: Feed, source: str, heard: int, out: list[FeedHealth]) -> None:
        """Judge the feed up to `heard`, record by record in the order of arrival."""
        if feed.at_ms == BEGINNING:
            feed.begun_ms = feed.at_ms = feed.last_ms = feed.gap_ms = feed.since_ms = self.calendar.pane(feed.begun_ms)
            self.rhythm.learn_day(feed.usual, feed.at_ms)
        feed.waiting.sort()
        due = bisect_right(feed.waiting, (heard, ENDED_MS))
        passed, feed.waiting = feed.waiting[:due], feed.waiting[due:]
        end = feed.at_ms - feed.at_ms % self.calendar.pane_ms + self.calendar.pane_ms
        for arrived, occurred in passed:
            at = max(arrived, feed.at_ms)  # out of order: it counts now
            if at >= end:
                self._pass(feed, source, at, out)
                end = at - at % self.calendar.pane_ms + self.calendar.pane_ms
            if at - feed.last_ms > feed.short_ms:
                self._pass(feed, source, at, out)
                self._gap(feed, source, at, out)
            feed.at_ms = feed.last_ms = feed.gap_ms = feed.last_arrived_ms = at
            feed.missing = 0.0
            if occurred == REFUSED:
                feed.slot.rejected += 1
            else:
                feed.slot.take(at - occurred)
                feed.last_occurred_ms = max(feed.last_occurred_ms, occurred)
        self._pass(feed, source, heard, out)

    def _pass(self, feed: Feed, source: str, to_ms: int, out: list[FeedHealth]) -> None:
        """Nothing came until `to_ms`: look for silence, close panes."""
        pane_ms = self.calendar.pane_ms
        end = feed.at_ms - feed.at_ms % pane_ms + pane_ms
        while end <= to_ms:
            self._silence(feed, source, end, out)
            feed.at_ms = end
            self._close(feed, source, out)
            end += pane_ms
        self._silence(feed, source, to_ms, out)
        feed.at_ms = to_ms

    def _silence(self, feed: Feed, source: str, to_ms: int, out: list[FeedHealth]) -> None:
        if feed.state == "silent" or to_ms - feed.last_ms <= feed.short_ms:
            return
        due = self._due(feed, source, to_ms)
        if due is not None:
            at = max(due, feed.at_ms)
            missing = self._missing(feed, at)
            minutes = (at - feed.last_ms) / MINUTE_MS
            self._turn(feed, "silent", at, f"no record for {minutes:.0f} min, {missing:.0f} expected")
            out.append(self._told(feed, source, at))

    def _due(self, feed: Feed, source: str, to_ms: int) -> int | None:
        """When a silence since the last arrival is told, if by `to_ms`."""
        most = self.watches[source].max_silence_ms
        hard = feed.last_ms + most if most and feed.last_ms + most <= to_ms else None
        if not self._known(feed):
            return hard
        left = self.rhythm.limit(feed.usual) - feed.missing
        soft = self.rhythm.reached(feed.usual, feed.gap_ms, to_ms, left) if left > 0 else feed.gap_ms
        return soft if hard is None else hard if soft is None else min(soft, hard)

    def _missing(self, feed: Feed, to_ms: int) -> float:
        """Records expected since the last arrival."""
        return feed.missing + self.rhythm.expected(feed.usual, feed.gap_ms, to_ms)

    def _gap(self, feed: Feed, source: str, at: int, out: list[FeedHealth]) -> None:
        """A record after a gap that is worth a look: learn it; a silence is over."""
        was_silent = feed.state == "silent"
        self.rhythm.learn_gap(feed.usual, self._missing(feed, at), was_silent)
        feed.short_ms = self._short(feed, source)
        feed.last_ms = feed.gap_ms = feed.last_arrived_ms = at
        feed.missing = 0.0
        if was_silent:
            feed.window = []  # the silence is told: what comes after it is judged by itself
            self._turn(feed, "ok" if self._known(feed) else "starting", at, "")
            out.append(self._told(feed, source, at))

    def _short(self, feed: Feed, source: str) -> int:
        most = self.watches[source].max_silence_ms
        short = self.rhythm.short_ms(feed.usual)
        return min(short, most - 1) if most else short

    def _close(self, feed: Feed, source: str, out: list[FeedHealth]) -> None:
        """A pane is over at `feed.at_ms`: count it, learn, judge, tell."""
        end, slot, usual = feed.at_ms, feed.slot, feed.usual
        start = end - self.calendar.pane_ms
        slot.expected = self.rhythm.expected(usual, start, end)
        feed.missing, feed.gap_ms = self._missing(feed, end), end
        feed.window = [*feed.window, slot][-self.window :]
        feed.slot = Slot()
        hour = self.calendar.start(60, start)
        if start == hour:
            feed.hour_ms, feed.hour_count = hour, 0
        feed.hour_count += slot.observed
        if feed.hour_ms == hour and end == hour + HOUR_MS:
            self.rhythm.learn_hour(usual, hour, feed.hour_count)
        self.rhythm.learn_day(usual, end)
        feed.short_ms = self._short(feed, source)
        if feed.state != "silent":
            self._turn(feed, *self._judged(feed, source, end))
        out.append(self._told(feed, source, end))

    def _judged(self, feed: Feed, source: str, at: int) -> tuple[str, int, str]:
        """(state, time, what is wrong) by the records of the window."""
        if not self._known(feed):
            return "starting", at, ""
        observed, expected = sums(feed.window)
        if len(feed.window) == self.window:
            was = feed.state == "thin"
            few = observed < expected * (THIN_END if was else self.thin_ratio)
            if few and (was or score_of_few(observed, expected, feed.usual.spread) >= self.thin_score):
                hours = self.window * self.calendar.pane_ms / HOUR_MS
                return "thin", at, f"{observed} records in {hours:g} h, {expected:.0f} expected"
        lateness_ms = self.watches[source].lateness_ms
        if lateness_ms and observed >= LATE_RECORDS and percentiles(feed.window, 0.5)[0] * 1000 > lateness_ms:
            return "late", at, f"half of {observed} records came more than {lateness_ms // 1000} s after the event"
        return "ok", at, ""

    def _behind(self, state: State, feed: Feed, source: str, out: list[FeedHealth]) -> None:
        """Time has gone on without this feed, or it has caught up."""
        heard = max(_heard(state, feed), state.first_ms)
        behind = state.clock_ms - heard > self.unread_ms
        if behind != bool(feed.unread_ms):
            feed.unread_ms = max(heard + self.unread_ms, feed.at_ms) if behind else 0
            out.append(self._told(feed, source, feed.unread_ms or state.clock_ms))

    def _known(self, feed: Feed) -> bool:
        """Whether enough has been learnt to judge."""
        return feed.at_ms - feed.begun_ms >= self.min_history_ms

    def _turn(self, feed: Feed, to: str, at: int, detail: str) -> None:
        if to != feed.state:
            feed.state, feed.since_ms = to, at
        feed.detail = detail

    def _told(self, feed: Feed, source: str, at: int) -> FeedHealth:
        """The next row; opens and closes the alert."""
        shown, since, detail = feed.state, feed.since_ms, feed.detail
        if feed.unread_ms:
            shown, since = "unread", feed.unread_ms
            detail = f"read no further for {self.unread_ms // MINUTE_MS} min while other feeds are"
        if shown in ALARMS:
            feed.opened_ms, feed.well_ms = feed.opened_ms or at, 0
        elif feed.opened_ms:
            feed.well_ms = feed.well_ms or at
            if at - feed.well_ms >= self.hold_ms:
                feed.opened_ms = feed.well_ms = 0
        feed.version += 1
        observed, expected = sums(feed.window)
        known = self._known(feed)
        p50, p95 = percentiles(feed.window, 0.5, 0.95)
        due = self._due(feed, source, feed.last_ms + WEEK_MS) if shown != "silent" else None
        return FeedHealth(
            source=source,
            at_ms=at,
            state=shown,
            since_ms=since,
            opened_at_ms=feed.opened_ms,
            last_occurred_ms=feed.last_occurred_ms,
            last_arrived_ms=feed.last_arrived_ms,
            window_min=len(feed.window) * self.calendar.minutes,
            observed=observed,
            expected=round(expected, 3) if known else 0.0,
            score=round(score_of_few(observed, expected, feed.usual.spread), 2) if known else 0.0,
            rejected=sum(s.rejected for s in feed.window),
            delay_p50_s=p50,
            delay_p95_s=p95,
            expected_gap_s=(due - feed.last_ms) // 1000 if due is not None else 0,
            detail=detail,
            version=feed.version,
        )


def _heard(state: State, feed: Feed) -> int:
    """Up to when all its origins that bring more have been listened to."""
    going = [reached for origin in feed.origins if (reached := state.reached[origin]) < ENDED_MS]
    return min(going, default=BEGINNING)


def _earlier(known_ms: int, other_ms: int) -> int:
    return other_ms if known_ms == BEGINNING else min(known_ms, other_ms)
