"""What every bench prints: figures with their goals, as a table or one JSON object, with versions and the machine.

report = Report("join")
report.figure("points_per_second", 2.1e6, "1/s", at_least=1e6)
report.value("points", 1_000_000)
report.print(as_json)
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

T = TypeVar("T")

_PACKAGES = ("quanyu", "numpy", "shapely", "msgspec", "faust-streaming", "chdb", "clickhouse-connect", "kafka-python")


class Report:
    """Figures of one bench, in the order they were measured."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._figures: dict[str, dict[str, Any]] = {}
        self._values: dict[str, Any] = {}

    def figure(
        self, name: str, value: float, unit: str, *, at_least: float | None = None, at_most: float | None = None
    ) -> None:
        """A measured figure; its goal, if it has one, is a lower or an upper bound in the same unit."""
        goal = at_least if at_least is not None else at_most
        ok = None if goal is None else bool(value >= goal if at_least is not None else value <= goal)
        sign = "" if goal is None else (">=" if at_least is not None else "<=")
        self._figures[name] = {"value": value, "unit": unit, "goal": goal, "goal_is": sign, "ok": ok}

    def value(self, name: str, value: Any) -> None:
        """A flat key beside the figures: a size of the input, or a name that is the field's habit (micro_f1)."""
        self._values[name] = value

    @property
    def ok(self) -> bool:
        """Every goal is met."""
        return all(figure["ok"] is not False for figure in self._figures.values())

    def as_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "bench": self.name,
            "figures": self._figures,
            **self._values,
            "versions": _versions(),
            "machine": _machine(),
        }

    def print(self, as_json: bool) -> None:
        """One JSON object, or a table, on standard output."""
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(self.as_dict()), indent=2).decode() + "\n")
            return
        table = Table("figure", "value", "unit", "goal", "ok", title=f"bench.{self.name}")
        for name, figure in self._figures.items():
            goal = "" if figure["goal"] is None else f"{figure['goal_is']} {_number(figure['goal'])}"
            verdict = {True: "yes", False: "NO", None: ""}[figure["ok"]]
            table.add_row(name, _number(figure["value"]), figure["unit"], goal, verdict)
        console = Console()
        console.print(table)
        for name, value in self._values.items():
            console.print(f"{name}: {value}", highlight=False)


def best_of(times: int, work: Callable[[], T]) -> tuple[float, T]:
    """Shortest seconds of `times` runs, and what the last one gave: the others were disturbed by the machine."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "system": platform.system(), "processor": platform.machine()}
