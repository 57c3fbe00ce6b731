"""Pairs of points that are near each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

#: pairs that are kept at most: 24 bytes each while they are made
MOST_PAIRS = 50_000_000


class TooManyPairs(ValueError):
    """More near pairs than fit into memory: take a smaller distance."""


def reach(most: float) -> float:
    """Distances and spans that are as long as `most` but for rounding are still within it."""
    return most * (1 + 1e-9)


def near_pairs(points: NDArray[np.float64], distance: float, norm: float = 2.0) -> NDArray[np.int32]:
    """[m, 2] numbers, the smaller first, of points [n, dimensions] at most `distance` apart.

    norm: 2 for circles, inf for squares.
    """
    tree, most = cKDTree(points), reach(distance)
    many = (int(tree.count_neighbors(tree, most, p=norm)) - len(points)) // 2
    if many > MOST_PAIRS:
        raise TooManyPairs(f"{many} pairs; at most {MOST_PAIRS}")
    return tree.query_pairs(most, p=norm, output_type="ndarray").astype(np.int32)
