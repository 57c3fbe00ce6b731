"""Fields compiled to functions of whole columns.

A scalar of JSON or CSV reads as text in one way only (`as_text`): null and blanks are "", true and false are 1 and 0, a
whole number has no point, a list is a/b/c. So equal values read as equal texts, which is what lets `remembered` key
its memory by the values themselves. Every column function equals its cell function on each cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from schemas.sources.faults import Faults, Refused
from schemas.sources.memo import Memo
from schemas.sources.spec import Field, Source

V = TypeVar("V")
Texts = Callable[["Table"], list[str]]

_FALSE = frozenset({"", "0", "false", "no", "n", "f", "否", "无", "none", "null"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})


class Table:
    """Records as columns: path -> its scalars, `n` of each. Its texts are made once."""

    def __init__(self, columns: dict[str, Sequence[Any]], n: int) -> None:
        self.columns = columns
        self.n = n
        self._texts: dict[str, list[str]] = {}

    def text(self, path: str) -> list[str]:
        """The column as stripped texts."""
        found = self._texts.get(path)
        if found is None:
            column = self.columns[path]
            try:
                found = [value.strip() for value in column]
            except AttributeError:
                found = [as_text(value) for value in column]
            self._texts[path] = found
        return found


def as_text(value: Any) -> str:
    """Text of a scalar; "" of null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, list):
        return "/".join(filter(None, map(as_text, value)))
    return str(value)


def truth(text: str) -> bool:
    """Whether a mark is set."""
    return text.lower() not in _FALSE


def as_field(source: Source | Field | None) -> Field:
    """The table form of a field; of None the field that is always absent."""
    return source if isinstance(source, Field) else Field(from_=source or "")


def paths_of(field: Field) -> list[str]:
    """Paths it joins, without those of its fallback."""
    if isinstance(field.from_, str):
        return [field.from_] if field.from_ else []
    return field.from_


def all_paths(field: Field) -> list[str]:
    """Every path it reads."""
    return paths_of(field) + (all_paths(as_field(field.fallback)) if field.fallback else [])


def remembered(paths: Sequence[str], read: Callable[[Table], Sequence[V]]) -> Callable[[Table], list[V]]:
    """`read`, worked out once for each combination of values at `paths`: for columns of few different values."""
    unique = list(dict.fromkeys(paths))
    if not unique:
        return lambda table: [read(Table({}, 1))[0]] * table.n

    def one(key: tuple[Any, ...]) -> V:
        return read(Table({path: (value,) for path, value in zip(unique, key, strict=True)}, 1))[0]

    memo: Memo[tuple[Any, ...], V] = Memo(one)

    def column(table: Table) -> list[V]:
        try:
            return [memo[key] for key in zip(*[table.columns[path] for path in unique], strict=True)]
        except TypeError:  # a list among the values
            return list(read(table))

    return column


def label(source: Source | None) -> str:
    """Its paths, as a person names the field."""
    return "+".join(paths_of(as_field(source)))


def texts(source: Source | None) -> Texts:
    """Compile a field to its column of texts; "" where absent. It never fails."""
    field = as_field(source)
    steps = [_joined(paths_of(field), field.join)]
    if field.pattern:
        steps.append(_found(steps[-1], re.compile(field.pattern)))
    if field.values:
        steps.append(_looked_up(steps[-1], {key: as_text(value) for key, value in field.values.items()}))
    if field.fallback:
        steps.append(_or_else(steps[-1], texts(field.fallback)))
    if field.default != "":
        steps.append(_or_constant(steps[-1], as_text(field.default)))
    return steps[-1]


def _joined(paths: list[str], join: str) -> Texts:
    if not paths:
        return lambda table: [""] * table.n
    if len(paths) == 1:
        path = paths[0]
        return lambda table: table.text(path)
    return lambda table: [join.join(filter(None, parts)) for parts in zip(*map(table.text, paths), strict=True)]


def _found(before: Texts, pattern: re.Pattern[str]) -> Texts:
    group = 1 if pattern.groups else 0
    search = pattern.search
    return lambda table: [(m[group] or "").strip() if (m := search(text)) else "" for text in before(table)]


def _looked_up(before: Texts, values: dict[str, str]) -> Texts:
    return lambda table: [values.get(text, "") for text in before(table)]


def _or_else(before: Texts, other: Texts) -> Texts:
    return lambda table: [a or b for a, b in zip(before(table), other(table), strict=True)]


def _or_constant(before: Texts, constant: str) -> Texts:
    return lambda table: [text or constant for text in before(table)]


def numbers(column: Sequence[Any], scale: float, where: str, faults: Faults) -> list[float | None]:
    """Numbers of scalars; None of a blank or a faulty one, whose fault is noted under its index."""
    found = _plain_numbers(column)
    if found is None:
        # A float of a decoded record is finite; only the others need a look.
        found = [
            value if type(value) is float else _noted(value, where, index, faults) for index, value in enumerate(column)
        ]
    return found if scale == 1.0 else [None if value is None else value * scale for value in found]


def _plain_numbers(column: Sequence[Any]) -> list[float | None] | None:
    """Of texts that are all plain; None where float() takes what we do not: nan, inf, 1_0, digits of other scripts."""
    try:
        joined = "".join(column)
        if "_" in joined or not joined.isascii():
            return None
        found = [float(text) if text else None for text in column]
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(sum(filter(None, found))) else None


def number(text: str) -> float | None:
    """A finite number; None of a blank. Raises Refused."""
    if not text:
        return None
    plain = _NUMBER.fullmatch(text) is not None
    if plain and math.isfinite(value := float(text)):
        return value
    raise Refused("not_finite" if plain or text.lower().lstrip("+-") in _NOT_FINITE else "wrong_type", "number", text)


def _noted(value: Any, where: str, index: int, faults: Faults) -> float | None:
    try:
        return number("" if value is None else str(value).strip())
    except Refused as fault:
        faults.setdefault(index, Refused(fault.reason, where, value))
        return None
