"""Event to ClickHouse at a steady rate: `python -m bench.latency [--rate 1000] [--minutes 3] [--apart] [--json]`.

Measured from the outside, through a real broker, the real live worker and a real insert: a record is stamped with this
moment, handed to Kafka, and looked for in ClickHouse. Of one record in ten its row is asked for by its id, every 0.1
seconds; the latency is the time from before the record was handed over until after the answer that held its row, so it
is never shown shorter than it was. The first seconds, in which the worker has just started, are left out, and so are
the last ones, whose moments are over only when idle partitions tell the time.

A city waits `lateness_s` for signals that come late before it lets those of a moment go on, by choice: 120 s for 110,
300 s for grid and sensor. That is no property of the machine, so here it is `--lateness` 0: what is measured is what
the pipeline adds. What is left of this waiting: a moment is over when the slowest partition has brought five records
from after it. Idle partitions follow the wall clock. Half of `clickhouse.batch_s` (`--batch-s`) is in every figure.

`worker_mean_s` is the worker's own figure, from the broker's arrival until the rows of the step that took the record in
are stored; the record's own row may come with a later step.
"""

from __future__ import annotations

import argparse
import sys
import time
from threading import Event, Lock, Thread
from zlib import crc32

import numpy as np

from bench.deployment import SOURCES, Deployment, deployed, evenly, metrics_of
from bench.records import records
from bench.report import Report
from streams.kafka import producing
from streams.settings import ClickHouse
from tests.servers.deployment import City

#: one record in so many is looked for
SAMPLE = 10
POLL_S = 0.1
#: what is not there after so long is missing
LONGEST_S = 60.0
WARM_S = COOL_S = 10.0


class Looking:
    """Asks the database for rows that are awaited, in a thread of its own."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._awaited: dict[str, tuple[float, int]] = {}
        self._lock, self._over = Lock(), Event()
        #: (handed over, visible after), seconds
        self.seen: list[tuple[float, float]] = []
        self._thread = Thread(target=self._look, name="looking")

    def __enter__(self) -> Looking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def handed(self, signal_id: str, at_ms: int, moment: float) -> None:
        """A record is about to be handed to Kafka."""
        with self._lock:
            self._awaited[signal_id] = moment, at_ms

    @property
    def awaited(self) -> int:
        """Records whose row has not been seen."""
        return len(self._awaited)

    def _look(self) -> None:
        query = f"""
            SELECT DISTINCT signal_id FROM {self._city.database}.signals
            WHERE reported_at >= fromUnixTimestamp64Milli({{since:Int64}}) AND signal_id IN {{ids:Array(String)}}"""
        with self._city.client() as client:
            while not self._over.wait(POLL_S):
                with self._lock:
                    awaited = dict(self._awaited)
                if not awaited:
                    continue
                since = min(at_ms for _, at_ms in awaited.values()) - 1000
                found = client.rows(query, {"since": since, "ids": list(awaited)})
                now = time.monotonic()
                with self._lock:
                    for (signal_id,) in found:
                        moment, _ = self._awaited.pop(signal_id)
                        self.seen.append((moment, now - moment))


def send(deployment: Deployment, looking: Looking, rate: float, seconds: float) -> tuple[int, float]:
    """Hand over records at the rate, for `COOL_S` longer than they are looked for; how many, and in which time."""
    settings, sent, began = deployment.settings, 0, time.monotonic()
    with producing(settings.kafka) as hand_over:
        made = records(deployment.made, lambda: time.time_ns() // 1_000_000)
        for record in evenly(made, rate, seconds + COOL_S):
            source = settings.sources[record.source]
            if sent % SAMPLE == 0 and (moment := time.monotonic()) < began + seconds:
                looking.handed(record.signal_id, record.at_ms, moment)
            partition = crc32(record.key) % source.partitions
            hand_over(source.topic, record.value, record.key, partition, record.at_ms)
            sent += 1
    return sent, time.monotonic() - began


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000, help="events a second")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--lateness", type=int, default=0, help="seconds that every source's signals are waited for")
    parser.add_argument("--batch-s", type=float, default=ClickHouse().batch_s, help="clickhouse.batch_s")
    parser.add_argument("--apart", action="store_true", help="intake and city stage in a process each")
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told = {
        "QUANYU__KAFKA__HEARTBEAT_CLOCK": "wall",
        "QUANYU__KAFKA__HEARTBEAT_S": "5",
        "QUANYU__CLICKHOUSE__BATCH_S": str(options.batch_s),
        **{f"QUANYU__SOURCES__{source.upper()}__LATENESS_S": str(options.lateness) for source in SOURCES},
    }
    with deployed("latency", options.cells, told) as deployment:
        for stage in ("city", "intake") if options.apart else ("intake,city",):
            deployment.city.start("--stages", stage).wait_ready()
        with Looking(deployment.city) as looking:
            began = time.monotonic()
            sent, seconds = send(deployment, looking, options.rate, options.minutes * 60)
            deadline = time.monotonic() + options.lateness + LONGEST_S
            while looking.awaited and time.monotonic() < deadline:
                time.sleep(POLL_S)
        own = metrics_of(deployment.city.workers[0])  # of the city stage
    waited = np.array([latency for moment, latency in looking.seen if moment - began >= WARM_S])
    report = Report("latency")
    for name, share, goal in (("p50", 50, 1.0), ("p90", 90, None), ("p99", 99, 3.0), ("max", 100, None)):
        report.figure(f"event_to_clickhouse_{name}_s", float(np.percentile(waited, share)), "s", at_most=goal)
    name = "quanyu_event_to_clickhouse_seconds"
    report.figure("worker_mean_s", own[f"{name}_sum"] / max(own[f"{name}_count"], 1), "s")
    report.figure("sent_per_second", sent / seconds, "1/s", at_least=0.99 * options.rate)
    report.figure("not_seen", looking.awaited, "rows", at_most=0)
    report.value("rows_looked_for", len(waited))
    report.value("lateness_s", options.lateness)
    report.value("batch_s", options.batch_s)
    report.value("apart", options.apart)
    report.print(options.json)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
