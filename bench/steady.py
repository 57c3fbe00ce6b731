"""Memory over a long run: `python -m bench.steady [--rate 5000] [--minutes 30] [--json]`.

A simulated city's records are sent to a real broker at an even rate while an intake and a city worker run; every few
seconds the memory (RSS) of both is looked at. Memory is steady if its mean over the last third of the time is within
5 % of that over the second.

Event time runs 5,040 times as fast as the clock, 105 days in half an hour: what the city remembers (corrections of the
last days, fourteen days of hot spots' past, thirty of the repeat list) is then full after the first third, and from
there on as much is forgotten as comes. At the clock's own pace the state would grow for a month at any rate. So 5,000
records a second are those of a city of some 86,000 a day, and the state is that of such a city; a lower rate gives a
smaller city. A longer run goes more slowly through the same days; a shorter one goes through fewer, and its state is
still growing: it only shows that the program works. Some five panes close a second, which makes an event dearer than
in life; partitions may be a day of event time, 17 seconds, ahead of one another.

Without enough processor time the workers fall behind; `behind_s` says by how much at the end, and memory then says
nothing about the rate that was asked for.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import pairwise
from threading import Event, Thread
from zlib import crc32

import numpy as np

from bench.deployment import START_MS, Deployment, cpu_s, deployed, evenly, rss_mb
from bench.report import Report
from streams.kafka import producing
from streams.simulator.scenarios import scenario
from streams.simulator.simulation import simulate
from tests.servers.deployment import Worker

#: of event time: at most so many, and so many a minute
DAYS, DAYS_A_MINUTE = 105, 3.5
SAMPLE_S = 5.0
#: event time that a raw partition may be ahead, minutes; an hour of it passes in less than a second
AHEAD_MIN = 1440


class Sampling:
    """The memory of processes over time, MB, in a thread of its own."""

    def __init__(self, pids: dict[str, int], every_s: float) -> None:
        self._pids, self._every_s, self._over = pids, every_s, Event()
        self.taken: dict[str, list[float]] = {name: [] for name in pids}
        self._thread = Thread(target=self._take, name="sampling")

    def __enter__(self) -> Sampling:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _take(self) -> None:
        while not self._over.wait(self._every_s):
            for name, pid in self._pids.items():
                self.taken[name].append(rss_mb(pid))


def reports_a_day(rate: float, minutes: float) -> float:
    """Size of the city whose records these are."""
    return rate * minutes * 60 / min(DAYS, DAYS_A_MINUTE * minutes)


def send(deployment: Deployment, rate: float, minutes: float) -> tuple[int, float]:
    """Records of the city at an even rate; how many, and the seconds it took."""
    settings, sent, began = deployment.settings, 0, time.monotonic()
    a_day = reports_a_day(rate, minutes)
    with producing(settings.kafka) as hand_over:
        emissions = simulate(deployment.made, scenario("city"), 1, DAYS + 1, a_day, START_MS)
        for emission in evenly(emissions, rate, minutes * 60):
            source, key = settings.sources[emission.source], emission.id.encode()
            hand_over(source.topic, emission.record, key, crc32(key) % source.partitions, emission.arrival_ms)
            sent += 1
    return sent, time.monotonic() - began


def thirds(values: list[float]) -> list[float]:
    """Mean of each third."""
    cuts = [len(values) * n // 3 for n in range(4)]
    return [float(np.mean(values[a:b])) for a, b in pairwise(cuts)]


def alive(workers: dict[str, Worker]) -> None:
    """Fail with what a worker said when it has ended."""
    for worker in workers.values():
        assert worker.process.poll() is None, worker.said


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5000, help="events a second")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds = options.minutes * 60
    with deployed("steady", options.cells, {"QUANYU__LIVE__AHEAD_MIN": str(AHEAD_MIN)}) as deployment:
        city = deployment.city
        workers = {stage: city.start("--stages", stage) for stage in ("city", "intake")}
        for worker in workers.values():
            worker.wait_ready()
        pids = {name: worker.process.pid for name, worker in workers.items()}
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        with Sampling(pids, min(SAMPLE_S, seconds / 60)) as sampling:
            sent, took = send(deployment, options.rate, options.minutes)
        alive(workers)
        spent = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
        over = time.monotonic()
        city.wait_stored(workers["city"], max(600, seconds))
        behind = time.monotonic() - over
        alive(workers)
    report = Report("steady")
    whole = [sum(at) for at in zip(*sampling.taken.values(), strict=True)]
    _, second, third = thirds(whole)
    report.figure("last_third_against_second", 100 * (third / second - 1), "%", at_most=5)
    report.figure("sent_per_second", sent / took, "1/s", at_least=0.99 * options.rate)
    report.figure("behind_s", behind, "s", at_most=10)
    for name, values in {"both": whole, **sampling.taken}.items():
        for which, mean in zip(("first", "second", "last"), thirds(values), strict=True):
            report.figure(f"{name}_rss_mb_{which}_third", mean, "MB")
        report.figure(f"{name}_rss_mb_max", max(values), "MB")
    for name, used in spent.items():
        report.figure(f"{name}_busy", 100 * used / took, "% of a core")
    report.value("events", sent)
    report.value("minutes", options.minutes)
    report.value("reports_a_day", round(reports_a_day(options.rate, options.minutes)))
    report.print(options.json)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
