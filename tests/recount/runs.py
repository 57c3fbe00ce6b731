"""Runs of `quanyu` as a user starts them: a process of its own, a chDB directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from tests.recount import tables

ROOT = Path(__file__).parents[2]


class Run(NamedTuple):
    """A run that has ended: what it said, and where its tables are."""

    summary: dict[str, Any]
    directory: Path

    def read(self, *queries: str) -> list[pd.DataFrame]:
        """Results of queries over its database (see `tables`)."""
        return tables.read(self.directory, self.summary["database"], *queries)


def quanyu(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end, without the user's own configuration."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("QUANYU__")} | {"LANG": "C.UTF-8"}
    command = [str(Path(sys.executable).with_name("quanyu")), *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=clean | (environment or {})
    )


def replay(
    directory: Path, file: Path, mapping: str, *options: str | Path, environment: dict[str, str] | None = None
) -> Run:
    """Replay a file of source 110 by a mapping of `examples/`; the run must end well."""
    done = quanyu(
        "replay", "run", "--file", file, "--source", "110", "--map", ROOT / "examples" / f"{mapping}.toml",
        "--db", directory, "--json", *options, environment=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Run(json.loads(done.stdout), directory)
