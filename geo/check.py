"""`quanyu grids check`: every defect of a city's layers, in a fixed order; nothing is refused or changed.

An error makes answers wrong or keeps the grids from being used; a warning is worth a look. Cells (this file), covers
(`check_cover`: overlaps and gaps) and nesting and datum (`check_nesting`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import shapely

from geo.check_cover import gaps, overlaps
from geo.check_nesting import datum, nesting
from geo.crs import CHINA
from geo.findings import ERROR, WARNING, Finding, place_of
from geo.layers import Layer, is_areal
from geo.metres import METRES_PER_DEGREE, area_m2

#: a cell whose mean width (2 * area / perimeter) is below this is a sliver, metres
SLIVER_M = 1.0
_PLACE = re.compile(r"\[(\S+) ([^\s\]]+)")


def check(layers: Sequence[Layer], reference: Layer | None = None) -> list[Finding]:
    """All findings, layer by layer. `reference`: a layer of known datum to hold every layer against."""
    found: list[Finding] = []
    mended = []
    for layer in layers:
        found += _codes(layer)
        astray = list(_extent(layer))
        found += astray
        if not astray:  # sizes and comparisons need degrees
            found += _shapes(layer)
            if any(is_areal(polygon) for polygon in layer.polygons):
                mended.append(_mended(layer))
    for at, layer in enumerate(mended):
        found += overlaps(layer)
        found += gaps(layer)
        parent = next((other for other in mended if other.name == layer.spec.parent), None)
        others = [parent or mended[-1]] if at + 1 < len(mended) else []
        for other in [*others, *([_mended(reference)] if reference else [])]:
            found += datum(layer, other)
        if parent:
            found += nesting(layer, parent)
    return found


def _mended(layer: Layer) -> Layer:
    """The cells that have a polygon in degrees, made valid, so that the rest can be checked despite a bad ring."""
    polygons = layer.polygons.copy()
    invalid = ~shapely.is_valid(polygons) & ~shapely.is_missing(polygons)
    polygons[invalid] = shapely.make_valid(polygons[invalid], method="structure", keep_collapsed=False)
    keep = [at for at, polygon in enumerate(polygons) if is_areal(polygon)]
    codes, names = (tuple(column[i] for i in keep) for column in (layer.codes, layer.names))
    return Layer(layer.spec, codes, names, polygons[keep], layer.repaired)


def _codes(layer: Layer) -> Iterator[Finding]:
    missing = layer.codes.count("")
    if missing:
        en, zh = f"{missing} cells without a code", f"{missing} 个网格没有编码"
        yield Finding(ERROR, "missing_code", layer.name, (), place_of(layer.polygons[0]), 0.0, en, zh)
    sizes = area_m2(layer.polygons).tolist()
    for code, count in sorted(Counter(layer.codes).items()):
        at = bisect_left(layer.codes, code)
        where = (layer.name, (code,), place_of(layer.polygons[at]), sizes[at])
        if code and count > 1:
            en, zh = f"{count} cells have code {code}", f"{count} 个网格编码同为 {code}"
            yield Finding(ERROR, "duplicate_code", *where, en, zh)
        if code and layer.spec.pattern and not re.search(layer.spec.pattern, code):
            en, zh = f"code {code} is not {layer.spec.pattern}", f"编码 {code} 不符合 {layer.spec.pattern}"
            yield Finding(ERROR, "code_pattern", *where, en, zh)


def _shapes(layer: Layer) -> Iterator[Finding]:
    sizes = area_m2(layer.polygons).tolist()
    valid, reasons = shapely.is_valid(layer.polygons), shapely.is_valid_reason(layer.polygons)
    repaired = set(layer.repaired)
    for at, (code, polygon) in enumerate(zip(layer.codes, layer.polygons, strict=True)):
        size = sizes[at]
        if not is_areal(polygon):
            en, zh = f"cell {code} has no polygon", f"网格 {code} 没有面"
            yield Finding(ERROR, "no_polygon", layer.name, (code,), place_of(polygon), 0.0, en, zh)
        elif not valid[at]:
            spot = _PLACE.search(reasons[at])
            place = (float(spot[1]), float(spot[2])) if spot else None
            en, zh = f"cell {code}: {reasons[at]}", f"网格 {code}：{reasons[at]}"
            yield Finding(ERROR, "invalid", layer.name, (code,), place, size, en, zh)
        elif code in repaired:
            en, zh = f"cell {code} was invalid, used as made valid", f"网格 {code} 无效，按修复后的图形使用"
            yield Finding(WARNING, "repaired", layer.name, (code,), place_of(polygon), size, en, zh)
        elif 2 * size < SLIVER_M * polygon.length * METRES_PER_DEGREE:
            en, zh = f"cell {code} is a sliver of {size:.1f} m²", f"网格 {code} 是 {size:.1f} 平方米的碎屑面"
            yield Finding(WARNING, "sliver", layer.name, (code,), place_of(polygon), size, en, zh)


def _extent(layer: Layer) -> Iterator[Finding]:
    west, south, east, north = shapely.total_bounds(layer.polygons).tolist()
    box = f"{west:.6g} {south:.6g} .. {east:.6g} {north:.6g}"
    if west < -180 or east > 180 or south < -90 or north > 90:
        turned = south >= -180 and north <= 180 and west >= -90 and east <= 90
        en, zh = f"coordinates {box} are no longitude and latitude", f"坐标 {box} 不是经纬度"
        yield Finding(ERROR, "swapped" if turned else "not_degrees", layer.name, (), None, 0.0, en, zh)
    elif layer.spec.datum in ("gcj02", "bd09") and (
        east < CHINA[0] or west > CHINA[1] or north < CHINA[2] or south > CHINA[3]
    ):
        en = f"declared {layer.spec.datum}, but {box} is outside China"
        zh = f"声明为 {layer.spec.datum}，但 {box} 在中国境外"
        yield Finding(ERROR, "outside_china", layer.name, (), ((west + east) / 2, (south + north) / 2), 0.0, en, zh)


def errors(findings: Sequence[Finding]) -> int:
    """How many of them make the grids unfit for use."""
    return sum(finding.level == ERROR for finding in findings)


def as_builtins(findings: Sequence[Finding], lang: str) -> list[dict[str, object]]:
    """Findings for JSON: kind, level, layer, codes, place, size, message and fix in `lang`."""
    return [
        {
            **{key: value for key, value in msgspec.structs.asdict(f).items() if key not in ("en", "zh")},
            "message": f.text(lang),
            "fix": f.fix(lang),
        }
        for f in findings
    ]
