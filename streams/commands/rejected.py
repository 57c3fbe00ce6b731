"""`quanyu rejected list|show|redrive`: the dead letters."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from schemas import QuanyuError, UsageError
from sinks.clickhouse import Client, connect, dead_letters, migrate, pending, runs
from streams import logs
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
    who,
)
from streams.commands.redrive import redrive_command
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
    """How many, by source and reason, and what became of them. 按来源和原因统计，并显示处理状态。

    open: no redrive has looked at them; failing: refused by the mapping of the last redrive too; redriven: sent again,
    or found stored. open 未处理；failing 重发时仍不合格；redriven 已重发或已入库。

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
    table = Table(say("source", "来源"), say("reason", "原因"))
    for title in (say("records", "记录"), say("open", "未处理"), say("failing", "仍不合格"), say("redriven", "已重发")):
        table.add_column(title, justify="right")
    table.add_column(say("example", "示例"))
    for row in found:
        numbers = (row.records, row.open, row.failing, row.redriven)
        table.add_row(row.source, row.reason, *(f"{number:,}" for number in numbers), row.detail)
    console().print(table)


@rejected_group.command("show")
@click.option("--reason", default="", help="Of one reason. 指定原因。")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="At most. 最多条数。")
@click.option("--raw", "unmasked", is_flag=True, help="Hide nothing; who looked is recorded. 不遮盖，并留下查看记录。")
@_options
def show_command(
    reason: str,
    limit: int,
    unmasked: bool,
    run: str,
    source: str,
    directory: str,
    config: str | None,
    overrides: tuple[str, ...],
) -> None:
    """The records themselves as NDJSON: position, reason, detail, raw. 逐条显示。

    Long numbers are hidden; names and addresses are not. 长数字会遮盖，姓名和地址不遮盖。

    \b
    quanyu rejected show --source 110 --reason missing_field
    quanyu rejected show --raw --limit 1
    """
    try:
        settings = configuration.load(config, overrides=at_database(directory, overrides))
        if place := _where(settings, run):
            found = list(dead_letters.records(*place, source, reason, limit, unmasked))
            if unmasked:
                _audit(settings, place[0], source, reason, run, len(found))
            for record in found:
                click.echo(record)
    except QuanyuError as error:
        fail(error)


def _audit(settings: Settings, client: Client, source: str, reason: str, run: str, count: int) -> None:
    """Record who is about to see unmasked records: a row of `rejected_shown`, and a line of the log."""
    user = who()
    dead_letters.note_shown(client, settings.clickhouse.database, user, source, reason, run, count)
    logs.configure(settings.log.level)
    logs.get().warning("dead letters shown unmasked", user=user, records=count, source=source, reason=reason, run=run)


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
    if pending(client, base.database):  # else reading is enough: few may do more
        migrate(client, base.database, settings.city.timezone, base.retention_days)
    if not run:
        return client, base.database
    database = runs.shown(client, base.database, run).database
    if pending(client, database):
        migrate(client, database, settings.city.timezone)
    return client, database


rejected_group.add_command(redrive_command)
