"""Points to polygons, exactly, a million a second: a lattice answers most points, a tree the ones near a border.

The rule: a point belongs to the polygons that cover it (borders included). Where several do (a shared border, a
shared corner, an overlap) it goes to exactly one, the first in order; callers sort polygons by code, so: to the
smallest code. The answer is the one of shapely's `covers`, for every point; the lattice only saves time:

* the bounds are cut into pixels; every pixel that an edge may touch is marked (with a margin of a millionth pixel);
* between marks, a run of pixels in a row lies inside the same polygons: one look into the tree labels all of it;
* a point in a labelled pixel is answered by one array look-up, a point in a marked one by tree and polygon.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

#: no polygon covers the point
NOWHERE = -1
#: the pixel is crossed by an edge
_MARKED = -2
_MARGIN = 1e-6
_PIXELS_A_POLYGON = 320
_PIXELS_MIN, _PIXELS_MAX = 1 << 20, 1 << 24
#: row pieces of edges worked on at once, bounds the memory of building
_CHUNK = 2_000_000


class PointIndex:
    """Which of `polygons` (valid, in degrees) covers a point. One thread at a time: shapes prepare on use."""

    def __init__(self, polygons: NDArray[np.object_], lattice: Ints | None = None) -> None:
        """`lattice`: that of the same polygons, made before (`self.lattice`); made anew if None (seconds)."""
        self._polygons = polygons
        shapely.prepare(polygons)
        self._tree = shapely.STRtree(polygons)
        self._west, self._south, east, north = shapely.total_bounds(polygons).tolist()
        width, height = max(east - self._west, 1e-9), max(north - self._south, 1e-9)
        pixels = min(max(len(polygons) * _PIXELS_A_POLYGON, _PIXELS_MIN), _PIXELS_MAX)
        self._columns = int(np.clip(np.sqrt(pixels * width / height), 1, pixels))
        self._rows = max(pixels // self._columns, 1)
        # The last column and row end a little beyond the bounds, so that points on the east and north border are in.
        self._x_scale = self._columns * (1 - 1e-9) / width
        self._y_scale = self._rows * (1 - 1e-9) / height
        self.lattice = self._label(self._mark()) if lattice is None else lattice

    def locate(self, lon: Floats, lat: Floats) -> Ints:
        """Position of the covering polygon for each point, shape [n]; NOWHERE where there is none (or NaN)."""
        with np.errstate(over="ignore"):  # what overflows is far away
            x = (lon - self._west) * self._x_scale
            y = (lat - self._south) * self._y_scale
        inside = np.flatnonzero((x >= 0) & (x < self._columns) & (y >= 0) & (y < self._rows))
        pixel = y[inside].astype(np.int32) * self._columns + x[inside].astype(np.int32)
        found = np.full(len(x), NOWHERE, dtype=np.int32)
        found[inside] = self.lattice[pixel]
        marked = np.flatnonzero(found[inside] == _MARKED)
        # By pixel: neighbours in memory are neighbours in the city, which halves the time of tree and polygons.
        near = inside[marked[np.argsort(pixel[marked])]]
        if len(near):
            found[near] = self._exact(lon[near], lat[near])
        return found

    def _exact(self, lon: Floats, lat: Floats) -> Ints:
        found = np.full(len(lon), len(self._polygons), dtype=np.int32)
        point, polygon = self._tree.query(shapely.points(lon, lat))
        covered = shapely.intersects_xy(self._polygons[polygon], lon[point], lat[point])
        np.minimum.at(found, point[covered], polygon[covered].astype(np.int32))
        found[found == len(self._polygons)] = NOWHERE
        return found

    def _mark(self) -> NDArray[np.bool_]:
        """Pixels that an edge may touch, flat."""
        coordinates, ring = shapely.get_coordinates(_rings(self._polygons), return_index=True)
        edge = np.flatnonzero(ring[1:] == ring[:-1])
        x = (coordinates[:, 0] - self._west) * self._x_scale
        y = (coordinates[:, 1] - self._south) * self._y_scale
        low, high = np.where(y[edge] <= y[edge + 1], (edge, edge + 1), (edge + 1, edge))
        first = _pixel(y[low] - _MARGIN, self._rows)
        spans = _pixel(y[high] + _MARGIN, self._rows) - first + 1
        # Marks are differences: +1 where a touched run starts, -1 after it ends; a running sum gives the pixels.
        steps = np.zeros((self._rows, self._columns + 1), dtype=np.int32)
        cuts = np.searchsorted(np.cumsum(spans), np.arange(_CHUNK, spans.sum() + _CHUNK, _CHUNK))
        begin = 0
        for end in [*(cuts + 1).tolist(), len(edge)]:
            part = slice(begin, min(end, len(edge)))
            self._mark_edges(steps, x[low[part]], y[low[part]], x[high[part]], y[high[part]], first[part], spans[part])
            begin = part.stop
        np.cumsum(steps, axis=1, out=steps)
        return np.ascontiguousarray(steps[:, :-1] > 0).ravel()

    def _mark_edges(
        self, steps: Ints, x0: Floats, y0: Floats, x1: Floats, y1: Floats, first: Ints, spans: Ints
    ) -> None:
        """Add the runs of edges (x0, y0)-(x1, y1), y0 <= y1, row by row, in pixel units."""
        edge = np.repeat(np.arange(len(spans)), spans)
        row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(spans) - spans, spans)
        height = np.maximum(y1 - y0, 1e-300)
        slope = (x1 - x0) / height
        enter = np.clip((row - _MARGIN - y0[edge]), 0.0, height[edge])
        leave = np.clip((row + 1 + _MARGIN - y0[edge]), 0.0, height[edge])
        level = (y1 - y0 < _MARGIN)[edge]
        start = np.where(level, x0[edge], x0[edge] + slope[edge] * enter)
        stop = np.where(level, x1[edge], x0[edge] + slope[edge] * leave)
        left = _pixel(np.minimum(start, stop) - _MARGIN, self._columns)
        right = _pixel(np.maximum(start, stop) + _MARGIN, self._columns)
        flat_steps, width = steps.ravel(), self._columns + 1
        np.add.at(flat_steps, row * width + left, 1)
        np.add.at(flat_steps, row * width + right + 1, -1)

    def _label(self, marked: NDArray[np.bool_]) -> Ints:
        """The lattice, flat: a polygon, NOWHERE or _MARKED a pixel."""
        starts = np.empty(len(marked), dtype=np.bool_)
        starts[0] = True
        np.not_equal(marked[1:], marked[:-1], out=starts[1:])
        starts[:: self._columns] = True
        run = np.flatnonzero(starts)
        label = np.full(len(run), _MARKED, dtype=np.int32)
        free = ~marked[run]
        row, column = np.divmod(run[free], self._columns)
        label[free] = self._exact(
            self._west + (column + 0.5) / self._x_scale, self._south + (row + 0.5) / self._y_scale
        )
        return np.repeat(label, np.diff(np.append(run, len(marked))))


def _rings(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    rings: NDArray[np.object_] = shapely.get_rings(shapely.get_parts(polygons))
    return rings


def _pixel(value: Floats, count: int) -> Ints:
    return np.clip(np.floor(value), 0, count - 1).astype(np.int32)
