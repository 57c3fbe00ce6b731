"""`quanyu reconcile`: the night's work on one day of the live database."""

from __future__ import annotations

import time
from datetime import date

import click
from rich.table import Table

from schemas import QuanyuError, UsageError
from sinks.clickhouse import ClickHouseSink, connect, migrate
from sinks.clickhouse.reconcile import Stored
from streams import control_totals
from streams import settings as configuration
from streams.assemble import grids_of
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
    wall_ms,
)
from streams.reconcile import Reconcile, Report
from streams.settings import Settings


@click.command("reconcile")
@click.option("--day", "day_text", required=True, metavar="DAY", help="Local day, 2026-03-02. 要核算的日期。")
@click.option("--totals", "totals_file", default="", help="Control totals: CSV or TOML. 对账总数文件。")
@click.option("--dry-run", is_flag=True, help="Look, write nothing. 只检查，不写入。")
@database_option
@configured
@json_option
def reconcile_command(
    day_text: str,
    totals_file: str,
    dry_run: bool,
    directory: str,
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Recount a day: late corrections, counts, control totals. 核算一日：逾期更正、计数与对账。

    Puts signals that came beyond the horizon where they belong, recounts the day and compares it with the sources'
    totals. Exit 1 when these differ (in a dry run also when there is something to do). 总数不符时退出码为 1。

    \b
    quanyu reconcile --day 2026-03-02
    quanyu reconcile --day 2026-03-02 --totals totals.csv --dry-run --json
    """
    try:
        day = _day(day_text)
        settings = configuration.load(config, overrides=at_database(directory, overrides))
        file = totals_file or settings.reconcile.totals
        wanted = control_totals.read(file) if file else {}
        report = _reconciled(settings, day, wanted, dry_run)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(report)
    else:
        _show(report)
    if not report.agrees:
        raise SystemExit(1)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--day {text}: want 2026-03-02", f"--day {text}：应如 2026-03-02") from None


def _reconciled(settings: Settings, day: date, wanted: dict[tuple[str, str], int], dry_run: bool) -> Report:
    base, zone = settings.clickhouse, settings.city.timezone
    if nothing := nothing_at(base):
        raise UsageError(
            f"there is nothing to reconcile in {nothing}; name the live database with --db or clickhouse.url",
            f"{nothing} 中没有可核算的内容；请用 --db 或 clickhouse.url 指定实时库",
        )
    layers = grids_of(settings).layers
    client = connect(base)
    migrate(client, base.database, zone, base.retention_days)
    sink = ClickHouseSink(client, base.database, layers, base.batch_rows, base.batch_s, time.monotonic)
    try:
        return Reconcile(settings, Stored(client, base.database, layers), sink, wall_ms).day(day, wanted, dry_run)
    finally:
        client.close()


def _show(report: Report) -> None:
    will = report.dry_run
    lines = [
        (say("late signals", "逾期信号"), report.late),
        (say("  new", "  新增"), report.new),
        (say("  moved or changed", "  移动或更改"), report.moved),
        (say("  withdrawn", "  撤回"), report.withdrawn),
        (say("  waiting: live remembers them", "  等待：实时处理仍在记忆期内"), report.waiting),
        (say("  nothing new", "  无新内容"), report.known),
        (say("rows of signals", "信号行"), report.signals),
        (say("rows of incidents", "事件行"), report.incidents),
        (say("hidden copies", "隐藏的重复行"), report.copies),
        (say("rows of counts", "计数行"), report.panes),
    ]
    head = say("to be written" if will else "written", "待写入" if will else "已写入")
    table = Table(say("day", "日期") + f" {report.day}", head)
    for text, count in lines:
        table.add_row(text, f"{count:,}")
    console().print(table)
    if report.redone:
        click.echo(say(f"{report.redone} parts of a run that was cut off were written again", "已补写上次中断的部分"))
    if report.totals:
        totals = Table(
            say("source", "来源"), say("its total", "来源总数"), say("stored", "已存"), say("difference", "差额"),
            say("refused", "拒收"),
        )  # fmt: skip
        for row in report.totals:
            difference = "" if row.total is None else f"{row.signals - row.total:+,}"
            told = "-" if row.total is None else f"{row.total:,}"
            totals.add_row(row.source, told, f"{row.signals:,}", difference, f"{row.rejected:,}")
        console().print(totals)
    if report.due:
        days = " ".join(report.due)
        click.echo(say(f"late signals wait on other days, to be reconciled too: {days}", f"其他待核算的日期：{days}"))
