"""`quanyu demo`: a simulated city, the whole pipeline, an embedded ClickHouse; nothing else is needed."""

from __future__ import annotations

import hashlib
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec
from rich.console import RenderableType
from rich.live import Live

from schemas import QuanyuError
from sinks.clickhouse import connect, open_sink
from sinks.clickhouse.client import quote
from streams import settings as configuration
from streams.assemble import assemble
from streams.commands.base import configured, console, duration_s, fail, json_option, print_json, say, speed_of
from streams.commands.demo_screen import Screen
from streams.commands.summary import show_summary
from streams.demo import PAST_STEP_MS, Walk, origins, steps
from streams.metrics import RoomMeter
from streams.replay import Folding, Summary, conclude
from streams.runner import Writer, quiet_gc
from streams.settings import Settings
from streams.simulator.city import make_city
from streams.simulator.layers import write_layers
from streams.simulator.scenarios import SCENARIOS, scenario
from streams.simulator.simulation import simulate
from streams.windows import DAY_MS, Calendar

#: 2026-03-02 00:00 in the city's zone
START_MS = 1_772_380_800_000
DATABASE = "demo"
#: how long the city can go on after its past
MORE_DAYS = 365
#: wall seconds between two steps of the paced part
TICK_S = 1.0


@click.command("demo")
@click.option("--city", "cells", default=2000, show_default=True, help="Unit grids of the city. 单元网格数。")
@click.option("--scenario", "name", default="city", show_default=True, help=f"{', '.join(SCENARIOS)}. 场景。")
@click.option("--rate", default=16_000.0, show_default=True, help="Reports a day. 每天报告数。")
@click.option("--history", default=7, show_default=True, type=click.IntRange(0), help="Days lived first. 先过的天数。")
@click.option("--speed", default="600x", show_default=True, help="Times real time, or max. 倍速。")
@click.option("--seed", default=1, show_default=True, help="Same seed, same city. 种子。")
@click.option("--for", "length", default="20s", show_default=True, help="How long to go on: 30s, 10m, 1h. 持续时间。")
@click.option("--headless", is_flag=True, help="No live table, only the summary. 只输出总结。")
@configured
@json_option
def demo_command(
    cells: int,
    name: str,
    rate: float,
    history: int,
    speed: str,
    seed: int,
    length: str,
    headless: bool,
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """A simulated city lives in this process: its past first, then at --speed. Ctrl-C ends it. 模拟城市演示。

    \b
    quanyu demo
    quanyu demo --scenario hotspots --speed 60x --for 10m
    """
    try:
        settings = configuration.load(config, overrides=overrides)
        factor, length_s = speed_of(speed, "--speed"), duration_s(length, "--for")
        shown = not (headless or as_json)
        with TemporaryDirectory(prefix="quanyu-demo-") as folder:
            run = _Run(settings, Path(folder), cells, name, rate, history, seed)
            with Live(console=console(), auto_refresh=False, transient=True) if shown else nullcontext() as live:
                summary = run.go(factor, length_s, live)
            if shown:
                console().print(run.picture())
            run.close()
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(summary)
        return
    show_summary(summary)
    where = settings.clickhouse.url
    click.echo(
        say(f"\nThe tables are in {where}, database {DATABASE}.", f"\n结果表在 {where} 的数据库 {DATABASE} 中。")
    )


class _Run:
    """One demo from its city to its summary."""

    def __init__(
        self, settings: Settings, folder: Path, cells: int, name: str, rate: float, history: int, seed: int
    ) -> None:
        self._present_ms = START_MS + history * DAY_MS
        city = make_city(seed, cells)
        write_layers(city, folder)
        grids = msgspec.structs.replace(settings.grids, file=str(folder / "grids.toml"))
        self._settings = settings = msgspec.structs.replace(settings, grids=grids)
        self._emissions = simulate(city, scenario(name), seed, history + MORE_DAYS, rate, START_MS)
        people = f"simulated people of city {seed}".encode()
        key = settings.intake.caller_key.encode() or hashlib.blake2b(people, digest_size=32).digest()
        assembly = assemble(settings, key, origins(settings), RoomMeter(settings.city.name))
        config, zone = settings.clickhouse, settings.city.timezone
        self._client = connect(config)
        self._client.command(f"DROP DATABASE IF EXISTS {quote(DATABASE)} SYNC")
        self._sink = open_sink(config, assembly.grids.layers, zone, DATABASE)
        calendar = Calendar(zone, settings.panes.minutes)
        self._screen = Screen(self._client, DATABASE, assembly.grids, calendar, settings.city.name)
        self._now_ms = START_MS
        self._writer = Writer(self._sink)
        self._folding = Folding(assembly, self._writer, lambda: self._now_ms)

    def go(self, speed: float | None, length_s: float, live: Live | None) -> Summary:
        """The past as fast as it goes, then `length_s` seconds at `speed` (None: as fast as it goes)."""
        quiet_gc()
        walk = Walk(self._folding, self._settings)
        clock = time.perf_counter()
        try:
            self._live(walk, speed, length_s, live)
        except KeyboardInterrupt:
            click.echo(say("ending", "正在结束"), err=True)
        except BaseException:
            self._writer.abandon()
            raise
        walk.finish()
        self._writer.close()
        summary = self._folding.summary
        summary.seconds = time.perf_counter() - clock
        return conclude(summary, DATABASE, DATABASE, self._sink.digest())

    def close(self) -> None:
        """Let go of the database."""
        self._sink.close()

    def picture(self) -> RenderableType:
        """The city as it stands."""
        return self._screen.picture(self._now_ms, self._folding.summary)

    def _live(self, walk: Walk, speed: float | None, length_s: float, live: Live | None) -> None:
        present = self._present_ms
        paced_ms = int(TICK_S * 1000 * speed) if speed else PAST_STEP_MS
        began = 0.0
        for end, arrived in steps(self._emissions, START_MS, lambda at: PAST_STEP_MS if at < present else paced_ms):
            if end > present:
                began = began or time.perf_counter()
                due = began + (end - present) / 1000 / speed if speed else 0.0
                time.sleep(max(0.0, min(due, began + length_s) - time.perf_counter()))
                if time.perf_counter() - began >= length_s:
                    return
            self._now_ms = end
            walk.step(end, arrived)
            if live is not None and (end > present or end % DAY_MS == 0):
                live.update(self.picture(), refresh=True)
