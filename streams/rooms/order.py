"""order: envelopes of the log -> signals in event-time order, ticks between them, late ones aside.

The rules, which everything after this room relies on:

1. The **watermark** of an origin is the median event time of the last `window` signals it brought, less its source's
   lateness bound, or what a heartbeat told: a few records with a wrong clock move nothing. The city's watermark W is
   the minimum over the origins that hold it (prompt sources); an origin that has never spoken holds it at the
   beginning of time.
2. A signal that comes with event time >= W waits; it leaves when W has passed it, in `(occurred_at, id)` order.
3. A signal that comes with event time < W (late, tardy, or a correction) leaves at once, behind everything that W has
   released. Older than its source's horizon: it leaves as `Late`.
4. Before the first item that is at or after a pane's end, a `Tick` at that end leaves. Over panes without an item one
   tick stands for several; the pane that had items always gets its own.
5. Same id and revision: a duplicate, counted and dropped. A higher revision replaces a waiting one. A lower one is
   counted as a revision and dropped. A source without revisions: other content is the next revision, in log order.
6. Of each origin only offsets above the highest seen count: an envelope sent again after a crash changes nothing.

    time  ->   e1 e2   e3        |pane end      e4
    log        e2 e3 e1 (W passes) -> out: e1 e2 e3 Tick e4 ...
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from schemas import UNDECLARED, Admitted, Envelope, Late, Located, Signal, Tick
from streams.windows import HOUR_MS

Out = Admitted | Tick | Late
#: what waits: event time, 1, id, revision; or, to leave at once: watermark, 0, number, 0; then the signal, when it was
#: taken in, its first report (of one from beyond the horizon: the watermark), and whether it is from beyond the horizon
Waiting = tuple[int, int, str | int, int, Located, int, int, bool]
BEGINNING = -(2**62)
_encode = msgspec.msgpack.Encoder().encode


class Pace(Struct, frozen=True):
    """How a source keeps time."""

    lateness_ms: int
    horizon_ms: int
    holds: bool


class Counts(Struct):
    """What became of the signals read: read = signals + duplicates + revisions."""

    signals: int = 0
    duplicates: int = 0
    revisions: int = 0
    late: int = 0
    beyond_horizon: int = 0
    unlocated: int = 0


class State(Struct):
    """Everything the room remembers. `seen`: id -> (revision, content check, event time, first report);
    `recent`: origin -> event times of its last signals."""

    origins: dict[str, int] = {}
    offsets: dict[str, int] = {}
    recent: dict[str, list[int]] = {}
    waiting: list[Waiting] = []
    superseded: set[tuple[str, int]] = set()
    seen: dict[str, tuple[int, int, int, int]] = {}
    older: dict[str, list[int]] = {}
    shelves: dict[tuple[str, int], list[str]] = {}
    watermark_ms: int = BEGINNING
    tick_ms: int = BEGINNING
    unticked: bool = False
    late_seq: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)


@dataclass(frozen=True)
class Order:
    """`paces`: source -> pace; `holders`: origins that hold the watermark; `pane_ms`: length of a shortest pane;
    `window`: signals whose median event time is an origin's time (odd)."""

    paces: Mapping[str, Pace]
    holders: tuple[str, ...]
    pane_ms: int
    window: int = 9

    def start(self) -> State:
        """No origin has spoken."""
        return State(origins=dict.fromkeys(self.holders, BEGINNING))

    def step(self, state: State, batch: Sequence[Envelope]) -> list[Out]:
        """Fold envelopes; returns what may leave now."""
        out: list[Out] = []
        for envelope in batch:
            self._take(state, envelope)
        entries = state.waiting
        entries.sort()
        cut = bisect_left(entries, (state.watermark_ms, 1))
        state.waiting = entries[cut:]
        superseded, pane_ms, next_end = state.superseded, self.pane_ms, state.tick_ms + self.pane_ms
        for entry in entries[:cut]:
            at = entry[0]
            if at >= next_end:
                self._tick(state, at - at % pane_ms, out)
                next_end = state.tick_ms + pane_ms
            if superseded and (entry[2], entry[3]) in superseded:
                superseded.remove((entry[2], entry[3]))  # type: ignore[arg-type]
                continue
            leaves = Late if entry[7] else Admitted
            out.append(leaves(entry[4], entry[5], entry[6]))
            state.unticked = True
        if state.watermark_ms > BEGINNING:
            self._tick(state, state.watermark_ms - state.watermark_ms % pane_ms, out)
            self._forget(state)
        return out

    def _tick(self, state: State, end: int, out: list[Out]) -> None:
        """Tell time up to `end`: the end of the pane that had signals first, then in one jump over the empty ones."""
        if end <= state.tick_ms:
            return
        own = state.tick_ms + self.pane_ms
        if state.unticked and own < end:
            out.append(Tick(own))
        out.append(Tick(end))
        state.tick_ms, state.unticked = end, False

    def _take(self, state: State, envelope: Envelope) -> None:
        """Put the new signals of one envelope among the waiting, each with its place in the order."""
        origin = envelope.origin
        seen_offset = state.offsets.get(origin, -1)
        own = state.origins.get(origin)
        others = min((w for o, w in state.origins.items() if o != origin), default=2**62)
        city = state.watermark_ms
        seen, waiting, shelves, counts = state.seen, state.waiting, state.shelves, state.counts
        recent = state.recent.setdefault(origin, [])
        window, middle = self.window, self.window // 2
        source, pace, hour_shelf, shelf = "", None, -1, None
        for located, offset in zip(envelope.located, envelope.offsets, strict=True):
            if offset <= seen_offset:
                continue
            signal = located.signal
            if signal.source != source or pace is None:
                source = signal.source
                pace = self.paces[source]
                hour_shelf = -1
            at, key = signal.occurred_at_ms, signal.id
            known = seen.get(key)
            if known is not None and known[2] // HOUR_MS < (city - pace.horizon_ms) // HOUR_MS:
                known = None  # forgotten by now, whether or not this batch has swept it
            late = at < city
            if late and at < city - pace.horizon_ms:
                counts.signals += 1
                counts.late += 1
                counts.beyond_horizon += 1
                state.late_seq += 1
                waiting.append((city, 0, state.late_seq, 0, located, envelope.ingested_at_ms, city, True))
                continue
            if known is None:
                revision = signal.revision if signal.revision != UNDECLARED else 0
                check = content_check(signal) if signal.revision == UNDECLARED else 0
                counts.signals += 1
                if not any(located.cells):
                    counts.unlocated += 1
                if late and pace.holds:
                    counts.late += 1
            else:
                verdict = self._revise(state, signal, known)
                if verdict is None:
                    continue
                revision, check = verdict
                if known[2] >= city:
                    state.superseded.add((key, known[0]))
            reported = signal.reported_at_ms if known is None else known[3]
            seen[key] = (revision, check, at, reported)
            hour = at // HOUR_MS
            if hour != hour_shelf:
                hour_shelf = hour
                shelf = shelves.setdefault((source, hour), [])
            shelf.append(key)  # type: ignore[union-attr]
            if late:
                state.late_seq += 1
                waiting.append((city, 0, state.late_seq, 0, located, envelope.ingested_at_ms, reported, False))
            else:
                waiting.append((at, 1, key, revision, located, envelope.ingested_at_ms, reported, False))
            if own is not None and pace.lateness_ms >= 0:
                recent.append(at)
                if len(recent) > window:
                    del recent[0]
                if at - pace.lateness_ms > own and len(recent) == window:
                    own = max(own, sorted(recent)[middle] - pace.lateness_ms)
                    city = max(city, min(own, others))
        if envelope.last_offset > seen_offset:
            state.offsets[origin] = envelope.last_offset
        if own is not None:
            own = max(own, envelope.watermark_ms) if envelope.watermark_ms else own
            state.origins[origin] = own
            city = max(city, min(own, others))
        state.watermark_ms = city

    def _revise(self, state: State, signal: Signal, known: tuple[int, int, int, int]) -> tuple[int, int] | None:
        """(revision, content check) if the signal is newer than what is known, else None; counted either way."""
        counts = state.counts
        if signal.revision == UNDECLARED:
            check = content_check(signal)
            if check == known[1]:
                counts.duplicates += 1
                return None
            revision = known[0] + 1
        else:
            check, revision = 0, signal.revision
            older = state.older.get(signal.id, ())
            if revision == known[0] or revision in older:
                counts.duplicates += 1
                return None
        counts.revisions += 1
        state.older.setdefault(signal.id, []).append(min(revision, known[0]))
        return (revision, check) if revision > known[0] else None

    def _forget(self, state: State) -> None:
        """Drop ids whose event time has left the horizon; a later copy of them is `Late`."""
        limits = {s: (state.watermark_ms - p.horizon_ms) // HOUR_MS for s, p in self.paces.items()}
        gone = [shelf for shelf in state.shelves if shelf[1] < limits[shelf[0]]]
        for shelf in gone:
            for key in state.shelves.pop(shelf):
                known = state.seen.get(key)
                if known is not None and known[2] // HOUR_MS == shelf[1]:
                    del state.seen[key]
                    state.older.pop(key, None)


def content_check(signal: Signal) -> int:
    """A check sum of everything a source said, for sources without revisions (CRC-32 of its MessagePack form)."""
    return zlib.crc32(_encode(msgspec.structs.replace(signal, received_at_ms=0)))
