"""Replay runs: each has a database of its own with the same tables, and a row in `runs` of the base database.

So the keys stay short, a run cannot touch live rows, and dropping one is dropping a database.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct

from schemas import UsageError
from sinks.clickhouse.client import Client, quote

PREFIX = "run_"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Run(Struct, frozen=True):
    """A run as it is recorded."""

    id: str
    started_at_ms: int
    finished_at_ms: int | None
    arguments: dict[str, Any]
    manifest: dict[str, Any]

    @property
    def database(self) -> str:
        """Where its tables are."""
        return database(self.id)


def database(id: str) -> str:
    """Name of the database of run `id`. UsageError if it cannot be a name."""
    if not _ID.fullmatch(id):
        raise UsageError(
            f"run {id!r}: a name has up to 64 letters, digits, - and _, and starts with a letter or digit",
            f"运行 {id!r}：名称最多 64 个字母、数字、- 或 _，并以字母或数字开头",
        )
    return PREFIX + id


def start(client: Client, base: str, id: str, started_at_ms: int, arguments: dict[str, Any], where: str = "") -> None:
    """Record that a run has begun. UsageError if a finished or running one has this name.

    `where` are the options with which a user reaches this database: the error names the command that removes the run.
    """
    name = database(id)
    if any(run.id == id for run in listed(client, base)):
        raise UsageError(
            f"there is a run {id} already: choose another --id, or remove it with `quanyu replay rm {id}{where}`",
            f"已有名为 {id} 的运行：请换一个 --id，或用 `quanyu replay rm {id}{where}` 删除它",
        )
    _forget(client, name)
    _put(client, base, Run(id, started_at_ms, None, arguments, {}), version=1)


def finish(client: Client, base: str, id: str, finished_at_ms: int, manifest: dict[str, Any]) -> None:
    """Record that the run has ended, with its manifest (versions, offsets, counts, result hash)."""
    run = shown(client, base, id)
    _put(client, base, msgspec.structs.replace(run, finished_at_ms=finished_at_ms, manifest=manifest), version=2)


def listed(client: Client, base: str) -> list[Run]:
    """All runs, newest first."""
    sql = """
        SELECT id, toUnixTimestamp64Milli(started_at), toUnixTimestamp64Milli(finished_at), arguments, manifest
        FROM {base:Identifier}.runs FINAL ORDER BY started_at DESC, id"""
    decode = msgspec.json.decode
    return [
        Run(id, started, finished, decode(arguments), decode(manifest))
        for id, started, finished, arguments, manifest in client.rows(sql, {"base": base})
    ]


def shown(client: Client, base: str, id: str) -> Run:
    """One run. UsageError if there is none of this name."""
    runs = listed(client, base)
    for run in runs:
        if run.id == id:
            return run
    known = ", ".join(run.id for run in runs[:5])
    raise UsageError(
        f"there is no run {id}" + (f"; there are: {known}" if known else "; there are none"),
        f"没有名为 {id} 的运行" + (f"；现有：{known}" if known else "；尚无任何运行"),
    )


def drop(client: Client, base: str, id: str) -> None:
    """Remove a run: its database, then its record. UsageError if there is none of this name."""
    run = shown(client, base, id)
    _forget(client, run.database)
    delete = f"ALTER TABLE {quote(base)}.runs DELETE WHERE id = {{id:String}} SETTINGS mutations_sync = 2"
    client.command(client.layout.arranged(delete, base)[0], {"id": id})


def _forget(client: Client, name: str) -> None:
    for statement in client.layout.drop(name):
        client.command(statement)


def _put(client: Client, base: str, run: Run, version: int) -> None:
    moment = pa.timestamp("ms", tz="UTC")
    row = {
        "id": pa.array([run.id]),
        "started_at": pa.array([run.started_at_ms], moment),
        "finished_at": pa.array([run.finished_at_ms], moment),
        "arguments": pa.array([msgspec.json.encode(run.arguments).decode()]),
        "manifest": pa.array([msgspec.json.encode(run.manifest).decode()]),
        "version": pa.array([version], pa.uint64()),
    }
    client.insert(base, "runs", pa.table(row))
