"""Named scenarios: how much of everything happens. Shares are of a source's records unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace

from schemas import UsageError


@dataclass(frozen=True)
class Scenario:
    """What a city lives through. Hours are local; a range is drawn from uniformly."""

    name: str
    says: str
    surges_a_day: float = 2.0  # injected hot spots, mean
    surge_reports: tuple[int, int] = (15, 40)
    surge_hours: tuple[float, float] = (1.5, 4.0)
    surge_at_hour: float | None = None  # None: any time; else that many a day exactly, at this hour
    surge_cells: tuple[int, int] = (1, 4)
    storm_chance: float = 0.1  # of a storm on a day
    storm_factor: float = 10.0
    storm_hours: tuple[float, float] = (2.0, 6.0)
    chronic_places: int = 60  # buildings with matters again and again
    chronic_a_day: tuple[float, float] = (0.1, 0.5)  # matters a day at one of them
    witnesses: float = 0.15  # further reporters of one matter, mean
    chases: float = 0.07  # follow-up calls of the same caller, mean
    flaps: float = 0.05  # of sensor alerts that come in a run of 4 to 12
    outages_a_day: float = 0.5  # gateways (a street's sensors) that fall silent and deliver late
    invalid: float = 0.30  # silent and nuisance calls, of 110
    no_point: float = 0.10  # reports without a coordinate, of 110 (12345: nearly always)
    duplicates: float = 0.005
    corrections: float = 0.03
    late: float = 0.001  # arrive beyond the source's bound
    late_hours: float = 3.0  # by so much at most
    broken: float = 0.002
    faults_a_day: float = 0.0  # feeds that fall silent or thin for hours, mean; what would have arrived is lost
    fault_hours: tuple[float, float] = (2.0, 6.0)


_CITY = Scenario("city", "everything in moderation")

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        replace(
            _CITY,
            name="quiet",
            says="only the background: no hot spots, storms, chronic places or bad data",
            surges_a_day=0.0,
            storm_chance=0.0,
            chronic_places=0,
            outages_a_day=0.0,
            flaps=0.0,
            duplicates=0.0,
            corrections=0.0,
            late=0.0,
            broken=0.0,
        ),
        _CITY,
        replace(
            _CITY, name="storm", says="a rain storm over the whole city every day", storm_chance=1.0, outages_a_day=3.0
        ),
        replace(_CITY, name="hotspots", says="many injected hot spots", surges_a_day=12.0, storm_chance=0.0),
        replace(
            _CITY,
            name="dirty",
            says="much bad data: broken, doubled, corrected, late records",
            duplicates=0.05,
            corrections=0.12,
            late=0.02,
            broken=0.03,
            no_point=0.25,
        ),
        replace(
            _CITY,
            name="rough",
            says="5 % doubled, 1 % broken, many corrected, some late by minutes to two days",
            duplicates=0.05,
            corrections=0.12,
            late=0.02,
            late_hours=48.0,
            broken=0.01,
        ),
        replace(
            _CITY,
            name="surge_across_midnight",
            says="one hot spot every evening from 22:30 to 01:30",
            surges_a_day=1.0,
            surge_at_hour=22.5,
            surge_hours=(3.0, 3.0),
            surge_reports=(30, 40),
            storm_chance=0.0,
        ),
        replace(
            _CITY,
            name="feeds",
            says="from the second week on feeds fall silent or thin for hours, and what they lost never comes",
            faults_a_day=1.0,
        ),
    )
}


def scenario(name: str) -> Scenario:
    """The scenario of that name; UsageError listing the known ones."""
    if name not in SCENARIOS:
        raise UsageError(
            f"--scenario {name}: unknown; known: {', '.join(SCENARIOS)}",
            f"--scenario {name}：未知场景；可用：{'、'.join(SCENARIOS)}",
        )
    return SCENARIOS[name]
