"""How fast the live worker is: `python -m bench.live --events 500000 [--workers 1] [--cities 1] [--apart] [--json]`.

A simulated city's records lie on the raw topics of a real broker before the clock starts (see `bench.deployment`); then
`quanyu live` takes them through both stages into stored rows. The clock runs from the first envelope until the last
row is stored and acked. On the same broker a plain Faust agent that only counts (`bench.plain_faust`) reads one of
these topics.

`--cities` lets several cities share the workers, with a part of the events each.

`--apart` gives each stage a process of its own. What bounds it shows in the processor time of every process, servers
included: a worker that is busy nearly all the time (100 %) is the bound; one that is queued much of it (ready to work,
no core free) says that the cores are too few, or not ours alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from itertools import islice

import msgspec

from bench.deployment import START_MS, Deployment, cpu_s, deployed, queued_s
from bench.report import Report
from schemas import Envelope
from streams import settings as configuration
from streams.kafka import producing
from streams.kafka_range import read_range
from streams.settings import Settings
from streams.simulator.scenarios import scenario
from streams.simulator.simulation import simulate
from streams.simulator.to_kafka import produce
from tests.servers.deployment import City, Worker, start_all

#: a topic that a plain agent can read in reasonable time
PLAIN_RECORDS = 20_000
#: by `--apart`: events a second, and times the plain agent
GOALS = {False: (30_000, 3), True: (50_000, 4)}


def fill(deployment: Deployment, events: int, rate: float) -> dict[str, int]:
    """Simulated records on the raw topics, in equal parts for all cities; how many of the first by source."""
    counts: list[dict[str, int]] = []
    part = events // len(deployment.cities)
    for number, city in enumerate(deployment.cities):
        emissions = simulate(deployment.made, scenario("city"), 1 + number, int(part / rate) + 2, rate, START_MS)
        settings = configuration.load(environ=city.environment)
        with producing(settings.kafka) as send:
            counts.append(dict(produce(islice(emissions, part), settings, send)))
    return counts[0]


def first_ms(city: City) -> int:
    """Wall clock of the log's first envelope, ms."""
    log = read_range(city.kafka, city.log, "", batch_size=1, partition=city.partition)
    return msgspec.msgpack.decode(next(log).values[0], type=Envelope).ingested_at_ms  # type: ignore[union-attr]


def live(deployment: Deployment, workers: int, apart: bool) -> tuple[float, dict[str, tuple[float, float]]]:
    """Seconds from the first record until the last row is stored; for each process those at work and those queued."""
    city, cities = deployment.city, deployment.cities
    running: dict[str, Worker] = {}
    for stage in ("city", "intake") if apart else ("intake,city",):  # who brings the work comes last
        options = ("--stages", stage)
        begin = partial(start_all, cities, *options) if len(cities) > 1 else partial(city.start, *options)
        started = {f"{stage}{number or ''}": begin() for number in range(workers)}
        for worker in started.values():
            worker.wait_ready()
        running |= started
    pids = {name: worker.process.pid for name, worker in running.items()} | deployment.servers()
    before = {name: (cpu_s(pid), queued_s(pid)) for name, pid in pids.items()}
    for each in cities:
        each.wait_stored(next(iter(running.values())), 900)
    over = time.time()
    spent = {name: (cpu_s(pid) - before[name][0], queued_s(pid) - before[name][1]) for name, pid in pids.items()}
    for worker in running.values():
        worker.stop()
    return over - min(map(first_ms, cities)) / 1000, spent


def plain(settings: Settings, counts: dict[str, int]) -> float:
    """Messages a second of a plain Faust agent."""
    enough = {name: n for name, n in counts.items() if n >= PLAIN_RECORDS} or counts
    topic = settings.sources[min(enough, key=lambda name: enough[name])].topic
    command = [sys.executable, "-m", "bench.plain_faust", "--servers", settings.kafka.servers, "--topic", topic]
    done = subprocess.run([*command, "--json"], check=True, capture_output=True)
    return float(json.loads(done.stdout.splitlines()[-1])["messages_per_s"])


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--workers", type=int, default=1, help="of each stage")
    parser.add_argument("--cities", type=int, default=1, help="that share the workers, and the events")
    parser.add_argument("--apart", action="store_true", help="intake and city stage in a process each")
    parser.add_argument("--rate", type=float, default=100_000, help="reports a day")
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with deployed("bench", options.cells, cities=options.cities) as deployment:
        counts = fill(deployment, options.events, options.rate)
        seconds, spent = live(deployment, options.workers, options.apart)
        plain_rate = plain(deployment.settings, counts)
        servers = deployment.servers()
    events = sum(counts.values()) * options.cities
    rate_goal, ratio_goal = GOALS[options.apart]
    cpu = sum(used for name, (used, _) in spent.items() if name not in servers)
    report = Report("live")
    report.figure("events_per_second", events / seconds, "1/s", at_least=rate_goal)
    report.figure("ratio", events / seconds / plain_rate, "x plain Faust", at_least=ratio_goal)
    report.figure("plain_faust_per_second", plain_rate, "1/s")
    report.figure("cpu_us_per_event", cpu / events * 1e6, "us")
    for name, (used, queued) in spent.items():
        report.figure(f"{name}_cpu_s", used, "s")
        report.figure(f"{name}_busy", 100 * used / seconds, "% of a core")
        report.figure(f"{name}_queued", 100 * queued / seconds, "% of the time")
    report.figure("cores_busy", sum(used for used, _ in spent.values()) / seconds, "cores")
    report.value("events", events)
    report.value("workers", options.workers)
    report.value("cities", options.cities)
    report.value("apart", options.apart)
    report.print(options.json)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
