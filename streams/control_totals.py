"""Control totals: how many signals a source says it took down on a day. A CSV (`day,source,total`) or a TOML file
(`[[total]]` with `day`, `source`, `total`) that the city supplies.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from schemas import UsageError

COLUMNS = ("day", "source", "total")


def read(path: str | Path) -> dict[tuple[str, str], int]:
    """(ISO day, source) -> total. UsageError names the file, the entry and what is wrong with it."""
    path = Path(path)
    found: dict[tuple[str, str], int] = {}
    try:
        for place, row in _rows(path):
            key, total = _entry(path, place, row)
            if key in found:
                raise _bad(path, place, f"{' '.join(key)} stands there twice", f"{' '.join(key)} 重复")
            found[key] = total
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", f"{path}：{error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error.reason}", f"{path}：不是 UTF-8：{error.reason}") from error
    except (tomllib.TOMLDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: {error}", f"{path}：{error}") from error
    return found


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix == ".toml":
        with path.open("rb") as file:
            tree = tomllib.load(file)
        rows = tree.get("total")
        if set(tree) != {"total"} or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UsageError(f"{path}: want entries [[total]] and nothing else", f"{path}：应只含 [[total]] 条目")
        yield from ((f"total {n}", row) for n, row in enumerate(rows, 1))
        return
    with path.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text)
        if set(reader.fieldnames or ()) != set(COLUMNS):
            raise UsageError(f"{path}: want the columns day,source,total", f"{path}：列应为 day,source,total")
        yield from ((f"line {reader.line_num}", row) for row in reader)


def _entry(path: Path, place: str, row: dict[str, Any]) -> tuple[tuple[str, str], int]:
    if set(row) != set(COLUMNS):
        raise _bad(path, place, "want day, source and total, and nothing else", "应有且仅有 day、source、total")
    day, source, total = (row[name] for name in COLUMNS)
    try:
        if isinstance(day, datetime) or not isinstance(day, date):
            day = date.fromisoformat(str(day).strip())
    except ValueError:
        raise _bad(path, place, f"day {day}: want 2026-03-02", f"day {day}：应如 2026-03-02") from None
    text = str(total).strip()
    if not text.isascii() or not text.isdigit():
        raise _bad(path, place, f"total {total}: want a whole number", f"total {total}：应为整数")
    return (day.isoformat(), str(source).strip()), int(text)


def _bad(path: Path, place: str, en: str, zh: str) -> UsageError:
    return UsageError(f"{path}: {place}: {en}", f"{path}：{place}：{zh}")
