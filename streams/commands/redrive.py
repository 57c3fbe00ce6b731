"""`quanyu rejected redrive`: dead letters through the mapping of today, and back into the stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import click
from rich.table import Table

from schemas import QuanyuError, Rejected, Signal, UsageError
from schemas.sources.mapping import load_mapping
from sinks.clickhouse import Client, connect, dead_letters, migrate, pending
from sinks.clickhouse.dead_letters import FAILING, PRESENT, REDRIVEN, Asked, Stored
from streams import settings as configuration
from streams.assemble import only
from streams.commands.base import (
    at_database,
    configured,
    console,
    database_option,
    fail,
    json_option,
    moment,
    nothing_at,
    print_json,
    say,
    wall_ms,
    who,
)
from streams.kafka import check_topics, producing
from streams.redrive import Judged, Report, judge, late, send_again
from streams.rooms.intake import Intake
from streams.settings import Settings
from streams.windows import HOUR_MS

#: letters that are looked at, sent and marked together: as many may be sent twice by one that was killed
TOGETHER = 500
#: what the room needs and this command does not: nobody reads the callers' hashes that it gives here
NO_KEY = b"no caller is named here"


@click.command("redrive")
@click.option("--source", default="", help="Of one source. 指定来源。")
@click.option("--reason", default="", help="Refused for this reason. 指定拒收原因。")
@click.option("--since", default="", help="Received from this time on. 接收时间起。")
@click.option("--until", default="", help="Received before this time. 接收时间止。")
@click.option("--run", "run", default="", help="Not for replays: replay again instead. 不适用于回放，请重新回放。")
@click.option("--dry-run", is_flag=True, help="Say what would pass; send and mark nothing. 只检查，不发送、不标记。")
@database_option
@configured
@json_option
def redrive_command(
    source: str,
    reason: str,
    since: str,
    until: str,
    run: str,
    dry_run: bool,
    directory: str,
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Send refused records again after a fix of the mapping. 修正映射后，把拒收记录重新送入。

    Restart the workers with the new mapping first: they decide, this command only asks the same room beforehand.
    Records that still fail stay, those already stored are not sent, none is counted twice.
    请先用新映射重启处理进程。仍不合格的保留，已入库的不重发，不会重复计数。

    \b
    quanyu rejected redrive --source 110 --reason missing_field --dry-run
    quanyu rejected redrive --since 2026-03-02T08:00 --json
    """
    try:
        if run:
            raise UsageError(
                f"--run {run}: a replay has no stream to send records back to; fix the mapping and replay again: "
                f"`quanyu replay run`",
                f"--run {run}：回放没有可送回的数据流；请修正映射后重新回放：`quanyu replay run`",
            )
        settings = configuration.load(config, overrides=at_database(directory, overrides))
        zone = settings.city.timezone
        asked = Asked(
            source,
            reason,
            moment(since, zone, "--since") if since else None,
            moment(until, zone, "--until") if until else None,
        )
        if source and source not in settings.sources:
            raise UsageError(
                f"--source {source}: not configured; known: {', '.join(settings.sources)}",
                f"--source {source}：未配置；已知：{', '.join(settings.sources)}",
            )
        report = Report(dry_run=dry_run) if nothing_at(settings.clickhouse) else _redrive(settings, asked, dry_run)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(report)
    else:
        _show(report)


def _redrive(settings: Settings, asked: Asked, dry_run: bool) -> Report:
    base = settings.clickhouse
    client = connect(base)
    if pending(client, base.database):
        migrate(client, base.database, settings.city.timezone, base.retention_days)
    live = only(settings, [name for name, s in settings.sources.items() if s.topic])
    mappings = {name: load_mapping(s.mapping) for name, s in live.sources.items()}
    intake, now = Intake(mappings, settings.intake, settings.intake.caller_key.encode() or NO_KEY), wall_ms()
    if not dry_run:
        sent = [s.topic for name, s in live.sources.items() if asked.source in ("", name)]
        check_topics(settings, [("WRITE", topic) for topic in sent])
    reached = _reached_ms(settings, client, now)
    by = who()
    report = Report(dry_run=dry_run)
    horizon_ms = max((s.horizon_h for s in live.sources.values()), default=0) * HOUR_MS

    def look(signals: Sequence[Signal]) -> Mapping[str, Stored]:
        return _stored(client, base.database, signals, horizon_ms)

    for letters in dead_letters.unresolved(client, base.database, asked, TOGETHER):
        found = judge(intake, live.sources, letters, now, look)
        if not dry_run:
            if found.passing:
                with producing(settings.kafka) as send:
                    send_again(send, live.sources, (letter for letter, _ in found.passing))
            dead_letters.mark(client, base.database, _marks(found), now, by)
        report.letters += len(letters)
        report.sent += len(found.passing)
        report.late += sum(late(signal, live.sources, reached) for _, signal in found.passing)
        report.present += len(found.present)
        for _, why in found.failing:
            report.still_failing[why] = report.still_failing.get(why, 0) + 1
    return report


def _reached_ms(settings: Settings, client: Client, now_ms: int) -> int:
    """How far the city's time is: idle sources are told the clock, or follow the newest event."""
    if settings.kafka.heartbeat_clock == "wall":
        return now_ms
    return dead_letters.newest_event_ms(client, settings.clickhouse.database)


def _stored(client: Client, database: str, signals: Sequence[Signal], horizon_ms: int) -> dict[str, Stored]:
    """Stored versions of these signals. A version keeps the first report's time, so it lies within a horizon."""
    if not signals:
        return {}
    reported = [signal.reported_at_ms for signal in signals]
    ids = list(dict.fromkeys(signal.id for signal in signals))
    return dead_letters.stored_signals(client, database, ids, min(reported) - horizon_ms, max(reported) + horizon_ms)


def _marks(found: Judged) -> list[tuple[Rejected, str, str]]:
    return [
        *((letter, REDRIVEN, "") for letter, _ in found.passing),
        *((letter, PRESENT, "") for letter in found.present),
        *((letter, FAILING, why) for letter, why in found.failing),
    ]


def _show(report: Report) -> None:
    table = Table(show_header=False)
    for title, number in _lines(report):
        table.add_row(title, f"{number:,}")
    console().print(table)
    if report.late:
        click.echo(
            say(
                f"about {report.late:,} of them are older than their source's horizon: stored as late, in no count, "
                f"and left to the nightly reconcile",
                f"其中约 {report.late:,} 条早于来源的时限：按迟到保存、暂不计数，留待夜间核算",
            )
        )


def _lines(report: Report) -> Iterator[tuple[str, int]]:
    yield say("unresolved", "未解决"), report.letters
    yield say("would be sent", "将重发") if report.dry_run else say("sent again", "已重发"), report.sent
    yield say("stored already, not sent", "已入库，不重发"), report.present
    most_first = sorted(report.still_failing.items(), key=lambda item: (-item[1], item[0]))
    for why, number in islice(most_first, 20):
        yield say(f"still failing: {why}", f"仍不合格：{why}"), number
