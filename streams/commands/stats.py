"""`quanyu stats scan|permutation|gistar|knox`: an analyst's statistics on a CSV file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from schemas import QuanyuError
from streams.commands.base import fail, json_option, print_json
from streams.commands.stats_near import gistar_file, knox_file, print_gistar, print_knox
from streams.commands.stats_scan import KINDS, PERMUTATION, Options, print_scan, scan_file

_FILE = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(min=0, min_open=True)
_COUNT = click.IntRange(min=0)


@click.group("stats")
def stats_group() -> None:
    """Scan statistics, Gi* and Knox's test of a CSV file. 对 CSV 文件做扫描统计、Gi* 与 Knox 检验。"""


def _file(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("file", type=_FILE)(command)


def _lonlat(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "x, y are degrees; distances are km along the ground. x、y 为经纬度，距离单位为公里。"
    return click.option("--lonlat", is_flag=True, help=text)(command)


def _chance(command: Callable[..., Any]) -> Callable[..., Any]:
    many = "Replications for p; 0: no p. 求 p 的模拟次数，0 为不求。"
    seed = click.option("--seed", type=_COUNT, default=1, show_default=True, help="Of chance. 随机种子。")
    return click.option("--monte-carlo", type=_COUNT, default=999, show_default=True, help=many)(seed(command))


def _scanning(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that both scans have."""
    for option in reversed(
        (
            click.option(
                "--max-share",
                type=click.FloatRange(min=0, max=1, min_open=True),
                default=0.5,
                show_default=True,
                help="Circles: most of the population, expectation or cases. 圆内人口、期望或案件的最大比例。",
            ),
            click.option("--max-radius", type=_POSITIVE, help="Circles: largest radius. 最大半径。"),
            click.option("--split-ties", is_flag=True, help="Circles: ties enter one by one. 等距区域逐个进入。"),
            _lonlat,
            click.option("--zones", type=_FILE, help="Zones to look at: ids, a zone a line. 候选区域文件，每行一个。"),
            click.option("--neighbors", type=_FILE, help="JSON {zone: [zone, ...]}: rings of these. 邻接关系。"),
            click.option("--rings", type=_COUNT, default=3, show_default=True, help="With --neighbors. 邻接圈数。"),
            click.option("--nearest", type=_COUNT, default=0, help="Zones of 1..N nearest, not circles. 最近邻区域。"),
            click.option("--since", metavar="TIME", help="First period, else that of the rows. 首个时段。"),
            click.option("--until", metavar="TIME", help="Last period, else that of the rows. 最后时段。"),
            click.option(
                "--windows",
                default="last",
                show_default=True,
                metavar="last|any|whole|1,2,4",
                help="Spans: ending with the last period, any, all of it, or durations ending with the last. "
                "时间窗：止于最后时段、任意、全程，或指定时长。",
            ),
            click.option("--max-duration", type=click.IntRange(min=1), help="Longest span, periods. 最长时段数。"),
            click.option(
                "--min-cases", type=click.IntRange(min=1), default=2, show_default=True, help="Of a cluster. 最少案件。"
            ),
            _chance,
            click.option(
                "--sequential",
                type=_COUNT,
                default=0,
                metavar="N",
                help="Stop when N replications reach the first cluster. 有 N 次模拟达到首个聚集即停止。",
            ),
            click.option(
                "--gumbel", is_flag=True, help="Also p of a fitted Gumbel distribution. 同时给出 Gumbel 近似 p。"
            ),
            click.option("--clusters", type=_COUNT, default=10, show_default=True, help="At most. 聚集数上限。"),
            click.option(
                "--top", type=_COUNT, default=0, help="Also the N highest windows, overlapping. 另列最高的 N 个。"
            ),
            json_option,
        )
    ):
        command = option(command)
    return command


@stats_group.command("scan")
@_file
@click.option("--kind", type=click.Choice(KINDS), default=KINDS[0], show_default=True, help="Statistic. 统计量。")
@_scanning
def scan_command(file: Path, as_json: bool, **options: Any) -> None:
    """Where are more cases than expected: scan statistic. 哪里的案件多于期望：扫描统计。

    FILE: columns zone, count, expected or population; x, y (or --zones, --neighbors); time, if there is more than one
    period: whole numbers or dates (days). Rows of a zone and time add up; periods without rows count zero.

    poisson: Kulldorff, conditional on the total. pb-poisson: the same, each period expecting as much. eb-poisson: as
    expected, unconditional. permutation: needs cases only. Clusters share no zone.

    \b
    quanyu stats scan tracts.csv --max-share 0.1
    quanyu stats scan counts.csv --kind eb-poisson --zones zones.txt --json
    """
    _scan(file, as_json, options)


@stats_group.command("permutation")
@_file
@_scanning
def permutation_command(file: Path, as_json: bool, **options: Any) -> None:
    """Where are more cases now than place and time explain: space-time permutation scan. 时空置换扫描。

    FILE: columns zone, time, x, y (or --zones, --neighbors); count, else each row is a case. Needs no population.

    \b
    quanyu stats permutation calls.csv --lonlat --max-radius 3 --max-duration 7
    """
    _scan(file, as_json, options | {"kind": PERMUTATION})


def _scan(file: Path, as_json: bool, options: dict[str, Any]) -> None:
    try:
        result = scan_file(file, Options(**options))
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(result)
    else:
        print_scan(result)


@stats_group.command("gistar")
@_file
@click.option("--neighbors", type=_FILE, help="JSON {zone: [zone, ...]} or {zone: {zone: weight}}. 邻接关系文件。")
@click.option("--distance", type=_POSITIVE, help="Neighbours are within; needs x, y. 邻区距离上限。")
@_lonlat
@click.option("--star/--no-star", default=True, help="With the zone itself (Gi*), or without (Gi). 是否含自身。")
@click.option("--by-row", is_flag=True, help="Weights of a zone add up to 1. 权重按行归一。")
@json_option
def gistar_command(
    file: Path,
    neighbors: Path | None,
    distance: float | None,
    lonlat: bool,
    star: bool,
    by_row: bool,
    as_json: bool,
) -> None:
    """Where high values lie together: Getis-Ord Gi*, z of each zone. 高值在哪里聚集：Gi* 冷热点。

    FILE: columns zone, value; x, y with --distance. A map layer: never an alarm. 仅作地图图层，不作报警依据。

    \b
    quanyu stats gistar streets.csv --neighbors neighbors.json
    """
    try:
        result = gistar_file(file, neighbors, distance, lonlat, star, by_row)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(result)
    else:
        print_gistar(result)


@stats_group.command("knox")
@_file
@click.option("--dist", "distance", type=_POSITIVE, required=True, help="Near: at most so far. 邻近距离上限。")
@click.option("--days", type=click.FloatRange(min=0), required=True, help="Soon: at most so many days. 相隔天数上限。")
@_lonlat
@_chance
@json_option
def knox_command(
    file: Path, distance: float, days: float, lonlat: bool, monte_carlo: int, seed: int, as_json: bool
) -> None:
    """Do events follow near ones more than by chance: Knox's test. 事件是否在邻近处接连发生：Knox 检验。

    FILE: columns x, y, t: a row is an event; t in days, or dates with or without a time of day.

    \b
    quanyu stats knox burglaries.csv --dist 200 --days 14
    """
    try:
        result = knox_file(file, distance, days, lonlat, monte_carlo, seed)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(result)
    else:
        print_knox(result)
