"""The repeat list at the end of a file: places with 3 incidents in 30 days, off the list after 15 days of silence.

For each place, at the end of every pane that brought it a signal: the incidents of the last 30 days, as they stand
then. A place enters when they are enough, and is written anew each time; 15 days after its newest incident it leaves.
Holds for histories without merges: signals in order of time, one key a signal.
"""

from __future__ import annotations

from collections import Counter

import pandas as pd

DAY_MS = 86_400_000


def repeats(
    frame: pd.DataFrame, end_ms: int, incidents: int = 3, days: int = 30, close_days: int = 15, pane_min: int = 15
) -> tuple[pd.DataFrame, int]:
    """(clusters open at `end_ms`, by place; how many there ever were).

    `frame` has `id`, `at_ms`, `category`, `place`, `incident`; `end_ms` is the last time told.
    """
    pane_ms = pane_min * 60_000
    found: dict[str, dict[str, object]] = {}
    total = 0
    placed = frame[frame.place != ""].sort_values(["at_ms", "id"])
    for place, visits in placed.groupby("place", sort=False):
        if visits.incident.nunique() < incidents:
            continue
        points = list(zip(visits.at_ms, visits.incident, visits.category, strict=True))
        cluster: dict[str, object] = {}
        for now in sorted({at - at % pane_ms + pane_ms for at, _, _ in points}):
            if cluster and int(str(cluster["last_ms"])) + close_days * DAY_MS <= now - pane_ms:
                cluster = {}
            opened: dict[str, int] = {}
            for at, incident, _ in points:
                if at < now:
                    opened.setdefault(incident, at)
            recent = {i: at for i, at in opened.items() if at >= now - days * DAY_MS}
            if not cluster and len(recent) < incidents:
                continue
            total += not cluster
            kinds = Counter(category for at, incident, category in points if recent.get(incident) == at)
            cluster = {
                "opened_ms": cluster.get("opened_ms", now),
                "incidents": len(recent),
                "messages": sum(at < now and incident in recent for at, incident, _ in points),
                "first_ms": min(recent.values()),
                "last_ms": max(recent.values()),
                "kinds": len(kinds),
            }
        if cluster and int(str(cluster["last_ms"])) + close_days * DAY_MS > end_ms:
            found[str(place)] = cluster
    return pd.DataFrame.from_dict(found, orient="index"), total
