"""How long a restart takes with a large state: `python -m bench.restart [--places 1000000] [--cells 50000] [--json]`.

A month of calls at as many places, over all cells, is folded by the city stage and its state saved to the state topic
of a real broker (see `bench.past`), up to ten minutes ago. The records of these ten minutes lie on the raw topics, as
after an outage, in the four sources' own formats and on all partitions (a quiet one would tell the time only
`kafka.heartbeat_s` after the start). Then `quanyu live` is started. The clock runs from the start of the process until
a query finds the first new row of `signals`; sources have their usual lateness.

    process started --imports, grids, checks--> "live" --state read--> --state restored--> --first batches--> new row
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from itertools import islice
from typing import Any
from zlib import crc32

from bench.deployment import Deployment, deployed, rss_mb
from bench.past import fold, save
from bench.records import records
from bench.report import Report
from streams.kafka import producing
from streams.state_topic import read
from streams.windows import MINUTE_MS
from tests.servers.deployment import City, Worker, wait

OUTAGE_MS = 10 * MINUTE_MS
#: that came while the city was not looked at: those of 100,000 a day
RECORDS = 694
WALL = {"QUANYU__KAFKA__HEARTBEAT_CLOCK": "wall", "QUANYU__KAFKA__HEARTBEAT_S": "5"}


def fill(deployment: Deployment, begin_ms: int) -> None:
    """The records since then on the raw topics."""
    settings = deployment.settings
    moments = iter(range(begin_ms, begin_ms + OUTAGE_MS, OUTAGE_MS // RECORDS))
    with producing(settings.kafka) as send:
        for record in islice(records(deployment.made, lambda: next(moments)), RECORDS):
            source = settings.sources[record.source]
            send(source.topic, record.value, record.key, crc32(record.key) % source.partitions, record.at_ms)


def started(city: City) -> tuple[Worker, float, float]:
    """A worker, its start and its first new row (wall clock, seconds)."""
    with city.client() as client:
        began = time.time()
        worker = city.start()

        def stored() -> bool:
            assert worker.process.poll() is None, worker.said
            return bool(client.rows(f"SELECT count() FROM {city.database}.signals")[0][0])

        wait("a new row", stored, 300)
        return worker, began, time.time()


def told(worker: Worker, event: str) -> tuple[float, dict[str, Any]]:
    """When the worker wrote this event (wall clock, seconds), and the line."""
    lines = [json.loads(line) for line in worker.said.splitlines() if line.startswith("{")]
    line = next(line for line in lines if line["event"] == event)
    return datetime.fromisoformat(line["timestamp"]).timestamp(), line


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=1_000_000)
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with deployed("restart", options.cells, WALL) as deployment:
        end_ms = time.time_ns() // 1_000_000 - OUTAGE_MS
        _, state, assembly = fold(deployment, options.places, end_ms)
        fill(deployment, end_ms)
        saved = save(deployment, state, assembly)
        del state
        began = time.perf_counter()
        read(deployment.settings.kafka)
        read_s = time.perf_counter() - began
        worker, start, row = started(deployment.city)
        memory = rss_mb(worker.process.pid)
        live, _ = told(worker, "live")
        loaded, line = told(worker, "state loaded")
        worker.stop(60)
    report = Report("restart")
    report.figure("restart_to_first_row_s", row - start, "s", at_most=10)
    report.figure("process_start_s", live - start, "s")
    report.figure("state_read_s", loaded - line["seconds"] - live, "s")
    report.figure("state_restore_s", line["seconds"], "s")
    report.figure("first_row_s", row - loaded, "s")
    report.figure("state_read_alone_s", read_s, "s")
    report.figure("freeze_s", saved.freeze_s, "s", at_most=0.2)
    report.figure("encode_s", saved.encode_s, "s")
    report.figure("state_mb", saved.bytes / 1e6, "MB")
    report.figure("state_compressed_mb", saved.compressed / 1e6, "MB")
    report.figure("worker_rss_mb", memory, "MB")
    report.value("places", saved.places)
    report.value("cells", saved.cells)
    report.value("chunks", saved.chunks)
    report.value("records_since", RECORDS)
    report.print(options.json)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
