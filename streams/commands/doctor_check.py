"""A finding of `quanyu doctor`: what was looked at, how it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from schemas import QuanyuError
from streams.commands.base import current_language, say

OK, WARNING, ERROR = "ok", "warning", "error"
#: a machine's clock may be this far from another's, milliseconds: beyond, times begin to lie; beyond, they do
DRIFT_MS, WRONG_MS = 2_000, 60_000


class Check(Struct):
    """One thing looked at. `exit_code` is what the command leaves with because of it; `id` never changes.

    `detail` ends with the `fix`, which stands also by itself.
    """

    name: str
    ok: bool
    detail: str
    exit_code: int = 0
    id: str = ""
    level: str = OK
    fix: str = ""


def good(id: str, name: str, detail: str) -> Check:
    """Nothing to do."""
    return Check(name, True, detail, 0, id)


def warning(id: str, name: str, detail: str, fix: str) -> Check:
    """It works, but somebody should look."""
    return Check(name, True, f"{detail}{say('. ', '。')}{fix}", 0, id, WARNING, fix)


def error(id: str, name: str, detail: str, fix: str, exit_code: int = 1) -> Check:
    """It does not work, or loses something."""
    text = f"{detail}{say('. ', '。')}{fix}" if fix else detail
    return Check(name, False, text, exit_code, id, ERROR, fix)


def tried(id: str, name: str, call: Callable[[], Any]) -> tuple[Check, Any]:
    """The finding that a call makes, and its result (None when it failed): errors carry their own fixes."""
    try:
        result = call()
    except QuanyuError as wrong:
        return error(id, name, wrong.text(current_language()), "", wrong.exit_code), None
    return good(id, name, str(result)), result


def clock(id: str, name: str, ahead_ms: int, where: str, zh_where: str) -> Check:
    """A clock against ours."""
    seconds = f"{ahead_ms / 1000:+.1f} s"
    fix = say(
        f"keep time by NTP (chrony) on {where} and here: arrivals are stamped and silence is judged by these clocks",
        f"请在{zh_where}与本机上用 NTP（chrony）校时：到达时间与静默判断都依赖时钟",
    )
    if abs(ahead_ms) > WRONG_MS:
        return error(id, name, seconds, fix)
    if abs(ahead_ms) > DRIFT_MS:
        return warning(id, name, seconds, fix)
    return good(id, name, seconds)


def disk(id: str, name: str, free: int, total: int) -> Check:
    """Room on a disk: below a fifth it is time, below a twentieth it is late."""
    share = free / total if total else 1.0
    detail = say(f"{free / 1e9:.1f} GB free of {total / 1e9:.1f}", f"剩余 {free / 1e9:.1f} GB，共 {total / 1e9:.1f} GB")
    fix = say(
        "make room: a shorter clickhouse.retention_days (then `quanyu migrate`), old replay runs (`quanyu replay rm`), "
        "or a larger disk",
        "请腾出空间：缩短 clickhouse.retention_days（随后运行 `quanyu migrate`）、删除旧的回放（`quanyu replay rm`），"
        "或更换更大的磁盘",
    )
    if share < 0.05:
        return error(id, name, detail, fix)
    return warning(id, name, detail, fix) if share < 0.2 else good(id, name, detail)
