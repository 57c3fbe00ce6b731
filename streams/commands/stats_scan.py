"""A scan of an analyst's file: what `quanyu stats scan` and `quanyu stats permutation` do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table as Printed

from schemas import UsageError
from streams.commands.base import console, progress, say
from streams.commands.stats_cases import Cases, Floats, read_cases, read_neighbours, read_zones
from streams.commands.stats_table import read_table
from streams.statistics import monte_carlo
from streams.statistics.monte_carlo import Chance
from streams.statistics.permutation import permutation_study
from streams.statistics.scan import Cluster, Study, Windows, anywhere, ending_last
from streams.statistics.zones import TooManyZones, Zones, chord_km, circles, listed, nearest, rings

POISSON, PB_POISSON, EB_POISSON, PERMUTATION = KINDS = ("poisson", "pb-poisson", "eb-poisson", "permutation")
#: cases that an unconditional scan may expect: counts have 31 bits
MOST_EXPECTED = 1 << 30
_SHOWN_ZONES = 12


@dataclass(frozen=True)
class Options:
    """Options of a scan, as on the command line."""

    kind: str
    max_share: float
    max_radius: float | None
    lonlat: bool
    split_ties: bool
    zones: Path | None
    neighbors: Path | None
    rings: int
    nearest: int
    since: str | None
    until: str | None
    windows: str
    max_duration: int | None
    min_cases: int
    monte_carlo: int
    seed: int
    sequential: int
    gumbel: bool
    clusters: int
    top: int


def scan_file(file: Path, options: Options) -> dict[str, Any]:
    """The result of a scan, as it is printed."""
    permuting = options.kind == PERMUTATION
    table = read_table(file, ("zone", "time") if permuting else ("zone", "count"))
    cases = read_cases(table, options.since, options.until)
    expected = None if permuting else _expected(cases, options)
    weight = cases.counts.sum(axis=0) if expected is None else expected.sum(axis=0)
    zones = _zones(cases, weight.astype(np.float64), options)
    windows = _windows(cases, options)
    if expected is None:
        study = permutation_study(cases.counts, zones, windows, options.min_cases)
    else:
        study = Study(cases.counts, expected, zones, windows, options.kind != EB_POISSON, options.min_cases)
    found = study.clusters(options.clusters)
    chance = _chance(study, permuting, found, options)
    result: dict[str, Any] = {
        "file": str(file),
        "kind": options.kind,
        "places": len(cases.ids),
        "candidate_zones": zones.count,
        "periods": {"count": cases.periods, **_span(cases, 0, cases.periods)},
        "cases": study.total,
        "monte_carlo": {"replications": len(chance.maxima), "seed": options.seed, "stopped": chance.stopped},
        "clusters": [
            _cluster(cases, study, c, options) | _p(chance, c, options, cases.table.has("time")) for c in found
        ],
    }
    if options.top:
        result["top"] = [_cluster(cases, study, c, options) for c in study.top(options.top)]
    return result


def _expected(cases: Cases, options: Options) -> Floats:
    table = cases.table
    if options.kind == PB_POISSON:
        people = cases.expected(_column(cases, ("population",)))
        everyone = people.sum(axis=1, keepdims=True)
        if not everyone.all():
            empty = int(np.argmin(everyone))
            raise table.error(
                int(np.argmax(cases.of_row[0] == empty)), "population", "a period without people", "该时段人口为 0"
            )
        shared: Floats = people / everyone
        return shared
    name = _column(cases, ("expected", "population"))
    found = cases.expected(name)
    if name == "population" and options.kind == EB_POISSON:
        found *= cases.counts.sum() / found.sum()
    if options.kind == EB_POISSON and found.sum() >= MOST_EXPECTED:
        raise table.error(0, name, f"adds up to {found.sum():.3g}", f"合计达 {found.sum():.3g}")
    return found


def _column(cases: Cases, names: Sequence[str]) -> str:
    for name in names:
        if cases.table.has(name):
            return name
    here = ", ".join(cases.table.columns)
    wanted = " or ".join(names)
    raise UsageError(
        f"{cases.table.file}, line 1: no column {wanted}; it has {here}",
        f"{cases.table.file} 第 1 行：缺少 {wanted} 列；现有 {here}",
    )


def _zones(cases: Cases, weight: Floats, options: Options) -> Zones:
    ways = [options.zones is not None, options.neighbors is not None, options.nearest > 0]
    if sum(ways) > 1:
        raise UsageError("give one of --zones, --neighbors, --nearest", "--zones、--neighbors、--nearest 只能给出其一")
    if options.zones:
        return read_zones(options.zones, cases.ids)
    if options.neighbors:
        graph, _ = read_neighbours(options.neighbors, cases.ids)
        return rings(graph.indptr, graph.indices, options.rings)
    if not cases.table.has("x", "y"):
        raise UsageError(
            f"{cases.table.file}, line 1: no columns x, y; give them, or --zones or --neighbors",
            f"{cases.table.file} 第 1 行：缺少 x、y 列；请补充，或给出 --zones 或 --neighbors",
        )
    points = cases.points(options.lonlat)
    if options.nearest:
        return nearest(points, options.nearest)
    if len(points) == 1:  # a share of a single zone says nothing
        return listed(1, [[0]])
    radius = np.inf if options.max_radius is None else options.max_radius
    try:
        zones = circles(
            points, weight, options.max_share, chord_km(radius) if options.lonlat else radius, options.split_ties
        )
    except TooManyZones as error:
        raise UsageError(
            f"--max-share {options.max_share}: {error}; take less, or --max-radius",
            f"--max-share {options.max_share}：区域过多，请减小，或给出 --max-radius",
        ) from None
    return zones


def _windows(cases: Cases, options: Options) -> Windows:
    longest = min(options.max_duration or cases.periods, cases.periods)
    if options.windows == "last":
        return ending_last(cases.periods, range(1, longest + 1))
    if options.windows == "any":
        return anywhere(cases.periods, longest)
    if options.windows == "whole":
        return ending_last(cases.periods, [cases.periods])
    try:
        durations = [int(text) for text in options.windows.split(",")]
    except ValueError:
        durations = []
    found = ending_last(cases.periods, [d for d in durations if d <= longest])
    if not len(found.start) or min(durations) < 1:
        raise UsageError(
            f"--windows {options.windows}: want last, any, whole, or durations in periods like 1,2,4, "
            f"not above {longest}",
            f"--windows {options.windows}：应为 last、any、whole，或以时段数表示的时长如 1,2,4，不超过 {longest}",
        )
    return found


def _chance(study: Study, permuting: bool, found: Sequence[Cluster], options: Options) -> Chance:
    if not found or not options.monte_carlo:
        return Chance(np.zeros(0))
    draw = monte_carlo.permuted(study) if permuting else monte_carlo.under_null(study)
    with progress() as bar:
        task = bar.add_task(say("replications", "模拟"), total=options.monte_carlo, status="")
        return monte_carlo.simulate(
            study,
            draw,
            options.monte_carlo,
            options.seed,
            found[0].llr,
            options.sequential,
            tell=lambda done: bar.update(task, completed=done),
        )


def _cluster(cases: Cases, study: Study, cluster: Cluster, options: Options) -> dict[str, Any]:
    start, stop = int(study.windows.start[cluster.window]), int(study.windows.stop[cluster.window])
    ratio = cluster.observed / cluster.expected if cluster.expected else None
    return {
        "zones": [cases.ids[k] for k in study.zones.members(cluster.zone)],
        "candidate": cluster.zone + 1,
        "window": {**_span(cases, start, stop), "periods": stop - start},
        "observed": cluster.observed,
        "expected": cluster.expected,
        "ratio": ratio,
        "llr": cluster.llr,
    }


def _span(cases: Cases, start: int, stop: int) -> dict[str, Any]:
    return {"from": cases.label(cases.first + start), "to": cases.label(cases.first + stop - 1)}


def _p(chance: Chance, cluster: Cluster, options: Options, timed: bool) -> dict[str, Any]:
    if not len(chance.maxima):
        return {"p": None}
    found: dict[str, Any] = {"p": chance.p(cluster.llr)}
    if options.gumbel:
        gumbel = chance.gumbel_p(cluster.llr)
        found["p_gumbel"] = gumbel if np.isfinite(gumbel) else None
    if timed and options.windows not in ("any", "whole"):
        found["recurrence_interval"] = 1 / found["p"]
    return found


def print_scan(result: dict[str, Any]) -> None:
    """The result as a table for people."""
    out = console()
    periods = result["periods"]
    timed = periods["from"] is not None
    span = f"{periods['from']} .. {periods['to']}"
    out.print(
        say(
            f"{result['kind']}: {result['cases']} cases, {result['places']} zones"
            + (f", periods {span} ({periods['count']})" if timed else ""),
            f"{result['kind']}：{result['cases']} 起，{result['places']} 个区域"
            + (f"，时段 {span}（{periods['count']}）" if timed else ""),
        ),
        highlight=False,
    )
    if not result["candidate_zones"]:
        out.print(say("every single zone has more than --max-share", "每个区域单独都已超过 --max-share"))
    elif not result["clusters"]:
        out.print(say("nowhere more than expected", "没有超出期望的区域"))
    for title, rows in ((say("clusters", "聚集"), result["clusters"]), (say("top", "最高"), result.get("top"))):
        if rows:
            out.print(_printed(title, rows, timed), highlight=False)
    if result["monte_carlo"]["replications"]:
        done, seed = result["monte_carlo"]["replications"], result["monte_carlo"]["seed"]
        out.print(say(f"p of {done} replications, seed {seed}", f"p 由 {done} 次模拟得出，随机种子 {seed}"))


def _printed(title: str, rows: Sequence[dict[str, Any]], timed: bool) -> Printed:
    table = Printed(title=title, title_justify="left", box=box.SIMPLE)
    gumbel = "p_gumbel" in rows[0]
    table.add_column(say("zones", "区域"), overflow="fold")
    if timed:
        table.add_column(say("window", "时段"), no_wrap=True)
    figures = say("observed|expected|ratio|llr|p", "实际|期望|比值|对数似然比|p").split("|")
    for name in figures + (["Gumbel"] if gumbel else []):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        zones, window = row["zones"], row["window"]
        shown = ", ".join(zones[:_SHOWN_ZONES]) + (f" … ({len(zones)})" if len(zones) > _SHOWN_ZONES else "")
        ends = [window["from"], window["to"]] if window["periods"] > 1 else [window["from"]]
        table.add_row(
            shown,
            *(["\n".join(map(str, ends))] if timed else []),
            str(row["observed"]),
            f"{row['expected']:.2f}",
            _short(row["ratio"], ".2f"),
            f"{row['llr']:.4f}",
            _short(row.get("p"), ".2g"),
            *([_short(row["p_gumbel"], ".2g")] if gumbel else []),
        )
    return table


def _short(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
