"""What came beyond the horizon, put where it belongs: stored rows in, rows out. Pure; `reconcile.py` reads and writes.

1. Of one signal the highest revision stands; of a source without revisions what came last, unless it says the same.
2. What may change is the corrected signals, the incidents they leave and those they now link to, whole. All other links
   are as they were, so nothing else can change.
3. These signals go once more through the room `incidents`, in order of time, as they would have had none been late.
4. Nothing moves that live may still move: a correction waits when it, or a signal of an incident it touches, lies on a
   day that live remembers (`limit_ms`: the start of the first such day).
5. Only what differs is written, with a version above every one of the fold's (`schemas.rows.above`). A second run finds
   nothing that differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from schemas import UNDECLARED, Admitted, Change, Incident, Late, Located, Member, Tick
from schemas.rows import Corrected, Rows, above
from streams.rooms.incidents import Incidents
from streams.windows import DAY_MIN, Calendar, category_level


class Correction(Struct, frozen=True):
    """A signal as it is stored (None: the fold never had it) and as it has turned out to be."""

    before: Member | None
    located: Located
    ingested_at_ms: int
    reported_at_ms: int

    @property
    def id(self) -> str:
        """Of the signal."""
        return self.located.signal.id


class Settled(Struct, frozen=True):
    """`known`: late signals that say nothing new; `keys`: id -> the first report that it stands under."""

    corrections: list[Correction]
    known: int
    keys: dict[str, int]


class Filed(Struct, frozen=True):
    """Signals by id as they are stored and as they ought to be, and the incidents that stand then."""

    corrected: set[str]
    before: dict[str, Member]
    after: dict[str, Member]
    standing: dict[str, Incident]


def settle(late: Sequence[Late], stored: Iterable[Member]) -> Settled:
    """Decide which version of each late signal stands. `late` in the order of the log, with all rows of each id."""
    members = {member.located.signal.id: member for member in stored}
    came: dict[str, list[Late]] = {}
    for row in late:
        came.setdefault(row.located.signal.id, []).append(row)
    corrections, keys = [], {}
    for id, rows in came.items():
        before = members.get(id)
        newest = _newest(before, rows)
        keys[id] = before.reported_at_ms if before is not None else rows[0].located.signal.reported_at_ms
        if newest is not None:
            corrections.append(Correction(before, newest.located, newest.ingested_at_ms, keys[id]))
    return Settled(corrections, len(late) - len(corrections), keys)


def _newest(before: Member | None, rows: Sequence[Late]) -> Late | None:
    """The late row that takes the place of what is stored, or None."""
    best: Late | None = None
    known = None if before is None else (before.located, before.ingested_at_ms)
    for row in rows:
        if known is None or _follows(row, *known):
            best, known = row, (row.located, row.ingested_at_ms)
    if best is not None and before is not None and said(best.located) == said(before.located):
        return None
    return best


def _follows(row: Late, known: Located, ingested_at_ms: int) -> bool:
    revision = row.located.signal.revision
    if revision != UNDECLARED:
        return revision > known.signal.revision
    return row.ingested_at_ms >= ingested_at_ms and said(row.located) != said(known)


def said(located: Located) -> tuple[object, ...]:
    """Everything that a source said, as far as it is stored: not when it came, nor what our grids made of it."""
    signal = replace(located.signal, received_at_ms=0, reported_at_ms=0, x=None, y=None, datum="")
    return signal, located.lon, located.lat


@dataclass(frozen=True)
class Correct:
    """`room`: the room with the city's gap, horizon and depth; `limit_ms`: nothing at or after it moves."""

    room: Incidents
    calendar: Calendar
    limit_ms: int

    def touched(self, corrections: Iterable[Correction], near: Iterable[Member]) -> dict[str, set[str]]:
        """Id of a corrected signal -> incidents that it leaves or links to. `near`: stored signals that share a
        reporter, a place or a related id with one of them."""
        keyed: dict[tuple[str, ...], list[Member]] = {}
        for member in {m.located.signal.id: m for m in near if m.incident_id}.values():
            for key in self._keys(member.located):
                keyed.setdefault(key, []).append(member)
        found = {}
        for correction in corrections:
            before, signal = correction.before, correction.located.signal
            names = {before.incident_id} if before is not None and before.incident_id else set()
            if signal.counts:
                for key in self._keys(correction.located):
                    for member in keyed.get(key, ()):
                        apart = abs(member.located.signal.occurred_at_ms - signal.occurred_at_ms)
                        if key[0] == "related" or apart <= self.room.gap_ms:
                            names.add(member.incident_id)
            found[correction.id] = names
        return found

    def _keys(self, located: Located) -> Iterator[tuple[str, ...]]:
        signal = located.signal
        category = category_level(signal.category, self.room.category_depth)
        if signal.reporter:
            yield "reporter", signal.reporter, category
        if located.place_keys:
            yield "place", located.place_keys[0], category
        yield "related", signal.id
        if signal.related_id:
            yield "related", signal.related_id

    def split(
        self, corrections: Iterable[Correction], touched: Mapping[str, set[str]], members: Iterable[Member]
    ) -> tuple[list[Correction], list[Correction]]:
        """(those that may be made now, those that wait). `members`: all signals of all touched incidents."""
        last: dict[str, int] = {}
        for m in members:
            last[m.incident_id] = max(last.get(m.incident_id, 0), m.located.signal.occurred_at_ms)
        made: list[Correction] = []
        waiting: list[Correction] = []
        for correction in corrections:
            times = [correction.located.signal.occurred_at_ms]
            if correction.before is not None:
                times.append(correction.before.located.signal.occurred_at_ms)
            times += [last[name] for name in touched[correction.id] if name in last]
            (made if max(times) < self.limit_ms else waiting).append(correction)
        return made, waiting

    def file(self, corrections: Sequence[Correction], members: Iterable[Member]) -> Filed:
        """Put the signals into their incidents anew, as if all had come in order of time. `members`: all signals of
        the touched incidents."""
        before = {m.located.signal.id: m for m in members}
        before |= {c.id: c.before for c in corrections if c.before is not None}
        corrected = {c.id for c in corrections}
        items = [
            Admitted(m.located, m.ingested_at_ms, m.reported_at_ms) for id, m in before.items() if id not in corrected
        ]
        items += [Admitted(c.located, c.ingested_at_ms, c.reported_at_ms) for c in corrections]
        batch: list[Admitted | Tick] = []
        told = -(2**62)
        for item in sorted(items, key=lambda i: (i.located.signal.occurred_at_ms, i.located.signal.id)):
            pane = self.calendar.pane(item.located.signal.occurred_at_ms)
            if pane > told:
                batch.append(Tick(pane))
                told = pane
            batch.append(item)
        after: dict[str, Member] = {}
        newest: dict[str, Incident] = {}
        for out in self.room.step(self.room.start(), batch):
            if isinstance(out, Change):
                after[out.after.located.signal.id] = out.after
            elif isinstance(out, Incident):
                newest[out.id] = out
        return Filed(corrected, before, after, {id: row for id, row in newest.items() if row.state == "open"})

    def rows(self, filed: Filed, incidents: Iterable[Incident], now_ms: int) -> Corrected:
        """What is to be written. `incidents`: stored rows of the touched incidents and of those that now stand."""
        changes = []
        for id in sorted(filed.after, key=lambda i: (filed.after[i].reported_at_ms, i)):
            old, new = filed.before.get(id), filed.after[id]
            if old is None or id in filed.corrected or (old.incident_id, old.opens) != (new.incident_id, new.opens):
                changes.append(Change(old, replace(new, version=above(old.version if old else 0))))
        stayed = [member for id, member in filed.before.items() if id not in filed.corrected]
        heirs = _heirs(stayed, filed.after)
        return Corrected(
            Rows(now_ms, members=changes, incidents=_incidents(incidents, filed.standing, heirs)),
            days_ms=sorted({day for change in changes for day in self._days(change)}),
        )

    def _days(self, change: Change) -> Iterator[int]:
        for member in (change.before, change.after):
            if member is not None and member.incident_id:
                pane = self.calendar.pane(member.located.signal.occurred_at_ms)
                yield self.calendar.start(DAY_MIN, pane)


def _heirs(before: Iterable[Member], after: Mapping[str, Member]) -> dict[str, str]:
    """Incident as stored -> the one that now has the earliest of its signals, of those that are as they were."""
    heirs: dict[str, str] = {}
    for member in sorted(before, key=lambda m: (m.located.signal.occurred_at_ms, m.located.signal.id)):
        now = after[member.located.signal.id].incident_id
        if member.incident_id and not heirs.get(member.incident_id):
            heirs[member.incident_id] = now
    return heirs


def _incidents(
    stored: Iterable[Incident], standing: Mapping[str, Incident], heirs: Mapping[str, str]
) -> list[Incident]:
    """Rows of the incidents that are new, have changed, or have ended."""
    known = {row.id: row for row in stored}
    out = []
    for id, row in standing.items():
        old = known.get(id)
        if old is None or replace(row, version=0, hidden=False) != replace(old, version=0, hidden=False):
            out.append(replace(row, version=above(old.version if old else 0)))
    for id, old in known.items():
        if id not in standing and old.state == "open":
            heir = heirs.get(id, "")
            ended = replace(
                old, state="merged" if heir else "withdrawn", messages=0, reporters=0, sources=(), severity=0
            )
            out.append(replace(ended, merged_into=heir, version=above(old.version)))
    return sorted(out, key=lambda row: (row.opened_at_ms, row.id))
