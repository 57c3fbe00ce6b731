"""The simulated city: cells tile it exactly, codes nest by prefix, layers are as `quanyu grids` wants them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import shapely

from geo.grids import open_grids
from schemas import UsageError
from streams.simulator.city import City, make_city
from streams.simulator.layers import write_layers
from streams.simulator.places import points
from streams.simulator.reports import CROSSING, Reports


@pytest.fixture(scope="module")
def city() -> City:
    return make_city(5, 600)


@pytest.fixture(scope="module")
def layers(city: City, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    assert write_layers(city, folder)[0] == "grids.toml"
    return folder


def shapes(folder: Path, layer: str) -> dict[str, shapely.Geometry]:
    found = msgspec.json.decode((folder / f"{layer}.geojson").read_bytes())["features"]
    return {f["properties"]["code"]: shapely.from_geojson(msgspec.json.encode(f["geometry"])) for f in found}


def test_cells_tile_the_city(layers: Path) -> None:
    cells = np.array(list(shapes(layers, "unit").values()))
    hull = shapely.union_all(cells)
    assert len(cells) == 600
    assert shapely.is_valid(cells).all()
    # No overlap: the areas add up to that of the union. No gap: the union is one piece without holes.
    assert shapely.area(cells).sum() == pytest.approx(hull.area, rel=1e-12)
    assert hull.geom_type == "Polygon"
    assert len(hull.interiors) == 0


@pytest.mark.parametrize(("layer", "digits"), [("street", 9), ("district", 6)])
def test_parents_are_unions_of_whole_cells(layers: Path, layer: str, digits: int) -> None:
    units = shapes(layers, "unit")
    for code, shape in shapes(layers, layer).items():
        assert len(code) == digits
        assert shape.is_valid
        below = shapely.union_all([unit for c, unit in units.items() if c.startswith(code)])
        assert shapely.equals(shape, below)


def test_names_and_codes(city: City) -> None:
    assert len(set(city.codes)) == city.cells
    assert all(len(code) == 15 and code.isdigit() for code in city.codes)
    assert 6 <= len(city.districts) <= 16
    assert 60 <= len(city.streets) <= 200
    for area in city.streets:
        assert area.code.startswith(city.districts[area.parent].code)
        number = int(area.code[6:])
        assert (1 <= number <= 99 and area.name.endswith("街道")) or (100 <= number <= 199 and area.name.endswith("镇"))
    assert len(set(city.compounds)) == city.cells
    assert len({area.name for area in city.streets}) == len(city.streets)


def test_the_grids_tool_reads_the_layers(city: City, layers: Path) -> None:
    grids = open_grids(layers / "grids.toml")
    assert grids.layers == ("unit", "street", "district")
    cell = np.arange(city.cells)
    lon, lat = city.place(cell, np.full(city.cells, 0.3), np.full(city.cells, 0.7))
    units, streets, districts = grids.locate(lon, lat)
    assert tuple(units) == city.codes
    assert streets == [code[:9] for code in city.codes]
    assert districts == [code[:6] for code in city.codes]


def test_every_place_lies_in_its_cell(city: City) -> None:
    rng = np.random.default_rng(1)
    n = 20_000
    zero = np.zeros(n, dtype=np.int64)
    cell, where = rng.integers(0, city.cells, n), rng.integers(0, 4, n)
    spot = np.where(where == CROSSING, 0, rng.integers(1, 400, n))
    told = Reports(zero, cell, zero, spot, zero, where, zero, zero - 1, zero, zero, zero, zero - 1)
    lon, lat = points(city, told, rng)
    polygons = shapely.polygons(city.points[city.rings])
    assert shapely.contains_xy(polygons[cell], lon, lat).all()


@pytest.mark.parametrize("size", [23, 50_001])
def test_size_out_of_range(size: int) -> None:
    with pytest.raises(UsageError, match="24 to 50000"):
        make_city(1, size)


def test_largest_city() -> None:
    city = make_city(2, 50_000)
    assert len(set(city.codes)) == 50_000
    assert (len(city.districts), len(city.streets)) == (16, 200)
