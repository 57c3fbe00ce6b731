"""repeats: the list of places that keep coming back (重复高发清单): >= n incidents in d days at one place key.

It is a list by rule, not an alarm. A cluster opens when the rule first holds, is revised when a new incident comes or
one is taken back, and closes after `close_days` without a new one. Looked at when a pane closes.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from schemas import HotSpot, Incident, RepeatCluster, Tick
from streams.windows import DAY_MS


class Visit(NamedTuple):
    """One incident at a place."""

    opened_at_ms: int
    incident: int  # its id, as a number
    category: int  # number in State.categories
    messages: int
    reporters: int
    sources: int  # bit mask over State.sources
    hidden: int  # 0 or 1


#: a visit as it is kept: a month of a city's incidents lies in memory
PACKED = struct.Struct("<qQHHHHB")
MOST = 65_535


class State(Struct):
    """Everything the room remembers.

    `places`: digest of a place key -> its visits, packed, by time; `where`: incident that may still change -> digest of
    its place; `open`: place key -> newest revision; `fresh`: incidents since the last tick; `old`, `settled`: day ->
    places to look for visits to forget, incidents that change no more; `closing`: heap of (time, place key), not later
    than the true closing time.
    """

    places: dict[int, bytes] = {}
    where: dict[str, int] = {}
    open: dict[str, RepeatCluster] = {}
    fresh: dict[str, Incident] = {}
    old: dict[int, list[int]] = {}
    settled: dict[int, list[str]] = {}
    closing: list[tuple[int, str]] = []
    keys: dict[int, str] = {}
    categories: dict[str, int] = {}
    sources: dict[str, int] = {}
    total: int = 0


Item = HotSpot | Incident | Tick
Out = HotSpot | RepeatCluster | Tick


@dataclass(frozen=True)
class Repeats:
    """Configuration of `[repeats]`."""

    incidents: int
    days: int
    close_days: int
    horizon_ms: int
    versions: Mapping[str, str]

    def start(self) -> State:
        """No history."""
        return State()

    def step(self, state: State, batch: Sequence[Item]) -> list[Out]:
        """Note incidents; at each tick look at the places they touched. The rest passes through."""
        out: list[Out] = []
        for item in batch:
            if isinstance(item, Incident):
                state.fresh[item.id] = item
                continue
            if isinstance(item, Tick):
                touched = self._note(state, item.at_ms)
                self._look(state, touched, item.at_ms, out)
            out.append(item)
        return out

    def _note(self, state: State, now_ms: int) -> dict[str, tuple[int, Incident]]:
        """Move the fresh incidents into their places; returns the places touched: digest and the incident that did."""
        touched: dict[str, tuple[int, Incident]] = {}
        for incident in sorted(state.fresh.values(), key=lambda i: (i.opened_at_ms, i.id)):
            number = int(incident.id, 16)
            key = incident.place_key if incident.state == "open" else ""
            here = place_digest(key) if key else 0
            before = state.where.get(incident.id, 0)
            if before and before != here:
                self._drop(state, before, number)
                del state.where[incident.id]
                if before in state.keys:
                    touched[state.keys[before]] = before, incident
            if here:
                visit = self._visit(state, incident, number)
                packed = state.places.get(here)
                if packed is None:  # most places have one
                    state.places[here] = PACKED.pack(*visit)
                else:
                    others = [v for v in unpack(packed) if v.incident != number]
                    state.places[here] = pack(sorted([*others, visit]))
                touched[key] = here, incident
                if not before:
                    state.where[incident.id] = here
                    day = incident.opened_at_ms // DAY_MS
                    state.old.setdefault(day, []).append(here)
                    state.settled.setdefault(day, []).append(incident.id)
        state.fresh.clear()
        self._forget(state, now_ms)
        return touched

    def _visit(self, state: State, incident: Incident, number: int) -> Visit:
        mask = 0
        for source in incident.sources:
            mask |= 1 << state.sources.setdefault(source, len(state.sources))
        return Visit(
            incident.opened_at_ms,
            number,
            state.categories.setdefault(incident.category, len(state.categories)),
            min(incident.messages, MOST),
            min(incident.reporters, MOST),
            mask,
            int(incident.hidden),
        )

    def _drop(self, state: State, place: int, number: int) -> None:
        """Take one incident out of a place."""
        packed = state.places.get(place)
        if packed is not None:
            kept = pack([v for v in unpack(packed) if v.incident != number])
            if kept:
                state.places[place] = kept
            else:
                del state.places[place]

    def _forget(self, state: State, now_ms: int) -> None:
        """Visits older than the list looks back, and which incident is where once it can change no more."""
        limit = now_ms - self.days * DAY_MS
        for day in [d for d in state.old if (d + 1) * DAY_MS <= limit]:
            for place in dict.fromkeys(state.old.pop(day)):
                kept = pack([v for v in unpack(state.places.get(place, b"")) if v.opened_at_ms >= (day + 1) * DAY_MS])
                if kept:
                    state.places[place] = kept
                else:
                    state.places.pop(place, None)
        limit = now_ms - self.horizon_ms - 2 * DAY_MS
        for day in [d for d in state.settled if (d + 1) * DAY_MS <= limit]:
            for name in state.settled.pop(day):
                state.where.pop(name, None)

    def _look(self, state: State, touched: dict[str, tuple[int, Incident]], now_ms: int, out: list[Out]) -> None:
        since = now_ms - self.days * DAY_MS
        for key in sorted(touched):
            digest, by = touched[key]
            packed = state.places.get(digest, b"")
            last = state.open.get(key)
            if last is None and len(packed) < self.incidents * PACKED.size:  # nearly all
                continue
            recent = [v for v in unpack(packed) if v.opened_at_ms >= since]
            if last is None and len(recent) < self.incidents:
                continue
            told = self._tell(state, key, recent, last, by, now_ms)
            if told is not None:
                state.open[key] = told
                state.keys[digest] = key
                state.total += last is None
                if last is None:
                    heappush(state.closing, (self._due(told), key))
                out.append(told)
        while state.closing and state.closing[0][0] <= now_ms:
            _, key = heappop(state.closing)
            cluster = state.open[key]
            due = self._due(cluster)
            if due <= now_ms:
                del state.open[key], state.keys[place_digest(key)]
                out.append(_revised(cluster, state="closed", updated_at_ms=due))
            else:  # something came since
                heappush(state.closing, (due, key))

    def _due(self, cluster: RepeatCluster) -> int:
        """When the cluster closes if nothing comes."""
        return cluster.last_at_ms + self.close_days * DAY_MS

    def _tell(
        self, state: State, key: str, visits: list[Visit], last: RepeatCluster | None, by: Incident, now_ms: int
    ) -> RepeatCluster | None:
        """The next revision of the place's cluster, or None if nothing is new."""
        if not visits:
            return None if last is None else _revised(last, incidents=0, messages=0, updated_at_ms=now_ms)
        names = {number: name for name, number in state.categories.items()}
        categories = Counter(names[v.category] for v in visits)
        told = RepeatCluster(
            id=last.id if last else cluster_id(key, now_ms),
            revision=last.revision + 1 if last else 1,
            state="open",
            place_key=key,
            address=by.address if by.place_key == key else (last.address if last else ""),
            cells=by.cells if by.place_key == key else (last.cells if last else ()),
            category=min(categories, key=lambda c: (-categories[c], c)),
            opened_at_ms=last.opened_at_ms if last else now_ms,
            updated_at_ms=now_ms,
            first_at_ms=visits[0].opened_at_ms,
            last_at_ms=visits[-1].opened_at_ms,
            incidents=len(visits),
            messages=sum(v.messages for v in visits),
            reporters=max(v.reporters for v in visits),
            sources=tuple(sorted(s for s, i in state.sources.items() if any(v.sources >> i & 1 for v in visits))),
            versions=dict(self.versions),
            hidden=any(v.hidden for v in visits),
        )
        if last and _revised(told, revision=last.revision, updated_at_ms=last.updated_at_ms) == last:
            return None
        return told


def pack(visits: Iterable[Visit]) -> bytes:
    """Visits as they are kept."""
    return b"".join([PACKED.pack(*visit) for visit in visits])


def unpack(packed: bytes) -> list[Visit]:
    """Visits as they were packed."""
    return [Visit(*fields) for fields in PACKED.iter_unpack(packed)]


def place_digest(key: str) -> int:
    """64-bit content hash of a place key; never 0."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") or 1


def cluster_id(place_key: str, opened_at_ms: int) -> str:
    """Content hash of a cluster: its place and when it opened (a place that comes back later is another cluster)."""
    return hashlib.blake2b(f"repeat|{place_key}|{opened_at_ms}".encode(), digest_size=8).hexdigest()


def _revised(last: RepeatCluster, **changes: object) -> RepeatCluster:
    return replace(last, **{"revision": last.revision + 1, **changes})
