"""`quanyu doctor`: what is missing or will be, and what to do about it."""

from __future__ import annotations

import platform
import socket
import urllib.error
import urllib.request
from importlib.metadata import version

import click
from rich.table import Table

from schemas import QuanyuError
from streams import settings as configuration
from streams.assemble import assemble
from streams.commands.base import configured, console, fail, json_option, print_json, say, wall_ms
from streams.commands.doctor_check import ERROR, OK, Check, error, good, tried, warning
from streams.commands.doctor_clickhouse import clickhouse_checks
from streams.commands.doctor_kafka import kafka_checks
from streams.settings import Settings

#: how long a server may take to answer, seconds
LOOK_S = 3.0
#: characters below which a key can be guessed
SHORT_KEY = 16
MARKS = {OK: "✓", ERROR: "✗"}


@click.command("doctor")
@click.option("--probe", is_flag=True, help="Also write a record to a Kafka topic of its own. 另写一条探测记录。")
@configured
@json_option
def doctor_command(probe: bool, config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check configuration, servers, clocks, topics, disks, rights, with fixes. 检查运行环境并给出处理办法。

    \b
    quanyu doctor --json
    quanyu doctor --probe
    """
    try:
        settings = configuration.load(config, overrides=overrides)
    except QuanyuError as wrong:
        fail(wrong)
    live = [_port(settings), *kafka_checks(settings, wall_ms, LOOK_S, probe)]
    checks = [_stages(settings), _key(settings), *clickhouse_checks(settings, wall_ms), *map(_live_only, live)]
    if as_json:
        print_json({"ok": all(check.ok for check in checks), "versions": _versions(), "checks": checks})
    else:
        table = Table(say("check", "检查项"), "", say("detail", "说明"), caption=", ".join(_versions().values()))
        for check in checks:
            table.add_row(check.name, MARKS.get(check.level, "!"), check.detail)
        console().print(table)
    raise SystemExit(max(check.exit_code for check in checks))


def _versions() -> dict[str, str]:
    return {"quanyu": f"quanyu {version('quanyu')}", "python": f"Python {platform.python_version()}"}


def _stages(settings: Settings) -> Check:
    name = say("mappings and grids", "映射与网格")
    found, assembly = tried("stages", name, lambda: assemble(settings, b"check"))
    if assembly is not None:
        found.detail = f"grids {assembly.versions.grids}, config {assembly.versions.config}"
    return found


def _key(settings: Settings) -> Check:
    name, key = say("caller key", "来电人密钥"), settings.intake.caller_key
    if not key:
        return warning(
            "caller_key",
            name,
            say("none: replay makes one per input", "未设置：回放会按输入生成"),
            say("live needs QUANYU__INTAKE__CALLER_KEY", "实时运行需要 QUANYU__INTAKE__CALLER_KEY"),
        )
    if len(key) < SHORT_KEY:
        return warning(
            "caller_key",
            name,
            say(f"{len(key)} characters", f"{len(key)} 个字符"),
            say(
                f"before the first use take a random one of {SHORT_KEY} or more: telephone numbers can be tried out",
                f"请在首次使用前换成不少于 {SHORT_KEY} 个字符的随机密钥：电话号码可被穷举",
            ),
        )
    return good("caller_key", name, say("given", "已设置"))


def _port(settings: Settings) -> Check:
    """Whether a worker could listen; one of ours that does already is as good."""
    name, host, port = say("metrics port", "监控端口"), settings.metrics.host, settings.metrics.port
    if not port:
        return good("metrics_port", name, say("none wanted", "未开"))
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as wrong:
        if _ours(host, port):
            return good("metrics_port", name, say(f"{host}:{port}: a worker listens", f"{host}:{port}：已有进程在监听"))
        return error(
            "metrics_port",
            name,
            f"{host}:{port}: {wrong.strerror}",
            say(
                "set another metrics.port (QUANYU__METRICS__PORT) or metrics.host, or port 0 for none",
                "请另设 metrics.port（QUANYU__METRICS__PORT）或 metrics.host，端口 0 表示不开",
            ),
            2,
        )
    return good("metrics_port", name, say(f"{host}:{port} is free", f"{host}:{port} 空闲"))


def _ours(host: str, port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=LOOK_S) as answer:
            return b"quanyu_" in answer.read(100_000)
    except (urllib.error.URLError, OSError):
        return False


def _live_only(check: Check) -> Check:
    """What is missing stops `quanyu live`, and nothing else."""
    if not check.ok:
        said = say(
            "Only `quanyu live`, `quanyu topics` and --kafka need it; files and the demo do not",
            "仅 `quanyu live`、`quanyu topics` 和 --kafka 需要；文件回放与演示不需要",
        )
        check.detail += say(". ", "。") + said
    return check
