"""Regular grids: codes, sizes, nesting, neighbours, the file maker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from geo.grids import open_grids, regular_grids
from geo.make import make_grid
from geo.metres import area_m2
from schemas import UsageError

SIZES = {"unit": 500.0, "street": 2000.0, "district": 10_000.0}
POINT = np.array([121.4737]), np.array([31.2304])


def test_codes_are_what_they_always_were() -> None:
    # A code is stored with every result: it may not change from one release to the next.
    assert regular_grids(SIZES).locate(*POINT) == [["500N6953E23129"], ["2000N1738E5782"], ["10000N347E1156"]]
    assert regular_grids(SIZES, "hex").locate(*POINT)[0] == ["500HN7996E23128"]


def test_every_quarter_of_the_globe_has_cells_of_its_own() -> None:
    lon, lat = np.array([0.001, -0.001, 0.001, -0.001]), np.array([0.001, 0.001, -0.001, -0.001])
    assert regular_grids(SIZES).locate(lon, lat)[0] == ["500N0E0", "500N0W1", "500S1E0", "500S1W1"]


def test_off_the_globe_and_nan_are_nowhere() -> None:
    lon, lat = np.array([np.nan, 181.0, 0.0, np.inf, 180.0]), np.array([0.0, 0.0, 91.0, 0.0, 90.0])
    for codes in regular_grids(SIZES).locate(lon, lat):
        assert codes[:4] == [""] * 4
        assert codes[4]


@pytest.mark.parametrize("shape", ["square", "hex"])
@pytest.mark.parametrize("lat", [0.3, 31.2, -45.0, 60.0])
def test_a_cell_is_as_large_as_it_says(shape: str, lat: float) -> None:
    grids = regular_grids(SIZES, shape)
    generator = np.random.default_rng(1)
    codes = sorted(set(grids.locate(generator.uniform(121, 121.1, 500), lat + generator.uniform(0, 0.3, 500))[0]))
    sizes = area_m2(np.array([shapely.Polygon(grids.polygon("unit", code)[0][0]) for code in codes]))
    expected = 500**2 * (1 if shape == "square" else np.sqrt(3) / 2)
    assert np.abs(sizes / expected - 1).max() < 0.015


@pytest.mark.parametrize("shape", ["square", "hex"])
def test_cells_tile_the_plane(shape: str) -> None:
    grids = regular_grids({"unit": 500}, shape)
    codes = grids.within("unit", 121.0, 31.0, 121.05, 31.2)
    cells = np.array([shapely.Polygon(grids.polygon("unit", code)[0][0]) for code in codes])
    union = shapely.union_all(cells)
    assert union.area == pytest.approx(float(shapely.area(cells).sum()), rel=1e-12)
    assert union.buffer(1e-9).covers(shapely.box(121.0, 31.0, 121.05, 31.2))
    assert sum(ring.length for part in shapely.get_parts(union) for ring in part.interiors) == 0


def test_nesting_is_declared_only_where_it_is_exact() -> None:
    grids = regular_grids({"unit": 500, "street": 1500, "district": 4000})
    assert [grids.parent_layer(layer) for layer in grids.layers] == ["district", "", ""]
    unit = grids.locate(*POINT)
    assert grids.parent("unit", unit[0][0]) == unit[2][0]
    assert grids.parent("district", unit[2][0]) == ""
    assert regular_grids(SIZES, "hex").parent_layer("unit") == ""
    assert regular_grids(SIZES, "hex").parent_layer("street") == "district"


def test_graph_among_chosen_codes() -> None:
    grids = regular_grids(SIZES)
    here = grids.locate(*POINT)[0][0]
    near = grids.neighbours("unit", here)
    indptr, indices = grids.adjacency("unit", [here, *near])
    assert indices[: indptr[1]].tolist() == list(range(1, len(near) + 1))
    assert grids.adjacency("unit")[1].size == 0
    assert list(grids.codes("unit")) == []
    assert dict(grids.names("unit")) == {}


def test_unknown_layers_and_codes() -> None:
    grids = regular_grids(SIZES)
    for code in ("", "500N1", "2000N1E1", "500N01E1", "500S0E0"):
        with pytest.raises(KeyError):
            grids.polygon("unit", code)
    with pytest.raises(KeyError):
        grids.codes("none")


def test_the_version_tells_sizes_shape_and_names() -> None:
    versions = {
        regular_grids(SIZES).version,
        regular_grids(SIZES, "hex").version,
        regular_grids({"unit": 500}).version,
        regular_grids({"cell": 500}).version,
    }
    assert len(versions) == 4
    assert regular_grids(SIZES).version == regular_grids(dict(SIZES)).version


@pytest.mark.parametrize(
    ("sizes", "shape", "key"),
    [({}, "square", "sizes_m"), ({"a": 0}, "square", "sizes_m"), ({"a": 500, "b": 500}, "square", "rise"),
     ({"a": 1e9}, "hex", "sizes_m"), ({"a": 500}, "round", "shape"), ({"city": 500}, "square", "taken")],
)  # fmt: skip
def test_wrong_sizes_are_refused(sizes: dict[str, float], shape: str, key: str) -> None:
    with pytest.raises(UsageError, match=key):
        regular_grids(sizes, shape)


@pytest.mark.parametrize("shape", ["square", "hex"])
def test_the_made_file_is_the_arithmetic_grid(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "g.geojson"
    count = make_grid((121.40, 31.20, 121.48, 31.26), 500, shape, path)
    made, plain = open_grids(path), regular_grids({"unit": 500}, shape)
    assert count == len(made.codes("unit")) > 200
    generator = np.random.default_rng(2)
    lon, lat = generator.uniform(121.40, 121.48, 2000), generator.uniform(31.20, 31.26, 2000)
    assert made.locate(lon, lat)[0] == plain.locate(lon, lat)[0]
    inner = [code for code in made.codes("unit") if len(made.neighbours("unit", code)) >= 8 - 2 * (shape == "hex")]
    assert all(made.neighbours("unit", code) == plain.neighbours("unit", code) for code in inner)


def test_an_empty_box_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="west < east"):
        make_grid((121.5, 31.2, 121.4, 31.3), 500, "square", tmp_path / "g.geojson")
