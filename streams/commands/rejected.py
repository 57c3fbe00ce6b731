"""`quanyu rejected list|show`: the dead letters."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from schemas import QuanyuError
from sinks.clickhouse import connect, dead_letters, migrate, runs
from streams import settings as configuration
from streams.commands.base import configured, console, fail, json_option, print_json, say


@click.group("rejected")
def rejected_group() -> None:
    """Records that intake refused, with their reason and bytes. 被拒收的记录。"""


def _options(command: Any) -> Any:
    run = click.option("--run", "run", default="", help="Of a replay run; else the live database. 指定回放运行。")
    source = click.option("--source", default="", help="Of one source. 指定来源。")
    return run(source(configured(command)))


@rejected_group.command("list")
@_options
@json_option
def list_command(run: str, source: str, config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """How many, by source and reason. 按来源和原因统计。

    \b
    quanyu rejected list --run 20260302T080000000
    """
    try:
        client, database = _where(run, config, overrides)
        found = dead_letters.by_reason(client, database, source)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(found)
        return
    table = Table(say("source", "来源"), say("reason", "原因"), say("records", "记录"), say("example", "示例"))
    for row in found:
        table.add_row(row.source, row.reason, f"{row.records:,}", row.detail)
    console().print(table)


@rejected_group.command("show")
@click.option("--reason", default="", help="Of one reason. 指定原因。")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="At most. 最多条数。")
@_options
def show_command(
    reason: str, limit: int, run: str, source: str, config: str | None, overrides: tuple[str, ...]
) -> None:
    """The records themselves as NDJSON: position, reason, detail, raw. 逐条显示。"""
    try:
        client, database = _where(run, config, overrides)
        for record in dead_letters.records(client, database, source, reason, limit):
            click.echo(record)
    except QuanyuError as error:
        fail(error)


def _where(run: str, config: str | None, overrides: tuple[str, ...]) -> tuple[Any, str]:
    settings = configuration.load(config, overrides=overrides)
    base = settings.clickhouse
    client = connect(base)
    migrate(client, base.database, settings.city.timezone, base.retention_days)
    return client, runs.shown(client, base.database, run).database if run else base.database
