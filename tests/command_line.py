"""The command line in tests: a runner over a database of its own, and small files of calls for it to read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streams.cli import main

Quanyu = Callable[..., Result]
COLUMNS = ("id", "kind", "at", "lon", "lat", "address", "caller")
MAPPING = """
name = "calls"
format = "csv"
id = { from = "id" }
[time]
occurred = "at"
lateness_s = 600
[category]
path = "kind"
[place]
x = "lon"
y = "lat"
address = "address"
[reporter]
from = "caller"
"""
_runs = count(1)


def command_line(chdb_url: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> Quanyu:
    """The command line over a base database of the test's own, in the one chDB directory of the process.

    In the empty folder `here`: whatever configuration lies where the tests are started is none of theirs.
    """
    here.mkdir()
    monkeypatch.chdir(here)
    where = ["--set", f"clickhouse.url={chdb_url}", "--set", f"clickhouse.database=cli_{next(_runs)}"]

    def run(*arguments: str | Path, lang: str = "en", settings: Sequence[str] = ()) -> Result:
        more = [part for setting in settings for part in ("--set", setting)]
        return CliRunner().invoke(main, ["--lang", lang, *map(str, arguments), *where, *more])

    return run


def write_mapping(path: Path) -> Path:
    """The mapping of `calls`."""
    path.write_text(MAPPING)
    return path


def call(n: int, **other: str) -> dict[str, str]:
    at = f"2024-03-02 {8 + n // 60 % 12:02d}:{n % 60:02d}:00"
    row = {"id": f"c{n}", "kind": "治安/盗窃", "at": at, "lon": "121.47", "lat": "31.23"}
    return row | {"address": f"人民路{n % 7}号", "caller": f"1380000{n % 50:04d}"} | other


def calls(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def unique() -> str:
    return f"t{next(_runs)}"


def told(result: Result, code: int) -> str:
    """The one line on standard error; nothing on standard output."""
    assert result.exit_code == code, result.output
    assert not isinstance(result.exception, Exception), result.exception
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def run_of(file: Path, mapping: Path, *options: str | Path) -> list[str | Path]:
    """A replay of one file of source 110."""
    return ["replay", "run", "--file", file, "--source", "110", "--map", mapping, *options]


def replayed(
    cli: Quanyu, file: Path, mapping: Path, *options: str | Path, settings: Sequence[str] = ()
) -> dict[str, Any]:
    result = cli(*run_of(file, mapping, "--json", *options), settings=settings)
    assert result.exit_code == 0, result.output
    summary: dict[str, Any] = json.loads(result.stdout)
    counted = summary["signals"] + sum(summary["rejected"].values()) + summary["duplicates"] + summary["revisions"]
    assert summary["read"] == counted
    return summary
