"""Where, as the source says it: coordinates in the declared datum, checked against the world and the city's bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from schemas.sources.cells import Table, as_field, label, numbers, texts
from schemas.sources.faults import Faults, Refused
from schemas.sources.spec import Field, Place, Source

_WORLD = (-180.0, -90.0, 180.0, 90.0)
_POINT = re.compile(r"(?:point\s*)?\(?\s*([^\s,()]+)(?:\s*,\s*|\s+)([^\s,()]+)\s*\)?", re.IGNORECASE)

Floats = list[float | None]


class Places:
    """Reader of the coordinates of a table."""

    def __init__(self, spec: Place) -> None:
        self._spec = spec
        self._west, self._south, self._east, self._north = spec.bounds or _WORLD
        self._none = frozenset(spec.none)
        self._none_x = frozenset(x for x, _ in spec.none)
        self._datum_texts = texts(spec.datum_from)
        self._axes = [_Axis(source) for source in (spec.x, spec.y) if source is not None]
        self._point = None if spec.point is None else texts(spec.point)

    def read(self, table: Table, faults: Faults) -> tuple[Floats, Floats]:
        """Longitudes and latitudes, None where there is none; what is wrong is noted under the row."""
        if self._point is not None:
            xs, ys = self._split(self._point(table), faults)
        elif self._axes:
            xs, ys = (axis.read(table, faults) for axis in self._axes)
        else:
            blank: Floats = [None] * table.n
            return blank, blank
        west, south, east, north, none_x = self._west, self._south, self._east, self._north, self._none_x
        for index, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if x is None or y is None or x in none_x or not (west <= x <= east and south <= y <= north):
                self._judge(index, xs, ys, faults)
        return xs, ys

    def datums(self, found: Sequence[str], xs: Floats, table: Table, faults: Faults) -> tuple[str, ...]:
        """The datums with a fault for each unknown one that a coordinate needs."""
        for index, (datum, x) in enumerate(zip(found, xs, strict=True)):
            if not datum and x is not None:
                named = self._datum_texts(table)[index]
                faults.setdefault(index, Refused("unknown_datum", label(self._spec.datum_from), named))
        return tuple(datum or self._spec.datum for datum in found)

    def _judge(self, index: int, xs: Floats, ys: Floats, faults: Faults) -> None:
        x, y = xs[index], ys[index]
        if index in faults or (x is None and y is None):
            return
        if x is None or y is None:
            lacking = self._spec.x if x is None else self._spec.y
            faults[index] = Refused("missing_field", label(lacking), None, "the other coordinate is there")
        elif (x, y) in self._none:
            xs[index] = ys[index] = None
        elif not self._inside(x, y):
            swapped = self._inside(y, x)
            reason = "coordinates_swapped" if swapped else "coordinates_out_of_range"
            where = label(self._spec.point) or f"{label(self._spec.x)}, {label(self._spec.y)}"
            faults[index] = Refused(reason, where, (x, y))

    def _inside(self, x: float, y: float) -> bool:
        return self._west <= x <= self._east and self._south <= y <= self._north

    def _split(self, points: list[str], faults: Faults) -> tuple[Floats, Floats]:
        where = label(self._spec.point)
        first, second = [], []
        for index, point in enumerate(points):
            match = _POINT.fullmatch(point)
            if match is None and point:
                faults.setdefault(index, Refused("wrong_type", where, point, f"{self._spec.order} is wanted"))
            first.append(match[1] if match else "")
            second.append(match[2] if match else "")
        a, b = numbers(first, 1.0, where, faults), numbers(second, 1.0, where, faults)
        return (a, b) if self._spec.order == "lon,lat" else (b, a)


class _Axis:
    """One coordinate; a plain path skips the way over texts."""

    def __init__(self, source: Source) -> None:
        field = as_field(source)
        self._scale = field.scale
        self._where = label(field)
        plain = isinstance(field.from_, str) and field == Field(from_=field.from_, scale=field.scale)
        self._path = field.from_ if plain else ""
        self._texts = texts(field)

    def read(self, table: Table, faults: Faults) -> Floats:
        column: Sequence[Any] = table.columns[str(self._path)] if self._path else self._texts(table)
        return numbers(column, self._scale, self._where, faults)
