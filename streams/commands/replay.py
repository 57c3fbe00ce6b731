"""`quanyu replay run|list|show|rm`: the past again, into a run of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from schemas import QuanyuError, TooMuchBadData, UsageError
from schemas.sources.mapping import load_mapping
from sinks.base import Sink
from sinks.clickhouse import connect, migrate, open_sink, runs
from sinks.memory import MemorySink
from streams import settings as configuration
from streams.archiving import archived_log
from streams.assemble import Assembly, assemble, only
from streams.commands.base import (
    at_database,
    bad_data,
    configured,
    database_option,
    fail,
    json_option,
    moment,
    options_of,
    print_json,
    progress,
    say,
    wall_ms,
)
from streams.commands.feeds import file_feed, kafka_log, topic_feed
from streams.commands.input import caller_key, check_usage
from streams.commands.runs import list_command, rm_command, show_command
from streams.commands.summary import show_summary, warn
from streams.metrics import RoomMeter
from streams.replay import BULK_ROWS, BULK_S, Feed, Folding, Progress, Summary, conclude, replay, replay_log
from streams.runner import Writer, no_gc
from streams.settings import Settings

#: how long a run waits for ClickHouse before it gives up, seconds
GIVE_UP_S = 60.0


class _Run(Struct, frozen=True):
    """A run as it is named and recorded; `where` are the options with which other commands find it."""

    id: str
    began_ms: int
    arguments: dict[str, Any]
    dry_run: bool
    where: str


@click.group("replay")
def replay_group() -> None:
    """Run the past again: files or topic ranges through the same rooms. 回放：文件或主题区间。"""


@replay_group.command("run")
@click.option(
    "--file", "files", multiple=True, type=click.Path(path_type=Path), help="CSV or NDJSON, plain or .gz. 文件。"
)
@click.option("--source", "names", multiple=True, help="Source of each file, or topics to read. 来源。")
@click.option("--map", "maps", multiple=True, help="Mapping file of each --file. 映射文件。")
@click.option("--kafka", is_flag=True, help="Read the sources' topics. 读取 Kafka 主题。")
@click.option("--log", "from_log", is_flag=True, help="With --kafka: fold the city's log as it is. 直接回放城市日志。")
@click.option("--archive", "archive", default="", help="Folder of `quanyu archive`: its log. 回放归档的日志。")
@click.option("--from", "from_text", default="", help="Kafka: from this broker time. 起始时间。")
@click.option("--to", "to_text", default="", help="Kafka: up to this broker time. 结束时间。")
@click.option("--grids", "grids", default="", help="Polygons, layer list or index. 网格文件。")
@database_option
@click.option("--id", "run_id", default="", help="Name of the run. 运行名称。")
@click.option("--batch", default=5000, show_default=True, type=click.IntRange(1), help="Signals a step. 每步信号数。")
@click.option("--dry-run", is_flag=True, help="Read and count, write nothing. 只读取和计数，不写入。")
@configured
@json_option
def run_command(
    files: tuple[Path, ...],
    names: tuple[str, ...],
    maps: tuple[str, ...],
    kafka: bool,
    from_log: bool,
    archive: str,
    from_text: str,
    to_text: str,
    grids: str,
    directory: str,
    run_id: str,
    batch: int,
    dry_run: bool,
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Replay files or a topic range into a database of its own. 把文件或主题区间回放到独立数据库。

    \b
    quanyu replay run --file calls.csv.gz --source 110 --map examples/seattle_fire911.toml --json
    quanyu replay run --kafka --from 2026-03-02T00:00 --to 2026-03-03T00:00
    quanyu replay run --archive /archive --kafka --log
    """
    arguments = {
        "files": [str(f) for f in files],
        "sources": list(names),
        "maps": list(maps),
        "kafka": kafka,
        "log": from_log or bool(archive),
        "archive": archive,
        "from": from_text,
        "to": to_text,
        "grids": grids,
        "set": list(overrides),
    }
    try:
        check_usage(files, names, maps, kafka, from_log, archive)
        settings = _settings(files, names, maps, grids, config, at_database(directory, overrides))
        where = options_of(directory, config, overrides)
        summary = _execute(settings, arguments, files, from_text, to_text, run_id, batch, dry_run, where)
    except QuanyuError as error:
        fail(error)
    warn(summary)
    if as_json:
        print_json(summary)
    else:
        show_summary(summary)


def _settings(
    files: Sequence[Path],
    names: Sequence[str],
    maps: Sequence[str],
    grids: str,
    config: str | None,
    overrides: Sequence[str],
) -> Settings:
    """The configuration of the run: a mapping brings its own time keeping, below the file and --set."""
    base: dict[str, Any] = {"sources": {}}
    for name, file in zip(names, maps, strict=False):
        mapping = load_mapping(file)
        base["sources"][name] = {
            "mapping": file,
            "lateness_s": mapping.time.lateness_s,
            "horizon_h": mapping.time.horizon_h,
        }
        base["city"] = {"timezone": mapping.time.zone}
    settings = configuration.load(config, overrides=overrides, base=base)
    for name in names:
        if name not in settings.sources:
            raise UsageError(
                f"--source {name}: not configured; known: {', '.join(settings.sources)}; or give --map FILE",
                f"--source {name}：未配置；已知：{', '.join(settings.sources)}；或用 --map 给出映射文件",
            )
    # what the command line names wins over the configuration file
    for name, file in zip(names, maps, strict=False):
        source = msgspec.structs.replace(settings.sources[name], mapping=file)
        settings = msgspec.structs.replace(settings, sources={**settings.sources, name: source})
    if names:
        settings = only(settings, dict.fromkeys(names))
    if grids:
        settings = msgspec.structs.replace(settings, grids=msgspec.structs.replace(settings.grids, file=grids))
    return settings


def _execute(
    settings: Settings,
    arguments: dict[str, Any],
    files: Sequence[Path],
    from_text: str,
    to_text: str,
    run_id: str,
    batch: int,
    dry_run: bool,
    where: str,
) -> Summary:
    began = wall_ms()
    zone = settings.city.timezone
    from_ms = moment(from_text, zone, "--from") if from_text else None
    to_ms = moment(to_text, zone, "--to") if to_text else None
    feeds: list[Feed] = []
    if files:
        feeds = [
            file_feed(file, name, load_mapping(settings.sources[name].mapping), began, number)
            for number, (file, name) in enumerate(zip(files, arguments["sources"], strict=True))
        ]
    elif not arguments["log"]:
        feeds = [
            feed
            for name, source in settings.sources.items()
            if (feed := topic_feed(settings, name, source.topic, from_ms, to_ms, began)) is not None
        ]
    origins = None if arguments["log"] else {name: feed.source for feed in feeds for name in feed.origins}
    if origins is not None and not origins:
        raise UsageError(
            "nothing to replay: the topics hold no records in this range", "没有可回放的内容：主题在该区间内没有记录"
        )
    meter = RoomMeter(settings.city.name)
    assembly = assemble(settings, caller_key(settings, files), origins, meter)
    run_id = run_id or datetime.fromtimestamp(began / 1000, UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
    run = _Run(run_id, began, arguments, dry_run, where)

    def read(folding: Folding) -> Summary:
        with progress() as bar:
            if arguments["archive"]:
                directory, on = Path(arguments["archive"]), bool(arguments["kafka"])
                return replay_log(archived_log(settings, directory, from_ms, to_ms, batch, on), folding)
            if arguments["log"]:
                return replay_log(kafka_log(settings, from_ms, to_ms, batch), folding)
            return replay(feeds, folding, _bar(bar, feeds))

    try:
        return _fold(settings, assembly, run, read, batch)
    except TooMuchBadData as error:
        raise error if dry_run else bad_data(error, f" --run {run_id}{where}") from error
    except KeyboardInterrupt:
        if dry_run:
            raise QuanyuError("interrupted; nothing was written", "已中断；没有写入任何内容") from None
        raise QuanyuError(
            f"interrupted: run {run_id} is left unfinished; remove it with `quanyu replay rm {run_id}{where}`",
            f"已中断：运行 {run_id} 未完成；可用 `quanyu replay rm {run_id}{where}` 删除",
        ) from None


def _fold(settings: Settings, assembly: Assembly, run: _Run, read: Callable[[Folding], Summary], batch: int) -> Summary:
    """Read everything into a database of the run's own, and conclude it."""
    sink, database = _open(settings, assembly, run)
    writer = Writer(sink, GIVE_UP_S)
    folding = Folding(assembly, writer, wall_ms, batch)
    clock = time.perf_counter()
    no_gc()
    try:
        summary = read(folding)
        writer.close()
    except QuanyuError:
        writer.close()  # what was read is stored; the dead letters may be what explains it
        sink.close()
        raise
    except BaseException:
        writer.abandon()
        raise
    summary.seconds = time.perf_counter() - clock
    summary = conclude(summary, run.id, database, sink.digest())
    if not run.dry_run:
        client = connect(settings.clickhouse)
        runs.finish(client, settings.clickhouse.database, run.id, wall_ms(), msgspec.to_builtins(summary))
    sink.close()
    return summary


def _open(settings: Settings, assembly: Assembly, run: _Run) -> tuple[Sink, str]:
    if run.dry_run:
        return MemorySink(), ""
    config, zone = settings.clickhouse, settings.city.timezone
    bulk = msgspec.structs.replace(config, batch_rows=max(config.batch_rows, BULK_ROWS), batch_s=BULK_S)
    client = connect(config)
    migrate(client, config.database, zone, config.retention_days)
    runs.start(client, config.database, run.id, run.began_ms, run.arguments, run.where)
    database = runs.database(run.id)
    return open_sink(bulk, assembly.grids.layers, zone, database), database


def _bar(bar: Any, feeds: Sequence[Feed]) -> Progress:
    task = bar.add_task(say("replay", "回放"), total=None, status="")

    def show(read: int, reached_ms: int, summary: Summary) -> None:
        at = datetime.fromtimestamp(max(reached_ms, 0) / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        bar.update(task, completed=read, status=say(f"{read:,} records, {at}", f"{read:,} 条，{at}"))

    return show


for command in (list_command, show_command, rm_command):
    replay_group.add_command(command)
