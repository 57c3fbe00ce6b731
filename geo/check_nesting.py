"""Do layers nest, and are they in the datum they say? Both by comparing a layer with another one.

A wrong datum moves a whole layer by 50 to 700 m, the same way everywhere. Shapes that should coincide are paired
(same code, else children of a parent by code prefix, else the two outlines), the median way between their centres is
the shift, and a shift that equals the one of another datum at that place is named.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.check_cover import ERROR_SHARE, NOISE_M2
from geo.crs import from_wgs84, to_wgs84
from geo.findings import ERROR, WARNING, Finding, place_of
from geo.index import NOWHERE, PointIndex
from geo.layers import Layer
from geo.metres import area_m2, offset_m
from geo.polygons import parents_of

#: a shift is one between these, metres
SHIFT_M = (50.0, 1500.0)
#: paired shapes are the same if their areas agree so well
_SAME_AREA = 0.05
#: the shift is explained if this share of it, or this many metres, remains
_REST_SHARE, _REST_M = 0.25, 20.0
_OTHER_DATUMS = ("wgs84", "gcj02", "bd09")


def nesting(layer: Layer, parent: Layer) -> Iterator[Finding]:
    """Cells in no parent, in another parent than their code says, or partly outside their parent."""
    parents = parents_of(layer, PointIndex(parent.polygons))
    coded = prefix_parents(layer, parent)
    sizes = area_m2(layer.polygons)
    for at in np.flatnonzero(parents == NOWHERE):
        yield _nested(ERROR, "no_parent", layer, int(at), float(sizes[at]), parent.name, "")
    lies, belongs = np.flatnonzero(parents != NOWHERE), parents
    if coded is not None:
        for at in lies[coded[lies] != parents[lies]]:
            yield _nested(
                ERROR, "wrong_parent", layer, int(at), float(sizes[at]), parent.name, parent.codes[parents[at]]
            )
        belongs = coded
        lies = lies[coded[lies] == parents[lies]]
    shapely.prepare(parent.polygons)
    loose = lies[~shapely.covers(parent.polygons[belongs[lies]], layer.polygons[lies])]
    outside = area_m2(shapely.difference(layer.polygons[loose], parent.polygons[belongs[loose]]))
    for at, size in zip(loose.tolist(), outside.tolist(), strict=True):
        if size >= NOISE_M2:
            level = ERROR if size >= ERROR_SHARE * sizes[at] else WARNING
            yield _nested(level, "outside_parent", layer, at, size, parent.name, parent.codes[belongs[at]])


def _nested(level: str, kind: str, layer: Layer, at: int, size: float, parent: str, code: str) -> Finding:
    cell = layer.codes[at]
    en, zh = {
        "no_parent": (f"cell {cell} lies in no cell of {parent}", f"网格 {cell} 不在 {parent} 层任何网格内"),
        "wrong_parent": (
            f"cell {cell} lies in {code} of {parent}, which its code denies",
            f"网格 {cell} 位于 {parent} 层的 {code}，与其编码不符",
        ),
        "outside_parent": (
            f"cell {cell} reaches {size:.1f} m² beyond {code} of {parent}",
            f"网格 {cell} 超出 {parent} 层的 {code} {size:.1f} 平方米",
        ),
    }[kind]
    codes = (cell, code) if code else (cell,)
    return Finding(level, kind, layer.name, codes, place_of(layer.polygons[at]), size, en, zh)


def prefix_parents(layer: Layer, parent: Layer) -> NDArray[np.int32] | None:
    """Position of the parent by code prefix; None unless codes are built that way: one length, a parent for each."""
    lengths = {len(code) for code in parent.codes}
    if len(lengths) != 1:
        return None
    length = lengths.pop()
    place = {code: at for at, code in enumerate(parent.codes)}
    found = [place.get(code[:length], NOWHERE) if len(code) > length else NOWHERE for code in layer.codes]
    return None if NOWHERE in found or not found else np.array(found, dtype=np.int32)


def datum(layer: Layer, other: Layer) -> Iterator[Finding]:
    """A systematic shift of `layer` against `other`, which lies where it should or is declared wrongly itself."""
    pairs = list(_pairs(layer, other))
    if not pairs:
        return
    mine = shapely.get_coordinates(shapely.centroid([pair[0] for pair in pairs]))
    theirs = shapely.get_coordinates(shapely.centroid([pair[1] for pair in pairs]))
    shifts = np.array([offset_m(*b, *a) for a, b in zip(mine.tolist(), theirs.tolist(), strict=True)])
    shift = np.median(shifts, axis=0)
    distance = float(np.hypot(*shift))
    if not SHIFT_M[0] <= distance <= SHIFT_M[1]:
        return
    place = theirs.mean(axis=0)
    rest = max(_REST_M, _REST_SHARE * distance)
    reasons = [(layer, d) for d in _explaining(layer, place, shift, rest)]
    reasons += [(other, d) for d in _explaining(other, place, -shift, rest)]
    way = f"{shift[0]:+.0f} m E, {shift[1]:+.0f} m N"
    kind, level = ("datum", ERROR) if reasons else ("shift", WARNING)
    why_en = " or ".join(f"{who.spec.file} is {d}, not {who.spec.datum}" for who, d in reasons)
    why_zh = "或".join(f"{who.spec.file} 是 {d} 而非 {who.spec.datum}" for who, d in reasons)
    en = f"shifted by {way} against {other.name}" + (f", as if {why_en}" if reasons else ", by no known datum")
    zh = f"相对 {other.name} 偏移 {way}" + (f"，疑似 {why_zh}" if reasons else "，非已知坐标系所致")
    spot = round(float(place[0]), 6), round(float(place[1]), 6)
    yield Finding(level, kind, layer.name, (), spot, 0.0, en, zh)


def _explaining(layer: Layer, place: NDArray[np.float64], shift: NDArray[np.float64], rest: float) -> Iterator[str]:
    """Datums that, mistaken for the declared one, would move the layer by `shift` (metres)."""
    for true in _OTHER_DATUMS:
        if true == layer.spec.datum or (true == "wgs84" and layer.spec.datum == "cgcs2000"):
            continue
        x, y = to_wgs84(*from_wgs84(place[0], place[1], true), layer.spec.datum)
        moved = offset_m(float(place[0]), float(place[1]), float(x), float(y))
        if np.hypot(*(np.array(moved) - shift)) <= rest:
            yield true


def _pairs(layer: Layer, other: Layer) -> Iterator[tuple[shapely.Geometry, shapely.Geometry]]:
    """Shapes of both layers that should coincide."""
    theirs = dict(zip(other.codes, other.polygons, strict=True))
    common = [(mine, theirs[code]) for code, mine in zip(layer.codes, layer.polygons, strict=True) if code in theirs]
    coded = prefix_parents(layer, other)
    if 2 * len(common) >= len(layer.codes):
        pairs = common
    elif coded is not None:
        groups = [(np.flatnonzero(coded == at), shape) for at, shape in enumerate(other.polygons)]
        pairs = [(shapely.union_all(layer.polygons[cells]), shape) for cells, shape in groups if len(cells)]
    else:
        pairs = [(shapely.union_all(layer.polygons), shapely.union_all(other.polygons))]
    for mine, shape in pairs:
        if abs(mine.area - shape.area) <= _SAME_AREA * shape.area:
            yield mine, shape
