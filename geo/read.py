"""Polygon files to properties and shapes: GeoJSON by ourselves, everything else through geopandas, imported late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import shapely
from msgspec import Struct
from numpy.typing import NDArray

from schemas.errors import UsageError

_JSON = (".geojson", ".json")


class _Feature(Struct):
    geometry: msgspec.Raw = msgspec.Raw(b"null")
    properties: dict[str, Any] | None = None
    id: Any = None


class _Collection(Struct):
    features: list[_Feature]


def read_features(path: Path) -> tuple[list[dict[str, object]], NDArray[np.object_]]:
    """Properties and geometries of a file's features, both [n], as they are (None: no readable geometry).

    Raises UsageError if the file is missing or of no form we can read.
    """
    if not path.exists():
        raise UsageError(f"no grid file {path}", f"没有网格文件 {path}")
    if path.suffix.lower() in _JSON:
        return _read_geojson(path)
    return _read_other(path)


def _read_geojson(path: Path) -> tuple[list[dict[str, object]], NDArray[np.object_]]:
    try:
        features = msgspec.json.decode(path.read_bytes(), type=_Collection).features
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: not a GeoJSON FeatureCollection: {error}", f"{path}：不是 GeoJSON FeatureCollection：{error}"
        ) from error
    texts = np.array([bytes(feature.geometry).decode() for feature in features], dtype=object)
    texts[texts == "null"] = None
    polygons = shapely.from_geojson(texts, on_invalid="ignore")
    properties = [feature.properties or {} for feature in features]
    if features and all(feature.id is not None for feature in features):
        properties = [{**row, "id": row.get("id", f.id)} for row, f in zip(properties, features, strict=True)]
    return properties, polygons


def _read_other(path: Path) -> tuple[list[dict[str, object]], NDArray[np.object_]]:
    # Late: geopandas costs a second and 100 MB, and nobody needs it on the hot path.
    import geopandas
    from pyogrio.errors import DataSourceError

    try:
        frame = geopandas.read_file(path)
    except DataSourceError as error:
        raise UsageError(
            f"{path}: not a polygon file (GeoJSON, GeoPackage, Shapefile): {error}",
            f"{path}：不是面文件（GeoJSON、GeoPackage、Shapefile）：{error}",
        ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UsageError(f"{path}: has no geometry", f"{path}：没有几何列")
    if frame.crs is not None and frame.crs.is_projected:
        frame = frame.to_crs(4326)
    columns = frame.drop(columns=frame.geometry.name)
    records = columns.astype(object).where(columns.notna(), None).to_dict("records")
    return records, np.array(frame.geometry.to_numpy(), dtype=object)
