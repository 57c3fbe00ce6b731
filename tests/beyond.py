"""A city into which signals come from beyond the horizon, and the reconcile over its database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from msgspec import structs

from schemas import Located
from schemas.rows import Rows
from sinks.clickhouse import ClickHouseSink
from sinks.clickhouse.reconcile import Stored
from streams.reconcile import Reconcile, Report
from streams.settings import Settings
from streams.windows import DAY_MS
from tests.build import DAY0, LAYERS, end_tick, envelopes, fold, signal, stage

FIRST = date(2026, 3, 2)
LATER = DAY0 + 8 * DAY_MS
#: what live is at when the late ones come: the first days have long been forgotten
NOW = signal("now", LATER, revision=1)


def lived(on_time: Sequence[Located], late: Sequence[Located], size: int = 3) -> list[Rows]:
    """The rows of the fold: what came on time, then NOW, and a day after it what came late."""
    log = envelopes([*on_time, NOW], size)
    log.append(end_tick("raw.110", 0, len(on_time) + 1, LATER + DAY_MS))
    shift = len(on_time) + 1
    behind = [
        structs.replace(
            e,
            first_offset=e.first_offset + shift,
            last_offset=e.last_offset + shift,
            offsets=[offset + shift for offset in e.offsets],
        )
        for e in envelopes(late, size)
    ]
    return fold(stage(), [*log, *behind], 2)[1]


def store(sink: ClickHouseSink, rows: Sequence[Rows]) -> None:
    """Write rows as live does."""
    for part in rows:
        sink.write(part)
    sink.flush()


def work(sink: ClickHouseSink) -> Reconcile:
    """A reconcile over the sink's database."""
    return Reconcile(Settings(), Stored(sink.client, sink.database, LAYERS), sink, lambda: LATER)


def reconciled(sink: ClickHouseSink, days: int = 2) -> list[Report]:
    """Reconcile so many days from the first one."""
    return [work(sink).day(FIRST + timedelta(days=n), {}, dry_run=False) for n in range(days)]
