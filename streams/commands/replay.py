"""`quanyu replay run|list|show|rm`: the past again, into a run of its own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from schemas import QuanyuError, UsageError
from schemas.sources.mapping import load_mapping
from sinks.base import Sink
from sinks.clickhouse import connect, migrate, open_sink, runs
from sinks.memory import MemorySink
from streams import settings as configuration
from streams.assemble import Assembly, assemble, only
from streams.commands.base import configured, console, fail, json_option, moment, print_json, progress, say, wall_ms
from streams.commands.feeds import file_feed, kafka_log, topic_feed
from streams.metrics import RoomMeter
from streams.replay import Feed, Folding, Progress, Summary, conclude, replay, replay_log
from streams.runner import Writer, no_gc
from streams.settings import Settings

#: how long a run waits for ClickHouse before it gives up, seconds
GIVE_UP_S = 60.0


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
@click.option("--from", "from_text", default="", help="Kafka: from this broker time. 起始时间。")
@click.option("--to", "to_text", default="", help="Kafka: up to this broker time. 结束时间。")
@click.option("--grids", "grids", default="", help="Polygons, layer list or index. 网格文件。")
@click.option("--db", "directory", default="", help="chDB directory to write to. 写入的 chDB 目录。")
@click.option("--id", "run_id", default="", help="Name of the run. 运行名称。")
@click.option("--batch", default=5000, show_default=True, type=click.IntRange(1), help="Records a step. 每步记录数。")
@click.option("--dry-run", is_flag=True, help="Read and count, write nothing. 只读取和计数，不写入。")
@configured
@json_option
def run_command(
    files: tuple[Path, ...],
    names: tuple[str, ...],
    maps: tuple[str, ...],
    kafka: bool,
    from_log: bool,
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
    """
    arguments = {
        "files": [str(f) for f in files],
        "sources": list(names),
        "maps": list(maps),
        "kafka": kafka,
        "log": from_log,
        "from": from_text,
        "to": to_text,
        "grids": grids,
        "set": list(overrides),
    }
    try:
        _check_usage(files, names, maps, kafka, from_log)
        settings = _settings(files, names, maps, grids, directory, config, overrides)
        summary = _execute(settings, arguments, files, from_text, to_text, run_id, batch, dry_run)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(summary)
    else:
        show_summary(summary)


def _check_usage(files: Sequence[Path], names: Sequence[str], maps: Sequence[str], kafka: bool, from_log: bool) -> None:
    if bool(files) == kafka:
        raise UsageError(
            "give either --file (with --source) or --kafka", "请给出 --file（并带 --source）或 --kafka 之一"
        )
    if files and len(names) != len(files):
        raise UsageError(
            f"{len(files)} --file but {len(names)} --source: each file needs its own",
            f"{len(files)} 个 --file，但有 {len(names)} 个 --source：每个文件都要有来源",
        )
    if maps and len(maps) != len(files):
        raise UsageError(
            f"{len(files)} --file but {len(maps)} --map: give one each, or none",
            f"{len(files)} 个 --file，但有 {len(maps)} 个 --map：请逐一给出或都不给",
        )
    if from_log and not kafka:
        raise UsageError("--log goes with --kafka", "--log 须与 --kafka 同用")
    for file in files:
        if not file.exists():
            raise UsageError(f"--file {file}: no such file", f"--file {file}：没有这个文件")


def _settings(
    files: Sequence[Path],
    names: Sequence[str],
    maps: Sequence[str],
    grids: str,
    directory: str,
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
    if directory:
        clickhouse = msgspec.structs.replace(settings.clickhouse, url=f"chdb:{directory}")
        settings = msgspec.structs.replace(settings, clickhouse=clickhouse)
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
) -> Summary:
    now = wall_ms
    began = now()
    zone = settings.city.timezone
    from_ms = moment(from_text, zone, "--from") if from_text else None
    to_ms = moment(to_text, zone, "--to") if to_text else None
    feeds: list[Feed] = []
    if files:
        feeds = [
            file_feed(file, name, load_mapping(settings.sources[name].mapping), batch, began, number)
            for number, (file, name) in enumerate(zip(files, arguments["sources"], strict=True))
        ]
    elif not arguments["log"]:
        feeds = [
            feed
            for name, source in settings.sources.items()
            if (feed := topic_feed(settings, name, source.topic, from_ms, to_ms, batch, began)) is not None
        ]
    origins = None if arguments["log"] else {name: feed.source for feed in feeds for name in feed.origins}
    if origins is not None and not origins:
        raise UsageError(
            "nothing to replay: the topics hold no records in this range", "没有可回放的内容：主题在该区间内没有记录"
        )
    meter = RoomMeter()
    assembly = assemble(settings, _caller_key(settings, files), origins, meter)
    run_id = run_id or datetime.fromtimestamp(began / 1000, UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
    sink, database = _open(settings, assembly, run_id, began, arguments, dry_run)
    writer = Writer(sink, GIVE_UP_S)
    folding = Folding(assembly, writer, now)
    clock = time.perf_counter()
    no_gc()
    try:
        with progress() as bar:
            if arguments["log"]:
                summary = replay_log(kafka_log(settings, from_ms, to_ms, batch), folding)
            else:
                summary = replay(feeds, folding, _bar(bar, feeds))
        writer.close()
    except QuanyuError:
        writer.close()  # what was read is stored; the dead letters may be what explains it
        sink.close()
        raise
    except BaseException:
        writer.abandon()
        raise
    summary.seconds = time.perf_counter() - clock
    summary = conclude(summary, run_id, database, sink.digest())
    if not dry_run:
        client = connect(settings.clickhouse)
        runs.finish(client, settings.clickhouse.database, run_id, now(), msgspec.to_builtins(summary))
    sink.close()
    return summary


def _open(
    settings: Settings, assembly: Assembly, run_id: str, began: int, arguments: dict[str, Any], dry_run: bool
) -> tuple[Sink, str]:
    if dry_run:
        return MemorySink(), ""
    config, zone = settings.clickhouse, settings.city.timezone
    client = connect(config)
    migrate(client, config.database, zone, config.retention_days)
    runs.start(client, config.database, run_id, began, arguments)
    database = runs.database(run_id)
    return open_sink(config, assembly.grids.layers, zone, database), database


def _caller_key(settings: Settings, files: Sequence[Path]) -> bytes:
    """The configured secret; else a key made of the files' own content.

    Then the same files give the same hashes, and only who holds the files, and so the callers, can make the key.
    """
    if settings.intake.caller_key:
        return settings.intake.caller_key.encode()
    if not files:
        raise UsageError(
            "no secret for the callers' hash: set QUANYU__INTAKE__CALLER_KEY or intake.caller_key_file",
            "缺少来电人散列密钥：请设置 QUANYU__INTAKE__CALLER_KEY 或 intake.caller_key_file",
        )
    digest = hashlib.blake2b(digest_size=32)
    for file in files:
        with file.open("rb") as handle:
            digest.update(handle.read(1 << 20))
        digest.update(str(file.stat().st_size).encode())
    return digest.digest()


def _bar(bar: Any, feeds: Sequence[Feed]) -> Progress:
    task = bar.add_task(say("replay", "回放"), total=None, status="")

    def show(read: int, reached_ms: int, summary: Summary) -> None:
        at = datetime.fromtimestamp(max(reached_ms, 0) / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        bar.update(task, completed=read, status=say(f"{read:,} records, {at}", f"{read:,} 条，{at}"))

    return show


def show_summary(summary: Summary) -> None:
    """The summary as a table."""
    table = Table(show_header=False, box=None)
    names = {
        "run": ("run", "运行"),
        "read": ("records read", "读取记录"),
        "signals": ("signals", "信号"),
        "duplicates": ("duplicates", "重复"),
        "revisions": ("revisions", "修订"),
        "late": ("late", "迟到"),
        "unlocated": ("unlocated", "未定位"),
        "incidents": ("incidents", "事件"),
        "hotspots": ("hot spots (provisional)", "热点（试行）"),
        "repeat_clusters": ("repeat addresses", "重复高发地址"),
        "alerts": ("alerts", "提示"),
        "events_per_second": ("records a second", "每秒记录"),
        "peak_rss_mb": ("peak memory, MB", "内存峰值 MB"),
        "database": ("database", "数据库"),
        "result_hash": ("result hash", "结果散列"),
    }
    for key, (en, zh) in names.items():
        value = getattr(summary, key)
        table.add_row(say(en, zh), f"{value:,}" if isinstance(value, int | float) else str(value))
    rejected = ", ".join(f"{reason} {n}" for reason, n in sorted(summary.rejected.items())) or "0"
    table.add_row(say("rejected", "拒收"), rejected)
    console().print(table)


@replay_group.command("list")
@configured
@json_option
def list_command(config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """All runs, newest first. 列出所有运行。"""
    try:
        settings = configuration.load(config, overrides=overrides)
        found = runs.listed(_base(settings), settings.clickhouse.database)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(found)
        return
    table = Table("run", say("started", "开始"), say("finished", "结束"), say("read", "读取"), say("result", "结果"))
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


@replay_group.command("show")
@click.argument("run_id")
@configured
def show_command(run_id: str, config: str | None, overrides: tuple[str, ...]) -> None:
    """One run with its arguments and manifest, as JSON. 显示一个运行。"""
    try:
        settings = configuration.load(config, overrides=overrides)
        print_json(runs.shown(_base(settings), settings.clickhouse.database, run_id))
    except QuanyuError as error:
        fail(error)


@replay_group.command("rm")
@click.argument("run_id")
@configured
def rm_command(run_id: str, config: str | None, overrides: tuple[str, ...]) -> None:
    """Remove a run and its database. 删除一个运行及其数据库。"""
    try:
        settings = configuration.load(config, overrides=overrides)
        runs.drop(_base(settings), settings.clickhouse.database, run_id)
    except QuanyuError as error:
        fail(error)
    click.echo(say(f"removed {run_id}", f"已删除 {run_id}"))


def _base(settings: Settings) -> Any:
    client = connect(settings.clickhouse)
    migrate(client, settings.clickhouse.database, settings.city.timezone, settings.clickhouse.retention_days)
    return client


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
