"""`quanyu grids check|build|make` and `quanyu locate`."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec
import numpy as np
from rich.table import Table

from geo.check import as_builtins, check, errors
from geo.crs import DATUMS, find_datum, to_wgs84
from geo.findings import ERROR
from geo.grids import Grids, open_grids, regular_grids
from geo.layers import Layer, LayerSpec, read_layer, read_specs
from geo.make import make_grid
from geo.metres import area_m2
from geo.polygons import PolygonGrids
from geo.store import SUFFIX, write_index
from schemas import QuanyuError, TooMuchBadData, UsageError
from streams.commands.base import console, current_language, fail, json_option, print_json, say
from streams.settings import load

_DATUM = click.Choice(DATUMS)
_BATCH = 10_000
_SHOWN = 200


@click.group("grids")
def grids() -> None:
    """Grid files: check them, build an index, make a regular one. 网格文件：检查、建索引、生成。"""


@grids.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--datum", type=_DATUM, help="Datum of FILE, if it is a polygon file. FILE 的坐标系。")
@click.option("--reference", type=click.Path(path_type=Path), help="A layer known to lie right. 位置可信的参照图层。")
@click.option("--reference-datum", type=_DATUM, default="wgs84", show_default=True)
@json_option
def check_command(file: Path, datum: str | None, reference: Path | None, reference_datum: str, as_json: bool) -> None:
    """Find what is wrong with a layer list or polygon file. 检查图层清单或面文件。

    Invalid rings, overlaps, gaps, slivers, codes, nesting, datum. Exit code 1 if a finding is an error.

    Example: quanyu grids check grids.toml
    """
    try:
        layers = [read_layer(spec) for spec in _specs(file, datum)]
        known = _reference(reference, reference_datum) if reference else None
    except QuanyuError as error:
        fail(error)
    found = check(layers, known)
    bad = errors(found)
    if as_json:
        print_json(
            {
                "file": str(file),
                "layers": [_summary(layer) for layer in layers],
                "errors": bad,
                "warnings": len(found) - bad,
                "findings": as_builtins(found, current_language()),
            }
        )
    else:
        _print(layers, as_builtins(found[:_SHOWN], current_language()), bad, len(found))
    if bad:
        raise SystemExit(1)


def _specs(file: Path, datum: str | None) -> list[LayerSpec]:
    specs = read_specs(file)
    if datum and file.suffix.lower() == ".toml":
        raise UsageError(
            f"--datum: {file} is a layer list; set layers.datum in it",
            f"--datum：{file} 是图层清单，请在其中设 layers.datum",
        )
    return [msgspec.structs.replace(spec, datum=datum or spec.datum) for spec in specs]


def _reference(file: Path, datum: str) -> Layer:
    coarsest = read_specs(file)[-1]
    if file.suffix.lower() != ".toml":
        coarsest = msgspec.structs.replace(coarsest, datum=datum, name="reference")
    return read_layer(coarsest)


def _summary(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "file": layer.spec.file,
        "datum": layer.spec.datum,
        "parent": layer.spec.parent,
        "cells": len(layer.codes),
        "area_km2": round(float(area_m2(layer.polygons).sum()) / 1e6, 3),
    }


def _print(layers: list[Layer], found: list[dict[str, Any]], bad: int, total: int) -> None:
    out = console()
    for layer in layers:
        info = _summary(layer)
        out.print(f"{info['name']}: {info['cells']} cells, {info['area_km2']} km², {info['datum']}", highlight=False)
    if found:
        table = Table(*say("level|layer|place|finding|fix", "级别|图层|位置|问题|处理").split("|"))
        for row in found:
            place = "{:.5f} {:.5f}".format(*row["place"]) if row["place"] else ""
            mark = "[red]" if row["level"] == ERROR else "[yellow]"
            table.add_row(mark + row["level"], row["layer"], place, row["message"], row["fix"])
        out.print(table)
        if total > len(found):
            out.print(say(f"... and {total - len(found)} more (--json)", f"……另有 {total - len(found)} 条（--json）"))
    out.print(say(f"{bad} errors, {total - bad} warnings", f"{bad} 个错误，{total - bad} 个警告"))


@grids.command("build")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help=f"Index file (*{SUFFIX}). 索引文件。"
)
@json_option
def build_command(file: Path, output: Path, as_json: bool) -> None:
    """Write one index file: shapes, codes, parents, neighbours, version. 生成索引文件。

    Example: quanyu grids build grids.toml -o city.qgrid
    """
    try:
        if output.suffix.lower() != SUFFIX:
            raise UsageError(f"-o {output}: an index file ends in {SUFFIX}", f"-o {output}：索引文件名以 {SUFFIX} 结尾")
        built = open_grids(file)
        if not isinstance(built, PolygonGrids):
            raise UsageError(f"{file}: nothing to build", f"{file}：无可构建")
        try:
            write_index(built, output)
        except OSError as error:
            raise UsageError(f"-o {output}: {error}", f"-o {output}：{error}") from error
    except QuanyuError as error:
        fail(error)
    cells = {layer: len(built.codes(layer)) for layer in built.layers}
    if as_json:
        print_json({"file": str(output), "version": built.version, "layers": cells, "bytes": output.stat().st_size})
    else:
        click.echo(say(f"{output}: version {built.version}, {cells}", f"{output}：版本 {built.version}，{cells}"))


@grids.command("make")
@click.argument("bounds", nargs=4, type=float)
@click.option("--size", "size_m", type=float, default=500.0, show_default=True, help="Metres. 边长（米）。")
@click.option("--shape", type=click.Choice(["square", "hex"]), default="square", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="GeoJSON.")
def make_command(bounds: tuple[float, float, float, float], size_m: float, shape: str, output: Path) -> None:
    """Write a regular grid over BOUNDS (west south east north) as polygons. 生成规则网格面文件。

    Example: quanyu grids make 121.3 31.1 121.6 31.3 --size 500 -o unit.geojson
    """
    try:
        count = make_grid(bounds, size_m, shape, output)
    except QuanyuError as error:
        fail(error)
    click.echo(say(f"{output}: {count} cells", f"{output}：{count} 个网格"))


@click.command("locate")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--grids", "grid_file", type=click.Path(path_type=Path), help="Layer list, polygons or index. 网格文件。")
@click.option("--crs", type=_DATUM, default="wgs84", show_default=True, help="Of rows without one. 未写明时的坐标系。")
def locate(file: Path | None, grid_file: Path | None, crs: str) -> None:
    """Cells of points: CSV or NDJSON with id, lon, lat, crs to NDJSON. 点所在的各层网格。

    Reads FILE (or .gz) or standard input. Without --grids: the grids of quanyu.toml, else regular squares.
    A row that cannot be read comes out with its reason in "error".

    Example: echo '{"id": 1, "lon": 121.47, "lat": 31.23}' | quanyu locate
    """
    try:
        cells = _grids(grid_file)
        rows = bad = 0
        with _open(file) as stream:
            for batch in _batches(_rows(stream)):
                out = _located(batch, cells, crs)
                rows += len(out)
                bad += sum("error" in row for row in out)
                sys.stdout.buffer.write(msgspec.json.Encoder().encode_lines(out))
        sys.stdout.flush()
        if bad:
            click.echo(say(f"{bad} of {rows} rows unreadable", f"{rows} 行中有 {bad} 行无法读取"), err=True)
        if rows and bad == rows:
            raise TooMuchBadData("no row could be read", "没有一行可读")
    except QuanyuError as error:
        fail(error)
    except (csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
        fail(UsageError(f"cannot read on: {error}", f"无法继续读取：{error}"))


def _grids(grid_file: Path | None) -> Grids:
    if grid_file:
        return open_grids(grid_file)
    settings = load().grids
    return open_grids(settings.file) if settings.file else regular_grids(settings.sizes_m, settings.shape)


def _open(file: Path | None) -> BinaryIO:
    if file is None or str(file) == "-":
        return sys.stdin.buffer
    try:
        with file.open("rb") as probe:
            zipped = probe.read(2) == b"\x1f\x8b"
        return gzip.open(file, "rb") if zipped else file.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error}", f"无法读取 {file}：{error}") from error


def _rows(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """Records of a CSV or NDJSON stream; {"error": ...} for a line that is none."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
    first = next((line for line in text if line.strip()), "")
    if first and not first.lstrip().startswith("{"):
        columns = [name.strip().lower() for name in next(csv.reader([first]))]
        if not {"lon", "lat"} <= set(columns):
            raise UsageError(
                f"neither NDJSON nor CSV with columns id, lon, lat, crs: {first.strip()[:80]!r}",
                f"既不是 NDJSON，也不是含 id, lon, lat, crs 列的 CSV：{first.strip()[:80]!r}",
            )
        yield from csv.DictReader(text, columns)
        return
    lines: Iterable[str] = _chain(first, text)
    for line in lines:
        if not line.strip():
            continue
        try:
            found = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            found = {"error": f"not JSON: {error}"}
        yield found if isinstance(found, dict) else {"error": "not a JSON object"}


def _chain(first: str, rest: Iterable[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _located(rows: list[dict[str, Any]], cells: Grids, crs: str) -> list[dict[str, Any]]:
    """An output record for each row."""
    read = [_point(row, crs) for row in rows]
    lon, lat = (np.array([point[k] for point in read], dtype=np.float64) for k in (0, 1))
    datums = np.array([point[2] for point in read], dtype=object)
    for datum in dict.fromkeys(datums.tolist()):
        ours = datums == datum
        if datum:
            lon[ours], lat[ours] = to_wgs84(lon[ours], lat[ours], datum)
    found = zip(*cells.locate(lon, lat), strict=True)
    out = []
    for row, point, x, y, codes in zip(rows, read, lon.tolist(), lat.tolist(), found, strict=True):
        if point[3]:
            out.append({"id": row.get("id"), "error": point[3]})
        else:
            place = {"lon": round(x, 7), "lat": round(y, 7)}
            out.append({"id": row.get("id"), **place, "cells": dict(zip(cells.layers, codes, strict=True))})
    return out


def _point(row: dict[str, Any], crs: str) -> tuple[float, float, str, str]:
    """x, y, datum, and what is wrong with the row ("": nothing)."""
    if "error" in row:
        return np.nan, np.nan, "", str(row["error"])
    datum = find_datum(str(row.get("crs") or crs))
    if not datum:
        return np.nan, np.nan, "", f"crs: unknown {row['crs']!r}; known: {', '.join(DATUMS)}"
    values = []
    for key in ("lon", "lat"):
        try:
            values.append(float(row[key]))
        except (KeyError, TypeError, ValueError):
            return np.nan, np.nan, "", f"{key}: {row.get(key)!r} is not a number"
    if not np.isfinite(values).all():
        return np.nan, np.nan, "", "lon, lat: not finite"
    return values[0], values[1], datum, ""
