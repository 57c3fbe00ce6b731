"""Reports as columns, and what follows a first report: witnesses, chase-up calls, flapping sensors. No text yet."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from streams.simulator.world import FIRST_PHONE, PHONES, World

Ints = NDArray[np.int64]

NOT_RELATED, REPEAT, CHASE, FEEDBACK, NUISANCE = range(5)
BUILDING, ROAD, CROSSING, VAGUE = range(4)


@dataclass(frozen=True, eq=False)
class Reports:
    """Columns int64[n] of the reports of one source, first reports first, then what follows them."""

    occurred: Ints  # ms
    cell: Ints
    category: Ints  # index into the source's dictionary
    spot: Ints  # number of the building, or on the road
    room: Ints  # 0 none
    where: Ints  # BUILDING .. VAGUE
    person: Ints  # phone number; sensor: device; grid: worker
    parent: Ints  # row of the matter's first report; -1: it is one
    linked: Ints  # 1: the record names its parent
    relation: Ints  # NOT_RELATED .. NUISANCE
    invalid: Ints  # 0 or 1
    origin: Ints  # the surge or chronic place behind it: index into the world's names of this span; -1 none

    def __len__(self) -> int:
        return len(self.occurred)

    def take(self, rows: Ints) -> Reports:
        """These rows."""
        return Reports(*(getattr(self, name)[rows] for name in _COLUMNS))


_COLUMNS = tuple(field.name for field in fields(Reports))


def joined(*parts: Reports) -> Reports:
    """The rows of all parts, one after the other."""
    return Reports(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))


def with_followers(world: World, source: str, rng: np.random.Generator, first: Reports) -> Reports:
    """First reports and what follows them. A follower may occur hours later, in another span."""
    if source == "sensor":
        return joined(first, _flaps(world, rng, first))
    return joined(first, _witnesses(world, source, rng, first), _chases(world, source, rng, first))


def _follow(first: Reports, rows: Ints, delay_ms: NDArray[np.float64]) -> Reports:
    """Copies of `rows`, later, as followers of them."""
    return replace(
        first.take(rows),
        occurred=first.occurred[rows] + delay_ms.astype(np.int64),
        parent=rows,
        origin=np.full(len(rows), -1),
    )


def _witnesses(world: World, source: str, rng: np.random.Generator, first: Reports) -> Reports:
    """Others report the same matter, minutes later; two of five are recognised as the same (一事多报)."""
    mean = world.seen[source][first.category] * (first.invalid == 0)
    rows = np.repeat(np.arange(len(first)), rng.poisson(mean))
    later = _follow(first, rows, 1000 + rng.exponential(240_000, len(rows)))
    person = rng.integers(1, 1 + world.city.cells, len(rows)) if source == "grid" else phones(rng, len(rows))
    linked = (rng.random(len(rows)) < 0.4).astype(np.int64)
    return replace(later, person=person, linked=linked, relation=linked * REPEAT)


def _chases(world: World, source: str, rng: np.random.Generator, first: Reports) -> Reports:
    """The same caller asks again, within hours; the call names the first one or only repeats phone and address."""
    rows = np.repeat(np.arange(len(first)), rng.poisson(world.scenario.chases * (first.invalid == 0)))
    later = _follow(first, rows, 60_000 + rng.lognormal(np.log(2_400_000), 1.0, len(rows)).clip(max=6 * 3_600_000))
    linked = (rng.random(len(rows)) < 0.7).astype(np.int64)
    kind = np.where(rng.random(len(rows)) < 0.8, CHASE, np.where(rng.random(len(rows)) < 0.5, REPEAT, FEEDBACK))
    return replace(later, linked=linked, relation=linked * kind)


def _flaps(world: World, rng: np.random.Generator, first: Reports) -> Reports:
    """A device raises its alert again and again, every few minutes."""
    runs = np.flatnonzero(rng.random(len(first)) < world.scenario.flaps)
    times = rng.integers(4, 13, len(runs))
    rows = np.repeat(runs, times)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times) + 1
    return _follow(first, rows, nth * 120_000.0 + rng.uniform(0, 60_000, len(rows)))


def phones(rng: np.random.Generator, n: int) -> Ints:
    """Mobile numbers, int64[n] of 11 digits."""
    return FIRST_PHONE + rng.integers(0, PHONES, n)
