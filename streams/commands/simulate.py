"""`quanyu simulate`: the four sources' records in their vendors' formats, with the ground truth beside them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from schemas import QuanyuError, UsageError
from streams.commands.base import console, fail, json_option, print_json, progress, say, speed_of, wall_ms
from streams.kafka import check_topics, producing
from streams.settings import Settings, load
from streams.simulator import to_kafka
from streams.simulator.city import City, make_city
from streams.simulator.layers import write_layers
from streams.simulator.rhythm import DAY_MS, ZONE_MS
from streams.simulator.scenarios import SCENARIOS, scenario
from streams.simulator.simulation import Emission, simulate
from streams.simulator.to_file import Folder
from streams.simulator.truth import Truth
from streams.windows import MINUTE_MS

_PROGRESS_EVERY = 5000
#: corrections arrive up to so long after the last day
CORRECTION_DAYS = 2
Emissions = Callable[[Truth], Iterable[Emission]]


_EPILOG = "\b\nScenarios 场景\n" + "\n".join(f"{found.name:<22} {found.says}" for found in SCENARIOS.values())


@click.command("simulate", epilog=_EPILOG)
@click.option("--scenario", "name", default="city", show_default=True, help="What the city lives through. 场景。")
@click.option("--days", default=1, show_default=True, type=click.IntRange(min=1), help="Length in days. 天数。")
@click.option(
    "--rate", default=16_000.0, show_default=True, type=click.FloatRange(min=1), help="Reports a day. 日均量。"
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Same seed, same bytes. 种子。")
@click.option("--start", default="", help="First day, YYYY-MM-DD; default 2026-03-02; Kafka: just past. 起始日期。")
@click.option("--cells", default=2000, show_default=True, help="Unit grids, 24 to 50000. 单元网格数。")
@click.option("--to", "target", required=True, type=click.Choice(["file", "kafka"]), help="Where to. 输出到。")
@click.option("--gzip", "zipped", is_flag=True, help="file: compress the records. 压缩。")
@click.option("--pace", default="max", show_default=True, help="kafka: max, or 60x real time. 速度。")
@click.option(
    "--behind", multiple=True, metavar="SOURCE/PARTITION=MINUTES", help="kafka: a partition that is late. 落后的分区。"
)
@click.option("--config", type=click.Path(dir_okay=False), help="kafka: configuration file. 配置文件。")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="kafka: override. 覆盖配置项。")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@json_option
def simulate_command(
    name: str,
    days: int,
    rate: float,
    seed: int,
    start: str,
    cells: int,
    target: str,
    zipped: bool,
    pace: str,
    behind: tuple[str, ...],
    config: str | None,
    overrides: tuple[str, ...],
    folder: Path | None,
    as_json: bool,
) -> None:
    """A simulated city's 110 calls, 12345 tickets, grid reports and sensor alerts. 模拟一座城市的四类信号。

    To files: one NDJSON a source in order of arrival, truth.ndjson, grids.toml with its layers, manifest.json.
    To Kafka: the raw topics of the configuration; at the end a control record tells every partition the last time.

    \b
    quanyu simulate --scenario hotspots --days 7 --to file DIR
    quanyu simulate --days 1 --rate 100000 --to kafka --pace 60x
    """
    begun = time.monotonic()
    try:
        chosen, start_ms, speed = scenario(name), _first_day(start, days, target), speed_of(pace, "--pace")
        late_ms = dict(map(_behind, behind))
        if target == "file" and folder is None:
            raise UsageError("--to file needs a folder: --to file DIR", "--to file 须给出目录：--to file 目录")
        city = make_city(seed, cells)
        what = {"scenario": name, "days": days, "rate": rate, "seed": seed, "start": _day(start_ms), "cells": cells}
        with progress() as bar:
            task = bar.add_task(say("simulating", "模拟"), total=days * DAY_MS, status="")

            def emissions(truth: Truth) -> Iterator[Emission]:
                for i, emission in enumerate(simulate(city, chosen, seed, days, rate, start_ms, truth)):
                    if i % _PROGRESS_EVERY == 0:
                        bar.update(task, completed=emission.arrival_ms - start_ms)
                    yield emission

            if target == "file" and folder is not None:
                summary = _to_file(folder, zipped, city, what, emissions)
            else:
                settings = load(config, overrides=overrides)
                summary = what | _to_kafka(settings, start_ms, speed, late_ms, city, folder, emissions)
    except QuanyuError as error:
        fail(error)
    seconds = time.monotonic() - begun
    total = sum(summary["records"].values())
    summary |= {"seconds": round(seconds, 3), "records_per_second": round(total / seconds)}
    print_json(summary) if as_json else console().print(_table(summary))


def _to_file(folder: Path, zipped: bool, city: City, what: dict[str, Any], emissions: Emissions) -> dict[str, Any]:
    with Folder(folder, zipped) as files:
        truth = Truth(files.put_truth)
        layers = write_layers(city, folder)
        records = files.put(emissions(truth))
        manifest = what | {"records": dict(records), "kinds": _kinds(truth), "files": files.files, "layers": layers}
        files.put_manifest(manifest)
    return manifest | {"folder": str(folder)}


def _to_kafka(
    settings: Settings,
    start_ms: int,
    speed: float | None,
    late_ms: dict[tuple[str, int], int],
    city: City,
    folder: Path | None,
    emissions: Emissions,
) -> dict[str, Any]:
    """Send to the raw topics; a folder takes the ground truth and the layers."""
    check_topics(settings, [("WRITE", source.topic) for source in settings.sources.values() if source.topic])
    days = settings.kafka.retention_days
    if start_ms < wall_ms() - days * DAY_MS:
        raise UsageError(
            f"--start {_day(start_ms)} is older than kafka.retention_days = {days}: the broker would delete the "
            f"records at once; start later",
            f"--start {_day(start_ms)} 早于 kafka.retention_days = {days}：broker 会立即删除这些记录；请选择更晚的日期",
        )
    with ExitStack() as stack:
        truth = Truth()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_layers(city, folder)
            rows = stack.enter_context((folder / "truth.ndjson").open("wb"))

            def put(row: dict[str, Any]) -> None:
                rows.write(msgspec.json.encode(row) + b"\n")

            truth = Truth(put)
        send = stack.enter_context(producing(settings.kafka))
        sent = to_kafka.behind(emissions(truth), settings, late_ms)
        records = to_kafka.produce(sent if speed is None else to_kafka.paced(sent, speed), settings, send)
    return {"records": dict(records), "kinds": _kinds(truth), "servers": settings.kafka.servers}


def _behind(text: str) -> tuple[tuple[str, int], int]:
    """`110/0=60`: of source 110 the partition 0, an hour."""
    found = re.fullmatch(r"([^/=]+)/(\d+)=(\d+)", text)
    if found is None:
        raise UsageError(
            f"--behind {text}: want SOURCE/PARTITION=MINUTES, as in 110/0=60",
            f"--behind {text}：应为 来源/分区=分钟，例如 110/0=60",
        )
    return (found[1], int(found[2])), int(found[3]) * MINUTE_MS


def _kinds(truth: Truth) -> dict[str, dict[str, int]]:
    """Records by source and kind."""
    kinds: dict[str, dict[str, int]] = {}
    for (source, kind), records in sorted(truth.counts.items()):
        kinds.setdefault(source, {})[kind] = records
    return kinds


def _table(summary: dict[str, Any]) -> Table:
    table = Table(title=say("{:,} records, {:,}/s", "{:,} 条记录，每秒 {:,} 条").format(
        sum(summary["records"].values()), summary["records_per_second"]
    ))  # fmt: skip
    table.add_column(say("kind", "类型"))
    for source in summary["kinds"]:
        table.add_column(source, justify="right")
    for kind in sorted({kind for kinds in summary["kinds"].values() for kind in kinds}):
        table.add_row(kind, *(f"{kinds.get(kind, 0):,}" for kinds in summary["kinds"].values()))
    return table


def _first_day(text: str, days: int, target: str) -> int:
    """Start of the first day in the city's zone, ms UTC.

    Topics forget what is old and refuse what is to come: to Kafka the last corrections arrive by the end of yesterday.
    """
    if not text and target == "kafka":
        today = (wall_ms() + ZONE_MS) // DAY_MS
        return (today - days - CORRECTION_DAYS) * DAY_MS - ZONE_MS
    try:
        return (date.fromisoformat(text or "2026-03-02") - date(1970, 1, 1)).days * DAY_MS - ZONE_MS
    except ValueError:
        raise UsageError(f"--start {text}: want YYYY-MM-DD", f"--start {text}：应为 YYYY-MM-DD") from None


def _day(start_ms: int) -> str:
    return str(date(1970, 1, 1) + timedelta(days=(start_ms + ZONE_MS) // DAY_MS))
