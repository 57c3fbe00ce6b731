"""Incidents: connected components of signals, by union and find.

Two signals are linked when they have the same reporter, or the same place, and the same first level of category, with
no silence longer than the gap between the signals of that key; or when one names the other; or both name the same one.
An incident is known by its first signal (event time, then id).
"""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

GAP_MS = 30 * 60_000


def incidents(frame: pd.DataFrame, gap_ms: int = GAP_MS) -> pd.Series[str]:
    """For each signal the id of the first signal of its incident.

    `frame` has `id`, `at_ms`, `category`, `reporter`, `place`, and perhaps `related` (the id that a signal names).
    """
    ordered = frame.sort_values(["at_ms", "id"])
    rank = {name: n for n, name in enumerate(ordered.id)}
    parent = list(range(len(ordered)))

    def find(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    def link(one: int, other: int) -> None:
        low, high = sorted((find(one), find(other)))
        parent[high] = low  # the first one stays the name of the whole

    times = ordered.at_ms.tolist()
    levels = ordered.category.str.split("/").str[0]
    for key in ("reporter", "place"):
        known = ordered[key] != ""
        for _, members in ordered[known].groupby([ordered[key][known], levels[known]], sort=False):
            for one, other in pairwise(rank[name] for name in members.id):
                if times[other] - times[one] <= gap_ms:
                    link(one, other)
    if "related" in ordered:
        named = ordered[ordered.related != ""]
        for target, members in named.groupby("related", sort=False):
            kin = [rank[name] for name in [*members.id, target] if name in rank]
            for one, next_one in pairwise(kin):
                link(one, next_one)
    names = ordered.id.tolist()
    first = {name: names[find(n)] for n, name in enumerate(names)}
    return frame.id.map(first)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Incidents by `incident`: opened_ms, last_ms, messages, reporters, sources, category (of the first signal)."""
    ordered = frame.sort_values(["at_ms", "id"])
    groups = ordered.groupby("incident")
    known = ordered[ordered.reporter != ""].groupby("incident").reporter.nunique()
    out = groups.agg(
        opened_ms=("at_ms", "min"),
        last_ms=("at_ms", "max"),
        messages=("id", "size"),
        sources=("source", lambda s: tuple(sorted(set(s)))),
        category=("category", "first"),
    )
    out["reporters"] = known.reindex(out.index).fillna(0).astype(int)
    return out
