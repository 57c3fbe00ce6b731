"""`quanyu doctor`: what is missing, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from msgspec import Struct
from rich.table import Table

from schemas import QuanyuError
from sinks.clickhouse import connect, pending
from streams import settings as configuration
from streams.assemble import assemble
from streams.commands.base import configured, console, current_language, fail, json_option, print_json, say
from streams.kafka import check_topics, reachable
from streams.settings import Settings

#: how long a server may take to answer, seconds
LOOK_S = 3.0


class Check(Struct):
    """One thing looked at; `exit_code` is what a command would have left with."""

    name: str
    ok: bool
    detail: str
    exit_code: int = 0


@click.command("doctor")
@configured
@json_option
def doctor_command(config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check configuration, grids, mappings, ClickHouse, Kafka and topics. 检查运行环境。

    \b
    quanyu doctor --json
    """
    try:
        settings = configuration.load(config, overrides=overrides)
    except QuanyuError as error:
        fail(error)
    checks = [_look(name, call) for name, call in _checks(settings)]
    if checks[-1].ok:  # Kafka answers
        checks.append(_live_only(_look(say("topics", "主题"), lambda: f"{len(check_topics(settings))}")))
    else:
        _live_only(checks[-1])
    if as_json:
        print_json({"ok": all(c.ok for c in checks), "checks": checks})
    else:
        table = Table(say("check", "检查项"), "", say("detail", "说明"))
        for check in checks:
            table.add_row(check.name, "✓" if check.ok else "✗", check.detail)
        console().print(table)
    raise SystemExit(max((c.exit_code for c in checks), default=0))


def _checks(settings: Settings) -> list[tuple[str, Callable[[], str]]]:
    def stages() -> str:
        assembly = assemble(settings, b"check")
        return f"grids {assembly.versions.grids}, config {assembly.versions.config}"

    def secret() -> str:
        if settings.intake.caller_key:
            return say("given", "已设置")
        return say(
            "none: replay makes one per input, live needs QUANYU__INTAKE__CALLER_KEY",
            "未设置：回放会按输入生成，实时运行需要 QUANYU__INTAKE__CALLER_KEY",
        )

    def clickhouse() -> str:
        client = connect(settings.clickhouse)
        missing = pending(client, settings.clickhouse.database)
        client.close()
        if missing:
            return say(
                f"{settings.clickhouse.database}: {len(missing)} migrations to come: replay and live apply them, or "
                f"`quanyu migrate` now",
                f"{settings.clickhouse.database}：待迁移 {len(missing)} 项，replay、live 会自动迁移，"
                f"也可现在运行 `quanyu migrate`",
            )
        return settings.clickhouse.database

    return [
        (say("mappings and grids", "映射与网格"), stages),
        (say("caller key", "来电人密钥"), secret),
        ("ClickHouse", clickhouse),
        ("Kafka", lambda: ", ".join(reachable(settings.kafka, LOOK_S))),
    ]


def _live_only(check: Check) -> Check:
    """What is missing stops `quanyu live`, and nothing else."""
    if not check.ok:
        check.detail += say(
            ". Only `quanyu live`, `quanyu topics` and --kafka need it; files and the demo do not",
            "。仅 `quanyu live`、`quanyu topics` 和 --kafka 需要；文件回放与演示不需要",
        )
    return check


def _look(name: str, call: Callable[[], Any]) -> Check:
    try:
        return Check(name, True, str(call()))
    except QuanyuError as error:
        return Check(name, False, error.text(current_language()), error.exit_code)
