"""How fast a replay is, and how much memory it takes: `python -m bench.replay --events 500000 [--json]`.

A simulated city (all four sources in their vendors' formats, default 16,000 reports a day as Guangzhou's 110 takes,
10,000 unit grids as polygons with their streets and districts) is written to files first. Then, each in a process of
its own: decode, datum, join, order, incidents, panes, hot spots, repeats; once with the rows built and dropped, once
stored in chDB. `--memory` compares the peak with that of ten times the events.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any, cast

from bench.report import Report
from schemas.rows import Rows
from schemas.sources.mapping import load_mapping
from sinks.clickhouse import open_sink
from sinks.clickhouse.writer import ClickHouseSink
from sinks.memory import MemorySink
from streams import settings as configuration
from streams.assemble import assemble
from streams.commands.feeds import file_feed
from streams.metrics import RoomMeter
from streams.replay import BULK_ROWS, BULK_S, Folding, conclude, replay
from streams.runner import Writer, no_gc
from streams.simulator.city import make_city
from streams.simulator.layers import write_layers
from streams.simulator.scenarios import scenario
from streams.simulator.simulation import simulate
from streams.simulator.to_file import Folder

START_MS = 1_772_380_800_000  # 2026-03-02 in the city's zone
SOURCES = ("110", "12345", "grid", "sensor")


class Dropped(MemorySink):
    """Takes rows and lets them go."""

    def write(self, rows: Rows) -> None:
        """Nothing is kept."""


def prepare(folder: Path, events: int, rate: float, cells: int) -> int:
    """Write about `events` records, whole days cut at the last one; returns how many there are."""
    city = make_city(1, cells)
    days = int(events / rate) + 2
    with Folder(folder, zipped=False) as files:
        write_layers(city, folder)
        emissions = simulate(city, scenario("city"), 1, days, rate, START_MS)
        return sum(files.put(islice(emissions, events)).values())


def run(folder: Path, database: str, batch: int) -> dict[str, Any]:
    """One replay in this process; figures as the command line gives them."""
    grids = f"grids.file={folder / 'grids.toml'}"
    settings = configuration.load(environ={}, overrides=[grids])
    now = time.time_ns() // 1_000_000
    meter = RoomMeter(clock=time.thread_time)
    key = b"benchmark"
    feeds = [file_feed(folder / f"{name}.ndjson", name, load_mapping(name), now, n) for n, name in enumerate(SOURCES)]
    assembly = assemble(settings, key, {o: f.source for f in feeds for o in f.origins}, meter)
    sink: MemorySink | ClickHouseSink = Dropped()
    if database:
        config = configuration.ClickHouse(url=f"chdb:{database}", batch_rows=BULK_ROWS, batch_s=BULK_S)
        sink = open_sink(config, assembly.grids.layers, settings.city.timezone)
    no_gc()
    writer = Writer(sink)
    folding = Folding(assembly, writer, lambda: now, batch)
    began, busy = time.perf_counter(), time.thread_time()
    replay(feeds, folding)
    folded, fold_s = time.perf_counter() - began, time.thread_time() - busy
    writer.close()
    folding.summary.seconds = time.perf_counter() - began
    summary = conclude(folding.summary, "bench", "", sink.digest())
    rooms = {name: round(seconds * 1e6 / summary.read, 2) for name, seconds in meter.seconds.items()}
    stored = sink.counts() if database else {}
    sink.close()
    return {
        "read": summary.read,
        "events_per_second": summary.events_per_second,
        "seconds": summary.seconds,
        "fold_seconds": round(folded, 2),
        "fold_cpu_us_per_event": round(fold_s * 1e6 / summary.read, 2),
        "peak_rss_mb": summary.peak_rss_mb,
        "rooms_us_per_event": rooms,
        "stored": stored,
    }


def child(folder: Path, database: str, batch: int) -> dict[str, Any]:
    """The same in a process of its own, so that memory and caches are its own."""
    command = [sys.executable, "-m", "bench.replay", "--run", str(folder), "--batch", str(batch)]
    done = subprocess.run(
        [*command, "--database", database],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    return cast("dict[str, Any]", json.loads(done.stdout))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rate", type=float, default=16_000.0, help="reports a day")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--memory", action="store_true", help="also ten times the events")
    parser.add_argument("--runs", type=int, default=1, help="the best of so many")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--database", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(options.run, options.database, options.batch)))
        return
    report = Report("replay")
    with tempfile.TemporaryDirectory(prefix="quanyu-bench-") as name:
        folder = Path(name)
        read = prepare(folder / "events", options.events, options.rate, options.cells)
        best = {}
        for label, database in (("without_write", ""), ("with_write", str(folder / "db"))):
            results = []
            for n in range(options.runs):
                results.append(child(folder / "events", database and f"{database}{n}", options.batch))
            best[label] = max(results, key=lambda r: float(r["events_per_second"]))
        goals = {"without_write": 60_000, "with_write": 40_000}
        for label, result in best.items():
            report.figure(f"events_per_second_{label}", result["events_per_second"], "1/s", at_least=goals[label])
        report.value("events", read)
        report.value("rooms_us_per_event", best["without_write"]["rooms_us_per_event"])
        report.value("fold_cpu_us_per_event", best["without_write"]["fold_cpu_us_per_event"])
        report.figure("peak_rss_mb", best["with_write"]["peak_rss_mb"], "MB", at_most=800)
        if options.memory:
            ten = folder / "ten"
            prepare(ten, options.events * 10, options.rate, options.cells)
            large = child(ten, str(folder / "large"), options.batch)
            report.figure("peak_rss_mb_ten_times", large["peak_rss_mb"], "MB", at_most=800)
            ratio = large["peak_rss_mb"] / best["with_write"]["peak_rss_mb"]
            report.figure("peak_ratio_ten_times", round(ratio, 3), "", at_most=1.2)
            report.value("events_per_second_ten_times", large["events_per_second"])
    report.print(options.json)


if __name__ == "__main__":
    main()
