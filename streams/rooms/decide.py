"""decide: what people are to be told. First version: an alert opens and closes with its subject, under one id.

A hot spot gives an alert at its level; a repeat cluster gives a blue one. Suppression, storms and subscriptions are not
decided here yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from schemas import Alert, HotSpot, RepeatCluster, Tick

Item = HotSpot | RepeatCluster | Tick


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


def alert_id(kind: str, subject_id: str) -> str:
    """Content hash of an alert: what it is about."""
    return hashlib.blake2b(f"alert|{kind}|{subject_id}".encode(), digest_size=8).hexdigest()
