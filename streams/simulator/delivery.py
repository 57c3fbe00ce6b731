"""How records come: when they arrive, what is corrected later, what comes twice. Arrivals are ms UTC.

A first version arrives within the source's lateness bound of the event, save for a few planned late ones and for
sensors behind a silent gateway; 12345 delivers by the hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streams.simulator.plan import Day
from streams.simulator.rhythm import HOUR_MS
from streams.simulator.world import World
from streams.simulator.written import CLEARED, MERGED, WITHDRAWN, Written, joined

Ints = NDArray[np.int64]

CORRECTIONS = ("recoded", "moved", "withdrawn", "merged")
_CORRECTION_MIX = (0.45, 0.25, 0.15, 0.15)
LONGEST_CORRECTION_MS = 36 * HOUR_MS


def arrivals(world: World, source: str, rng: np.random.Generator, plans: Sequence[Day], w: Written) -> Ints:
    """When the versions in `w` arrive."""
    at = w.made + _transport(source, rng, w.made)
    if source == "sensor":
        street = world.city.street[w.reports.cell]
        for outage in (outage for plan in plans for outage in plan.outages):
            held = (street == outage.street) & (w.made >= outage.start_ms) & (w.made < outage.end_ms)
            at = np.where(held, outage.end_ms + rng.integers(0, 20_000, len(w)), at)
    late = rng.random(len(w)) < world.scenario.late
    bound = world.dictionaries[source].lateness_s * 1000
    return np.where(late, at + bound + rng.integers(0, int(world.scenario.late_hours * HOUR_MS), len(w)), at)


def _transport(source: str, rng: np.random.Generator, made: Ints) -> Ints:
    n = len(made)
    if source == "110":
        return np.minimum(rng.lognormal(np.log(3000), 0.8, n), 80_000).astype(np.int64)
    if source == "12345":
        return HOUR_MS - made % HOUR_MS + rng.integers(120_000, 480_000, n)
    if source == "grid":
        return rng.integers(1000, 40_000, n)
    return rng.integers(100, 2000, n)


def corrected(world: World, source: str, rng: np.random.Generator, w: Written) -> tuple[Written, list[str]]:
    """Later versions of some of the records (a few twice), and what was corrected. None of sensors'."""
    wanted = rng.random(len(w)) < (0.0 if source == "sensor" else world.scenario.corrections)
    rows = np.flatnonzero(wanted & (w.reports.invalid == 0))
    once, what_once = _correct(world, source, rng, w.take(rows))
    again = np.flatnonzero(rng.random(len(rows)) < 0.15)
    twice, what_twice = _correct(world, source, rng, once.take(again))
    return joined(once, twice), what_once + what_twice


def _correct(world: World, source: str, rng: np.random.Generator, w: Written) -> tuple[Written, list[str]]:
    n = len(w)
    what = rng.choice(len(CORRECTIONS), n, p=_CORRECTION_MIX)
    what = np.where((what == 3) & (w.reports.parent < 0), 0, what)  # only a follower can be merged
    beside = world.city.beside[w.reports.cell, rng.integers(0, 4, n)]
    what = np.where((what == 1) & (beside < 0), 0, what)  # there is no cell to move to
    recoded = (w.reports.category + rng.integers(1, 5, n)) % len(world.dictionaries[source].codes)
    moved = what == 1
    cell = np.where(moved, beside, w.reports.cell)
    lon, lat = world.city.place(cell, rng.uniform(0.2, 0.8, n), rng.uniform(0.2, 0.8, n))
    delay = (120_000 + rng.lognormal(np.log(2_700_000), 1.2, n)).clip(max=LONGEST_CORRECTION_MS / 2)
    return replace(
        w,
        reports=replace(w.reports, cell=cell, category=np.where(what == 0, recoded, w.reports.category)),
        lon=np.where(moved, lon, w.lon),
        lat=np.where(moved, lat, w.lat),
        pointed=w.pointed | moved,
        version=w.version + 1,
        made=w.made + delay.astype(np.int64),
        state=np.select([what == 2, what == 3], [WITHDRAWN, MERGED], w.state),
    ), [CORRECTIONS[i] for i in what.tolist()]


def cleared(rng: np.random.Generator, w: Written) -> Written:
    """The end of nearly every sensor alert: the same id, the next seq."""
    rows = np.flatnonzero(rng.random(len(w)) < 0.95)
    alert = w.take(rows)
    lasted = (20_000 + rng.lognormal(np.log(600_000), 1.0, len(rows))).clip(max=12 * HOUR_MS)
    return replace(
        alert, version=alert.version + 1, made=alert.made + lasted.astype(np.int64), state=alert.state + CLEARED
    )
