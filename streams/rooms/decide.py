"""decide: what people are to be told. First version: an alert opens and closes with its subject, under one id.

A hot spot gives an alert at its level; a repeat cluster gives a blue one; a feed gives a yellow one while it is silent
or unread, a blue one while it is thin, for as long as the feeds room says it is not well.
Suppression, storms and subscriptions are not decided here yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from schemas import Alert, FeedHealth, HotSpot, RepeatCluster, Tick

Item = HotSpot | RepeatCluster | FeedHealth | Tick
#: level of an alert by the state of its feed
FEED_LEVELS = {"silent": "yellow", "unread": "yellow", "thin": "blue"}


class State(Struct):
    """Open alerts by subject."""

    open: dict[str, Alert] = {}
    total: int = 0


@dataclass(frozen=True)
class Decide:
    """No configuration yet."""

    def start(self) -> State:
        """Nothing to tell."""
        return State()

    def step(self, state: State, batch: Sequence[Item]) -> list[Item | Alert]:
        """An alert revision when its subject opens, changes level, or closes. Everything passes through."""
        out: list[Item | Alert] = []
        for item in batch:
            out.append(item)
            if isinstance(item, HotSpot):
                reason = (
                    f"{item.observed} incidents, {item.expected:.2f} expected at these hours "
                    f"(score {item.score:.1f}, {item.history_days} days of history, provisional)"
                )
                self._tell(state, "hotspot", item, item.level, reason, out)
            elif isinstance(item, RepeatCluster):
                reason = f"{item.incidents} incidents at one place since {item.first_at_ms}"
                self._tell(state, "repeat", item, "blue", reason, out)
            elif isinstance(item, FeedHealth):
                self._feed(state, item, out)
        return out

    def _tell(
        self,
        state: State,
        kind: str,
        subject: HotSpot | RepeatCluster,
        level: str,
        reason: str,
        out: list[Item | Alert],
    ) -> None:
        last = state.open.get(subject.id)
        stage = "closed" if subject.state == "closed" else "open"
        if (last is None and stage == "closed") or (last is not None and (stage, level) == (last.state, last.level)):
            return
        alert = Alert(
            id=last.id if last else alert_id(kind, subject.id),
            revision=last.revision + 1 if last else 1,
            state=stage,
            level=level,
            subject_kind=kind,
            subject_id=subject.id,
            opened_at_ms=last.opened_at_ms if last else subject.opened_at_ms,
            updated_at_ms=subject.updated_at_ms,
            cells=subject.cells,
            category=subject.category,
            reason=reason,
        )
        out.append(alert)
        state.total += last is None
        if stage == "closed":
            state.open.pop(subject.id, None)
        else:
            state.open[subject.id] = alert

    def _feed(self, state: State, health: FeedHealth, out: list[Item | Alert]) -> None:
        """The alert of a feed: one from the first trouble until it has been well for a while."""
        key = f"feed {health.source}"
        last = state.open.get(key)
        if not health.opened_at_ms:
            if last is not None:
                del state.open[key]
                out.append(_revised(last, health.at_ms, state="closed", reason=f"feed {health.source}: well again"))
            return
        level = FEED_LEVELS.get(health.state, last.level if last else "blue")
        reason = f"feed {health.source} is {health.state}: {health.detail}"
        if last is None:
            opened = health.opened_at_ms
            alert = Alert(
                id=alert_id("feed", f"{health.source}|{opened}"),
                revision=1,
                state="open",
                level=level,
                subject_kind="feed",
                subject_id=health.source,
                opened_at_ms=opened,
                updated_at_ms=health.at_ms,
                cells=(),
                category="",
                reason=reason,
            )
            state.total += 1
        elif level != last.level:
            alert = _revised(last, health.at_ms, level=level, reason=reason)
        else:
            return
        state.open[key] = alert
        out.append(alert)


def _revised(last: Alert, at_ms: int, **changes: str) -> Alert:
    return replace(last, revision=last.revision + 1, updated_at_ms=at_ms, **changes)


def alert_id(kind: str, subject_id: str) -> str:
    """Content hash of an alert: what it is about."""
    return hashlib.blake2b(f"alert|{kind}|{subject_id}".encode(), digest_size=8).hexdigest()
