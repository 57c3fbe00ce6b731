"""locate: Signal -> Located. Where it was: WGS 84, a cell of each layer, keys of the place.

Pure and stateless; the grids are versioned configuration. A batch is one join: the same signals cut otherwise give
the same answers.

* No coordinate, half of one, one that is not finite, or one in a datum nobody knows: quality "unlocated", no cells.
  It is never guessed.
* A coordinate in no cell of the finest layer: "outside"; a coarser layer may still hold it.
* `uncertainty_m` stays 0 (unknown): turning a datum adds less than a metre, and how well the source measured it says
  none of them. A small number here would claim a precision that nobody has promised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geo.address.keys import place_key
from geo.crs import find_datum, to_wgs84
from geo.grids import Grids
from schemas import Located, Signal

Floats = NDArray[np.float64]


class Locate:
    """The room, for one version of the grids."""

    def __init__(self, grids: Grids) -> None:
        self.grids = grids

    def step(self, signals: Sequence[Signal]) -> list[Located]:
        """One Located for each signal, in order."""
        if not signals:
            return []
        lons, lats = _wgs84(signals)
        cells = zip(*self.grids.locate(lons, lats), strict=True)
        return [
            _located(signal, cell, lon, lat)
            for signal, cell, lon, lat in zip(signals, cells, lons.tolist(), lats.tolist(), strict=True)
        ]


def _located(signal: Signal, cells: tuple[str, ...], lon: float, lat: float) -> Located:
    if lon != lon:  # NaN: no coordinate
        key = place_key(signal.address, None, None)
        return Located(signal, cells, None, None, (key,) if key else (), 0.0, "unlocated")
    key = place_key(signal.address, lon, lat)
    return Located(signal, cells, lon, lat, (key,) if key else (), 0.0, "point" if cells[0] else "outside")


def _wgs84(signals: Sequence[Signal]) -> tuple[Floats, Floats]:
    """Longitudes and latitudes, degrees; NaN in both where there is no usable coordinate."""
    x = np.array([signal.x for signal in signals], dtype=np.float64)
    y = np.array([signal.y for signal in signals], dtype=np.float64)
    unusable = ~(np.isfinite(x) & np.isfinite(y))
    declared = [signal.datum for signal in signals]
    for datum in dict.fromkeys(declared):
        known = find_datum(datum)
        if known in ("wgs84", "cgcs2000"):
            continue
        ours = np.array([other == datum for other in declared])
        if known:
            x[ours], y[ours] = to_wgs84(x[ours], y[ours], known)
        else:
            unusable |= ours
    x[unusable] = y[unusable] = np.nan
    return x, y
