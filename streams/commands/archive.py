"""`quanyu archive`: closed days of the city's log, from Kafka to Parquet."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click
from rich.table import Table

from schemas import QuanyuError, UsageError
from streams import settings as configuration
from streams.archiving import Result, archive
from streams.commands.base import configured, console, fail, json_option, print_json, say


@click.command("archive")
@click.option("--until", "until_text", required=True, metavar="DAY", help="The last day, 2026-03-02. 最后一日。")
@click.option("--dir", "directory", default="", help="Folder; else archive.dir. 归档目录，默认 archive.dir。")
@click.option("--check", "check_all", is_flag=True, help="Read earlier days again, too. 重新核对已归档的日期。")
@configured
@json_option
def archive_command(
    until_text: str,
    directory: str,
    check_all: bool,
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Closed days of the city's log to Parquet. 把城市日志中已结束的日期归档为 Parquet。

    Every message as it lies on Kafka, read again and compared before it says that the topic may let go of it.
    Running it again goes on where it stopped. 可重复运行，从中断处继续。

    \b
    quanyu archive --until 2026-03-02
    quanyu archive --until 2026-03-02 --dir /archive --json
    """
    try:
        try:
            until = date.fromisoformat(until_text)
        except ValueError:
            raise UsageError(
                f"--until {until_text}: want 2026-03-02", f"--until {until_text}：应如 2026-03-02"
            ) from None
        settings = configuration.load(config, overrides=overrides)
        result = archive(settings, Path(directory or settings.archive.dir), until, check_all)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(result)
    else:
        _show(result)


def _show(result: Result) -> None:
    table = Table(
        say("day", "日期"),
        say("offsets", "偏移量"),
        say("messages", "消息"),
        say("bytes", "字节"),
        say("state", "状态"),
    )
    for day in result.days:
        state = say("written", "已写入") if day.state == "written" else say("was there", "已存在")
        offsets = f"{day.first_offset}..{day.next_offset - 1}" if day.messages else "-"
        table.add_row(day.day, offsets, f"{day.messages:,}", f"{day.bytes:,}", state)
    console().print(table)
    before = result.may_expire_before
    click.echo(
        say(
            f"checked; {result.topic} may let go of everything before offset {before}",
            f"已核对；{result.topic} 中偏移量 {before} 之前的消息可以过期",
        )
    )
