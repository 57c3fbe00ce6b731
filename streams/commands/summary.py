"""What a run gives, told to a person."""

from __future__ import annotations

import click
from rich.table import Table

from streams.commands.base import console, say
from streams.replay import Summary


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
        "beyond_horizon": ("beyond horizon, in no count", "超出时限，未计数"),
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


def warn(summary: Summary) -> None:
    """On standard error: signals that are in no count, and what to do about it."""
    if summary.beyond_horizon:
        n = f"{summary.beyond_horizon:,}"
        click.echo(
            say(
                f"warning: {n} signals came after their source's horizon: they are stored, but in no count. Is the "
                f"input not in time order? --set sources.NAME.lateness_s=-1 sorts all of it first; or give a longer "
                f"sources.NAME.horizon_h",
                f"警告：{n} 条信号晚于其来源的时限才到：已保存，但不计入任何统计。输入是否未按时间排列？"
                f"--set sources.来源.lateness_s=-1 会先对全部输入排序；或加大 sources.来源.horizon_h",
            ),
            err=True,
        )
