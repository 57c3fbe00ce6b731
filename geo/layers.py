"""Polygon layers as a city gives them: which file, which property is the code, which datum, which parent layer.

A layer list is TOML, finest layer first; paths are relative to it:

    repair = false                 # true: invalid polygons are made valid (and `grids check` says which)
    [[layers]]
    name = "unit"
    file = "unit.geojson"          # GeoJSON, GeoPackage or Shapefile
    code = "code"                  # property; default: `code`, else the first that is unique, never null and short
    name_property = "name"
    parent = "street"              # a later layer in which each cell lies
    pattern = "^[0-9]{15}$"        # what a code looks like
    datum = "gcj02"                # of the file; polygons are turned to WGS 84 once, vertex by vertex
    enclaves = false               # true: holes inside the layer are not ours, `grids check` only warns

A single polygon file is one layer named "unit".
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import shapely
from msgspec import Meta, Struct
from numpy.typing import NDArray

from geo.crs import datum_name, to_wgs84
from geo.read import read_features
from schemas.city import CITY_LAYER, SOURCE_LAYER
from schemas.errors import UsageError

#: a property whose values are longer is no code
CODE_LENGTH = 32
_KEEPS_FORM = ("wgs84", "cgcs2000")


class LayerSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the layer list."""

    name: Annotated[str, Meta(min_length=1)]
    file: Annotated[str, Meta(min_length=1)]
    code: str = ""
    name_property: str = ""
    parent: str = ""
    pattern: str = ""
    datum: str = "wgs84"
    repair: bool = False
    enclaves: Annotated[bool, Meta(description="holes inside the layer belong to somebody else")] = False


class LayerList(Struct, frozen=True, forbid_unknown_fields=True):
    """The layer list, finest first."""

    layers: Annotated[list[LayerSpec], Meta(min_length=1)]
    repair: bool = False


@dataclass(frozen=True)
class Layer:
    """A layer as read, in WGS 84, sorted by code; nothing is refused yet. All sequences have one entry a cell."""

    spec: LayerSpec
    codes: tuple[str, ...]
    names: tuple[str, ...]
    polygons: NDArray[np.object_]
    repaired: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.spec.name


def is_areal(shape: shapely.Geometry | None) -> bool:
    """Whether it is a polygon or several, and not empty."""
    return shape is not None and not shape.is_empty and shape.geom_type in ("Polygon", "MultiPolygon")


def read_specs(path: Path) -> list[LayerSpec]:
    """The layers a file stands for: those of a layer list, or the file itself as layer "unit"; paths made absolute.

    Raises UsageError naming file and key for anything unknown or contradictory in the list.
    """
    if path.suffix.lower() != ".toml":
        return [LayerSpec(name="unit", file=str(path))]
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), LayerList)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error}", f"无法读取 {path}：{error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: wrong layer list: {error}", f"{path}：图层清单有误：{error}") from error
    _check_names(path, found.layers)
    return [
        msgspec.structs.replace(
            spec,
            file=str(path.parent / spec.file),
            datum=datum_name(spec.datum),
            repair=spec.repair or found.repair,
        )
        for spec in found.layers
    ]


def _check_names(path: Path, specs: list[LayerSpec]) -> None:
    names = [spec.name for spec in specs]
    for at, spec in enumerate(specs):
        if spec.name in names[:at]:
            raise UsageError(f"{path}: layers.name: {spec.name!r} twice", f"{path}：layers.name：{spec.name!r} 重复")
        if spec.name in (CITY_LAYER, SOURCE_LAYER):
            raise UsageError(
                f"{path}: layers.name: {spec.name!r} is taken: every city has counts of that name; choose another",
                f"{path}：layers.name：{spec.name!r} 已被占用（系统自带该层统计）；请另取名称",
            )
        if spec.parent and spec.parent not in names[at + 1 :]:
            raise UsageError(
                f"{path}: layers.parent of {spec.name!r}: {spec.parent!r} is not the name of a later layer; list the "
                "finest layer first",
                f"{path}：{spec.name!r} 的 layers.parent：{spec.parent!r} 不是其后某层的名称；请由细到粗列出各层",
            )
        try:
            re.compile(spec.pattern)
        except re.error as error:
            raise UsageError(
                f"{path}: layers.pattern of {spec.name!r}: {error}",
                f"{path}：{spec.name!r} 的 layers.pattern：{error}",
            ) from error


def read_layer(spec: LayerSpec) -> Layer:
    """Read a layer's file, turn it to WGS 84, repair it if the list says so.

    Raises UsageError if the file cannot be read, is no polygon file or has no property that may be the code.
    """
    properties, polygons = read_features(Path(spec.file))
    if not len(polygons):
        raise UsageError(f"{spec.file}: no features", f"{spec.file}：没有要素")
    codes = _column(properties, spec.code or _code_property(properties, spec.file), spec.file, "code")
    if spec.name_property:
        names = _column(properties, spec.name_property, spec.file, "name_property")
    elif any("name" in row for row in properties):
        names = _column(properties, "name", spec.file, "name_property")
    else:
        names = codes
    polygons = shapely.force_2d(polygons)
    if spec.datum not in _KEEPS_FORM:
        polygons = shapely.transform(polygons, lambda points: _turned(points, spec.datum))
    order = np.array(sorted(range(len(codes)), key=codes.__getitem__), dtype=np.int64)
    codes, names, polygons = [codes[i] for i in order], [names[i] for i in order], polygons[order]
    repaired: list[str] = []
    if spec.repair:
        invalid = ~shapely.is_valid(polygons) & ~shapely.is_missing(polygons)
        polygons[invalid] = shapely.make_valid(polygons[invalid], method="structure", keep_collapsed=False)
        repaired = [codes[i] for i in np.flatnonzero(invalid)]
    return Layer(spec, tuple(codes), tuple(names), polygons, tuple(repaired))


def _turned(points: NDArray[np.float64], datum: str) -> NDArray[np.float64]:
    """WGS 84 vertices, to a tenth of a millimetre: the last bits of sine differ from machine to machine."""
    turned: NDArray[np.float64] = np.column_stack(to_wgs84(points[:, 0], points[:, 1], datum)).round(9)
    return turned


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _column(properties: list[dict[str, object]], key: str, file: str, role: str) -> list[str]:
    if not any(key in row for row in properties):
        known = ", ".join(properties[0]) if properties else ""
        raise UsageError(
            f"{file}: layers.{role}: no property {key!r}; the file has: {known}",
            f"{file}：layers.{role}：没有属性 {key!r}；文件中有：{known}",
        )
    return [_text(row.get(key)) for row in properties]


def _code_property(properties: list[dict[str, object]], file: str) -> str:
    """`code`, else the first property that is unique, never null and short."""
    names = list(dict.fromkeys(key for row in properties for key in row))
    if "code" in names:
        return "code"
    for name in names:
        values = [row.get(name) for row in properties]
        if any(isinstance(value, list | dict | bool) for value in values):
            continue
        texts = [_text(value) for value in values]
        if all(0 < len(text) <= CODE_LENGTH for text in texts) and len(set(texts)) == len(texts):
            return name
    raise UsageError(
        f"{file}: no property can be the code (unique, never null, at most {CODE_LENGTH} characters); "
        "name it in a layer list: code = ...",
        f"{file}：没有可作编码的属性（唯一、非空、不超过 {CODE_LENGTH} 个字符）；请在图层清单中指定 code = ...",
    )
