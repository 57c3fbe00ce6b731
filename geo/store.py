"""The index file of `quanyu grids build`: everything `open_grids` would work out, in one file that loads fast.

MessagePack, LZ4: shapes as WKB, arrays as little-endian bytes, the lattice as runs. No geopandas to read it.
"""

from __future__ import annotations

from pathlib import Path

import lz4.frame
import msgspec
import numpy as np
import shapely
from msgspec import Struct
from numpy.typing import NDArray

from geo.index import PointIndex
from geo.polygons import PolygonGrids, PolygonLayer
from schemas.errors import UsageError

SUFFIX = ".qgrid"
FORMAT = 1

Ints = NDArray[np.int32]


class _StoredLayer(Struct):
    name: str
    parent: str
    codes: tuple[str, ...]
    names: tuple[str, ...]
    shapes: list[bytes]
    parents: bytes
    indptr: bytes
    indices: bytes
    run_labels: bytes
    run_lengths: bytes


class _Stored(Struct):
    format: int
    version: str
    layers: list[_StoredLayer]


def write_index(grids: PolygonGrids, path: Path) -> None:
    """Write the index file, whole or not at all."""
    stored = _Stored(FORMAT, grids.version, [_stored(layer) for layer in grids.content()])
    part = path.with_name(path.name + ".part")
    part.write_bytes(lz4.frame.compress(msgspec.msgpack.encode(stored)))
    part.replace(path)


def read_index(path: Path) -> PolygonGrids:
    """Grids of an index file; UsageError if it is missing, broken or of another format."""
    try:
        stored = msgspec.msgpack.decode(lz4.frame.decompress(path.read_bytes()), type=_Stored)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error}", f"无法读取 {path}：{error}") from error
    except (RuntimeError, msgspec.DecodeError) as error:
        raise UsageError(
            f"{path}: not a grid index; build it again with `quanyu grids build` ({error})",
            f"{path}：不是网格索引；请用 `quanyu grids build` 重新生成（{error}）",
        ) from error
    if stored.format != FORMAT:
        raise UsageError(
            f"{path}: index format {stored.format}, this version reads {FORMAT}; run `quanyu grids build` again",
            f"{path}：索引格式为 {stored.format}，本版本只读 {FORMAT}；请重新运行 `quanyu grids build`",
        )
    return PolygonGrids([_opened(layer) for layer in stored.layers], stored.version)


def _stored(layer: PolygonLayer) -> _StoredLayer:
    lattice = layer.index.lattice
    starts = np.flatnonzero(np.diff(lattice, prepend=lattice[0] - 1))
    return _StoredLayer(
        layer.name,
        layer.parent,
        layer.codes,
        layer.names,
        shapely.to_wkb(layer.polygons, byte_order=1).tolist(),
        _bytes(layer.parents),
        _bytes(layer.graph[0]),
        _bytes(layer.graph[1]),
        _bytes(lattice[starts]),
        _bytes(np.diff(np.append(starts, len(lattice)))),
    )


def _opened(stored: _StoredLayer) -> PolygonLayer:
    polygons = shapely.from_wkb(np.array(stored.shapes, dtype=object))
    lattice = np.repeat(_ints(stored.run_labels), _ints(stored.run_lengths))
    return PolygonLayer(
        stored.name,
        stored.parent,
        stored.codes,
        stored.names,
        polygons,
        _ints(stored.parents),
        PointIndex(polygons, lattice),
        (_ints(stored.indptr), _ints(stored.indices)),
    )


def _bytes(values: NDArray[np.integer]) -> bytes:
    return values.astype("<i4").tobytes()


def _ints(values: bytes) -> Ints:
    return np.frombuffer(values, dtype="<i4").astype(np.int32)
