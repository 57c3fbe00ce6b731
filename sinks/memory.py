"""The sink that keeps everything in memory: for tests, dry runs and whoever embeds the pipeline.

It passes the same contract suite as ClickHouse, and it is the stricter one: a row whose key has changed, which a
database cannot notice, is refused here (rule 2 of `sinks.base`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from msgspec import structs
from msgspec.msgpack import encode

from schemas import Alert, FeedHealth, HotSpot, Incident, Late, Member, Pane, Rejected, RepeatCluster
from schemas.rows import Rows
from sinks.base import content

Claim = TypeVar("Claim", HotSpot, RepeatCluster, Alert)


class MemorySink:
    """Newest version of every row, and the histories of hot spots, repeat clusters and alerts, by key."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.late: dict[tuple[int, str], Late] = {}
        self.incidents: dict[str, Incident] = {}
        self.panes: dict[tuple[str, int, int, str, str], Pane] = {}
        self.hotspots: dict[str, dict[int, HotSpot]] = {}
        self.repeats: dict[str, dict[int, RepeatCluster]] = {}
        self.alerts: dict[str, dict[int, Alert]] = {}
        self.rejected: dict[tuple[str, str, int, int], Rejected] = {}
        self.feeds: dict[tuple[str, int], FeedHealth] = {}

    @property
    def pending(self) -> int:
        """Nothing waits: a write is stored at once."""
        return 0

    def write(self, rows: Rows) -> None:
        """Store the rows. ValueError if the key of a row has changed."""
        for change in rows.members:
            self._put_member(change.after)
        for late in rows.late:
            self.late[late.watermark_ms, content(late.located)] = late
        for incident in rows.incidents:
            known = self.incidents.get(incident.id)
            _same_key("incident", incident.id, "opened_at_ms", known, incident)
            if known is None or incident.version >= known.version:
                self.incidents[incident.id] = incident
        for pane in rows.panes:
            key = (pane.layer, pane.minutes, pane.start_ms, pane.category, pane.cell)
            counted = self.panes.get(key)
            if counted is None or pane.version >= counted.version:
                self.panes[key] = pane
        _put_claims("hot spot", self.hotspots, rows.hotspots)
        _put_claims("repeat cluster", self.repeats, rows.repeats)
        _put_claims("alert", self.alerts, rows.alerts)
        for item in rows.rejected:
            self.rejected[item.source, item.topic, item.partition, item.offset] = item
        for health in rows.feeds:
            stood = self.feeds.get((health.source, health.at_ms))
            if stood is None or health.version >= stood.version:
                self.feeds[health.source, health.at_ms] = health

    def _put_member(self, member: Member) -> None:
        id = member.located.signal.id
        known = self.members.get(id)
        _same_key("signal", id, "reported_at_ms", known, member)
        if known is None or member.version >= known.version:
            self.members[id] = member

    def poll(self) -> None:
        """Nothing waits."""

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing to let go of."""

    def counts(self) -> dict[str, int]:
        """Stored rows by table; `signals` has the late ones too, as in ClickHouse."""
        signals = {(member.reported_at_ms, id) for id, member in self.members.items()}
        signals |= {(late.located.signal.reported_at_ms, late.located.signal.id) for late in self.late.values()}
        return {
            "signals": len(signals),
            "late_signals": len(self.late),
            "incidents": len(self.incidents),
            "grid_counts": len(self.panes),
            "hotspots": _revisions(self.hotspots),
            "repeat_clusters": _revisions(self.repeats),
            "alerts": _revisions(self.alerts),
            "rejected": len(self.rejected),
            "feed_health": len(self.feeds),
        }

    def digest(self) -> dict[str, str]:
        """A hash by table, of rows without their wall-clock fields."""
        return {
            "signals": _hash(
                (content(member.located), structs.replace(member, located=None, ingested_at_ms=0))
                for member in self.members.values()
            ),
            "late_signals": _hash(self.late),
            "incidents": _hash(self.incidents.values()),
            "grid_counts": _hash(self.panes.values()),
            "hotspots": _hash(row for history in self.hotspots.values() for row in history.values()),
            "repeat_clusters": _hash(row for history in self.repeats.values() for row in history.values()),
            "alerts": _hash(row for history in self.alerts.values() for row in history.values()),
            "rejected": _hash(structs.replace(row, received_at_ms=0) for row in self.rejected.values()),
            "feed_health": _hash(self.feeds.values()),
        }


def _put_claims(kind: str, histories: dict[str, dict[int, Claim]], rows: Iterable[Claim]) -> None:
    for row in rows:
        history = histories.setdefault(row.id, {})
        _same_key(kind, row.id, "opened_at_ms", next(iter(history.values()), None), row)
        history[row.revision] = row


def _same_key(kind: str, id: str, field: str, known: Any, row: Any) -> None:
    if known is not None and getattr(known, field) != getattr(row, field):
        raise ValueError(
            f"{kind} {id}: {field} is a key and went from {getattr(known, field)} to {getattr(row, field)}"
        )


def _revisions(histories: Mapping[str, Mapping[int, Any]]) -> int:
    return sum(len(history) for history in histories.values())


def _hash(rows: Iterable[Any]) -> str:
    """Hash of a set of rows: count, and the sum of the rows' hashes, so that their order does not matter."""
    count = total = 0
    for row in rows:
        count += 1
        total += int.from_bytes(hashlib.blake2b(encode(row, order="sorted"), digest_size=8).digest(), "big")
    return f"{count}:{total % 2**64:016x}"
