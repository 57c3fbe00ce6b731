"""What stays the same through a simulation: the city, its devices, its chronic places, how often what happens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from streams.simulator.city import City
from streams.simulator.dictionaries import SOURCES, Dictionary, dictionary
from streams.simulator.plan import STORM_WORDS
from streams.simulator.rhythm import SHARES, Draw, Floats, cell_weights, profile
from streams.simulator.scenarios import Scenario

Ints = NDArray[np.int64]

DEVICE_TYPES = ("烟感", "井盖", "水位", "燃气", "噪声")
_DEVICE_MIX = (0.35, 0.20, 0.12, 0.13, 0.20)
#: what chronic places are about, by source: family and neighbour disputes first of all
CHRONIC_WORDS = {
    "110": ("家庭纠纷", "邻里纠纷", "噪声扰民"),
    "12345": ("噪声", "漏水", "油烟"),
    "grid": ("店外经营", "暴露垃圾"),
}
_CHRONIC_SHARES = (0.7, 0.2, 0.1)
#: witnesses of a matter: fires and accidents have more
_SEEN_WORDS = ("火警", "交通事故", "道路险情", "突发事件")

FIRST_PHONE = 13_000_000_000
PHONES = 6_000_000_000


@dataclass(frozen=True, eq=False)
class Devices:
    """Sensors: arrays by device."""

    kind: Ints  # index into the sensor dictionary
    cell: Ints
    spot: Ints
    weight: Floats


@dataclass(frozen=True, eq=False)
class Chronic:
    """Buildings with matters again and again, of one source: arrays by place."""

    ids: tuple[str, ...]
    cell: Ints
    spot: Ints  # building
    room: Ints
    category: Ints
    a_day: Floats  # matters
    callers: Ints  # [places, 4] phone numbers; the same one four times: always the same caller


@dataclass(frozen=True, eq=False)
class World:
    """Arguments of a simulation and what follows from them. Times are ms UTC; `start_ms` is a local midnight."""

    city: City
    scenario: Scenario
    seed: int
    days: int
    rate: float  # reports a day of all sources
    start_ms: int

    @cached_property
    def dictionaries(self) -> dict[str, Dictionary]:
        """By source, in the order of SOURCES."""
        return {source: dictionary(source) for source in SOURCES}

    @cached_property
    def profiles(self) -> dict[str, Floats]:
        """float[168] by source."""
        return {source: profile(source) for source in SOURCES}

    @cached_property
    def draw_cell(self) -> dict[str, Draw]:
        """Cells by source."""
        return {source: Draw(w) for source, w in cell_weights(self.seed, self.city.cells).items()}

    @cached_property
    def draw_category(self) -> dict[str, Draw]:
        """Categories by source."""
        return {source: Draw(d.weights) for source, d in self.dictionaries.items()}

    @cached_property
    def storm_categories(self) -> dict[str, Ints]:
        """Categories that rain swells, by source."""
        return {source: d.having(STORM_WORDS) for source, d in self.dictionaries.items()}

    @cached_property
    def draw_storm(self) -> dict[str, Draw]:
        """Categories that rain swells, by source, as often as they are."""
        return {s: Draw(_only(d.weights, self.storm_categories[s])) for s, d in self.dictionaries.items()}

    @cached_property
    def seen(self) -> dict[str, Floats]:
        """Mean number of further reporters by category, by source."""
        return {
            source: np.where(np.isin(np.arange(len(d.codes)), d.having(_SEEN_WORDS)), 3.0, 1.0)
            * self.scenario.witnesses
            for source, d in self.dictionaries.items()
        }

    @cached_property
    def devices(self) -> Devices:
        """As many as cells."""
        rng = np.random.Generator(np.random.PCG64([self.seed, 4]))
        n = self.city.cells
        codes = self.dictionaries["sensor"].codes
        kinds = np.array([codes.index(kind) for kind in DEVICE_TYPES])
        return Devices(
            kinds[rng.choice(len(DEVICE_TYPES), n, p=_DEVICE_MIX)],
            rng.integers(0, n, n),
            rng.integers(1, 31, n),
            np.exp(rng.normal(0, 1.2, n)),
        )

    @cached_property
    def draw_device(self) -> Draw:
        """Devices by how often they alert."""
        return Draw(self.devices.weight)

    @cached_property
    def draw_wet_device(self) -> Draw:
        """Devices that rain sets off."""
        return Draw(self.devices.weight * np.isin(self.devices.kind, self.storm_categories["sensor"]))

    @cached_property
    def wet_share(self) -> dict[str, float]:
        """Share of the reports that rain swells, by source."""
        share = {s: float(d.weights[self.storm_categories[s]].sum()) for s, d in self.dictionaries.items()}
        wet = self.devices.weight[np.isin(self.devices.kind, self.storm_categories["sensor"])]
        return {**share, "sensor": float(wet.sum() / self.devices.weight.sum())}

    @cached_property
    def chronic(self) -> dict[str, Chronic]:
        """By source; a place belongs to one source."""
        rng = np.random.Generator(np.random.PCG64([self.seed, 5]))
        owner = rng.choice(len(CHRONIC_WORDS), self.scenario.chronic_places, p=_CHRONIC_SHARES)
        return {
            source: self._chronic(source, np.flatnonzero(owner == i), rng) for i, source in enumerate(CHRONIC_WORDS)
        }

    def _chronic(self, source: str, numbers: Ints, rng: np.random.Generator) -> Chronic:
        n = len(numbers)
        callers = FIRST_PHONE + rng.integers(0, PHONES, (n, 4))
        alone = rng.random(n) < 0.4
        callers[alone] = callers[alone, :1]
        return Chronic(
            tuple(f"R{number:04d}" for number in numbers.tolist()),
            rng.integers(0, self.city.cells, n),
            rng.integers(1, 31, n),
            rng.integers(1, 7, n) * 100 + rng.integers(1, 5, n),
            rng.choice(self.dictionaries[source].having(CHRONIC_WORDS[source]), n),
            rng.uniform(*self.scenario.chronic_a_day, n),
            callers,
        )

    def matters_a_day(self, source: str) -> float:
        """Background matters a day: what is left of the rate when further reporters and follow-ups are counted."""
        scenario = self.scenario
        if source == "sensor":
            followed = 8.0 * scenario.flaps
        else:
            seen = float(self.seen[source] @ self.dictionaries[source].weights)
            valid = 1 - scenario.invalid if source == "110" else 1.0
            followed = valid * (seen + scenario.chases)
        return self.rate * SHARES[source] / (1 + followed)

    @property
    def end_ms(self) -> int:
        """No matter begins here or later."""
        return self.start_ms + self.days * 24 * 3_600_000


def _only(weights: Floats, kept: Ints) -> Floats:
    """The weights of these, 0 elsewhere."""
    return np.where(np.isin(np.arange(len(weights)), kept), weights, 0.0)
