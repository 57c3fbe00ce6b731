"""What a scan needs, from an analyst's CSV: zones, periods, counts, expectations, and the zones to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas import UsageError
from streams.commands.stats_table import Table, day_of, read_text
from streams.statistics.gistar import Neighbours
from streams.statistics.zones import Zones, listed, on_sphere

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_PERIODS = 100_000
MOST_NUMBERS = 50_000_000


@dataclass(frozen=True)
class Cases:
    """ids: [places], sorted; counts: [periods, places]; first, label: the first period, and how one is written;
    of_row: period and place of each row of the table, from 0."""

    table: Table
    ids: list[str]
    counts: Ints
    first: int
    label: Callable[[int], int | str | None]
    of_row: tuple[Ints, Ints]

    @property
    def periods(self) -> int:
        """From the first to the last that occurs; those between without rows count zero."""
        return len(self.counts)

    def expected(self, name: str) -> Floats:
        """[periods, places] of a column of expectations or people. A zone's missing periods are as the one before,
        else as the next one."""
        period, place = self.of_row
        found = np.zeros(self.counts.shape)
        np.add.at(found, (period, place), self.table.numbers(name, least=0))
        known = np.zeros(self.counts.shape, dtype=bool)
        known[period, place] = True
        at = np.where(known, np.arange(self.periods)[:, None], -1)
        before = np.maximum.accumulate(at, axis=0)
        after = np.argmax(known, axis=0)
        found = np.take_along_axis(found, np.where(before < 0, after, before), axis=0)
        for p, z in zip(*np.nonzero((found == 0) & (self.counts > 0)), strict=True):
            row = int(np.argmax((period == p) & (place == z)))
            raise self.table.error(row, name, "0, but there are cases", "为 0，却有案件")
        if not found.sum():
            raise self.table.error(0, name, "0 everywhere", "全部为 0")
        return found

    def points(self, lonlat: bool) -> Floats:
        """[places, 2], or on the sphere in km. A zone has one place."""
        return points_of(self.table, self.of_row[1], len(self.ids), lonlat)


def read_cases(table: Table, since: str | None = None, until: str | None = None) -> Cases:
    """Rows of the same zone and time add up. Without a column time: one period. Without count: each row is a case.

    since, until: first and last period, else those of the rows.
    """
    ids, place = zones_of(table)
    label: Callable[[int], int | str | None] = _timeless
    time = np.zeros(len(table), dtype=np.int64)
    if table.has("time"):
        time, label = table.periods("time")
    first = _bound("--since", since, label, int(time.min()))
    periods = _bound("--until", until, label, int(time.max())) - first + 1
    if (beyond := (time < first) | (time >= first + periods)).any():
        row = int(np.argmax(beyond))
        raise table.error(row, "time", "outside of --since and --until", "不在 --since 与 --until 之间")
    if periods > MOST_PERIODS or periods * len(ids) > MOST_NUMBERS:
        raise table.error(
            int(np.argmax(time)),
            "time",
            f"{periods} periods of {len(ids)} zones are too many; use a coarser unit of time",
            f"{len(ids)} 个区域、{periods} 个时段过多，请用更粗的时间单位",
        )
    count = table.numbers("count", least=0, whole=True) if table.has("count") else np.ones(len(table))
    if count.sum() >= 2**31:
        raise table.error(int(np.argmax(count)), "count", "more than 2^31 cases", "案件超过 2^31")
    counts = np.zeros((periods, len(ids)), dtype=np.int64)
    np.add.at(counts, (time - first, place), count.astype(np.int64))
    return Cases(table, ids, counts, first, label, (time - first, place))


def _bound(option: str, text: str | None, label: Callable[[int], int | str | None], found: int) -> int:
    """A period given on the command line, written as those of the file; else the one found there."""
    if text is None:
        return found
    try:
        return int(text) if label is int else int(day_of(text))
    except ValueError:
        raise UsageError(
            f"{option} {text}: want a time like {label(found)}", f"{option} {text}：应如 {label(found)}"
        ) from None


def _timeless(_: int) -> None:
    """How the one period is written where there is no time."""


def zones_of(table: Table) -> tuple[list[str], Ints]:
    """Zone ids in the order of numbers, if they all are, else of text; and the zone of each row."""
    names = table.texts("zone")
    ids = sorted(set(names), key=_number_or_text)
    number = {name: k for k, name in enumerate(ids)}
    return ids, np.array([number[name] for name in names], dtype=np.int64)


def _number_or_text(name: str) -> tuple[bool, int, str]:
    digits = name.isascii() and name.isdigit()
    return not digits, int(name) if digits else 0, name


def points_of(table: Table, place: Ints, places: int, lonlat: bool) -> Floats:
    """[places, 2] of columns x and y, or [places, 3] on the sphere, km; `place` is the zone of each row."""
    xy = np.column_stack((table.numbers("x"), table.numbers("y")))
    if lonlat:
        for column, most in (("x", 180), ("y", 90)):
            beyond = np.abs(xy[:, 0 if column == "x" else 1]) > most
            if beyond.any():
                raise table.error(int(np.argmax(beyond)), column, f"beyond {most} degrees", f"超出 {most} 度")
    first = np.full(places, len(table))
    np.minimum.at(first, place, np.arange(len(table)))
    other = (xy != xy[first[place]]).any(axis=1)
    if other.any():
        row = int(np.argmax(other))
        name, line = table.columns["zone"][row], table.lines[int(first[place[row]])]
        raise table.error(
            row, "x", f"zone {name} lies elsewhere in line {line}", f"区域 {name} 的坐标与第 {line} 行不同"
        )
    xy = xy[first]
    return on_sphere(xy[:, 0], xy[:, 1]) if lonlat else xy


def read_zones(file: Path, ids: Sequence[str]) -> Zones:
    """Zones to look at: one a line, ids parted by blanks, or by commas or tabs if there are any."""
    number = {name: k for k, name in enumerate(ids)}
    found = []
    for line, text in enumerate(read_text(file).splitlines(), 1):
        mark = next((m for m in ("\t", ",") if m in text), None)
        names = [name.strip() for name in text.split(mark) if name.strip()]
        for k, name in enumerate(names):
            if name not in number:
                raise UsageError(f"{file}, line {line}: unknown zone {name}", f"{file} 第 {line} 行：未知区域 {name}")
            if name in names[:k]:
                raise UsageError(f"{file}, line {line}: zone {name} twice", f"{file} 第 {line} 行：区域 {name} 重复")
        if names:
            found.append([number[name] for name in names])
    if not found:
        raise UsageError(f"{file}: no zones", f"{file}：没有区域")
    return listed(len(ids), found)


def read_neighbours(file: Path, ids: Sequence[str]) -> tuple[Neighbours, Floats]:
    """JSON: {zone: [zone, ...]} or {zone: {zone: weight}}. A zone that is no key has no neighbours.

    Also the weight of each zone with itself, 1 if none is given; it is not among the neighbours.
    """

    def bad(key: str, en: str, zh: str) -> UsageError:
        return UsageError(f"{file}, zone {key}: {en}", f"{file}，区域 {key}：{zh}")

    try:
        listing = msgspec.json.decode(read_text(file), type=dict[str, list[str | int] | dict[str, float]], strict=True)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise UsageError(
            f"{file}: want JSON {{zone: [zone, ...]}} or {{zone: {{zone: weight}}}}: {error}",
            f"{file}：应为 JSON {{区域: [区域, ...]}} 或 {{区域: {{区域: 权重}}}}：{error}",
        ) from None
    number = {name: k for k, name in enumerate(ids)}
    rows: list[dict[int, float]] = [{} for _ in ids]
    own = np.ones(len(ids))
    for key, others in listing.items():
        weights = others if isinstance(others, dict) else dict.fromkeys(map(str, others), 1.0)
        if key not in number:
            raise bad(key, "unknown zone", "未知区域")
        for name, weight in weights.items():
            if name not in number:
                raise bad(key, f"unknown neighbour {name}", f"未知邻区 {name}")
            if not 0 <= weight < np.inf:
                raise bad(key, f"weight {weight} of {name}", f"{name} 的权重 {weight}")
            if name == key:
                own[number[key]] = weight
            else:
                rows[number[key]][number[name]] = weight
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    indices = np.array([k for row in rows for k in row], dtype=np.int64)
    heavy = np.array([weight for row in rows for weight in row.values()], dtype=np.float64)
    return Neighbours(indptr, indices, heavy), own
