"""Which cells are neighbours: those that touch, even in one point, or lie within about a metre of each other.

The metre bridges the hair cracks of hand-drawn borders. Graphs are CSR: the neighbours of cell i are
`indices[indptr[i]:indptr[i + 1]]`, sorted, never i itself; the graph is symmetric.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Graph = tuple[Ints, Ints]

#: about a metre, degrees
TOUCH_DEGREES = 1e-5


def adjacency(polygons: NDArray[np.object_]) -> Graph:
    """(indptr [n + 1], indices [m]) of polygons in degrees."""
    tree = shapely.STRtree(polygons)
    one, other = tree.query(polygons, predicate="dwithin", distance=TOUCH_DEGREES)
    return graph_of(one, other, len(polygons))


def graph_of(one: NDArray[np.integer], other: NDArray[np.integer], count: int) -> Graph:
    """CSR of the pairs (one[k], other[k]) among `count` cells; both ways, pairs of a cell with itself left out."""
    apart = one != other
    both = np.concatenate([one[apart], other[apart]]), np.concatenate([other[apart], one[apart]])
    keys = np.unique(both[0].astype(np.int64) * count + both[1])
    start, indices = np.divmod(keys, count)
    indptr = np.searchsorted(start, np.arange(count + 1))
    return indptr.astype(np.int32), indices.astype(np.int32)
