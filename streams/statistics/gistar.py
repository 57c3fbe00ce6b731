"""Getis-Ord local statistics: where high or low values lie together (Getis & Ord 1992; Ord & Getis 1995).

A layer for maps. It is no alarm: neighbouring zones are tested again and again, and nothing corrects for that.

Neighbours are CSR: those of zone i are `indices[indptr[i]:indptr[i + 1]]`, never i itself, with `weights` alongside
(binary if None). The definitions are those of esda's G_Local and spdep's localG.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.statistics.pairs import near_pairs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: spreads below this share of the values' size are rounding
_NOTHING = 1e-12


@dataclass(frozen=True)
class Neighbours:
    """Who is near whom, and how much it counts."""

    indptr: Ints
    indices: Ints
    weights: Floats | None = None

    def weight(self) -> Floats:
        """[m], ones if none were given."""
        return np.ones(len(self.indices)) if self.weights is None else self.weights

    def by_row(self) -> Neighbours:
        """Weights that add up to 1 in each row."""
        sums = _sums(self.indptr, self.weight())
        shared = self.weight() / np.repeat(np.where(sums == 0, 1, sums), np.diff(self.indptr))
        return Neighbours(self.indptr, self.indices, shared)


def within(points: Floats, distance: float) -> Neighbours:
    """Neighbours at most so far away (inclusive); points: [n, dimensions]."""
    found = near_pairs(points, distance)
    one, other = np.concatenate((found, found[:, ::-1])).T
    order = np.lexsort((other, one))
    return Neighbours(np.searchsorted(one[order], np.arange(len(points) + 1)), other[order].astype(np.int64))


def with_itself(neighbours: Neighbours, weight: float | Floats = 1.0) -> Neighbours:
    """Every zone its own neighbour too, as Gi* wants it; a given weight, or one a zone."""
    count = len(neighbours.indptr) - 1
    at = neighbours.indptr[1:]
    own = np.broadcast_to(np.asarray(weight, dtype=np.float64), count)
    weights = np.insert(neighbours.weight(), at, own)
    return Neighbours(
        neighbours.indptr + np.arange(count + 1), np.insert(neighbours.indices, at, np.arange(count)), weights
    )


def gi_star(values: Floats, neighbours: Neighbours) -> Floats:
    """z of each zone and its neighbours against all values; neighbours hold the zone itself (`with_itself`).

    An island is compared alone. Where all values are equal, or all zones are neighbours alike: 0.
    """
    n = len(values)
    mean, spread = float(values.mean()), float(values.std())
    weight = neighbours.weight()
    sums, squares = _sums(neighbours.indptr, weight), _sums(neighbours.indptr, weight**2)
    local = _sums(neighbours.indptr, weight * values[neighbours.indices])
    room = np.maximum(n * squares - sums**2, 0) / max(n - 1, 1)
    return _z(local - mean * sums, spread, room, n * squares, abs(mean))


def gi(values: Floats, neighbours: Neighbours) -> Floats:
    """z of each zone's neighbours, without itself, against all other values.

    NaN for an island: it has nothing to say. 0 where all other values are equal, or all others are neighbours alike.
    """
    n = len(values)
    if n < 2:
        return np.full(n, np.nan)
    others = n - 1
    mean = (values.sum() - values) / others
    centred = values - values.mean()
    spread = np.sqrt(np.maximum((np.sum(centred**2) - centred**2) / others - (centred / others) ** 2, 0))
    weight = neighbours.weight()
    sums, squares = _sums(neighbours.indptr, weight), _sums(neighbours.indptr, weight**2)
    local = _sums(neighbours.indptr, weight * values[neighbours.indices])
    room = np.maximum(others * squares - sums**2, 0) / max(others - 1, 1)
    z = _z(local - mean * sums, spread, room, others * squares, np.abs(mean))
    z[squares == 0] = np.nan
    return z


def _z(excess: Floats, spread: Floats | float, room: Floats, scale: Floats, mean: Floats | float) -> Floats:
    sound = (np.asarray(spread) > _NOTHING * np.asarray(mean)) & (room > _NOTHING * scale)
    found: Floats = np.where(sound, excess / np.where(sound, spread * np.sqrt(room), 1.0), 0.0)
    return found


def _sums(indptr: Ints, terms: Floats) -> Floats:
    """Sums of each row."""
    found = np.zeros(len(indptr) - 1)
    np.add.at(found, np.repeat(np.arange(len(found)), np.diff(indptr)), terms)
    return found
