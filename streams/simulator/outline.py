"""Rings of a union of cells that share their vertices, by edges alone: no geometry library, no rounding.

Cells are rings of vertex numbers, anticlockwise, with a vertex of its own inside every edge. An edge used by two cells
of the union runs once each way and falls out; what is left is the outline. Loops are cut where they touch themselves,
so that every ring is simple.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Ring = list[int]
Points = NDArray[np.float64]


def outline(rings: NDArray[np.int64], points: Points) -> list[list[Ring]]:
    """Polygons of the union of `rings` (int[n, k]): each a list of an outer ring and its holes, vertex numbers.

    Outer rings run anticlockwise, holes clockwise (RFC 7946); rings are not closed (the first is not repeated).
    """
    edges = set(zip(rings.ravel().tolist(), np.roll(rings, -1, axis=1).ravel().tolist(), strict=True))
    following: dict[int, list[int]] = {}
    for a, b in sorted(edge for edge in edges if (edge[1], edge[0]) not in edges):
        following.setdefault(a, []).append(b)
    outers: list[list[Ring]] = []
    holes: list[Ring] = []
    while following:
        for ring in _simple(_walk(following, points)):
            if signed_area(points[ring]) > 0:
                outers.append([ring])
            else:
                holes.append(ring)
    for hole in holes:
        # Vertices where rings touch belong to both; a vertex of the hole alone decides.
        around = [p for p in outers if _covers(points[p[0]], points[next(v for v in hole if v not in p[0])])]
        min(around, key=lambda p: signed_area(points[p[0]])).append(hole)
    return outers


def signed_area(ring: Points) -> float:
    """Area of a ring float[n, 2], positive if anticlockwise (shoelace formula, about the first vertex)."""
    x, y = (ring - ring[0]).T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _walk(following: dict[int, list[int]], points: Points) -> Ring:
    """Take one closed walk out of the remaining edges. Where cells touch at a corner it turns left, to its own cell:

    it goes round cells that hang together by edges, and the rings it is cut into touch one another once at most.
    """
    start = next(vertex for vertex, ways in following.items() if len(ways) == 1)
    walk = [start]
    while True:
        here = walk[-1]
        ways = following[here]
        there = ways[0] if len(ways) == 1 else max(ways, key=lambda way: _left(points[[walk[-2], here, way]]))
        ways.remove(there)
        if not following[here]:
            del following[here]
        if there == start:
            return walk
        walk.append(there)


def _left(path: Points) -> float:
    """Angle by which a path float[3, 2] turns left at its middle point."""
    (x1, y1), (x2, y2) = np.diff(path, axis=0).tolist()
    return math.atan2(x1 * y2 - y1 * x2, x1 * x2 + y1 * y2)


def _simple(walk: Ring) -> list[Ring]:
    """Cut a closed walk into rings that visit no vertex twice."""
    rings, path, at = [], list[int](), dict[int, int]()
    for vertex in walk:
        if vertex in at:
            cut = at[vertex]
            rings.append(path[cut:])
            for gone in path[cut:]:
                del at[gone]
            del path[cut:]
        at[vertex] = len(path)
        path.append(vertex)
    return [*rings, path]


def _covers(ring: Points, point: Points) -> bool:
    """Even-odd rule: whether `point` float[2] lies inside `ring` float[n, 2]."""
    x, y = ring.T
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    crosses = (y > point[1]) != (y2 > point[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x + (point[1] - y) / (y2 - y) * (x2 - x)
    return bool(np.count_nonzero(crosses & (point[0] < at)) % 2)
