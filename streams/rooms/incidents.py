"""incidents: which signals are one matter. A function of the set of signals, not of the order they came in.

Two counting signals are linked when

* one names the other, or both name the same third, as its parent, the call it repeats, chases or was merged into;
* they have the same known reporter, or the same place key, their categories agree to the configured depth, and no
  silence longer than the session gap lies between them and the signals of that key in between.

An incident is a connected component of these links. Its id is the content hash of its first signal, so a late signal
that bridges two incidents merges them, one that comes before the first renames the incident, and one that is withdrawn
or moved may split it; every move is a `Change` per signal, and the ids that end leave as `merged` or `withdrawn`.

    reporter A   x----x--------x                    one session
    place P           o     (late) o                the late one links ...
    place Q                        o-----o          ... into the session of Q: one incident

What is older than the horizon and one gap is forgotten whole, incident by incident.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from schemas import Admitted, Change, Incident, Late, Located, Member, Signal, Tick
from streams.windows import HOUR_MS, category_level

Key = tuple[str, str]
Point = tuple[int, str]
_replace = msgspec.structs.replace


class Tally(Struct):
    """Running counts of a large incident, so that one more signal costs the same however many there are."""

    reporters: dict[str, int] = {}
    sources: dict[str, int] = {}
    severity: int = 0
    hidden: bool = False

    def add(self, signal: Signal) -> None:
        """Count one more signal."""
        if signal.reporter:
            self.reporters[signal.reporter] = self.reporters.get(signal.reporter, 0) + 1
        self.sources[signal.source] = self.sources.get(signal.source, 0) + 1
        self.severity = max(self.severity, signal.severity)
        self.hidden = self.hidden or signal.hidden


class Group(Struct):
    """An incident inside the room: its id, members (ids, any order), first one, and version.

    `tally` is dropped when a member leaves or changes, and made again when the incident is told.
    """

    id: str
    ids: list[str]
    first: Point
    last_ms: int
    version: int
    tally: Tally | None = None


class State(Struct):
    """Everything the room remembers.

    `sessions`: link key -> sorted (event time, id); `kin`: id that is named -> ids that name it;
    `ended`: versions of ids that were merged away or withdrawn; `shelves`: hour -> ids to be forgotten;
    `total`: incidents that stand, forgotten ones included.
    """

    members: dict[str, Member] = {}
    groups: dict[str, Group] = {}
    sessions: dict[Key, list[Point]] = {}
    kin: dict[str, list[str]] = {}
    ended: dict[str, tuple[int, int]] = {}
    shelves: dict[int, list[str]] = {}
    dirty: set[str] = set()
    total: int = 0


Out = Change | Incident | Late | Tick


@dataclass(frozen=True)
class Incidents:
    """`gap_ms`: session gap; `horizon_ms`: longest horizon of a source; `category_depth`: levels that must agree."""

    gap_ms: int
    horizon_ms: int
    category_depth: int = 1

    def start(self) -> State:
        """Nothing open."""
        return State()

    def step(self, state: State, batch: Sequence[Admitted | Tick | Late]) -> list[Out]:
        """Changes in the order of their causes; incident rows before each tick and at the end of the batch."""
        out: list[Out] = []
        for item in batch:
            if isinstance(item, Admitted):
                self._admit(state, item, out)
            else:
                if isinstance(item, Tick):
                    self._report(state, out)
                    self._forget(state, item.at_ms)
                out.append(item)
        self._report(state, out)
        return out

    # -- one signal ------------------------------------------------------------------------------------------------

    def _admit(self, state: State, item: Admitted, out: list[Out]) -> None:
        located = item.located
        signal = located.signal
        before = state.members.get(signal.id)
        reported, version = item.reported_at_ms, 1
        if before is not None:
            reported, version = before.reported_at_ms, before.version + 1
            if before.incident_id and signal.counts and self._links(before.located) == self._links(located):
                group = state.groups[before.incident_id]
                group.version += 1
                group.tally = None
                state.dirty.add(group.id)
                after = Member(located, before.incident_id, before.opens, reported, item.ingested_at_ms, version)
                state.members[signal.id] = after
                out.append(Change(before, after))
                return
            if before.incident_id:
                self._leave(state, before, out)
        hour = signal.occurred_at_ms // HOUR_MS
        if hour in state.shelves:
            state.shelves[hour].append(signal.id)
        else:
            state.shelves[hour] = [signal.id]
        incident, opens = self._join(state, located, out) if signal.counts else ("", False)
        after = Member(located, incident, opens, reported, item.ingested_at_ms, version)
        state.members[signal.id] = after
        out.append(Change(before, after))

    def _links(self, located: Located) -> tuple[object, ...]:
        """What a signal's links depend on."""
        s = located.signal
        category = category_level(s.category, self.category_depth)
        return (s.occurred_at_ms, category, s.reporter, s.related_id, located.place_keys[:1])

    def _keys(self, located: Located) -> list[Key]:
        signal = located.signal
        category = category_level(signal.category, self.category_depth)
        keys = []
        if signal.reporter:
            keys.append((signal.reporter, category))
        if located.place_keys:
            keys.append((located.place_keys[0], category))
        return keys

    def _join(self, state: State, located: Located, out: list[Out]) -> tuple[str, bool]:
        """Link a counting signal: alone, into one incident, or as the bridge between several.

        Returns its incident's id and whether it is the first there.
        """
        signal = located.signal
        point = (signal.occurred_at_ms, signal.id)
        joined: set[str] = set()
        for key in self._keys(located):
            session = state.sessions.get(key)
            if session is None:
                state.sessions[key] = [point]
            else:
                insort(session, point)
                for near in self._near(session, point):
                    joined.add(state.members[near].incident_id)
        if signal.related_id:
            state.kin.setdefault(signal.related_id, []).append(signal.id)
        if signal.related_id or signal.id in state.kin:
            for hub in (signal.id, signal.related_id):
                # all that name a hub are one incident already: any of them will do
                near = self._named(state, hub, but=signal.id)
                if near:
                    joined.add(state.members[near].incident_id)
        if not joined:
            group = self._open(state, [signal.id], point, point[0])
            return group.id, True
        groups = sorted((state.groups[i] for i in joined), key=lambda g: g.first)
        first = min(groups[0].first, point)
        if first == point:
            group = self._open(state, [], point, point[0])
        else:
            group = groups.pop(0)
            group.version += 1
        for other in groups:
            self._end(state, other, out, into=group.id)
            for i in other.ids:
                self._move(state, i, group.id, False, out)
            group.ids.extend(other.ids)
            group.tally = None
            group.last_ms = max(group.last_ms, other.last_ms)
        group.ids.append(signal.id)
        if group.tally is not None:
            group.tally.add(signal)
        group.last_ms = max(group.last_ms, point[0])
        state.dirty.add(group.id)
        return group.id, first == point

    def _leave(self, state: State, member: Member, out: list[Out]) -> None:
        """Unlink a signal; what is left of its incident may keep its id, take a new one, or fall apart."""
        signal = member.located.signal
        whole = self._holds_without(state, member.located)
        self._unlink(state, member.located)
        group = state.groups[member.incident_id]
        group.tally = None
        left = [i for i in group.ids if i != signal.id]
        # out of reach of the walk below
        state.members[signal.id] = _replace(member, incident_id="", opens=False)
        if whole:
            points = [(state.members[i].located.signal.occurred_at_ms, i) for i in left]
            parts = [(min(points), points)]
        else:
            parts = sorted((min(part), part) for part in self._components(state, left))
        for _, part in parts:  # each keeps one on the shelves, for `_forget` to find it by
            last = max(part)
            state.shelves.setdefault(last[0] // HOUR_MS, []).append(last[1])
        if parts and parts[0][0] == group.first:
            kept = parts.pop(0)[1]
            group.ids, group.version = [i for _, i in kept], group.version + 1
            group.last_ms = max(kept)[0]
            state.dirty.add(group.id)
        else:
            heir = incident_id(parts[0][0]) if parts else ""
            self._end(state, group, out, into=heir)
        for first, part in parts:
            new = self._open(state, [i for _, i in part], first, max(part)[0])
            for at, i in part:
                self._move(state, i, new.id, (at, i) == first, out)

    def _unlink(self, state: State, located: Located) -> None:
        """Take a signal out of its sessions and from under what it names."""
        signal = located.signal
        point = (signal.occurred_at_ms, signal.id)
        for key in self._keys(located):
            session = state.sessions[key]
            if len(session) == 1:
                del state.sessions[key]
            else:
                del session[bisect_left(session, point)]
        if signal.related_id:
            kin = state.kin[signal.related_id]
            kin.remove(signal.id)
            if not kin:
                del state.kin[signal.related_id]

    def _holds_without(self, state: State, located: Located) -> bool:
        """Whether the neighbours of a signal are plainly linked without it: then its incident stays whole."""
        signal = located.signal
        if signal.related_id or signal.id in state.kin:
            return False
        point = (signal.occurred_at_ms, signal.id)
        linked: set[str] = set()
        for key in self._keys(located):
            session = state.sessions[key]
            near = self._near(session, point)
            if len(near) == 2:
                at = bisect_left(session, point)
                if session[at + 1][0] - session[at - 1][0] > self.gap_ms:
                    return False
            if near and linked and linked.isdisjoint(near):
                return False
            linked.update(near)
        return bool(linked)

    def _components(self, state: State, ids: Iterable[str]) -> list[list[Point]]:
        """Connected components among `ids` (all of one former incident)."""
        left = dict.fromkeys(ids)
        hubs: set[str] = set()
        parts: list[list[Point]] = []
        while left:
            start = next(iter(left))
            del left[start]
            part, todo = [], [start]
            while todo:
                i = todo.pop()
                located = state.members[i].located
                point = (located.signal.occurred_at_ms, i)
                part.append(point)
                near = [n for key in self._keys(located) for n in self._near(state.sessions[key], point)]
                for hub in (i, located.signal.related_id):
                    if hub and hub not in hubs:
                        hubs.add(hub)
                        near += [hub, *state.kin.get(hub, ())]
                for n in near:
                    if n in left:
                        del left[n]
                        todo.append(n)
            parts.append(part)
        return parts

    def _near(self, session: list[Point], point: Point) -> list[str]:
        """Neighbours of `point` in its session, on either side, within the gap."""
        at = bisect_left(session, point)
        near = []
        if at > 0 and point[0] - session[at - 1][0] <= self.gap_ms:
            near.append(session[at - 1][1])
        if at + 1 < len(session) and session[at + 1][0] - point[0] <= self.gap_ms:
            near.append(session[at + 1][1])
        return near

    def _named(self, state: State, hub: str, but: str) -> str:
        """One counting signal, other than `but`, that is the hub or names it; "" if there is none."""
        for i in (hub, *state.kin.get(hub, [])[:2]):
            if i and i != but and i in state.members and state.members[i].incident_id:
                return i
        return ""

    # -- groups ----------------------------------------------------------------------------------------------------

    def _open(self, state: State, ids: list[str], first: Point, last_ms: int) -> Group:
        name = incident_id(first)
        group = Group(name, ids, first, last_ms, state.ended.pop(name, (0, 0))[0] + 1)
        state.groups[name] = group
        state.total += 1
        state.dirty.add(name)
        return group

    def _end(self, state: State, group: Group, out: list[Out], into: str) -> None:
        del state.groups[group.id]
        state.total -= 1
        state.dirty.discard(group.id)
        state.ended[group.id] = (group.version + 1, group.last_ms)
        first = state.members[group.first[1]].located
        out.append(
            Incident(
                group.id,
                "merged" if into else "withdrawn",
                group.first[0],
                group.last_ms,
                first.signal.category,
                first.cells,
                first.place_keys[0] if first.place_keys else "",
                first.signal.address,
                0,
                0,
                (),
                0,
                into,
                group.version + 1,
            )
        )

    def _move(self, state: State, i: str, incident: str, opens: bool, out: list[Out]) -> None:
        before = state.members[i]
        after = _replace(before, incident_id=incident, opens=opens, version=before.version + 1)
        state.members[i] = after
        out.append(Change(before, after))

    def _report(self, state: State, out: list[Out]) -> None:
        """Rows of the incidents that changed, by opening time and id."""
        groups = [state.groups[i] for i in state.dirty]
        groups.sort(key=lambda g: g.first)
        state.dirty.clear()
        out.extend(self._row(state, group) for group in groups)

    def _row(self, state: State, group: Group) -> Incident:
        first = state.members[group.first[1]].located
        signal = first.signal
        if len(group.ids) == 1:  # nearly all
            return Incident(
                group.id,
                "open",
                group.first[0],
                group.last_ms,
                signal.category,
                first.cells,
                first.place_keys[0] if first.place_keys else "",
                signal.address,
                1,
                1 if signal.reporter else 0,
                (signal.source,),
                signal.severity,
                "",
                group.version,
                signal.hidden,
            )
        if group.tally is None:
            group.tally = Tally()
            for i in group.ids:
                group.tally.add(state.members[i].located.signal)
        if not any(first.cells):
            located = [state.members[i].located for i in group.ids]
            placed = [m for m in located if any(m.cells)]
            first = min(placed, key=lambda m: (m.signal.occurred_at_ms, m.signal.id), default=first)
        return Incident(
            group.id,
            "open",
            group.first[0],
            group.last_ms,
            signal.category,
            first.cells,
            first.place_keys[0] if first.place_keys else "",
            first.signal.address,
            len(group.ids),
            len(group.tally.reporters),
            tuple(sorted(group.tally.sources)),
            group.tally.severity,
            "",
            group.version,
            group.tally.hidden,
        )

    def _forget(self, state: State, now_ms: int) -> None:
        """Forget incidents whose last signal is older than the horizon and a gap."""
        limit = now_ms - self.horizon_ms - self.gap_ms
        for hour in sorted(h for h in state.shelves if (h + 1) * HOUR_MS <= limit):
            kept: set[str] = set()  # incidents that live on; one of their signals goes on to a later shelf
            for i in state.shelves.pop(hour):
                member = state.members.get(i)
                if member is None:
                    continue
                at = member.located.signal.occurred_at_ms
                group = state.groups.get(member.incident_id)
                last = max(at, group.last_ms if group else at)
                if (last // HOUR_MS + 1) * HOUR_MS > limit:
                    if group is None or group.id not in kept:
                        state.shelves.setdefault(last // HOUR_MS, []).append(i)
                        kept.add(group.id if group else "")
                elif group is None:
                    del state.members[i]
                else:
                    for each in group.ids:
                        self._unlink(state, state.members.pop(each).located)
                    del state.groups[group.id]
        for i in [i for i, (_, last) in state.ended.items() if (last // HOUR_MS + 1) * HOUR_MS <= limit]:
            del state.ended[i]


def incident_id(first: Point) -> str:
    """Content hash of an incident's first signal: (event time, id)."""
    return hashlib.blake2b(f"{first[0]}|{first[1]}".encode(), digest_size=8).hexdigest()
