"""`quanyu stats` as an analyst runs it, on small CSV files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from streams.cli import main


def run(*arguments: str | Path | float, lang: str = "en") -> Result:
    return CliRunner().invoke(main, ["--lang", lang, "stats", *map(str, arguments)])


def stats(*arguments: str | Path | float) -> dict[str, Any]:
    """The JSON of a command that works."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(*arguments: str | Path | float) -> str:
    """What a command that fails for its input says, in one line; in Chinese it says it too."""
    result, chinese = run(*arguments), run(*arguments, lang="zh")
    assert (result.exit_code, chinese.exit_code) == (2, 2), result.output
    assert result.stdout == chinese.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese.stderr.removeprefix("错误：")), chinese.stderr
    return line


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, header: str, rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path
