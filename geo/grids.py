"""Grids: which cell of each layer a point lies in. One interface, two kinds: polygons of a city, or a regular grid.

A point on a shared border, a corner or in an overlap goes to exactly one cell: of the cells that cover it, the one
with the smallest code in text order. Where layers nest, the coarser cells are those of the finest cell's parents,
so that one point never counts in a unit and in a street that is not the unit's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geo.adjacency import Graph
from geo.layers import read_layer, read_specs
from geo.polygons import PolygonGrids, sound_layers
from geo.regular import regular_grids
from geo.store import SUFFIX, read_index

__all__ = ["Grids", "MultiPolygon", "open_grids", "regular_grids"]

Floats = NDArray[np.float64]
#: GeoJSON coordinates: polygons of rings of (lon, lat), WGS 84
MultiPolygon = list[list[list[tuple[float, float]]]]


class Grids(Protocol):
    """Versioned, immutable layers of cells; all coordinates WGS 84 degrees."""

    @property
    def version(self) -> str:
        """Content hash; travels with every result."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names, finest first."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""

    def locate(self, lon: Floats, lat: Floats) -> list[list[str]]:
        """A list of n codes for each layer, in the order of `layers`; "" where no cell covers the point, or NaN."""

    def codes(self, layer: str) -> Sequence[str]:
        """All codes of a layer, sorted; empty for a regular grid, which has no end."""

    def names(self, layer: str) -> Mapping[str, str]:
        """Code to name; empty where cells have none."""

    def parent(self, layer: str, code: str) -> str:
        """Code of the cell in the parent layer (see `parent_layer`); "" if the layer does not nest."""

    def parent_layer(self, layer: str) -> str:
        """The layer that `parent` answers in; "" if none."""

    def adjacency(self, layer: str, codes: Sequence[str] | None = None) -> Graph:
        """CSR (indptr, indices) of neighbours among `codes` (default: all of the layer, in the order of `codes()`)."""

    def neighbours(self, layer: str, code: str) -> tuple[str, ...]:
        """Codes of the cells that touch it, sorted."""

    def polygon(self, layer: str, code: str) -> MultiPolygon:
        """Its shape, for maps."""


def open_grids(path: str | Path) -> Grids:
    """Grids of a layer list (.toml), a polygon file or an index that `quanyu grids build` wrote.

    Raises UsageError naming file, cell and fix if a layer is not sound: invalid polygon, missing or double code,
    a code against its pattern, a cell in no parent.
    """
    path = Path(path)
    if path.suffix.lower() == SUFFIX:
        return read_index(path)
    return PolygonGrids.build(sound_layers([read_layer(spec) for spec in read_specs(path)]))
