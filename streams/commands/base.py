"""What every command shares: language, JSON, progress, errors with their exit codes."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas import QuanyuError, TooMuchBadData, UsageError
from streams.settings import ClickHouse

EN, ZH = "en", "zh"


def language(choice: str | None = None) -> str:
    """ "zh" or "en": the option, else LANG."""
    if choice:
        return choice
    spoken = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return ZH if spoken.lower().startswith("zh") else EN


def say(en: str, zh: str, lang: str | None = None) -> str:
    """The text in the user's language. Both stand side by side in the code, so that neither is forgotten."""
    return zh if (lang or current_language()) == ZH else en


def current_language() -> str:
    """Language of the running command (set by the root group)."""
    context = click.get_current_context(silent=True)
    found = context.find_root().obj if context else None
    return found["lang"] if isinstance(found, dict) and "lang" in found else language()


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`: one JSON object on standard output, for machines."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object. 输出一个 JSON 对象。")(command)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def console() -> Console:
    """Where tables go: standard output."""
    return Console()


def progress() -> Progress:
    """A progress bar on a terminal's standard error; nothing in a pipe."""
    err = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
        transient=True,
    )


def fail(error: QuanyuError) -> NoReturn:
    """Print the error in the user's language and leave with its exit code."""
    click.echo(say("error: ", "错误：") + error.text(current_language()), err=True)
    raise SystemExit(error.exit_code)


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config FILE` and `--set section.key=value`."""
    file = click.option("--config", "config", type=click.Path(dir_okay=False), help="Configuration file. 配置文件。")
    return file(_overridden(command))


def configured_cities(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config FILE`, once a city, and `--set section.key=value` for all of them."""
    text = "Configuration file; one a city. 配置文件，每个城市一个。"
    file = click.option("--config", "configs", multiple=True, type=click.Path(dir_okay=False), help=text)
    return file(_overridden(command))


def _overridden(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "Override. 覆盖配置项。"
    return click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help=text)(command)


def database_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--db DIR`: the embedded database."""
    return click.option("--db", "directory", default="", help="chDB directory of the results. 结果所在的 chDB 目录。")(
        command
    )


def at_database(directory: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """`--db` as the override that it is, above those of `--set`."""
    return (*overrides, f"clickhouse.url=chdb:{directory}") if directory else tuple(overrides)


def options_of(directory: str, config: str | None, overrides: Sequence[str]) -> str:
    """The options, each after a blank, with which another command finds the same database. No password is repeated."""
    options = ["--config", config] if config else []
    for item in overrides:
        if item.startswith(("clickhouse.url=", "clickhouse.database=")) and not (directory and ".url=" in item):
            options += ["--set", re.sub(r":[^:/@]*@", ":***@", item)]
    if directory:
        options += ["--db", directory]
    return "".join(f" {shlex.quote(option)}" for option in options)


def bad_data(error: TooMuchBadData, options: str = "") -> TooMuchBadData:
    """The error with the command that shows what was rejected."""
    command = f"quanyu rejected list{options}"
    return TooMuchBadData(
        f"{error.en}; see `{command}`: every rejected record is kept with its reason",
        f"{error.zh}；请看 `{command}`，每条被拒收的记录都已连同原因保存",
    )


def nothing_at(settings: ClickHouse) -> str:
    """The directory of the embedded database if nothing is there yet, which looking must not make; else empty."""
    path = Path(settings.url.removeprefix("chdb:") or ".")
    if settings.url.startswith("chdb:") and (not path.exists() or (path.is_dir() and not any(path.iterdir()))):
        return str(path)
    return ""


def moment(text: str, zone: str, option: str) -> int:
    """A time given on the command line (ISO 8601; without an offset: in the city's zone) as ms UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text}: not a time; write 2026-03-02T08:00",
            f"{option} {text}：不是时间，应如 2026-03-02T08:00",
        ) from None
    at = at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))
    return int(at.timestamp() * 1000)


def who() -> str:
    """The user of this machine, by name if it has one (a container's may not)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def wall_ms() -> int:
    """The shell's clock, ms UTC: stamped and stored, never decided by."""
    return time.time_ns() // 1_000_000


def speed_of(text: str, option: str) -> float | None:
    """`60x` as 60.0; `max` as None."""
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise UsageError(
            f"{option} {text}: want max, or a number like 60x", f"{option} {text}：应为 max 或 60x 这样的倍数"
        )
    return speed


def duration_s(text: str, option: str) -> float:
    """`30s`, `10m`, `1h` in seconds."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    try:
        seconds = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{option} {text}: want 30s, 10m or 1h", f"{option} {text}：应为 30s、10m 或 1h")
    return seconds
