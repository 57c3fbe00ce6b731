"""How fast the live worker is: `python -m bench.live --events 500000 --workers 1 [--json]`.

A real Kafka broker and ClickHouse's engine behind HTTP are started in a temporary directory (the broker's jars come
from `make -C tests/servers kafka`). A simulated city's records lie on the raw topics before the clock starts; then
`quanyu live` takes them through both stages into stored rows. The clock runs from the first envelope until the last
row is stored and acked; CPU time is the workers' own. On the same broker a plain Faust agent that only counts
(`bench.plain_faust`) reads one of these topics.
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

import msgspec

from bench.report import Report
from schemas import Envelope
from streams import settings as configuration
from streams.kafka import producing
from streams.kafka_range import read_range
from streams.settings import Settings
from streams.simulator.city import make_city
from streams.simulator.layers import write_layers
from streams.simulator.scenarios import scenario
from streams.simulator.simulation import simulate
from streams.simulator.to_kafka import produce
from tests.servers import chdb_process
from tests.servers.broker import broker
from tests.servers.deployment import City

START_MS = 1_772_380_800_000  # 2026-03-02 in the city's zone
SOURCES = ("110", "12345", "GRID", "SENSOR")
#: a topic that a plain agent can read in reasonable time
PLAIN_RECORDS = 20_000


def fill(city: City, settings: Settings, events: int, rate: float, cells: int) -> dict[str, int]:
    """Simulated records on the raw topics; how many there are by source."""
    made = make_city(1, cells)
    write_layers(made, city.folder)
    emissions = simulate(made, scenario("city"), 1, int(events / rate) + 2, rate, START_MS)
    with producing(settings.kafka) as send:
        return dict(produce(islice(emissions, events), settings, send))


def first_ms(settings: Settings) -> int:
    """Wall clock of the log's first envelope, ms."""
    kafka = settings.kafka
    batch = next(read_range(kafka, kafka.log_topic, "", batch_size=1))
    return msgspec.msgpack.decode(batch.values[0], type=Envelope).ingested_at_ms  # type: ignore[union-attr]


def cpu_s(pid: int) -> float:
    """Processor time of a running process so far, seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def live(city: City, settings: Settings, workers: int) -> tuple[float, float]:
    """(seconds, CPU seconds of the workers) from the first record until the last row is stored."""
    running = [city.start() for _ in range(workers)]
    for worker in running:
        worker.wait_ready()
    before = sum(cpu_s(worker.process.pid) for worker in running)
    city.wait_stored(running[0], 900)
    over = time.time()
    spent = sum(cpu_s(worker.process.pid) for worker in running) - before
    for worker in running:
        worker.stop()
    return over - first_ms(settings) / 1000, spent


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
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rate", type=float, default=100_000, help="reports a day")
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quanyu-bench-") as name, broker() as servers:
        folder = Path(name)
        with chdb_process.serve(folder / "clickhouse") as url:
            city = City("bench", servers, url, folder, {f"QUANYU__SOURCES__{s}__PARTITIONS": "4" for s in SOURCES})
            settings = configuration.load(environ=city.environment)
            city.prepare()
            try:
                counts = fill(city, settings, options.events, options.rate, options.cells)
                seconds, cpu = live(city, settings, options.workers)
            finally:
                city.end()
            plain_rate = plain(settings, counts)
    events = sum(counts.values())
    report = Report("live")
    report.figure("events_per_second", events / seconds, "1/s", at_least=30_000)
    report.figure("ratio", events / seconds / plain_rate, "x plain Faust", at_least=3)
    report.figure("plain_faust_per_second", plain_rate, "1/s")
    report.figure("cpu_us_per_event", cpu / events * 1e6, "us")
    report.value("events", events)
    report.value("workers", options.workers)
    report.print(options.json)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
