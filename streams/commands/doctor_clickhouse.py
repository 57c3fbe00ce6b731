"""What `quanyu doctor` looks at in ClickHouse: server, clock, migrations, rights, disks, replicas, parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from sinks.clickhouse import Client, connect, pending
from sinks.clickhouse.health import Health, look, refused
from streams.commands.base import current_language, say
from streams.commands.doctor_check import Check, clock, disk, error, good, tried, warning
from streams.settings import Settings

EMBEDDED = "chdb:"
#: views with SQL SECURITY came with it
OLDEST = (24, 2)
#: of one partition; more make the walls' queries slow
MANY_PARTS = 30


def clickhouse_checks(settings: Settings, now_ms: Callable[[], int]) -> list[Check]:
    """One finding if it does not answer, else all of them."""
    target = settings.clickhouse
    first, client = tried("clickhouse", "ClickHouse", lambda: connect(target))
    if client is None:
        return [first, *_directory(settings)]
    try:
        asked, facts = tried(
            "clickhouse",
            "ClickHouse",
            lambda: (look(client, target.database, now_ms), pending(client, target.database)),
        )
        if facts is None:
            return [asked, *_directory(settings)]
        health, missing = facts
        checks = [server(settings, health, missing), *_directory(settings)]
        if not missing:
            checks.append(_rights(client, settings))
        if not target.url.startswith(EMBEDDED):  # its clock and its disk are ours
            name = say("ClickHouse clock", "ClickHouse 时钟")
            checks.append(clock("clickhouse_clock", name, health.ahead_ms, "the server", "服务器"))
            for found in health.disks:
                name = say(f"ClickHouse disk {found.name}", f"ClickHouse 磁盘 {found.name}")
                checks.append(disk("clickhouse_disk", name, found.free_bytes, found.total_bytes))
        return [*checks, *tables(health)]
    finally:
        client.close()


def server(settings: Settings, health: Health, missing: list[str]) -> Check:
    database, version = settings.clickhouse.database, ".".join(map(str, health.version))
    if health.version < OLDEST:
        return error(
            "clickhouse",
            "ClickHouse",
            say(f"version {version}", f"版本 {version}"),
            say(f"update it to {OLDEST[0]}.{OLDEST[1]} or newer", f"请升级到 {OLDEST[0]}.{OLDEST[1]} 或更新版本"),
        )
    if missing:
        return warning(
            "clickhouse",
            "ClickHouse",
            say(
                f"{database}, {version}: {len(missing)} migrations to come",
                f"{database}，{version}：待迁移 {len(missing)} 项",
            ),
            say(
                "replay and live apply them, or `quanyu migrate` now",
                "replay、live 会自动迁移，也可现在运行 `quanyu migrate`",
            ),
        )
    return good("clickhouse", "ClickHouse", f"{database}, {version}")


def _directory(settings: Settings) -> list[Check]:
    """The disk of an embedded database, whether or not it can be opened now."""
    if not settings.clickhouse.url.startswith(EMBEDDED):
        return []
    path = Path(settings.clickhouse.url.removeprefix(EMBEDDED) or ".").absolute()
    while not path.exists():
        path = path.parent
    usage = shutil.disk_usage(path)
    return [disk("database_disk", say(f"disk of {path}", f"{path} 所在磁盘"), usage.free, usage.total)]


def _rights(client: Client, settings: Settings) -> Check:
    name = say("ClickHouse rights", "ClickHouse 权限")
    asked, found = tried("clickhouse_rights", name, lambda: refused(client, settings.clickhouse.database))
    if found is None:
        return asked
    if found:
        database = settings.clickhouse.database
        return error(
            "clickhouse_rights",
            name,
            "; ".join(wrong.text(current_language()) for wrong in found[:3]),
            say(
                f"GRANT SELECT, INSERT ON {database}.* to the user of the workers (`quanyu migrate --users-sql`)",
                f"请给处理进程的用户授予 {database}.* 上的 SELECT、INSERT（`quanyu migrate --users-sql`）",
            ),
            2,
        )
    return good("clickhouse_rights", name, say("every table can be read and written", "各表可读写"))


def tables(health: Health) -> list[Check]:
    found = []
    if health.lagging:
        found.append(
            error(
                "clickhouse_replicas",
                say("ClickHouse replicas", "ClickHouse 副本"),
                "; ".join(health.lagging[:3]),
                say(
                    "check the keeper's nodes, and network and disk of the replica; then SYSTEM RESTART REPLICA",
                    "请检查 keeper 节点以及该副本的网络与磁盘；恢复后执行 SYSTEM RESTART REPLICA",
                ),
            )
        )
    name = say("ClickHouse parts", "ClickHouse 数据片段")
    most = say(
        f"{health.parts} in {health.parts_of or 'no table'}", f"最多 {health.parts} 个（{health.parts_of or '无'}）"
    )
    if health.parts > MANY_PARTS:
        fix = say(
            "larger batches (clickhouse.batch_rows, clickhouse.batch_s), and OPTIMIZE TABLE ... FINAL at night",
            "请加大批次（clickhouse.batch_rows、clickhouse.batch_s），并在夜间执行 OPTIMIZE TABLE ... FINAL",
        )
        return [*found, warning("clickhouse_parts", name, most, fix)]
    return [*found, good("clickhouse_parts", name, most)]
