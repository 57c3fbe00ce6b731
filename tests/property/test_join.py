"""The join against brute force, and regular grids against their own polygons."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.join import brute_force
from geo.grids import regular_grids
from geo.layers import Layer, LayerSpec
from geo.polygons import PolygonGrids

# Corners on a small lattice: shared borders, corners on borders, overlaps and equal cells all come about.
CORNER = st.tuples(st.integers(0, 6), st.integers(0, 6))
RING = st.lists(CORNER, min_size=3, max_size=6, unique=True)


def grids_of(rings: list[list[tuple[int, int]]], scale: float) -> PolygonGrids:
    polygons = [shapely.Polygon([(121 + x * scale, 31 + y * scale) for x, y in ring]) for ring in rings]
    kept = [polygon for polygon in polygons if polygon.is_valid and polygon.area > 0]
    assume(kept)
    codes = tuple(f"{at:02d}" for at in range(len(kept)))
    return PolygonGrids.build([Layer(LayerSpec(name="unit", file="-"), codes, codes, np.array(kept, dtype=object))])


@settings(max_examples=60)
@given(
    rings=st.lists(RING, min_size=1, max_size=8),
    scale=st.sampled_from([0.01, 1 / 3, 1e-5]),
    inner=st.lists(st.tuples(st.floats(-1, 7), st.floats(-1, 7)), max_size=20),
)
def test_the_join_is_plain_covers_with_the_smallest_code(
    rings: list[list[tuple[int, int]]], scale: float, inner: list[tuple[float, float]]
) -> None:
    grids = grids_of(rings, scale)
    # Every lattice point and every middle between two: most vertices, and many points on edges.
    lattice = [(x / 2, y / 2) for x in range(-1, 14) for y in range(-1, 14)]
    points = np.array([(121 + x * scale, 31 + y * scale) for x, y in [*lattice, *inner]])
    (found,) = grids.locate(points[:, 0].copy(), points[:, 1].copy())
    assert found == brute_force(grids.content()[0].polygons, grids.codes("unit"), points)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), thin=st.sampled_from([1e-3, 1e-6, 1e-9]))
def test_thin_and_far_stretched_cells_are_exact(seed: int, thin: float) -> None:
    generator = np.random.default_rng(seed)
    starts, ends = generator.random((12, 2)), generator.random((12, 2))
    lines = shapely.linestrings(np.add(np.stack([starts, ends], axis=1), [121, 31]))
    polygons = shapely.buffer(lines, thin, quad_segs=2)
    codes = tuple(f"{at:02d}" for at in range(12))
    grids = PolygonGrids.build([Layer(LayerSpec(name="unit", file="-"), codes, codes, polygons)])
    along = shapely.line_interpolate_point(lines[:, None], np.linspace(0, 1, 9), normalized=True)
    anywhere = np.add(generator.random((50, 2)), [121, 31])
    points = np.concatenate([shapely.get_coordinates(along), shapely.get_coordinates(polygons), anywhere])
    (found,) = grids.locate(points[:, 0].copy(), points[:, 1].copy())
    assert found == brute_force(polygons, codes, points)


LON, LAT = st.floats(-180, 180), st.floats(-84, 84)


@given(lon=LON, lat=LAT, shape=st.sampled_from(["square", "hex"]))
def test_a_point_lies_in_its_regular_cell(lon: float, lat: float, shape: str) -> None:
    grids = regular_grids({"unit": 500, "street": 2000, "district": 10_000}, shape)
    for layer, (code,) in zip(grids.layers, grids.locate(np.array([lon]), np.array([lat])), strict=True):
        cell = shapely.Polygon(grids.polygon(layer, code)[0][0])
        assert cell.is_valid
        assert cell.distance(shapely.Point(lon, lat)) < 1e-9


@given(lon=LON, lat=LAT, row=st.integers(-2000, 2000), sizes=st.sampled_from([(500, 2000, 10_000), (100, 300, 900)]))
def test_squares_nest_exactly_on_borders_too(lon: float, lat: float, row: int, sizes: tuple[int, ...]) -> None:
    grids = regular_grids(dict(zip(("unit", "street", "district"), sizes, strict=True)))
    border = row * sizes[1] / 111_319.490793
    for y in (lat, border, np.nextafter(border, 90), np.nextafter(border, -90)):
        unit, street, district = (codes[0] for codes in grids.locate(np.array([lon]), np.array([y])))
        assert grids.parent("unit", unit) == street
        assert grids.parent("street", street) == district


@given(lon=LON, lat=LAT, shape=st.sampled_from(["square", "hex"]))
def test_neighbours_are_mutual_and_touch(lon: float, lat: float, shape: str) -> None:
    grids = regular_grids({"unit": 500, "street": 2000}, shape)
    (code,) = grids.locate(np.array([lon]), np.array([lat]))[0]
    cell = shapely.Polygon(grids.polygon("unit", code)[0][0])
    near = grids.neighbours("unit", code)
    assert code not in near
    for other in near:
        assert code in grids.neighbours("unit", other)
        assert cell.distance(shapely.Polygon(grids.polygon("unit", other)[0][0])) < 1e-9
    assert len(near) >= (7 if shape == "square" else 5)  # one fewer where columns shift between bands
