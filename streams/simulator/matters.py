"""The first reports of what happens in a span: background, storms, surges, chronic places. Poisson, drawn at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streams.simulator.plan import Day, Surge
from streams.simulator.reports import BUILDING, NOT_RELATED, NUISANCE, Reports, joined, phones
from streams.simulator.rhythm import DAY_MS, HOUR_MS, hour_of_week
from streams.simulator.world import FIRST_PHONE, World

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_HEAVY_CALLERS = 200  # who make half of the nuisance calls
_WHERE_MIX = (0.60, 0.22, 0.10, 0.08)  # BUILDING, ROAD, CROSSING, VAGUE
_OUTDOORS = (0.05, 0.45, 0.35, 0.15)
_OUTDOOR_WORDS = ("交通", "道路", "室外", "街面", "部件", "市容环境", "园林绿化", "河道", "扬尘", "突发事件")


@dataclass(frozen=True, eq=False)
class Span:
    """A part of a day cut by clock hours. `plans` are yesterday's (may run into it) and today's."""

    starts: Ints
    ends: Ints
    plans: tuple[Day, ...]

    def inside(self, low: int, high: int) -> tuple[Ints, Ints]:
        """Its hours cut to [low, high): starts and ends, empty ones too."""
        starts = np.minimum(np.maximum(self.starts, low), self.ends)
        return starts, np.maximum(np.minimum(self.ends, high), starts)


def span(plans: Sequence[Day], start_ms: int, end_ms: int) -> Span:
    """The span [start_ms, end_ms)."""
    marks = [start_ms, *range(start_ms - start_ms % HOUR_MS + HOUR_MS, end_ms, HOUR_MS), end_ms]
    return Span(np.array(marks[:-1]), np.array(marks[1:]), tuple(plans))


def origins(world: World, source: str, plans: Sequence[Day]) -> tuple[str, ...]:
    """Names that `Reports.origin` indexes: chronic places of the source, then its surges."""
    chronic = world.chronic[source].ids if source in world.chronic else ()
    return (*chronic, *(surge.id for surge in _surges(source, plans)))


def matters(world: World, source: str, rng: np.random.Generator, when: Span) -> Reports:
    """First reports that occur in the span, in order of time."""
    rhythm = np.array([world.profiles[source][hour_of_week(h)] for h in when.starts.tolist()])
    rhythm *= (when.ends - when.starts) / DAY_MS
    mean = rhythm * world.matters_a_day(source) * when.plans[-1].busy[source]
    dry = _times(rng, when.starts, when.ends, rng.poisson(mean))
    wet = [np.zeros(0, dtype=np.int64)]
    for storm in (storm for plan in when.plans for storm in plan.storms):
        low, high = when.inside(storm.start_ms, storm.end_ms)
        extra = mean * (high - low) / (when.ends - when.starts) * (storm.factor - 1) * world.wet_share[source]
        wet.append(_times(rng, low, high, rng.poisson(extra)))
    if source == "sensor":
        made = _alerts(world, rng, dry, np.concatenate(wet))
    else:
        made = joined(
            _ordinary(world, source, rng, dry, np.concatenate(wet)),
            _chronic(world, source, rng, when, rhythm),
            *_surging(world, source, rng, when),
        )
    return made.take(np.argsort(made.occurred, kind="stable"))


def _times(rng: np.random.Generator, starts: Ints, ends: Ints, counts: Ints) -> Ints:
    """Times drawn evenly: counts[i] of them in [starts[i], ends[i])."""
    low, high = np.repeat(starts, counts), np.repeat(ends, counts)
    return low + ((high - low) * rng.random(len(low))).astype(np.int64)


def _ordinary(world: World, source: str, rng: np.random.Generator, dry: Ints, wet: Ints) -> Reports:
    n = len(dry) + len(wet)
    category = np.concatenate([world.draw_category[source](rng, len(dry)), world.draw_storm[source](rng, len(wet))])
    outdoors = np.isin(
        np.arange(len(world.dictionaries[source].paths)), world.dictionaries[source].having(_OUTDOOR_WORDS)
    )
    made = _reports(
        world, source, rng, np.concatenate([dry, wet]), world.draw_cell[source](rng, n), category, outdoors[category]
    )
    if source != "110":
        return made
    # Silent and nuisance calls are background only; half of them come from a few heavy callers.
    invalid = rng.random(n) < np.where(np.arange(n) < len(dry), world.scenario.invalid, 0.0)
    heavy = invalid & (rng.random(n) < 0.5)
    return replace(
        made,
        invalid=invalid.astype(np.int64),
        relation=np.where(heavy, NUISANCE, NOT_RELATED),
        person=np.where(heavy, FIRST_PHONE + (rng.random(n) ** 3 * _HEAVY_CALLERS).astype(np.int64), made.person),
    )


def _chronic(world: World, source: str, rng: np.random.Generator, when: Span, rhythm: Floats) -> Reports:
    places = world.chronic[source]
    counts = rng.poisson(rhythm[:, None] * places.a_day[None, :])
    hours, place = np.nonzero(counts)
    times = counts[hours, place]
    occurred = _times(rng, when.starts[hours], when.ends[hours], times)
    place = np.repeat(place, times)
    made = _reports(
        world, source, rng, occurred, places.cell[place], places.category[place], np.zeros(len(place), bool)
    )
    return replace(
        made,
        spot=places.spot[place],
        room=places.room[place],
        where=np.full(len(place), BUILDING),
        person=made.person if source == "grid" else places.callers[place, rng.integers(0, 4, len(place))],
        origin=place,
    )


def _surging(world: World, source: str, rng: np.random.Generator, when: Span) -> list[Reports]:
    made = []
    first = len(world.chronic[source].ids)
    for number, surge in enumerate(_surges(source, when.plans), first):
        here = (surge.times >= when.starts[0]) & (surge.times < when.ends[-1])
        n = int(here.sum())
        category = np.full(n, surge.category)
        out = _reports(world, source, rng, surge.times[here], surge.at[here], category, np.zeros(n, bool))
        made.append(replace(out, origin=np.full(n, number)))
    return made


def _surges(source: str, plans: Sequence[Day]) -> list[Surge]:
    return [surge for plan in plans for surge in plan.surges if surge.source == source]


def _reports(
    world: World,
    source: str,
    rng: np.random.Generator,
    occurred: Ints,
    cell: Ints,
    category: Ints,
    outdoors: NDArray[np.bool_],
) -> Reports:
    """First reports at these times and cells; building or road, room and person are drawn."""
    n = len(occurred)
    u = rng.random(n)
    inner, outer = np.searchsorted(np.cumsum(_WHERE_MIX[:3]), u), np.searchsorted(np.cumsum(_OUTDOORS[:3]), u)
    where = np.where(outdoors, outer, inner)
    room = np.where(rng.random(n) < 0.7, rng.integers(1, 19, n) * 100 + rng.integers(1, 5, n), 0)
    none, zero = np.full(n, -1), np.zeros(n, dtype=np.int64)
    return Reports(
        occurred=occurred,
        cell=cell,
        category=category,
        spot=np.where(where == BUILDING, rng.integers(1, 31, n), rng.integers(1, 400, n)),
        room=np.where(where == BUILDING, room, 0),
        where=where,
        # A grid worker walks the cells of a neighbourhood.
        person=1 + cell // 4 if source == "grid" else phones(rng, n),
        parent=none,
        linked=zero,
        relation=zero,
        invalid=zero,
        origin=none,
    )


def _alerts(world: World, rng: np.random.Generator, dry: Ints, wet: Ints) -> Reports:
    """Alerts of sensors; rain sets off the wet ones."""
    devices = world.devices
    device = np.concatenate([world.draw_device(rng, len(dry)), world.draw_wet_device(rng, len(wet))])
    none, zero = np.full(len(device), -1), np.zeros(len(device), dtype=np.int64)
    return Reports(
        occurred=np.concatenate([dry, wet]),
        cell=devices.cell[device],
        category=devices.kind[device],
        spot=devices.spot[device],
        room=zero,
        where=zero,
        person=device,
        parent=none,
        linked=zero,
        relation=zero,
        invalid=zero,
        origin=none,
    )
