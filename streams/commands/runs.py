"""`quanyu replay list|show|rm`: the runs that were recorded."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.table import Table

from schemas import QuanyuError, UsageError
from sinks.clickhouse import Client, connect, migrate, runs
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


@click.command("list")
@database_option
@configured
@json_option
def list_command(directory: str, config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """All runs, newest first. 列出所有运行。"""
    try:
        settings = configuration.load(config, overrides=at_database(directory, overrides))
        found = []
        if not nothing_at(settings.clickhouse):
            found = runs.listed(_base(settings), settings.clickhouse.database)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(found)
        return
    if not found:
        url = settings.clickhouse.url
        click.echo(say(f"there are no runs in {url}", f"{url} 中没有运行"))
        return
    table = Table("run", say("started", "开始"), say("finished", "结束"), say("read", "读取"), say("result", "结果"))
    for column in table.columns:
        column.overflow = "fold"
    for run in found:
        done = run.finished_at_ms is not None
        table.add_row(
            run.id,
            _time(run.started_at_ms),
            _time(run.finished_at_ms) if run.finished_at_ms is not None else say("not finished", "未完成"),
            f"{run.manifest.get('read', 0):,}" if done else "",
            str(run.manifest.get("result_hash", "")),
        )
    console().print(table)


@click.command("show")
@click.argument("run_id")
@database_option
@configured
def show_command(run_id: str, directory: str, config: str | None, overrides: tuple[str, ...]) -> None:
    """One run with its arguments and manifest, as JSON. 显示一个运行。"""
    try:
        settings = configuration.load(config, overrides=at_database(directory, overrides))
        print_json(runs.shown(_holding(settings, run_id), settings.clickhouse.database, run_id))
    except QuanyuError as error:
        fail(error)


@click.command("rm")
@click.argument("run_id")
@database_option
@configured
def rm_command(run_id: str, directory: str, config: str | None, overrides: tuple[str, ...]) -> None:
    """Remove a run and its database. 删除一个运行及其数据库。"""
    try:
        settings = configuration.load(config, overrides=at_database(directory, overrides))
        runs.drop(_holding(settings, run_id), settings.clickhouse.database, run_id)
    except QuanyuError as error:
        fail(error)
    click.echo(say(f"removed {run_id}", f"已删除 {run_id}"))


def _holding(settings: Settings, run_id: str) -> Client:
    """A client of the database that should hold the run."""
    if directory := nothing_at(settings.clickhouse):
        raise UsageError(
            f"there is no run {run_id}: nothing is in {directory}; name the database with --db",
            f"没有名为 {run_id} 的运行：{directory} 中没有内容；请用 --db 指定数据库",
        )
    return _base(settings)


def _base(settings: Settings) -> Client:
    client = connect(settings.clickhouse)
    migrate(client, settings.clickhouse.database, settings.city.timezone, settings.clickhouse.retention_days)
    return client


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
