"""What snapshots cost while the city goes on: `python -m bench.snapshots [--places 1000000] [--signals N] [--json]`.

A month of calls at as many places is the state (see `bench.past`); the month that follows lies on the city's log and is
folded by a city worker, in runs that alternate: without snapshots, and with one every `--interval` seconds. The state
keeps its size: old places are forgotten as new ones come. A day of the city passes in seconds, so that hardly anything
of a snapshot is as it was in the last one: all of it is encoded and sent each time, which is the worst case.

The rate of a run is taken between its first and its last commit; the pause is the worker's own figure of how long the
fold stood still for the copy (`quanyu_snapshot_pause_seconds`).
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from statistics import mean

from msgspec import Struct

from bench.deployment import START_MS, Deployment, cpu_s, deployed, metrics_of, rss_mb
from bench.past import DAYS, Past, fold, save
from bench.report import Report
from streams.envelopes import messages
from streams.kafka import producing
from streams.settings import Live
from streams.windows import DAY_MS
from tests.servers.deployment import City, wait

#: a snapshot every so many seconds is none
NEVER = 1_000_000.0


class Run(Struct):
    """One worker's way through its share of the log."""

    signals_per_s: float
    cpu_us: float
    snapshots: int
    pause_s: float
    snapshot_s: float
    worst_pause_s: float
    rss_mb: float


def fill(deployment: Deployment, past: Past, signals: int, a_day: float) -> int:
    """So many more signals on the log; the number of messages."""
    sent = 0
    with producing(deployment.settings.kafka) as send:
        for envelopes in past.until(past.at_ms + int(signals / a_day * DAY_MS)):
            for envelope in envelopes:
                for value in messages(envelope):
                    send(deployment.settings.kafka.log_topic, value, partition=0)
                    sent += 1
    return sent


def run(city: City, signals: int, interval_s: float) -> Run:
    """Fold what is on the log with one worker."""
    city.settings["QUANYU__LIVE__SNAPSHOT_S"] = str(interval_s)
    ((before, end),) = city.offsets(city.log)
    worker = city.start("--stages", "city")
    worker.wait_ready()

    def done() -> int:
        assert worker.process.poll() is None, worker.said
        return city.committed(city.log)

    wait("the first commit", lambda: done() > max(before, 1), 300)
    first, began, cpu = done(), time.perf_counter(), cpu_s(worker.process.pid)
    wait("all is folded", lambda: done() == end, 3600)
    seconds = time.perf_counter() - began
    spent = cpu_s(worker.process.pid) - cpu
    share = (end - first) / (end - max(before, 1))
    found = metrics_of(worker)
    memory = rss_mb(worker.process.pid)
    worker.stop(60)
    pauses = int(found["quanyu_snapshot_pause_seconds_count"])
    finished = found["quanyu_snapshot_seconds_count"]
    return Run(
        signals * share / seconds,
        spent / (signals * share) * 1e6,
        pauses,
        found["quanyu_snapshot_pause_seconds_sum"] / max(pauses, 1),
        found["quanyu_snapshot_seconds_sum"] / max(finished, 1),
        worst(found, "quanyu_snapshot_pause_seconds", pauses),
        memory,
    )


def worst(found: dict[str, float], histogram: str, count: int) -> float:
    """Upper bound of the bucket that holds the largest; 0 without any."""
    bounds = [
        (float(match[1]), value)
        for name, value in found.items()
        if (match := re.fullmatch(histogram + r'_bucket\{le="(.*)"\}', name))
    ]
    return min((bound for bound, value in bounds if value >= count), default=0.0) if count else 0.0


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=1_000_000)
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--signals", type=int, default=1_500_000, help="of each run: more than two intervals' work")
    parser.add_argument("--pairs", type=int, default=2, help="runs without and with snapshots")
    parser.add_argument("--interval", type=float, default=Live().snapshot_s, help="seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    without: list[Run] = []
    with_: list[Run] = []
    with deployed("snapshots", options.cells) as deployment:
        past, state, assembly = fold(deployment, options.places, START_MS)
        a_day = options.places / DAYS
        saved = save(deployment, state, assembly)
        del state
        for number in range(2 * options.pairs):
            fill(deployment, past, options.signals, a_day)
            runs, interval = ((without, NEVER), (with_, options.interval))[number % 2]
            runs.append(run(deployment.city, options.signals, interval))
    plain, kept = mean(r.signals_per_s for r in without), mean(r.signals_per_s for r in with_)
    taken = sum(r.snapshots for r in with_)
    report = Report("snapshots")
    report.figure("cost", 100 * (1 - kept / plain), "%", at_most=5)
    cpu = mean(r.cpu_us for r in with_) / mean(r.cpu_us for r in without)
    report.figure("cost_cpu", 100 * (cpu - 1), "%")
    report.figure("pause_ms", 1000 * sum(r.pause_s * r.snapshots for r in with_) / max(taken, 1), "ms", at_most=200)
    report.figure("largest_pause_at_most_ms", 1000 * max(r.worst_pause_s for r in with_), "ms")
    report.figure("snapshot_s", mean(r.snapshot_s for r in with_), "s")
    report.figure("signals_per_second_without", plain, "1/s")
    report.figure("signals_per_second_with", kept, "1/s")
    report.figure("worker_rss_mb_without", max(r.rss_mb for r in without), "MB")
    report.figure("worker_rss_mb_with", max(r.rss_mb for r in with_), "MB")
    report.figure("state_mb", saved.bytes / 1e6, "MB")
    report.value("snapshots", taken)
    report.value("interval_s", options.interval)
    report.value("places", saved.places)
    report.value("cells", saved.cells)
    report.value("runs_per_second", [round(r.signals_per_s) for pair in zip(without, with_, strict=True) for r in pair])
    report.print(options.json)
    return 0 if report.ok and taken else 1


if __name__ == "__main__":
    sys.exit(main())
