"""How fast and how exactly points find their cells: `python -m bench.join [--polygons FILE | --cells N] [--points N]`.

Without a file: Voronoi cells in a box of the size of a city. Half of the exactness sample lies on vertices and edges.
The locate room is measured on a nested city of 10,000 units, streets and districts, in batches of 5,000.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import shapely
from numpy.typing import NDArray

from bench.report import Report, best_of
from geo.grids import Grids, open_grids
from geo.layers import Layer, LayerSpec
from geo.polygons import PolygonGrids
from schemas import Signal
from streams.rooms.locate import Locate

Floats = NDArray[np.float64]

BOX = (121.2, 31.0, 121.7, 31.4)
BATCH = 100_000


def voronoi_layer(cells: int, seed: int) -> Layer:
    """A layer "unit" of irregular cells with wavy shared borders, 16 vertices on average; codes 000000, ..."""
    generator = np.random.default_rng(seed)
    seeds = shapely.multipoints(_uniform(generator, BOX, cells))
    diagram = shapely.get_parts(shapely.voronoi_polygons(seeds, ordered=True))
    width = float(np.sqrt((BOX[2] - BOX[0]) * (BOX[3] - BOX[1]) / cells))
    polygons = shapely.segmentize(shapely.intersection(diagram, shapely.box(*BOX)), width / 3)
    polygons = shapely.transform(polygons, lambda at: (at + 0.03 * width * np.sin(at[:, ::-1] * 6 / width)).round(9))
    codes = tuple(f"{at:06d}" for at in range(cells))
    return Layer(LayerSpec(name="unit", file="(made)"), codes, codes, polygons)


def _uniform(generator: np.random.Generator, box: tuple[float, float, float, float], count: int) -> Floats:
    west, south, east, north = box
    return generator.random((count, 2)) * [east - west, north - south] + [west, south]


def brute_force(polygons: NDArray[np.object_], codes: Sequence[str], points: Floats) -> list[str]:
    """Smallest code whose polygon covers each point, by plain `covers` on every polygon whose box holds it."""
    west, south, east, north = shapely.bounds(polygons).T
    found = []
    for x, y in points:
        near = np.flatnonzero((west <= x) & (x <= east) & (south <= y) & (y <= north))
        covering = near[shapely.covers(polygons[near], shapely.Point(x, y))]
        found.append(min((codes[at] for at in covering), default=""))
    return found


def sample(polygons: NDArray[np.object_], box: tuple[float, float, float, float], count: int, seed: int) -> Floats:
    """Points anywhere, on vertices and on the middle of edges; shape [count, 2]."""
    generator = np.random.default_rng(seed)
    vertices = shapely.get_coordinates(polygons)
    at = generator.integers(0, len(vertices) - 1, count // 4)
    middles = (vertices[at] + vertices[at + 1]) / 2
    return np.concatenate([_uniform(generator, box, count - 2 * len(at)), vertices[at], middles])


def _throughput(grids: Grids, points: Floats, size: int) -> float:
    lon, lat = points[:, 0].copy(), points[:, 1].copy()

    def run() -> None:
        for start in range(0, len(lon), size):
            grids.locate(lon[start : start + size], lat[start : start + size])

    return len(lon) / best_of(5, run)[0]


def nested_city(cells: int, seed: int) -> PolygonGrids:
    """Voronoi units in streets and districts, each a union of whole units (by tiles of the box)."""
    unit = voronoi_layer(cells, seed)
    centres = shapely.get_coordinates(shapely.centroid(unit.polygons))
    layers = [Layer(LayerSpec(name="unit", file="(made)", parent="street"), unit.codes, unit.codes, unit.polygons)]
    for name, parent, tiles in (("street", "district", 12), ("district", "", 3)):
        west, south, east, north = BOX
        places = ((centres - [west, south]) / [east - west, north - south] * tiles).astype(int).clip(0, tiles - 1)
        tile = places[:, 0] * tiles + places[:, 1]
        codes = tuple(f"{name[0]}{at:03d}" for at in np.unique(tile))
        shapes = np.array([shapely.union_all(unit.polygons[tile == at]) for at in np.unique(tile)], dtype=object)
        layers.append(Layer(LayerSpec(name=name, file="(made)", parent=parent), codes, codes, shapes))
    return PolygonGrids.build(layers)


def room_us(datum: str, seed: int) -> float:
    """Microseconds a signal takes in the locate room, addresses repeating as a city's do."""
    generator = np.random.default_rng(seed)
    room = Locate(nested_city(10_000, seed))
    places, houses = _uniform(generator, BOX, 5_000).tolist(), generator.integers(1, 2_000, 5_000).tolist()
    signals = [
        Signal(str(at), "110", 1, 0, 0, 0, "治安", x=x, y=y, datum=datum, address=f"东城区人民路{houses[at]}号3幢")
        for at, (x, y) in enumerate(places)
    ]
    return best_of(20, lambda: room.step(signals))[0] / len(signals) * 1e6


@click.command()
@click.option("--polygons", type=click.Path(path_type=Path), help="Layer list, polygon file or index.")
@click.option("--cells", default=50_000, show_default=True, help="Cells to make without a file.")
@click.option("--points", default=1_000_000, show_default=True)
@click.option("--sample", "sampled", default=4_000, show_default=True, help="Points checked by brute force.")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(polygons: Path | None, cells: int, points: int, sampled: int, seed: int, as_json: bool) -> None:
    """Points to cells: speed, time to build the index, exactness against brute force."""
    made = None if polygons else voronoi_layer(cells, seed)
    start = time.perf_counter()
    grids = open_grids(polygons) if polygons else PolygonGrids.build([made] if made else [])
    build_s = time.perf_counter() - start
    assert isinstance(grids, PolygonGrids)
    finest = grids.content()[0]
    places = _uniform(np.random.default_rng(seed + 1), grids.bounds, points)
    tried = sample(finest.polygons, grids.bounds, sampled, seed + 2)
    answers = grids.locate(tried[:, 0].copy(), tried[:, 1].copy())[0]
    truth = brute_force(finest.polygons, finest.codes, tried)
    right = sum(a == b for a, b in zip(answers, truth, strict=True))

    report = Report("join")
    report.figure("points_per_second", _throughput(grids, places, BATCH), "1/s", at_least=1e6)
    report.figure("points_per_second_batch_5000", _throughput(grids, places, 5_000), "1/s", at_least=1e6)
    report.figure("build_seconds", build_s, "s", at_most=15.0)
    report.figure("exact_share", right / len(truth), "share", at_least=1.0)
    for datum in ("wgs84", "gcj02"):
        report.figure(f"locate_room_us_per_signal_{datum}", room_us(datum, seed), "us", at_most=2.5)
    report.value("polygons", len(finest.codes))
    report.value("vertices_mean", round(float(shapely.get_num_coordinates(finest.polygons).mean()), 1))
    report.value("layers", list(grids.layers))
    report.value("points", points)
    report.value("sample", len(truth))
    report.print(as_json)


if __name__ == "__main__":
    main()
