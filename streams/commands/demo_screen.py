"""What the demo shows of its city: the wall's named queries over the ClickHouse that it writes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from geo.grids import Grids
from sinks.clickhouse import Client, queries
from streams.commands.base import say
from streams.replay import Summary
from streams.windows import DAY_MIN, Calendar

ROWS = 5
FEED_STATES = {"starting": "起步", "ok": "正常", "late": "延迟", "thin": "稀少", "silent": "无数据", "unread": "未读"}


class Screen:
    """Pictures of one database; `grids` give the cells their names."""

    def __init__(self, client: Client, database: str, grids: Grids, calendar: Calendar, city: str) -> None:
        self._client, self._database = client, database
        self._grids, self._calendar, self._city = grids, calendar, city

    def picture(self, now_ms: int, summary: Summary) -> RenderableType:
        """The city as it stands at `now_ms`."""
        head = say(
            f"{self._city} {self._clock(now_ms)}   {summary.signals:,} signals, {summary.incidents:,} incidents, "
            f"{sum(summary.rejected.values()):,} rejected",
            f"{self._city} {self._clock(now_ms)}   信号 {summary.signals:,}，事件 {summary.incidents:,}，"
            f"拒收 {sum(summary.rejected.values()):,}",
        )
        return Group(
            Text(head, style="bold"), self._hotspots(), self._repeats(), self._districts(now_ms), self._feeds()
        )

    def _hotspots(self) -> Table:
        table = Table(title=say("hot spots now (provisional)", "当前热点（试行）"), title_justify="left", expand=True)
        for en, zh in (
            ("cell", "网格"),
            ("category", "类别"),
            ("observed", "实际"),
            ("expected", "预期"),
            ("since", "开始"),
        ):
            table.add_column(say(en, zh), overflow="fold")
        for row in self._rows("hotspots_open"):
            cell = row["cells"][0]
            name = self._grids.names(row["layer"]).get(cell, cell)
            since = self._clock(row["opened_at_ms"])
            table.add_row(name, row["category"], str(row["observed"]), f"{row['expected']:.2f}", since)
        return table

    def _repeats(self) -> Table:
        table = Table(title=say("repeat addresses", "重复高发地址"), title_justify="left", expand=True)
        for en, zh in (("address", "地址"), ("category", "类别"), ("incidents", "事件"), ("sources", "来源")):
            table.add_column(say(en, zh), overflow="fold")
        for row in self._rows("repeats_open"):
            table.add_row(row["address"], row["category"], str(row["incidents"]), " ".join(row["sources"]))
        return table

    def _districts(self, now_ms: int) -> Table:
        layer = self._grids.layers[-1]
        table = Table(title=say("today", "今日"), title_justify="left", expand=True)
        for en, zh in (("district", "区"), ("signals", "信号"), ("incidents opened", "新增事件")):
            table.add_column(say(en, zh))
        today = self._calendar.start(DAY_MIN, self._calendar.pane(now_ms - 1))
        for row in self._rows("ranking", layer=layer, minutes=DAY_MIN, from_ms=today):
            name = self._grids.names(layer).get(row["cell"], row["cell"])
            table.add_row(name, f"{row['messages']:,}", f"{row['opened']:,}")
        return table

    def _feeds(self) -> Table:
        table = Table(title=say("feeds", "来源"), title_justify="left", expand=True)
        for en, zh in (
            ("source", "来源"),
            ("state", "状态"),
            ("since", "自"),
            ("last record", "最近到达"),
            ("records", "记录"),
            ("usual", "平常"),
            ("delay, s", "延迟秒"),
        ):
            table.add_column(say(en, zh), overflow="fold")
        for row in self._rows("feed_health"):
            state = say(row["state"], FEED_STATES.get(row["state"], row["state"]))
            table.add_row(
                row["source"],
                Text(state, style="bold red" if row["alert"] else ""),
                self._clock(row["since_ms"]),
                self._clock(row["last_arrived_ms"]),
                f"{row['observed']:,}",
                f"{row['expected']:,.0f}",
                f"{row['delay_p50_s']:g}",
            )
        return table

    def _rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        bound = {"database": self._database, "limit": ROWS, **parameters}
        return self._client.dicts(queries.load(query), bound)

    def _clock(self, at_ms: int) -> str:
        at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(str(self._calendar.zone)))
        return f"{at:%Y-%m-%d %H:%M}"
