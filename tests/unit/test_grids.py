"""Polygon grids: which cell, borders, parents, neighbours, the index file, what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from geo.crs import from_wgs84
from geo.grids import Grids, open_grids
from geo.polygons import PolygonGrids
from geo.store import write_index
from schemas import UsageError
from tests.cells import SOUTH, STEP, WEST, box, city, feature, squares, write


def at(grids: Grids, *points: tuple[float, float]) -> list[tuple[str, ...]]:
    """Cells of points in lattice units."""
    x, y = np.array(points, dtype=np.float64).T
    return list(zip(*grids.locate(WEST + x * STEP, SOUTH + y * STEP), strict=True))


def test_every_layer_at_once(tmp_path: Path) -> None:
    grids = open_grids(city(tmp_path))
    assert grids.layers == ("unit", "police", "street")
    assert at(grids, (0.5, 0.5), (3.5, 2.5)) == [("1000000", "P1", "100"), ("1110203", "P2", "111")]
    assert at(grids, (-1, 0), (9, 9)) == [("", "", "")] * 2
    assert np.allclose(grids.bounds, (WEST, SOUTH, WEST + 4 * STEP, SOUTH + 4 * STEP))


def test_nan_and_infinity_are_nowhere(tmp_path: Path) -> None:
    grids = open_grids(city(tmp_path))
    bad = np.array([np.nan, np.inf, -np.inf, 121.405])
    assert grids.locate(bad, np.array([31.205, 31.205, 31.205, np.nan])) == [[""] * 4] * 3
    assert grids.locate(np.zeros(0), np.zeros(0)) == [[], [], []]


def test_a_shared_border_or_corner_goes_to_the_smallest_code(tmp_path: Path) -> None:
    # Given in falling order: neither the file's order nor the tree's may decide.
    cells = [feature(box(c, r), code=f"{r}{c}") for r in (1, 0) for c in (1, 0)]
    grids = open_grids(write(tmp_path / "g.geojson", cells))
    edge = round(WEST + STEP, 9), round(SOUTH + STEP, 9)
    points = np.array(
        [[edge[0], SOUTH + 0.5 * STEP], [WEST + 0.5 * STEP, edge[1]], edge, [edge[0], SOUTH + 1.5 * STEP]]
    )
    assert grids.locate(points[:, 0].copy(), points[:, 1].copy()) == [["00", "00", "00", "10"]]


def test_an_overlap_goes_to_the_smallest_code(tmp_path: Path) -> None:
    cells = [feature(box(0, 0, 3, 3), code="b"), feature(box(1, 1, 1, 1), code="a"), feature(box(2, 2, 3, 3), code="c")]
    grids = open_grids(write(tmp_path / "g.geojson", cells))
    assert at(grids, (0.5, 0.5), (1.5, 1.5), (2.5, 2.5), (4, 4)) == [("b",), ("a",), ("b",), ("c",)]


def test_outer_vertices_and_edges_are_in(tmp_path: Path) -> None:
    grids = open_grids(squares(tmp_path / "g.geojson", 1, 1))
    corners = shapely.get_coordinates(box(0, 0))
    assert grids.locate(corners[:, 0].copy(), corners[:, 1].copy()) == [["1000000"] * 5]


def test_holes_and_several_parts(tmp_path: Path) -> None:
    ring = shapely.difference(box(0, 0, 3, 3), box(1, 1))
    cells = [feature(shapely.union(ring, box(5, 5)), code="a"), feature(box(1.25, 1.25, 0.5, 0.5), code="b")]
    grids = open_grids(write(tmp_path / "g.geojson", cells))
    assert at(grids, (0.5, 0.5), (5.5, 5.5), (1.5, 1.5), (1.1, 1.1)) == [("a",), ("a",), ("b",), ("",)]
    assert len(grids.polygon("unit", "a")) == 2
    assert [len(part) for part in grids.polygon("unit", "a")] == [2, 1]


def test_parents_names_and_codes(tmp_path: Path) -> None:
    grids = open_grids(city(tmp_path))
    assert grids.parent_layer("unit") == "street"
    assert [grids.parent_layer(layer) for layer in ("police", "street")] == ["", ""]
    assert all(grids.parent("unit", code) == code[:3] for code in grids.codes("unit"))
    assert grids.parent("street", "100") == ""
    assert grids.names("unit")["1000001"] == "格0-1"
    assert grids.names("police") == {"P1": "P1", "P2": "P2"}
    assert list(grids.codes("unit")) == sorted(grids.codes("unit"))


def test_a_point_in_no_unit_still_has_its_street(tmp_path: Path) -> None:
    city(tmp_path)
    write(tmp_path / "unit.geojson", [feature(box(0, 0), code="1000000", name="only")])
    grids = open_grids(tmp_path / "grids.toml")
    assert at(grids, (0.5, 0.5), (1.5, 1.5)) == [("1000000", "P1", "100"), ("", "P1", "100")]


def test_neighbours_and_graph(tmp_path: Path) -> None:
    grids = open_grids(city(tmp_path))
    assert grids.neighbours("unit", "1000000") == ("1000001", "1000100", "1000101")
    assert len(grids.neighbours("unit", "1000101")) == 8
    indptr, indices = grids.adjacency("unit")
    codes = list(grids.codes("unit"))
    for k, code in enumerate(codes):
        assert tuple(codes[i] for i in indices[indptr[k] : indptr[k + 1]]) == grids.neighbours("unit", code)
    indptr, indices = grids.adjacency("unit", ["1110303", "1000000", "1000001"])
    assert (indptr.tolist(), indices.tolist()) == ([0, 0, 1, 2], [2, 1])


def test_gcj02_polygons_are_turned_once(tmp_path: Path) -> None:
    turned = shapely.transform(box(0, 0), lambda p: np.column_stack(from_wgs84(p[:, 0], p[:, 1], "gcj02")))
    write(tmp_path / "g.geojson", [feature(turned, code="a")])
    path = tmp_path / "grids.toml"
    path.write_text('[[layers]]\nname = "unit"\nfile = "g.geojson"\ndatum = "GCJ-02"\n', encoding="utf-8")
    grids = open_grids(path)
    assert at(grids, (0.01, 0.01), (0.99, 0.99), (1.02, 0.5), (-0.02, 0.5)) == [("a",), ("a",), ("",), ("",)]


@pytest.mark.parametrize("suffix", [".gpkg", ".shp"])
def test_other_file_forms_give_the_same_grids(tmp_path: Path, suffix: str) -> None:
    plain = squares(tmp_path / "g.geojson")
    frame = geopandas.read_file(plain)
    frame.to_file(tmp_path / f"g{suffix}")
    assert open_grids(tmp_path / f"g{suffix}").codes("unit") == open_grids(plain).codes("unit")
    assert at(open_grids(tmp_path / f"g{suffix}"), (2.5, 1.5)) == at(open_grids(plain), (2.5, 1.5))


def test_a_projected_file_is_turned_to_degrees(tmp_path: Path) -> None:
    geopandas.read_file(squares(tmp_path / "g.geojson")).to_crs(4549).to_file(tmp_path / "g.gpkg")
    assert at(open_grids(tmp_path / "g.gpkg"), (2.5, 1.5)) == [("1010102",)]


def test_the_index_file_is_the_same_grids(tmp_path: Path) -> None:
    grids = open_grids(city(tmp_path))
    assert isinstance(grids, PolygonGrids)
    write_index(grids, tmp_path / "city.qgrid")
    loaded = open_grids(tmp_path / "city.qgrid")
    assert (loaded.version, loaded.layers, loaded.bounds) == (grids.version, grids.layers, grids.bounds)
    generator = np.random.default_rng(1)
    points = [tuple(p) for p in generator.uniform(-1, 5, (500, 2))] + [(x, y) for x in range(5) for y in range(5)]
    assert at(loaded, *points) == at(grids, *points)
    for layer in grids.layers:
        assert loaded.names(layer) == grids.names(layer)
        for code in grids.codes(layer):
            assert loaded.parent(layer, code) == grids.parent(layer, code)
            assert loaded.neighbours(layer, code) == grids.neighbours(layer, code)
            assert loaded.polygon(layer, code) == grids.polygon(layer, code)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x04\x22\x4d\x18broken"])
def test_a_broken_index_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "city.qgrid").write_bytes(content)
    with pytest.raises(UsageError, match="grids build"):
        open_grids(tmp_path / "city.qgrid")


def test_the_version_is_of_the_content_alone(tmp_path: Path) -> None:
    first, other = open_grids(city(tmp_path)).version, tmp_path / "other"
    other.mkdir()
    assert open_grids(city(other)).version == first
    text = (other / "street.geojson").read_bytes()
    (other / "street.geojson").write_bytes(text.replace(b'"100"', b'"109"'))
    assert open_grids(other / "grids.toml").version != first


def test_geojson_and_index_need_no_geopandas(tmp_path: Path) -> None:
    grids = open_grids(city(tmp_path))
    assert isinstance(grids, PolygonGrids)
    write_index(grids, tmp_path / "city.qgrid")
    program = (
        "import sys; from geo.grids import open_grids; import streams.rooms.locate\n"
        f"open_grids({str(tmp_path / 'grids.toml')!r}); open_grids({str(tmp_path / 'city.qgrid')!r})\n"
        "print([m for m in ('geopandas', 'pandas', 'pyproj', 'pyogrio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
