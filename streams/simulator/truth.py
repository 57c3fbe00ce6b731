"""Ground truth beside the records: what was planted, which records belong to it, how many of each kind were sent.

Rows are written as they become known (constant memory); `truth` names the sort of row:

* hotspot  id, source, category, code, cells, start_ms, end_ms, incidents
* storm    id, name, factor, start_ms, end_ms, codes {source: [code]}, reports {source: n}: all first
           versions of those codes that occurred in the span
* outage   id, street, start_ms, end_ms
* feed     id, source, kept (share of what would have arrived), start_ms, end_ms: what was lost stays lost, also of
           what other rows tell
* member   of (a hotspot or repeat place), source, record, occurred_ms
* repeat   id, source, category, code, cell, address, callers, incidents
* count    source, kind, records: what was sent; kinds are those of the emissions
* late     source, records: first versions that arrived beyond the source's bound
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streams.simulator.places import Addresses
from streams.simulator.plan import Day, Storm
from streams.simulator.reports import BUILDING
from streams.simulator.world import World
from streams.simulator.written import Ints, Written

Row = dict[str, Any]


class Truth:
    """Collects what is true while a simulation runs, and hands each row to `put` once it is known."""

    def __init__(self, put: Callable[[Row], None] = lambda row: None) -> None:
        self._put = put
        self._incidents: Counter[str] = Counter()
        self._storms: dict[str, tuple[Storm, Counter[str]]] = {}
        self._late: Counter[str] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()

    def planned(self, world: World, day: Day) -> None:
        """A day was planned."""
        for surge in day.surges:
            words = world.dictionaries[surge.source]
            self._put(
                {
                    "truth": "hotspot",
                    "id": surge.id,
                    "source": surge.source,
                    "category": words.paths[surge.category],
                    "code": words.codes[surge.category],
                    "cells": [world.city.codes[cell] for cell in surge.cells],
                    "start_ms": surge.start_ms,
                    "end_ms": surge.end_ms,
                    "incidents": len(surge.times),
                }
            )
        for outage in day.outages:
            street = world.city.streets[outage.street].code
            self._put(
                {
                    "truth": "outage",
                    "id": outage.id,
                    "street": street,
                    "start_ms": outage.start_ms,
                    "end_ms": outage.end_ms,
                }
            )
        for fault in day.faults:
            self._put(
                {
                    "truth": "feed",
                    "id": fault.id,
                    "source": fault.source,
                    "kept": fault.kept,
                    "start_ms": fault.start_ms,
                    "end_ms": fault.end_ms,
                }
            )
        self._storms.update({storm.id: (storm, Counter()) for storm in day.storms})

    def written(self, world: World, source: str, w: Written, arrival: Ints, origins: Sequence[str]) -> None:
        """First versions were made."""
        for row in np.flatnonzero(w.reports.origin >= 0).tolist():
            of = origins[int(w.reports.origin[row])]
            self._incidents[of] += 1
            occurred = int(w.reports.occurred[row])
            self._put({"truth": "member", "of": of, "source": source, "record": w.ids[row], "occurred_ms": occurred})
        for storm, reports in self._storms.values():
            when = (w.reports.occurred >= storm.start_ms) & (w.reports.occurred < storm.end_ms)
            reports[source] += int(np.isin(w.reports.category[when], world.storm_categories[source]).sum())
        bound = world.dictionaries[source].lateness_s * 1000
        self._late[source] += int((arrival - w.reports.occurred > bound).sum())

    def passed(self, world: World, now_ms: int) -> None:
        """Nothing more will happen before `now_ms`: storms that are over are told."""
        over = [name for name, (storm, _) in self._storms.items() if storm.end_ms <= now_ms]
        for storm, reports in [self._storms.pop(name) for name in over]:
            self._put(
                {
                    "truth": "storm",
                    "id": storm.id,
                    "name": storm.name,
                    "factor": storm.factor,
                    "start_ms": storm.start_ms,
                    "end_ms": storm.end_ms,
                    "codes": {
                        s: [d.codes[i] for i in world.storm_categories[s]] for s, d in world.dictionaries.items()
                    },
                    "reports": dict(reports),
                }
            )

    def close(self, world: World, addresses: Addresses) -> None:
        """The simulation is over: sums by place and by kind."""
        self.passed(world, world.end_ms)
        for source, places in world.chronic.items():
            words = world.dictionaries[source]
            for i, name in enumerate(places.ids):
                cell, spot, room = int(places.cell[i]), int(places.spot[i]), int(places.room[i])
                category = int(places.category[i])
                self._put(
                    {
                        "truth": "repeat",
                        "id": name,
                        "source": source,
                        "category": words.paths[category],
                        "code": words.codes[category],
                        "cell": world.city.codes[cell],
                        "address": addresses.one(cell, spot, room, BUILDING),
                        "callers": len(set(places.callers[i].tolist())),
                        "incidents": self._incidents[name],
                    }
                )
        for (source, kind), records in sorted(self.counts.items()):
            self._put({"truth": "count", "source": source, "kind": kind, "records": records})
        for source, records in sorted(self._late.items()):
            self._put({"truth": "late", "source": source, "records": records})
