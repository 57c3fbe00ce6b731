"""Overlaps of cells and gaps between them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from geo.findings import ERROR, WARNING, Finding, place_of
from geo.layers import Layer
from geo.metres import area_m2

#: below this an area is the rounding of coordinates, not a defect, m²
NOISE_M2 = 0.1
#: from this on (or from this share of the smaller cell) an area is an error, m²; below, a hair crack: a warning
ERROR_M2, ERROR_SHARE = 100.0, 0.01
#: neighbours of a gap that are named
_NAMED = 6


def overlaps(layer: Layer) -> Iterator[Finding]:
    """Pairs of cells whose interiors meet."""
    tree = shapely.STRtree(layer.polygons)
    one, other = tree.query(layer.polygons, predicate="intersects")
    once = one < other
    one, other = one[once], other[once]
    meet = shapely.relate_pattern(layer.polygons[one], layer.polygons[other], "T********")
    one, other = one[meet], other[meet]
    shared = shapely.intersection(layer.polygons[one], layer.polygons[other])
    sizes = area_m2(shared)
    smaller = np.minimum(area_m2(layer.polygons[one]), area_m2(layer.polygons[other]))
    for k in np.lexsort((other, one)):
        size = float(sizes[k])
        if size < min(NOISE_M2, float(smaller[k]) * ERROR_SHARE):
            continue
        level = ERROR if size >= ERROR_M2 or size >= ERROR_SHARE * smaller[k] else WARNING
        codes = layer.codes[one[k]], layer.codes[other[k]]
        en = f"cells {codes[0]} and {codes[1]} overlap by {size:.1f} m²"
        zh = f"网格 {codes[0]} 与 {codes[1]} 重叠 {size:.1f} 平方米"
        yield Finding(level, "overlap", layer.name, codes, place_of(shared[k]), size, en, zh)


def gaps(layer: Layer) -> Iterator[Finding]:
    """Holes of the union: land inside the layer that no cell covers. A gap open to the outside is not one.

    A layer with `enclaves` has holes that belong to somebody else: they are told, as warnings.
    """
    if not len(layer.polygons):
        return
    parts = shapely.get_parts(shapely.union_all(layer.polygons))
    holes = np.array([shapely.Polygon(ring) for part in parts for ring in part.interiors], dtype=object)
    tree = shapely.STRtree(layer.polygons)
    for hole, size in zip(holes, area_m2(holes).tolist(), strict=True):
        if size < NOISE_M2:
            continue
        beside = tuple(sorted(layer.codes[i] for i in tree.query(hole, predicate="intersects")))
        named = ", ".join(beside[:_NAMED])
        en, zh = f"a gap of {size:.1f} m² between cells {named}", f"网格 {named} 之间有 {size:.1f} 平方米的空隙"
        level = ERROR if size >= ERROR_M2 and not layer.spec.enclaves else WARNING
        yield Finding(level, "gap", layer.name, beside, place_of(hole), size, en, zh)
