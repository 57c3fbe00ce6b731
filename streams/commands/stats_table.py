"""CSV files of analysts: read whole, every error with its file, line and column."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import UsageError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Table:
    """Columns of text, by their lower-case names; `lines` are the line numbers of the rows in the file."""

    file: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def has(self, *names: str) -> bool:
        """Whether all these columns are there."""
        return all(name in self.columns for name in names)

    def texts(self, name: str) -> list[str]:
        """A column of names: none may be empty."""
        found = self.columns[name]
        for row, text in enumerate(found):
            if not text:
                raise self.error(row, name, "is empty", "为空")
        return found

    def numbers(self, name: str, least: float = -np.inf, whole: bool = False) -> Floats:
        """A column of finite numbers, not below `least`, whole ones if wanted."""
        found = np.empty(len(self))
        for row, text in enumerate(self.columns[name]):
            try:
                value = float(text)
            except ValueError:
                raise self.error(row, name, f"{text!r} is not a number", f"{text!r} 不是数字") from None
            if not np.isfinite(value):
                raise self.error(row, name, f"{text} is not finite", f"{text} 不是有限的数")
            if value < least:
                raise self.error(row, name, f"{text} is below {least:g}", f"{text} 小于 {least:g}")
            if whole and not value.is_integer():
                raise self.error(row, name, f"{text} is not a whole number", f"{text} 不是整数")
            found[row] = value
        return found

    def periods(self, name: str) -> tuple[Ints, Callable[[int], int | str]]:
        """A column of whole numbers, or of dates (days since 1970, as written): periods, and how to write one."""
        if _is_number(self.columns[name][0]):
            found = self.numbers(name, whole=True)
            if (np.abs(found) > 2**53).any():
                raise self.error(int(np.argmax(np.abs(found))), name, "is too large", "过大")
            return found.astype(np.int64), int
        return np.floor(self._days(name, written=True)).astype(np.int64), _date

    def days(self, name: str) -> Floats:
        """A column of numbers, or of dates and times as days since 1970."""
        return self.numbers(name) if _is_number(self.columns[name][0]) else self._days(name, written=False)

    def _days(self, name: str, written: bool) -> Floats:
        found = np.empty(len(self))
        for row, text in enumerate(self.columns[name]):
            try:
                found[row] = day_of(text, written)
            except ValueError:
                raise self.error(
                    row,
                    name,
                    f"{text!r} is neither a date like 2026-03-02 nor a number",
                    f"{text!r} 既不是日期也不是数字",
                ) from None
        return found

    def error(self, row: int, name: str, en: str, zh: str) -> UsageError:
        """What is wrong in a row's column."""
        return UsageError(
            f"{self.file}, line {self.lines[row]}, column {name}: {en}",
            f"{self.file} 第 {self.lines[row]} 行 {name} 列：{zh}",
        )


def read_table(file: Path, wanted: Sequence[str]) -> Table:
    """A CSV file (or .gz) with at least the columns `wanted` and one row."""
    reader = csv.reader(io.StringIO(read_text(file), newline=""))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        columns: list[list[str]] = [[] for _ in header]
        lines = list[int]()
        _check_header(file, header, wanted)
        for row in reader:
            if not any(field.strip() for field in row):
                continue
            if len(row) != len(header):
                raise UsageError(
                    f"{file}, line {reader.line_num}: {len(row)} fields, but {len(header)} columns",
                    f"{file} 第 {reader.line_num} 行：有 {len(row)} 个字段，而列数为 {len(header)}",
                )
            lines.append(reader.line_num)
            for column, text in zip(columns, row, strict=True):
                column.append(text.strip())
    except csv.Error as error:
        raise UsageError(
            f"{file}, line {reader.line_num}: {error}", f"{file} 第 {reader.line_num} 行：{error}"
        ) from None
    if not lines:
        raise UsageError(f"{file}: no rows", f"{file}：没有数据行")
    return Table(file, dict(zip(header, columns, strict=True)), lines)


def read_text(file: Path) -> str:
    """The text of a file, unzipped if it is."""
    try:
        raw = file.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 ({error})", f"{file}：不是 UTF-8（{error}）") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {file}: {error}", f"无法读取 {file}：{error}") from None


def _check_header(file: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    if not any(header):
        raise UsageError(f"{file}: empty", f"{file}：空文件")
    for name in wanted:
        if name not in header:
            raise UsageError(
                f"{file}, line 1: no column {name}; it has {', '.join(header)}",
                f"{file} 第 1 行：缺少 {name} 列；现有 {', '.join(header)}",
            )
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise UsageError(f"{file}, line 1: column {twice[0]} twice", f"{file} 第 1 行：{twice[0]} 列重复")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def day_of(text: str, written: bool = True) -> float:
    """Days since 1970 of an ISO 8601 time, or of 2001/11/4: as the clock shows it, or in UTC if there is an offset."""
    if text.count("/") == 2:
        at = datetime.strptime(text, "%Y/%m/%d")
    else:
        at = datetime.fromisoformat(text)
    offset = timedelta() if written else at.utcoffset() or timedelta()
    return (at.replace(tzinfo=None) - offset - _EPOCH).total_seconds() / _DAY_S


def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
