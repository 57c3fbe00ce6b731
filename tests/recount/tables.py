"""What a run stored: the tables of its chDB directory, read with SQL by a process of its own.

A directory belongs to one process at a time, and a process to one directory; so reading never meets the tests' engine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

SIGNALS = """
    SELECT signal_id, toUnixTimestamp64Milli(occurred_at) AS at_ms, toUnixTimestamp64Milli(reported_at) AS reported_ms,
        source, category, summary, quality, lon, lat, unit_cell, street, district, place_key, address, reporter,
        related_id, state, flags, incident_id, opens, version
    FROM {run}.signals FINAL"""
INCIDENTS = """
    SELECT incident_id, state, toUnixTimestamp64Milli(opened_at) AS opened_ms,
        toUnixTimestamp64Milli(last_at) AS last_ms, category, place_key, messages, reporters, sources, merged_into
    FROM {run}.incidents FINAL"""
PANES = """
    SELECT layer, minutes, toInt64(toUnixTimestamp(pane_start)) * 1000 AS start_ms, category, cell, messages,
        incidents, opened, reporters, state, version
    FROM {run}.grid_counts FINAL"""
REPEATS = """
    SELECT place_key, state, toUnixTimestamp64Milli(opened_at) AS opened_ms, incidents, messages,
        toUnixTimestamp64Milli(first_at) AS first_ms, toUnixTimestamp64Milli(last_at) AS last_ms
    FROM {run}.repeat_clusters_now FINAL"""
REJECTED = "SELECT source, topic, partition, offset, reason FROM {run}.rejected FINAL"

_READER = """
import sys
from chdb import session
directory, *jobs = sys.argv[1:]
reader = session.Session(directory)
for path, sql in zip(jobs[::2], jobs[1::2]):
    open(path, "wb").write(reader.query(sql, "Parquet").bytes())
"""


def read(directory: Path, database: str, *queries: str) -> list[pd.DataFrame]:
    """Results of queries over `database` ({run} in their text). Raises CalledProcessError with the engine's words."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{n}.parquet" for n in range(len(queries))]
        jobs = [text for path, sql in zip(paths, queries, strict=True) for text in (str(path), _of(sql, database))]
        subprocess.run([sys.executable, "-c", _READER, str(directory), *jobs], check=True)
        return [pd.read_parquet(path) for path in paths]


def _of(sql: str, database: str) -> str:
    quoted = sql.replace("{run}", f"`{database}`")
    return f"{quoted} SETTINGS output_format_parquet_string_as_string = 1"
