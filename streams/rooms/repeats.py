"""repeats: the list of places that keep coming back (重复高发清单): >= n incidents in d days at one place key.

It is a list by rule, not an alarm. A cluster opens when the rule first holds, is revised when a new incident comes or
one is taken back, and closes after `close_days` without a new one. Looked at when a pane closes.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from msgspec import Struct
from msgspec.structs import replace

from schemas import HotSpot, Incident, Pane, RepeatCluster, Tick
from streams.windows import DAY_MS


class Visit(Struct, frozen=True, array_like=True, gc=False, order=True):
    """One incident at a place."""

    opened_at_ms: int
    incident_id: str
    category: str
    messages: int
    reporters: int
    sources: tuple[str, ...]


class State(Struct):
    """`places`: key -> visits by time; `where`: incident -> its place; `open`: place -> newest revision;
    `fresh`: incidents since the last tick; `shelves`: day -> incidents to be forgotten; `closing`: heap of
    (time, place), not later than the true closing time.
    """

    places: dict[str, list[Visit]] = {}
    open: dict[str, RepeatCluster] = {}
    where: dict[str, str] = {}
    fresh: dict[str, Incident] = {}
    shelves: dict[int, list[str]] = {}
    total: int = 0
    closing: list[tuple[int, str]] = []


Item = HotSpot | Pane | Incident | Tick


@dataclass(frozen=True)
class Repeats:
    """Configuration of `[repeats]`."""

    incidents: int
    days: int
    close_days: int
    versions: Mapping[str, str]

    def start(self) -> State:
        """No history."""
        return State()

    def step(self, state: State, batch: Sequence[Item]) -> list[Item | RepeatCluster]:
        """Note incidents; at each tick look at the places they touched. Everything passes through."""
        out: list[Item | RepeatCluster] = []
        for item in batch:
            if isinstance(item, Incident):
                state.fresh[item.id] = item
            elif isinstance(item, Tick):
                touched = self._note(state, item.at_ms)
                self._look(state, touched, item.at_ms, out)
            out.append(item)
        return out

    def _note(self, state: State, now_ms: int) -> dict[str, Incident]:
        """Move the fresh incidents into their places; returns the places touched with the incident that did."""
        touched: dict[str, Incident] = {}
        for incident in sorted(state.fresh.values(), key=lambda i: (i.opened_at_ms, i.id)):
            old = state.where.get(incident.id)
            key = incident.place_key if incident.state == "open" else ""
            if old:
                visits = state.places[old]
                visits[:] = [v for v in visits if v.incident_id != incident.id]
                touched[old] = incident
                if old != key:
                    del state.where[incident.id]
            if key:
                visit = Visit(
                    incident.opened_at_ms,
                    incident.id,
                    incident.category,
                    incident.messages,
                    incident.reporters,
                    incident.sources,
                )
                insort(state.places.setdefault(key, []), visit)
                state.where[incident.id] = key
                touched[key] = incident
                if not old:
                    state.shelves.setdefault(incident.opened_at_ms // DAY_MS, []).append(incident.id)
        state.fresh.clear()
        for day in sorted(d for d in state.shelves if (d + 1) * DAY_MS <= now_ms - self.days * DAY_MS):
            for name in state.shelves.pop(day):
                place = state.where.pop(name, None)
                if place is not None:
                    kept = [v for v in state.places[place] if v.incident_id != name]
                    if kept:
                        state.places[place] = kept
                    else:
                        del state.places[place]
        for key in [k for k in touched if not state.places.get(k)]:
            state.places.pop(key, None)
        return touched

    def _look(self, state: State, touched: dict[str, Incident], now_ms: int, out: list[Item | RepeatCluster]) -> None:
        for key in sorted(touched):
            visits = state.places.get(key, [])
            recent = visits[bisect_left(visits, now_ms - self.days * DAY_MS, key=lambda v: v.opened_at_ms) :]
            last = state.open.get(key)
            if last is None and len(recent) < self.incidents:
                continue
            told = self._tell(key, recent, last, touched[key], now_ms)
            if told is not None:
                state.open[key] = told
                state.total += last is None
                if last is None:
                    heappush(state.closing, (self._due(told), key))
                out.append(told)
        while state.closing and state.closing[0][0] <= now_ms:
            _, key = heappop(state.closing)
            cluster = state.open[key]
            due = self._due(cluster)
            if due <= now_ms:
                del state.open[key]
                out.append(_revised(cluster, state="closed", updated_at_ms=due))
            else:  # something came since
                heappush(state.closing, (due, key))

    def _due(self, cluster: RepeatCluster) -> int:
        """When the cluster closes if nothing comes."""
        return cluster.last_at_ms + self.close_days * DAY_MS

    def _tell(
        self, key: str, visits: list[Visit], last: RepeatCluster | None, by: Incident, now_ms: int
    ) -> RepeatCluster | None:
        """The next revision of the place's cluster, or None if nothing is new."""
        if not visits:
            return None if last is None else _revised(last, incidents=0, messages=0, updated_at_ms=now_ms)
        categories = Counter(v.category for v in visits)
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
            sources=tuple(sorted({s for v in visits for s in v.sources})),
            versions=dict(self.versions),
        )
        if last and _revised(told, revision=last.revision, updated_at_ms=last.updated_at_ms) == last:
            return None
        return told


def cluster_id(place_key: str, opened_at_ms: int) -> str:
    """Content hash of a cluster: its place and when it opened (a place that comes back later is another cluster)."""
    return hashlib.blake2b(f"repeat|{place_key}|{opened_at_ms}".encode(), digest_size=8).hexdigest()


def _revised(last: RepeatCluster, **changes: object) -> RepeatCluster:
    return replace(last, **{"revision": last.revision + 1, **changes})
