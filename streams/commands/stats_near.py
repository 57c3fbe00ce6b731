"""What `quanyu stats gistar` and `quanyu stats knox` do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table as Printed
from scipy import special

from schemas import UsageError
from streams.commands.base import console, progress, say
from streams.commands.stats_cases import points_of, read_neighbours
from streams.commands.stats_table import read_table
from streams.statistics import gistar
from streams.statistics.knox import knox
from streams.statistics.pairs import TooManyPairs
from streams.statistics.zones import chord_km

_SHOWN = 20


def gistar_file(
    file: Path, neighbors: Path | None, distance: float | None, lonlat: bool, star: bool, by_row: bool
) -> dict[str, Any]:
    """Gi* (or Gi) of every zone of a file, in the order of its rows."""
    if (neighbors is None) == (distance is None):
        raise UsageError("give either --neighbors or --distance", "请给出 --neighbors 或 --distance 之一")
    table = read_table(file, ("zone", "value") if neighbors else ("zone", "value", "x", "y"))
    names = table.texts("zone")
    known = set[str]()
    for row, name in enumerate(names):
        if name in known:
            raise table.error(row, "zone", f"{name} twice", f"{name} 重复")
        known.add(name)
    values = table.numbers("value")
    if neighbors:
        near, own = read_neighbours(neighbors, names)
    else:
        assert distance is not None
        own = np.ones(len(names))
        points = points_of(table, np.arange(len(table)), len(table), lonlat)
        try:
            near = gistar.within(points, chord_km(distance) if lonlat else distance)
        except TooManyPairs as error:
            raise _too_far("--distance", distance, error) from None
    others = np.diff(near.indptr)
    near = gistar.with_itself(near, own) if star else near
    near = near.by_row() if by_row else near
    z = gistar.gi_star(values, near) if star else gistar.gi(values, near)
    rows = [
        {
            "zone": name,
            "value": value,
            "neighbours": count,
            "z": score if np.isfinite(score) else None,
            "p": 2 * float(special.ndtr(-abs(score))) if np.isfinite(score) else None,
        }
        for name, value, count, score in zip(names, values.tolist(), others.tolist(), z.tolist(), strict=True)
    ]
    islands = int(np.count_nonzero(others == 0))
    return {"file": str(file), "statistic": "Gi*" if star else "Gi", "islands": islands, "zones": rows}


def print_gistar(result: dict[str, Any]) -> None:
    """The highest and lowest zones, as a table for people."""
    out = console()
    rows = sorted((row for row in result["zones"] if row["z"] is not None), key=lambda row: -row["z"])
    table = Printed(*say("zone|value|neighbours|z|p", "区域|数值|邻区数|z|p").split("|"))
    shown = rows if len(rows) <= _SHOWN else rows[: _SHOWN // 2] + rows[-_SHOWN // 2 :]
    for k, row in enumerate(shown):
        if len(rows) > _SHOWN and k == _SHOWN // 2:
            table.add_section()
        table.add_row(row["zone"], f"{row['value']:g}", str(row["neighbours"]), f"{row['z']:.4f}", f"{row['p']:.2g}")
    out.print(table, highlight=False)
    more = len(result["zones"]) - len(shown)
    out.print(
        say(
            f"{result['statistic']}: {more} more zones (--json), {result['islands']} without neighbours. "
            "A map layer, not an alarm: p is not corrected for testing every zone.",
            f"{result['statistic']}：另有 {more} 个区域（--json），{result['islands']} 个没有邻区。"
            "仅作地图图层，不作报警依据：p 未对多重检验校正。",
        ),
        highlight=False,
    )


def knox_file(file: Path, distance: float, days: float, lonlat: bool, replications: int, seed: int) -> dict[str, Any]:
    """Knox's test of the events of a file."""
    table = read_table(file, ("x", "y", "t"))
    if len(table) < 2:
        raise UsageError(f"{file}: one event makes no pair", f"{file}：只有一个事件，无法成对")
    points = points_of(table, np.arange(len(table)), len(table), lonlat)
    try:
        with progress() as bar:
            task = bar.add_task(say("replications", "模拟"), total=replications, status="")
            found = knox(
                points,
                table.days("t"),
                chord_km(distance) if lonlat else distance,
                days,
                replications,
                seed,
                tell=lambda done: bar.update(task, completed=done),
            )
    except TooManyPairs as error:
        raise _too_far("--dist", distance, error) from None
    return {
        "file": str(file),
        "events": found.events,
        "dist": distance,
        "days": days,
        "near_pairs": found.near,
        "soon_pairs": found.soon,
        "observed": found.observed,
        "expected": found.expected,
        "ratio": found.observed / found.expected if found.expected else None,
        "poisson_p": found.p_more,
        "poisson_p_at_least": found.p_at_least,
        "p": found.p if replications else None,
        "monte_carlo": {"replications": found.replications, "seed": seed},
    }


def _too_far(option: str, distance: float, error: TooManyPairs) -> UsageError:
    return UsageError(f"{option} {distance:g}: {error}; take less", f"{option} {distance:g}：近邻对过多，请减小")


def print_knox(result: dict[str, Any]) -> None:
    """The test, as lines for people."""
    out = console()
    rows = (
        (say("events", "事件"), result["events"]),
        (say(f"pairs within {result['dist']:g}", f"相距 {result['dist']:g} 以内的对"), result["near_pairs"]),
        (say(f"pairs within {result['days']:g} days", f"相隔 {result['days']:g} 天以内的对"), result["soon_pairs"]),
        (say("both: observed", "同时满足：实际"), result["observed"]),
        (say("both: expected", "同时满足：期望"), f"{result['expected']:.4f}"),
        (say("ratio", "比值"), "" if result["ratio"] is None else f"{result['ratio']:.3f}"),
        (say("Poisson p (as many or more)", "泊松 p（不少于实际）"), f"{result['poisson_p_at_least']:.4g}"),
        (
            say(f"p of {result['monte_carlo']['replications']} replications", "模拟 p"),
            "" if result["p"] is None else f"{result['p']:.4g}",
        ),
    )
    table = Printed(show_header=False)
    for name, value in rows:
        table.add_row(name, str(value))
    out.print(table, highlight=False)
