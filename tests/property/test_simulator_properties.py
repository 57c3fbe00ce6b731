"""Laws of the simulator's parts: outlines against shapely, clocks against datetime, cities and days from any seed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.simulator import clock
from streams.simulator.city import make_city
from streams.simulator.outline import outline, signed_area
from streams.simulator.scenarios import SCENARIOS, scenario
from streams.simulator.simulation import simulate

ZONE = timezone(timedelta(hours=8))


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1))
def test_outline_is_the_union(chosen: set[tuple[int, int]]) -> None:
    """Any set of lattice cells: pieces, holes and cells that touch at a corner."""
    y, x = np.divmod(np.arange(64), 8)
    points = np.stack([x, y], axis=1).astype(np.float64)
    rings = np.array([[r * 8 + c, r * 8 + c + 1, (r + 1) * 8 + c + 1, (r + 1) * 8 + c] for r, c in sorted(chosen)])
    # A midpoint on every edge, as cells of the city have.
    points, rings = with_midpoints(points, rings)
    polygons = outline(rings, points)
    shape = shapely.MultiPolygon([(points[p[0]], [points[hole] for hole in p[1:]]) for p in polygons])
    assert shape.is_valid
    assert shapely.equals(shape, shapely.union_all(shapely.polygons(points[rings])))
    for polygon in polygons:
        assert signed_area(points[polygon[0]]) > 0
        assert all(signed_area(points[hole]) < 0 for hole in polygon[1:])


def with_midpoints(points: np.ndarray, rings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numbers: dict[tuple[int, int], int] = {}
    more = []
    for ring in rings.tolist():
        out = []
        for a, b in zip(ring, [*ring[1:], ring[0]], strict=True):
            out += [a, numbers.setdefault((min(a, b), max(a, b)), len(points) + len(numbers))]
        more.append(out)
    middles = np.array([(points[a] + points[b]) / 2 for a, b in numbers])
    return np.concatenate([points, middles]), np.array(more)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4_102_444_800_000), min_size=1, max_size=20))
def test_clocks_write_what_datetime_writes(times: list[int]) -> None:
    ms = np.array(times)
    local = [datetime.fromtimestamp(t // 1000, ZONE) for t in times]
    assert clock.dashed(ms) == [f"{d:%Y-%m-%d %H:%M:%S}" for d in local]
    assert clock.compact(ms) == [f"{d:%Y%m%d%H%M%S}" for d in local]
    assert clock.compact_t(ms) == [f"{d:%Y%m%dT%H%M%S}" for d in local]
    assert clock.iso(ms) == [d.isoformat() for d in local]
    assert clock.days(ms) == [f"{d:%Y%m%d}" for d in local]
    assert clock.slashed(ms) == [f"{d.year}/{d.month}/{d.day} {d.hour}:{d:%M:%S}" for d in local]
    for text, t in zip(clock.iso_millis(ms), times, strict=True):
        assert datetime.fromisoformat(text) == datetime.fromtimestamp(0, ZONE) + timedelta(milliseconds=t)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.integers(24, 700))
def test_any_city_tiles(seed: int, size: int) -> None:
    city = make_city(seed, size)
    cells = shapely.polygons(city.points[city.rings])
    assert shapely.is_valid(cells).all()
    hull = shapely.union_all(cells)
    assert abs(shapely.area(cells).sum() / hull.area - 1) < 1e-9
    assert len(set(city.codes)) == size == city.cells
    for cell in range(size):
        street = city.streets[city.street[cell]]
        assert city.codes[cell].startswith(street.code)
        assert city.district[cell] == street.parent
    again = make_city(seed, size)
    assert again.codes == city.codes
    assert np.array_equal(again.points, city.points)
    assert again.compounds == city.compounds


@settings(deadline=None, max_examples=10)
@given(st.sampled_from(sorted(SCENARIOS)), st.integers(0, 1000), st.integers(1, 3), st.floats(1, 1500))
def test_any_simulation_is_reproducible_and_in_order(name: str, seed: int, days: int, rate: float) -> None:
    city = make_city(3, 60)
    start_ms = 1_772_380_800_000
    once = list(simulate(city, scenario(name), seed, days, rate, start_ms))
    assert once == list(simulate(city, scenario(name), seed, days, rate, start_ms))
    arrivals = [e.arrival_ms for e in once]
    assert arrivals == sorted(arrivals)
    assert all(e.arrival_ms >= start_ms for e in once)
    firsts = [(e.source, e.id) for e in once if e.kind == "report"]
    assert len(firsts) == len(set(firsts))
