"""`quanyu rejected list|show`: the dead letters."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from schemas import QuanyuError, UsageError
from sinks.clickhouse import Client, connect, dead_letters, migrate, runs
from streams import settings as configuration
from streams.commands.base import (
    at_database,
    configured,
    console,
    database_option,
    fail,
    json_option,
    nothing_at,
    print_json,
    say,
)
from streams.settings import Settings


@click.group("rejected")
def rejected_group() -> None:
    """Records that intake refused, with their reason and bytes. 被拒收的记录。"""


def _options(command: Any) -> Any:
    run = click.option("--run", "run", default="", help="Of a replay run; else the live database. 指定回放运行。")
    source = click.option("--source", default="", help="Of one source. 指定来源。")
    return run(source(database_option(configured(command))))


@rejected_group.command("list")
@_options
@json_option
def list_command(
    run: str, source: str, directory: str, config: str | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """How many, by source and reason. 按来源和原因统计。

    \b
    quanyu rejected list --run first --db results
    """
    try:
        settings = configuration.load(config, overrides=at_database(directory, overrides))
        found = []
        if place := _where(settings, run):
            found = dead_letters.by_reason(*place, source)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(found)
        return
    if not found:
        url = settings.clickhouse.url
        click.echo(say(f"nothing was rejected in {url}", f"{url} 中没有拒收记录"))
        if not run:
            click.echo(
                say("(the live database; name a replay with --run)", "（实时库；回放请用 --run 指定）"), err=True
            )
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
    reason: str,
    limit: int,
    run: str,
    source: str,
    directory: str,
    config: str | None,
    overrides: tuple[str, ...],
) -> None:
    """The records themselves as NDJSON: position, reason, detail, raw. 逐条显示。"""
    try:
        settings = configuration.load(config, overrides=at_database(directory, overrides))
        if place := _where(settings, run):
            for record in dead_letters.records(*place, source, reason, limit):
                click.echo(record)
    except QuanyuError as error:
        fail(error)


def _where(settings: Settings, run: str) -> tuple[Client, str] | None:
    """Where the dead letters are; None where nothing is yet. UsageError if there is no such run."""
    base = settings.clickhouse
    if nothing := nothing_at(base):
        if run:
            raise UsageError(
                f"there is no run {run}: nothing is in {nothing}; name the database with --db",
                f"没有名为 {run} 的运行：{nothing} 中没有内容；请用 --db 指定数据库",
            )
        return None
    client = connect(base)
    migrate(client, base.database, settings.city.timezone, base.retention_days)
    return client, runs.shown(client, base.database, run).database if run else base.database
