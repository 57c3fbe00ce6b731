"""Records of the four sources that are stamped with the moment in which they are made, for benches against the clock.

The simulator's reports of one day are taken as they are, in their vendors' formats, in an order that mixes day and
night; only the number and the times of each are written anew, to the millisecond, as a source with a good clock would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from bench.deployment import START_MS
from streams.simulator.city import City
from streams.simulator.scenarios import scenario
from streams.simulator.simulation import simulate

#: different reports, about, before they begin again
REPORTS = 20_000
#: source -> field of the record id, fields of times
FIELDS = {
    "110": ("jjdbh", ("bjsj", "jjsj", "gxsj")),
    "12345": ("ticket_no", ("accept_time",)),
    "grid": ("taskcode", ("event_time", "report_time")),
    "sensor": ("alertId", ("raisedAt", "sentAt")),
}
ZONE = ZoneInfo("Asia/Shanghai")


class Record(Struct):
    """A record that has just been made. `signal_id` is what its row will have."""

    source: str
    key: bytes
    value: bytes
    at_ms: int
    signal_id: str


def records(city: City, now_ms: Callable[[], int]) -> Iterator[Record]:
    """New records for ever; each is stamped when it is asked for."""
    reports = (e for e in simulate(city, scenario("city"), 1, 1, REPORTS, START_MS) if e.kind == "report")
    drawn = [(report.source, json.loads(report.record)) for report in reports]
    Random(1).shuffle(drawn)
    number = 0
    while True:
        for source, fields in drawn:
            number += 1
            yield _stamped(source, fields, f"{fields[FIELDS[source][0]]}-{number}", now_ms())


def _stamped(source: str, fields: dict[str, Any], name: str, at_ms: int) -> Record:
    number, times = FIELDS[source]
    moment = datetime.fromtimestamp(at_ms / 1000, ZONE)
    written = at_ms / 1000 if source == "grid" else moment.isoformat(timespec="milliseconds")
    value = json.dumps({**fields, number: name, **dict.fromkeys(times, written)}, ensure_ascii=False).encode()
    return Record(source, name.encode(), value, at_ms, f"{source}:{name}")
