"""Records of one batch, as bytes -> a table of the wanted columns, and what could not be read.

JSON goes through a struct type made of the wanted fields only, so that the decoder skips the rest; a record that it
refuses is read once more by the exact way, which says why or (NaN in a field nobody wants) takes it.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, TypeAlias

import msgspec

from schemas.errors import UsageError
from schemas.sources.cells import Table
from schemas.sources.faults import Faults, Refused

#: path -> None, or the tree of the paths below it
Tree: TypeAlias = dict[str, "Tree | None"]
_SCALAR = str | int | float | bool | None
_LEAF = _SCALAR | list[_SCALAR]
#: the reader's own limit is lower than ours
csv.field_size_limit(1 << 24)


class JsonReader:
    """Reads JSON objects. `paths` are the wanted ones, "a.b" inside nested objects."""

    def __init__(self, paths: Sequence[str], encoding: str) -> None:
        self._paths = list(dict.fromkeys(paths))
        self._tree = _tree(self._paths)
        self._type = _struct(self._tree)
        self._decode = msgspec.json.Decoder(self._type).decode
        self._encoding = encoding

    def read(self, values: Sequence[bytes], faults: Faults) -> tuple[Table, list[int]]:
        """Table of the readable records and their indexes; the faults of the others."""
        rows: list[msgspec.Struct] = []
        kept: list[int] = []
        direct = self._encoding in ("utf-8", "ascii")
        for index, value in enumerate(values):
            try:
                rows.append(self._decode(value if direct else value.decode(self._encoding)))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                try:
                    rows.append(self._exact(value))
                except Refused as fault:
                    faults[index] = fault.kept()
                    continue
            kept.append(index)
        columns: dict[str, Sequence[Any]] = {}
        _columns(self._tree, rows, "", columns)
        return Table(columns, len(rows)), kept

    def _exact(self, value: bytes) -> msgspec.Struct:
        try:
            text = value.decode("utf-8-sig" if self._encoding == "utf-8" else self._encoding)
        except UnicodeDecodeError as error:
            raise Refused("not_utf8", f"byte {error.start}", value[error.start : error.start + 8]) from None
        try:
            record = json.loads(text)
        except ValueError as error:
            raise Refused("not_json", str(error)) from None
        except RecursionError:
            raise Refused("not_json", "nested too deeply") from None
        if not isinstance(record, dict):
            raise Refused("not_an_object", "record", record)
        return _filled(self._type, self._tree, record, "")


class CsvReader:
    """Reads CSV rows by the names of their columns. Raises UsageError when a wanted one is not there."""

    def __init__(self, paths: Sequence[str], names: Sequence[str], delimiter: str, encoding: str) -> None:
        wanted = list(dict.fromkeys(paths))
        missing = [path for path in wanted if path not in names]
        if missing:
            raise UsageError(
                f"no column {missing[0]!r}; the file has: {', '.join(names)}. Change the mapping or the header",
                f"没有列 {missing[0]!r}；文件中的列有：{', '.join(names)}。请修改映射或表头",
            )
        self._places = [(path, list(names).index(path)) for path in wanted]
        self._width = len(names)
        self._delimiter = delimiter
        self._encoding = encoding

    def read(self, values: Sequence[bytes], faults: Faults) -> tuple[Table, list[int]]:
        """Table of the readable records and their indexes; the faults of the others."""
        try:
            # A record cannot give two rows, so as many rows as records are one each.
            rows = list(self._rows([value.decode(self._encoding) for value in values]))
        except (UnicodeDecodeError, csv.Error):
            rows = []
        kept = list(range(len(values)))
        if len(rows) != len(values) or not set(map(len, rows)) <= {self._width}:
            rows, kept = [], []
            for index, value in enumerate(values):
                try:
                    rows.append(self._row(value))
                    kept.append(index)
                except Refused as fault:
                    faults[index] = fault.kept()
        columns = list(zip(*rows, strict=True)) if rows else [()] * self._width
        return Table({path: columns[place] for path, place in self._places}, len(rows)), kept

    def _rows(self, texts: Sequence[str]) -> Iterator[list[str]]:
        return csv.reader(texts, delimiter=self._delimiter, strict=True)

    def _row(self, value: bytes) -> list[str]:
        try:
            rows = list(self._rows([value.decode(self._encoding)]))
        except UnicodeDecodeError as error:
            raise Refused("not_utf8", f"byte {error.start}", value[error.start : error.start + 8]) from None
        except csv.Error as error:
            raise Refused("not_csv", str(error)) from None
        if len(rows) != 1 or len(rows[0]) != self._width:
            width = len(rows[0]) if rows else 0
            raise Refused("not_csv", f"{width} columns where the header has {self._width}")
        return rows[0]


def _tree(paths: Sequence[str]) -> Tree:
    tree: Tree = {}
    for path in paths:
        node = tree
        *parents, leaf = path.split(".")
        for parent in parents:
            below = node.setdefault(parent, {})
            if below is None:
                raise _both(path, parent)
            node = below
        if node.setdefault(leaf, None) is not None:
            raise _both(path, leaf)
    return tree


def _both(path: str, part: str) -> UsageError:
    return UsageError(
        f"path {path!r}: {part!r} is wanted both as a value and as an object; name a field inside the object",
        f"路径 {path!r}：{part!r} 既作为值又作为对象使用；请写出对象内的字段",
    )


def _struct(tree: Tree) -> type[msgspec.Struct]:
    # Field names of the source need not be identifiers.
    fields: list[tuple[str, Any, Any]] = [
        (f"f{place}", _LEAF if below is None else _struct(below) | None, None)
        for place, below in enumerate(tree.values())
    ]
    names = {f"f{place}": name for place, name in enumerate(tree)}
    return msgspec.defstruct("Record", fields, rename=names, gc=False)


def _columns(tree: Tree, rows: Sequence[msgspec.Struct | None], above: str, into: dict[str, Sequence[Any]]) -> None:
    blank = (None,) * len(tree)
    flat = [blank if row is None else msgspec.structs.astuple(row) for row in rows]
    columns = zip(*flat, strict=True) if flat else repeat((), len(tree))
    for (name, below), column in zip(tree.items(), columns, strict=True):
        if below is None:
            into[above + name] = column
        else:
            _columns(below, column, f"{above}{name}.", into)


def _filled(kind: type[msgspec.Struct], tree: Tree, record: dict[str, Any], above: str) -> msgspec.Struct:
    values: list[Any] = []
    for (name, below), field in zip(tree.items(), msgspec.structs.fields(kind), strict=True):
        value = record.get(name)
        if below is None:
            values.append(_leaf(value, above + name))
        elif isinstance(value, dict):
            values.append(_filled(field.type.__args__[0], below, value, f"{above}{name}."))
        elif value is None or value == "":
            values.append(None)
        else:
            raise Refused("wrong_type", above + name, value, "an object is wanted")
    return kind(*values)


def _leaf(value: Any, where: str) -> Any:
    for part in value if isinstance(value, list) else (value,):
        if isinstance(part, dict | list):
            raise Refused("wrong_type", where, value, "text or a number is wanted")
        if isinstance(part, float) and not math.isfinite(part):
            raise Refused("not_finite", where, value)
        if isinstance(part, str) and not _sound(part):
            raise Refused("not_utf8", where, None, "half of a surrogate pair")
    return value


def _sound(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
