"""`quanyu state show|rebuild`: the snapshots of the city's state on Kafka."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from schemas import QuanyuError, RawBatch, UsageError
from sinks.clickhouse import open_sink
from streams.assemble import Assembly, assemble
from streams.commands.base import configured, console, fail, json_option, print_json, progress, say, wall_ms
from streams.commands.feeds import LOG_MESSAGES
from streams.envelopes import steps
from streams.kafka import check_topics, producing
from streams.kafka_range import Span, read_range, span
from streams.kafka_security import state_needs
from streams.replay import Folding
from streams.runner import Writer, no_gc
from streams.settings import Settings, load
from streams.snapshots import freeze, rules_of
from streams.state_topic import Edition, Kept, read

#: signals of a step
STEP = 5000


@click.group("state")
def state_group() -> None:
    """The city's state: its snapshots on Kafka, and how to make it anew. 城市状态：快照与重建。"""


@state_group.command("show")
@configured
@json_option
def show_command(config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """The snapshots, and how far the log has gone on since. 查看快照及其之后的日志。

    \b
    quanyu state show --json
    """
    try:
        settings = load(config, overrides=overrides)
        kept = read(settings.kafka)
        log = span(settings.kafka, settings.kafka.log_topic)
        rules = _rules(_assembly(settings))
    except QuanyuError as error:
        fail(error)
    rows = [_row(kept, name, rules) for name in sorted(kept.manifests)]
    if as_json:
        print_json({"newest": kept.newest(), "snapshots": rows, "log": {"first": log.first, "end": log.end}})
        return
    if not rows:
        click.echo(say("no snapshot yet: a worker would fold the whole log", "尚无快照：进程启动时将处理整个日志"))
        return
    table = Table()
    titles = (
        ("made", "生成时间"),
        ("offset", "偏移量"),
        ("behind", "落后"),
        ("MB", "MB"),
        ("version", "版本"),
        ("use", "可用"),
    )
    for en, zh in titles:
        table.add_column(say(en, zh))
    for row in rows:
        behind = f"{log.end - row['next_offset']:,}"
        size = f"{row['bytes'] / 1e6:.1f}"
        table.add_row(row["made_at"], f"{row['next_offset']:,}", behind, size, row["code"], _use(row, kept))
    console().print(table)


@state_group.command("rebuild")
@configured
@json_option
def rebuild_command(config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Fold the whole log that Kafka keeps, write its rows again, and save the state. 由日志重建状态。

    The rows are those that live wrote: the same keys, the same versions. Stop the live workers that run the city stage;
    they load the new state when they start. 期间请停止运行城市阶段的进程；重新启动后会载入新状态。

    \b
    quanyu state rebuild
    """
    try:
        settings = load(config, overrides=overrides)
        check_topics(settings, [("READ", settings.kafka.log_topic), *state_needs(settings.kafka)])
        found = _rebuild(settings, _assembly(settings))
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(found)
        return
    if found["log_first"]:
        click.echo(
            say(
                f"the log begins at offset {found['log_first']:,}: nothing older is known to the new state",
                f"日志从偏移量 {found['log_first']:,} 开始：更早的内容不在新状态中",
            ),
            err=True,
        )
    signals, offset = f"{found['signals']:,}", f"{found['next_offset']:,}"
    click.echo(
        say(
            f"{signals} signals folded; state saved behind offset {offset}",
            f"已处理 {signals} 条信号；状态已保存至偏移量 {offset}",
        )
    )


def _assembly(settings: Settings) -> Assembly:
    return assemble(settings, b"the log has hashes only")


def _rules(assembly: Assembly) -> str:
    return rules_of(assembly.settings, assembly.grids.layers, assembly.versions)


def _rebuild(settings: Settings, assembly: Assembly) -> dict[str, Any]:
    kafka = settings.kafka
    log = span(kafka, kafka.log_topic)
    if log.first == log.end:
        raise UsageError(
            f"{kafka.log_topic} holds nothing: there is no state to make", f"{kafka.log_topic} 中没有记录：无法重建状态"
        )
    sink = open_sink(settings.clickhouse, assembly.grids.layers, settings.city.timezone)
    kept = read(kafka)
    if (name := kept.newest()) and kept.manifests[name].rules != _rules(assembly) and sink.counts()["signals"]:
        database = settings.clickhouse.database
        raise UsageError(
            f"database {database} holds rows that were counted under other rules; name a new one "
            f"(clickhouse.database), run `quanyu migrate`, then this command again",
            f"数据库 {database} 中的结果是按其他规则统计的；请改用新的 clickhouse.database，"
            f"运行 `quanyu migrate` 后再执行本命令",
        )
    writer = Writer(sink)
    folding = Folding(assembly, writer, wall_ms)
    no_gc()
    try:
        next_offset = _fold(settings, folding, log)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    sink.close()
    now = wall_ms()
    edition = Edition(f"{now:x}-rebuilt", _rules(assembly), assembly.versions)
    with producing(kafka, compression=None) as send:
        for key, value in edition.chunks(freeze(folding.state)):
            send(kafka.state_topic, value, key=key, partition=kafka.partition)
    manifest, (key, value) = edition.manifest(next_offset, folding.state.order.watermark_ms, now)
    with producing(kafka, compression=None) as send:
        send(kafka.state_topic, value, key=key, partition=kafka.partition)
    everything = read(kafka)
    with producing(kafka, compression=None) as send:
        for key, _ in edition.older(everything, None):
            send(kafka.state_topic, None, key=key, partition=kafka.partition)
    return {
        "signals": folding.summary.signals,
        "next_offset": next_offset,
        "log_first": log.first,
        "bytes": manifest.bytes,
        "edition": edition.name,
    }


def _fold(settings: Settings, folding: Folding, log: Span) -> int:
    """Fold the log; returns the offset behind it."""
    next_offset = log.first
    with progress() as bar:
        task = bar.add_task(say("log", "日志"), total=log.end - log.first, status="")
        kafka = settings.kafka
        for item in read_range(kafka, kafka.log_topic, "", batch_size=LOG_MESSAGES, partition=kafka.partition):
            if not isinstance(item, RawBatch):
                raise UsageError(f"{kafka.log_topic} is no log", f"{kafka.log_topic} 不是日志")
            batch = item
            for envelopes in steps(batch.values, STEP):
                folding.envelopes(envelopes)
            next_offset = batch.offsets[-1] + 1
            bar.update(task, completed=next_offset - log.first)
    return next_offset


def _row(kept: Kept, name: str, rules: str) -> dict[str, Any]:
    manifest = kept.manifests[name]
    return {
        "edition": name,
        "made_at": datetime.fromtimestamp(manifest.made_at_ms / 1000, UTC).isoformat(timespec="seconds"),
        "watermark_ms": manifest.watermark_ms,
        "next_offset": manifest.next_offset,
        "bytes": manifest.bytes,
        "chunks": len(manifest.names),
        "code": manifest.versions.code,
        "complete": kept.complete(name),
        "same_rules": manifest.rules == rules,
    }


def _use(row: dict[str, Any], kept: Kept) -> str:
    if not row["complete"]:
        return say("no: not complete", "否：不完整")
    if row["edition"] != kept.newest():
        return say("no: a newer one is there", "否：已有更新的快照")
    if not row["same_rules"]:
        return say("no: other rules; run `quanyu state rebuild`", "否：规则已变；请运行 `quanyu state rebuild`")
    return say("yes", "是")
