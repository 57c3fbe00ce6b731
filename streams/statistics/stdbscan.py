"""ST-DBSCAN: groups of events that are dense in space and time (Ester et al. 1996; Birant & Kut 2007). For comparison.

Two events are neighbours if they are near in space *and* in time (both inclusive); a core has at least `fewest`
neighbours, itself among them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from streams.statistics.pairs import near_pairs, reach

Floats = NDArray[np.float64]

NOISE = 0


def st_dbscan(
    points: Floats, time: Floats, distance: float, span: float, fewest: int, norm: float = 2.0
) -> NDArray[np.int64]:
    """Cluster of each event, from 1 in the order of their first cores; 0 is noise. points: [n, dimensions]; time: [n].

    An edge event that two clusters reach belongs to the one with the smaller number. norm: as in
    `near_pairs`.
    """
    n = len(points)
    pairs = near_pairs(points, distance, norm)
    pairs = pairs[np.abs(time[pairs[:, 0]] - time[pairs[:, 1]]) <= reach(span)]
    core = np.bincount(pairs.ravel(), minlength=n) + 1 >= fewest
    cores = pairs[core[pairs].all(axis=1)]
    links = coo_array((np.ones(len(cores), dtype=bool), (cores[:, 0], cores[:, 1])), shape=(n, n))
    component = connected_components(links, directed=False)[1]
    found = np.zeros(n, dtype=np.int64)
    label, first = np.unique(component[core], return_index=True)
    number = np.zeros(n, dtype=np.int64)
    number[label[np.argsort(first)]] = np.arange(1, len(label) + 1)
    found[core] = number[component[core]]
    both = np.concatenate((pairs, pairs[:, ::-1]))
    edge = both[core[both[:, 0]] & ~core[both[:, 1]]]
    nearest = np.full(n, n + 1)
    np.minimum.at(nearest, edge[:, 1], found[edge[:, 0]])
    return np.where(core, found, np.where(nearest <= n, nearest, NOISE))
