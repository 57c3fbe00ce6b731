"""Grids made of a city's polygons."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.adjacency import Graph, adjacency, graph_of
from geo.index import NOWHERE, PointIndex
from geo.layers import Layer, is_areal
from schemas.errors import UsageError

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class PolygonLayer:
    """A sound layer, cells sorted by code. `parents[i]` is the position of cell i's parent in `parent`'s layer."""

    name: str
    parent: str
    codes: tuple[str, ...]
    names: tuple[str, ...]
    polygons: NDArray[np.object_]
    parents: Ints
    index: PointIndex
    graph: Graph

    @cached_property
    def position(self) -> dict[str, int]:
        """Code to position."""
        return {code: at for at, code in enumerate(self.codes)}

    @cached_property
    def table(self) -> NDArray[np.object_]:
        """Position to code; NOWHERE, being -1, reads the last entry, which is ""."""
        return np.array([*self.codes, ""], dtype=object)

    @cached_property
    def up(self) -> Ints:
        """Position to parent's position, NOWHERE to NOWHERE."""
        return np.append(self.parents, np.int32(NOWHERE))


class PolygonGrids:
    """See `geo.grids.Grids`."""

    def __init__(self, layers: Sequence[PolygonLayer], version: str) -> None:
        self.version = version
        self.layers = tuple(layer.name for layer in layers)
        self._layers = {layer.name: layer for layer in layers}
        self._child = {layer.parent: layer.name for layer in reversed(layers) if layer.parent}
        west, south, east, north = np.array([shapely.total_bounds(layer.polygons) for layer in layers]).T
        self.bounds = (float(west.min()), float(south.min()), float(east.max()), float(north.max()))

    @classmethod
    def build(cls, layers: Sequence[Layer]) -> PolygonGrids:
        """Index sound layers, find every cell's parent and neighbours. Raises UsageError for a cell in no parent."""
        indexes = {layer.name: PointIndex(layer.polygons) for layer in layers}
        by_name = {layer.name: layer for layer in layers}
        built = []
        for layer in layers:
            parents = np.full(len(layer.codes), NOWHERE, dtype=np.int32)
            if layer.spec.parent:
                parents = parents_of(layer, indexes[layer.spec.parent])
                _check_nesting(layer, by_name[layer.spec.parent], parents)
            built.append(
                PolygonLayer(
                    layer.name,
                    layer.spec.parent,
                    layer.codes,
                    layer.names,
                    layer.polygons,
                    parents,
                    indexes[layer.name],
                    adjacency(layer.polygons),
                )
            )
        return cls(built, version_of(layers))

    def content(self) -> tuple[PolygonLayer, ...]:
        """The layers, for writing an index file."""
        return tuple(self._layers.values())

    def positions(self, lon: Floats, lat: Floats) -> list[Ints]:
        """Like `locate`, as positions in `codes`; NOWHERE where no cell covers the point."""
        found: dict[str, Ints] = {}
        for name, layer in self._layers.items():
            child = self._child.get(name)
            if child is None:
                found[name] = layer.index.locate(lon, lat)
                continue
            cells = self._layers[child].up[found[child]]
            lost = np.flatnonzero(cells == NOWHERE)
            if len(lost):  # a coordinate in a hole of the finer layer still has its street and district
                cells[lost] = layer.index.locate(lon[lost], lat[lost])
            found[name] = cells
        return list(found.values())

    def locate(self, lon: Floats, lat: Floats) -> list[list[str]]:
        """A list of n codes for each layer."""
        positions = self.positions(lon, lat)
        return [layer.table[at].tolist() for layer, at in zip(self._layers.values(), positions, strict=True)]

    def codes(self, layer: str) -> Sequence[str]:
        """All codes of a layer, sorted."""
        return self._layers[layer].codes

    def names(self, layer: str) -> MappingProxyType[str, str]:
        """Code to name."""
        found = self._layers[layer]
        return MappingProxyType(dict(zip(found.codes, found.names, strict=True)))

    def parent_layer(self, layer: str) -> str:
        """Name of the declared parent layer, or ""."""
        return self._layers[layer].parent

    def parent(self, layer: str, code: str) -> str:
        """Code of the parent cell, or ""."""
        found = self._layers[layer]
        at = int(found.parents[found.position[code]])
        return self._layers[found.parent].codes[at] if at != NOWHERE else ""

    def adjacency(self, layer: str, codes: Sequence[str] | None = None) -> Graph:
        """CSR of neighbours among `codes` (default: all)."""
        found = self._layers[layer]
        if codes is None:
            return found.graph
        chosen = np.full(len(found.codes), NOWHERE, dtype=np.int64)
        chosen[[found.position[code] for code in codes]] = np.arange(len(codes))
        one = chosen[np.repeat(np.arange(len(found.codes)), np.diff(found.graph[0]))]
        other = chosen[found.graph[1]]
        kept = (one != NOWHERE) & (other != NOWHERE)
        return graph_of(one[kept], other[kept], len(codes))

    def neighbours(self, layer: str, code: str) -> tuple[str, ...]:
        """Codes of the cells that touch it, sorted."""
        found = self._layers[layer]
        at = found.position[code]
        indptr, indices = found.graph
        return tuple(found.codes[i] for i in indices[indptr[at] : indptr[at + 1]])

    def polygon(self, layer: str, code: str) -> list[list[list[tuple[float, float]]]]:
        """GeoJSON MultiPolygon coordinates."""
        found = self._layers[layer]
        parts = shapely.get_parts(found.polygons[found.position[code]])
        return [[[(x, y) for x, y in ring.coords] for ring in [part.exterior, *part.interiors]] for part in parts]


def parents_of(layer: Layer, parent: PointIndex) -> Ints:
    """Position of the parent that holds a point well inside each cell; NOWHERE if none does."""
    inner = shapely.get_coordinates(shapely.point_on_surface(layer.polygons))
    return parent.locate(inner[:, 0].copy(), inner[:, 1].copy())


def _check_nesting(layer: Layer, parent: Layer, parents: Ints) -> None:
    for at in np.flatnonzero(parents == NOWHERE)[:1]:
        raise UsageError(
            f"{layer.spec.file}: cell {layer.codes[at]} lies in no cell of its parent layer {parent.name!r} "
            f"({parent.spec.file}); see `quanyu grids check`",
            f"{layer.spec.file}：网格 {layer.codes[at]} 不在上级图层 {parent.name!r}（{parent.spec.file}）的"
            "任何网格内；请运行 `quanyu grids check`",
        )


def sound_layers(layers: list[Layer]) -> list[Layer]:
    """The same layers; raises UsageError for the first defect that would make an answer wrong."""
    for layer in layers:
        seen: set[str] = set()
        for code, polygon in zip(layer.codes, layer.polygons, strict=True):
            problem = _problem(layer, code, polygon) or (("double code", "编码重复") if code in seen else None)
            seen.add(code)
            if problem:
                file, cell = layer.spec.file, code or "?"
                raise UsageError(
                    f"{file}: cell {cell}: {problem[0]}; see `quanyu grids check {file}`",
                    f"{file}：网格 {cell}：{problem[1]}；请运行 `quanyu grids check {file}`",
                )
    return layers


def _problem(layer: Layer, code: str, polygon: shapely.Geometry | None) -> tuple[str, str] | None:
    if not code:
        return "no code", "缺少编码"
    if layer.spec.pattern and not re.search(layer.spec.pattern, code):
        return f"code is not {layer.spec.pattern}", f"编码不符合 {layer.spec.pattern}"
    if polygon is None or not is_areal(polygon):
        return "not a polygon", "不是面"
    if not polygon.is_valid:
        reason = shapely.is_valid_reason(polygon)
        return (
            f"invalid polygon ({reason}); mend it or set repair = true",
            f"面无效（{reason}）；请修正或设 repair = true",
        )
    west, south, east, north = polygon.bounds
    if west < -180 or east > 180 or south < -90 or north > 90:
        return "coordinates are not degrees", "坐标不是经纬度"
    return None


def version_of(layers: Sequence[Layer]) -> str:
    """Content hash (12 hex digits) of names, codes and shapes: equal content, equal version, whatever the file form."""
    digest = hashlib.blake2b(digest_size=6)
    for layer in layers:
        head = [layer.name, layer.spec.parent, str(len(layer.codes)), *layer.codes, *layer.names]
        digest.update("\x1f".join(head).encode())
        for shape in shapely.to_wkb(layer.polygons, byte_order=1):
            digest.update(shape)
    return digest.hexdigest()
