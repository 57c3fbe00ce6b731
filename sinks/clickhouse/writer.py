"""The sink that writes to ClickHouse: rows wait until a batch is full or old enough, then one insert a table.

Small parts are the one danger to the walls' queries (100 unmerged parts of 1,000 rows make the day's heat map four
times slower), hence batches. The insert gives up the GIL: a sink on a thread of its own costs the pipeline little.

A database that is slow is given fewer, larger inserts: after one that took longer than `batch_s`, the next batch may
have twice the rows and twice the age, up to `MOST_TIMES` those configured; after one that took less than half of it,
half as many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from schemas.rows import KINDS, Rows
from sinks.clickhouse import stored, tables
from sinks.clickhouse.client import Client

#: how far a batch grows while the database is slow, in times of the configured rows and seconds
MOST_TIMES = 8


class ClickHouseSink:
    """A `sinks.base.Sink` over one database that `migrate` has made ready.

    `layers` are the grids' layers, finest first; `clock` gives monotonic seconds (injected, to tell when a batch is
    old, and how long an insert takes). Raises Unreachable on an outage; then the same call may be repeated.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        layers: Sequence[str],
        batch_rows: int,
        batch_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.client = client
        self.database = database
        self._layers = tuple(layers)
        self._batch_rows = batch_rows
        self._batch_s = batch_s
        self._clock = clock
        self._waiting: list[Rows] = []
        self._rows = 0
        self._since = 0.0
        self._times = 1

    @property
    def pending(self) -> int:
        """Rows that wait for their batch."""
        return self._rows

    def write(self, rows: Rows) -> None:
        """Take rows; store the batch if they fill it or it is old. If that fails, these rows are not taken."""
        count = len(rows)
        if not count:
            return self.poll()
        if not self._waiting:
            self._since = self._clock()
        self._waiting.append(rows)
        self._rows += count
        if self._rows >= self._batch_rows * self._times or self._old():
            try:
                self.flush()
            except BaseException:
                self._waiting.pop()
                self._rows -= count
                raise
        return None

    def poll(self) -> None:
        """Store the batch if it is old."""
        if self._waiting and self._old():
            self.flush()

    def flush(self) -> None:
        """Store all that waits: one insert a table."""
        if not self._waiting:
            return
        began = self._clock()
        for kind in KINDS:
            if any(getattr(part, kind) for part in self._waiting):
                self.client.insert(self.database, NAMES[kind], self._columns(kind), SETTINGS.get(kind))
        self._waiting.clear()
        self._rows = 0
        self._pace(self._clock() - began)

    def close(self) -> None:
        """Flush, then close the client."""
        self.flush()
        self.client.close()

    def counts(self) -> dict[str, int]:
        """Stored rows by table."""
        return stored.counts(self.client, self.database)

    def digest(self) -> dict[str, str]:
        """A hash by table of what is stored."""
        return stored.digest(self.client, self.database)

    def _old(self) -> bool:
        return self._clock() - self._since >= self._batch_s * self._times

    def _pace(self, seconds: float) -> None:
        """How large the next batch may be, by what the last one took."""
        if seconds > self._batch_s:
            self._times = min(2 * self._times, MOST_TIMES)
        elif seconds < self._batch_s / 2:
            self._times = max(self._times // 2, 1)

    def _columns(self, kind: str) -> Any:
        rows = list(chain.from_iterable(map(attrgetter(kind), self._waiting)))
        match kind:
            case "members":
                return tables.signals(rows, self._layers)
            case "late":
                return tables.late_signals(rows, self._layers)
            case "panes":
                return tables.grid_counts(rows)
            case "incidents":
                return tables.incidents(rows, self._ingested(kind), self._layers)
        return CLAIMS[kind](rows, self._ingested(kind))

    def _ingested(self, kind: str) -> list[int]:
        """Wall clock of each waiting row of a kind."""
        return [part.ingested_at_ms for part in self._waiting for _ in getattr(part, kind)]


#: kinds whose columns need only the rows and the wall clock
CLAIMS: dict[str, Callable[[list[Any], list[int]], Any]] = {
    "hotspots": tables.hotspots,
    "repeats": tables.repeat_clusters,
    "alerts": tables.alerts,
    "feeds": tables.feed_health,
    "rejected": tables.rejected,
}
#: kind of rows -> table
NAMES = {
    "rejected": "rejected",
    "members": "signals_in",
    "late": "late_signals",
    "incidents": "incidents",
    "panes": "grid_counts",
    "hotspots": "hotspots",
    "repeats": "repeat_clusters",
    "alerts": "alerts",
    "feeds": "feed_health",
}

#: Signals hardly ever come twice in a batch: collapsing them on insert would find nothing and take twice as long.
#: Panes do, many times over, and stay smaller for it (the default).
SETTINGS = {"members": {"optimize_on_insert": 0}}
