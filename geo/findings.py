"""What `quanyu grids check` finds, and what to do about each kind."""

from __future__ import annotations

import shapely
from msgspec import Struct

ERROR, WARNING = "error", "warning"

#: kind -> fix in English and Chinese
FIXES = {
    "no_polygon": ("give the cell a polygon or remove the feature", "请为该网格补上面，或删除该要素"),
    "invalid": (
        "mend the ring, or set repair = true in the layer list",
        "请修正边界环，或在图层清单中设 repair = true",
    ),
    "repaired": ("look at the mended shape; mend the file itself when you can", "请核对修复结果，并择机修正文件本身"),
    "missing_code": ("give the cell a code", "请为该网格补上编码"),
    "duplicate_code": (
        "merge the parts into one MultiPolygon, or give each its own code",
        "请合并为一个多面，或分别编码",
    ),
    "code_pattern": ("correct the code, or the layer's pattern", "请修正编码，或修正图层的 pattern"),
    "not_degrees": (
        "export the file in longitude and latitude (EPSG:4326 or 4490)",
        "请以经纬度（EPSG:4326 或 4490）导出文件",
    ),
    "swapped": ("write longitude first, then latitude", "请先写经度、后写纬度"),
    "outside_china": (
        "declare the datum the file really is in; GCJ-02 and BD-09 mean nothing outside China",
        "请声明文件真实的坐标系；GCJ-02 与 BD-09 只在中国境内有意义",
    ),
    "overlap": (
        "move the border; until then points in it go to the smaller code",
        "请调整边界；在此之前重叠处的点归编码较小者",
    ),
    "gap": (
        "extend a neighbour over it, add the missing cell, or set enclaves = true if it is not yours; "
        "until then points in it lie nowhere",
        "请由相邻网格补上或补上缺失的网格；若属飞地请设 enclaves = true；在此之前其中的点不属于任何网格",
    ),
    "sliver": ("merge it into a neighbour, or remove it", "请并入相邻网格，或删除"),
    "no_parent": ("add the parent, or move the cell", "请补上上级网格，或移动该网格"),
    "wrong_parent": ("correct the code, or the shape", "请修正编码，或修正图形"),
    "outside_parent": ("let both borders run through the same vertices", "请使两层边界经过相同的顶点"),
    "datum": ("set the layer's datum to what the file is in", "请将图层的 datum 设为文件实际的坐标系"),
    "shift": ("compare both files with a map; one of them is displaced", "请将两个文件与地图对照；其中之一有偏移"),
}


#: (lon, lat) to a tenth of a metre; None: nowhere in particular
Place = tuple[float, float] | None


def place_of(shape: shapely.Geometry | None) -> Place:
    """A point inside the shape."""
    if shape is None or shape.is_empty:
        return None
    spot = shapely.point_on_surface(shape)
    return round(spot.x, 6), round(spot.y, 6)


class Finding(Struct, frozen=True):
    """One defect: what, where, how large. Sizes in m², places (lon, lat) WGS 84."""

    level: str
    kind: str
    layer: str
    codes: tuple[str, ...]
    place: Place
    size_m2: float
    en: str
    zh: str

    def text(self, lang: str) -> str:
        """What is wrong."""
        return self.zh if lang == "zh" else self.en

    def fix(self, lang: str) -> str:
        """What to do."""
        return FIXES[self.kind][lang == "zh"]
