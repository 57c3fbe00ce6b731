"""Doors -> columns: one Arrow table a ClickHouse table, built a column at a time.

Column names are the doors' field names without their unit; a time is an Arrow timestamp with a zone, made of the
door's epoch integer, so that no naive datetime is ever made. Layers are those of the grids, finest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from schemas import Alert, Change, FeedHealth, HotSpot, Incident, Late, Located, Pane, Rejected, RepeatCluster
from sinks.base import content

TEXT, TEXTS, PAIRS = pa.string(), pa.list_(pa.string()), pa.map_(pa.string(), pa.string())
MS, SECOND = pa.timestamp("ms", tz="UTC"), pa.timestamp("s", tz="UTC")
U8, U16, U32, U64, I64, F32, F64 = (
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
    pa.uint64(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
)


def times(values: Sequence[int]) -> Any:
    """Epoch milliseconds as a column of times (through integers: five times faster than from Python's)."""
    return pa.array(values, I64).cast(MS)


def signals(changes: Sequence[Change], layers: Sequence[str]) -> Any:
    """`signals_in`: the signal as it is now, and the place and time it had before."""
    members = [change.after for change in changes]
    located = [member.located for member in members]
    cells = _cells([item.cells for item in located], layers)
    place_keys = _place_keys(located)
    occurred = [item.signal.occurred_at_ms for item in located]
    unit = layers.index("unit") if "unit" in layers else 0
    prev_unit = [item.cells[unit] for item in located] if layers else [""] * len(located)
    prev_place, prev_occurred = list(place_keys), list(occurred)
    for i, change in enumerate(changes):
        if change.before is not None:
            before = change.before.located
            prev_unit[i] = before.cells[unit] if layers else ""
            prev_place[i] = before.place_keys[0] if before.place_keys else ""
            prev_occurred[i] = before.signal.occurred_at_ms
    return pa.table(
        {
            "reported_at": times([member.reported_at_ms for member in members]),
            "version": pa.array([member.version for member in members], U64),
            "ingested_at": times([member.ingested_at_ms for member in members]),
            "incident_id": pa.array([member.incident_id for member in members], TEXT),
            "opens": pa.array([member.opens for member in members], pa.bool_()).cast(U8),
            "occurred_at": times(occurred),
            "place_key": pa.array(place_keys, TEXT),
            "prev_unit_cell": pa.array(prev_unit, TEXT),
            "prev_place_key": pa.array(prev_place, TEXT),
            "prev_occurred_at": times(prev_occurred),
            **cells,
            **_signal(located),
        }
    )


def late_signals(rows: Sequence[Late], layers: Sequence[str]) -> Any:
    """`late_signals`: the signal as it came, and the watermark it was late for."""
    located = [row.located for row in rows]
    return pa.table(
        {
            "reported_at": times([item.signal.reported_at_ms for item in located]),
            "watermark_at": times([row.watermark_ms for row in rows]),
            "ingested_at": times([row.ingested_at_ms for row in rows]),
            "occurred_at": times([item.signal.occurred_at_ms for item in located]),
            "place_key": pa.array(_place_keys(located), TEXT),
            "content": pa.array([content(item) for item in located], TEXT),
            **_cells([item.cells for item in located], layers),
            **_signal(located),
        }
    )


def _place_keys(located: Iterable[Located]) -> list[str]:
    return [item.place_keys[0] if item.place_keys else "" for item in located]


def _signal(located: Sequence[Located]) -> dict[str, Any]:
    signals = [item.signal for item in located]
    return {
        "signal_id": pa.array([signal.id for signal in signals], TEXT),
        "source": pa.array([signal.source for signal in signals], TEXT),
        "revision": pa.array([signal.revision for signal in signals], I64),
        "received_at": times([signal.received_at_ms for signal in signals]),
        "category": pa.array([signal.category for signal in signals], TEXT),
        "category_code": pa.array([signal.category_code for signal in signals], TEXT),
        "summary": pa.array([signal.text for signal in signals], TEXT),
        "severity": pa.array([signal.severity for signal in signals], U8),
        "state": pa.array([signal.state for signal in signals], TEXT),
        "relation": pa.array([signal.relation for signal in signals], TEXT),
        "related_id": pa.array([signal.related_id for signal in signals], TEXT),
        "flags": pa.array([signal.flags for signal in signals], TEXTS),
        "quality": pa.array([item.quality for item in located], TEXT),
        "uncertainty_m": pa.array([item.uncertainty_m for item in located], F32),
        "lon": pa.array([item.lon for item in located], F64),
        "lat": pa.array([item.lat for item in located], F64),
        "address": pa.array([signal.address for signal in signals], TEXT),
        "reporter": pa.array([signal.reporter for signal in signals], TEXT),
    }


def _cells(cells: Sequence[tuple[str, ...]], layers: Sequence[str]) -> dict[str, Any]:
    """Codes by layer: unit (else the finest), street and district have a column, the others share a map."""
    columns = dict(zip(layers, zip(*cells, strict=True), strict=True))
    out = {
        column: pa.array(columns[layer], TEXT)
        for layer, column in (("unit", "unit_cell"), ("street", "street"), ("district", "district"))
        if layer in columns
    }
    if layers and "unit" not in columns:
        out["unit_cell"] = pa.array(columns[layers[0]], TEXT)
    others = [layer for layer in layers if layer not in ("unit", "street", "district")]
    if others:
        codes = zip(*(columns[layer] for layer in others), strict=True)
        out["cells"] = pa.array([list(zip(others, row, strict=True)) for row in codes], PAIRS)
    return out


def incidents(rows: Sequence[Incident], ingested_ms: Sequence[int], layers: Sequence[str]) -> Any:
    """`incidents`."""
    return pa.table(
        {
            "opened_at": times([row.opened_at_ms for row in rows]),
            "incident_id": pa.array([row.id for row in rows], TEXT),
            "version": pa.array([row.version for row in rows], U64),
            "state": pa.array([row.state for row in rows], TEXT),
            "last_at": times([row.last_at_ms for row in rows]),
            "category": pa.array([row.category for row in rows], TEXT),
            "place_key": pa.array([row.place_key for row in rows], TEXT),
            "address": pa.array([row.address for row in rows], TEXT),
            "messages": pa.array([row.messages for row in rows], U32),
            "reporters": pa.array([row.reporters for row in rows], U32),
            "sources": pa.array([row.sources for row in rows], TEXTS),
            "severity": pa.array([row.severity for row in rows], U8),
            "merged_into": pa.array([row.merged_into for row in rows], TEXT),
            "ingested_at": times(ingested_ms),
            **_cells([row.cells for row in rows], layers),
        }
    )


def grid_counts(rows: Sequence[Pane]) -> Any:
    """`grid_counts`."""
    return pa.table(
        {
            "layer": pa.array([row.layer for row in rows], TEXT),
            "minutes": pa.array([row.minutes for row in rows], U16),
            "pane_start": pa.array([row.start_ms // 1000 for row in rows], I64).cast(SECOND),
            "category": pa.array([row.category for row in rows], TEXT),
            "cell": pa.array([row.cell for row in rows], TEXT),
            "messages": pa.array([row.messages for row in rows], U32),
            "incidents": pa.array([row.incidents for row in rows], U32),
            "opened": pa.array([row.opened for row in rows], U32),
            "reporters": pa.array([row.reporters for row in rows], U32),
            "state": pa.array([row.state for row in rows], TEXT),
            "version": pa.array([row.version for row in rows], U64),
        }
    )


def hotspots(rows: Sequence[HotSpot], ingested_ms: Sequence[int]) -> Any:
    """`hotspots`."""
    return pa.table(
        {
            "opened_at": times([row.opened_at_ms for row in rows]),
            "hotspot_id": pa.array([row.id for row in rows], TEXT),
            "revision": pa.array([row.revision for row in rows], U32),
            "state": pa.array([row.state for row in rows], TEXT),
            "method": pa.array([row.method for row in rows], TEXT),
            "provisional": pa.array([row.provisional for row in rows], pa.bool_()).cast(U8),
            "level": pa.array([row.level for row in rows], TEXT),
            "layer": pa.array([row.layer for row in rows], TEXT),
            "cells": pa.array([row.cells for row in rows], TEXTS),
            "category": pa.array([row.category for row in rows], TEXT),
            "updated_at": times([row.updated_at_ms for row in rows]),
            "window_start": times([row.window_start_ms for row in rows]),
            "window_end": times([row.window_end_ms for row in rows]),
            "observed": pa.array([row.observed for row in rows], U32),
            "expected": pa.array([row.expected for row in rows], F64),
            "score": pa.array([row.score for row in rows], F64),
            "history_days": pa.array([row.history_days for row in rows], U16),
            "versions": _versions(rows),
            "ingested_at": times(ingested_ms),
        }
    )


def repeat_clusters(rows: Sequence[RepeatCluster], ingested_ms: Sequence[int]) -> Any:
    """`repeat_clusters`."""
    return pa.table(
        {
            "opened_at": times([row.opened_at_ms for row in rows]),
            "cluster_id": pa.array([row.id for row in rows], TEXT),
            "revision": pa.array([row.revision for row in rows], U32),
            "state": pa.array([row.state for row in rows], TEXT),
            "place_key": pa.array([row.place_key for row in rows], TEXT),
            "address": pa.array([row.address for row in rows], TEXT),
            "cells": pa.array([row.cells for row in rows], TEXTS),
            "category": pa.array([row.category for row in rows], TEXT),
            "updated_at": times([row.updated_at_ms for row in rows]),
            "first_at": times([row.first_at_ms for row in rows]),
            "last_at": times([row.last_at_ms for row in rows]),
            "incidents": pa.array([row.incidents for row in rows], U32),
            "messages": pa.array([row.messages for row in rows], U32),
            "reporters": pa.array([row.reporters for row in rows], U32),
            "sources": pa.array([row.sources for row in rows], TEXTS),
            "hidden": pa.array([int(row.hidden) for row in rows], U8),
            "versions": _versions(rows),
            "ingested_at": times(ingested_ms),
        }
    )


def _versions(rows: Sequence[HotSpot] | Sequence[RepeatCluster]) -> Any:
    """Maps sorted by key: the same versions are the same value, whatever order they were put in."""
    return pa.array([sorted(row.versions.items()) for row in rows], PAIRS)


def alerts(rows: Sequence[Alert], ingested_ms: Sequence[int]) -> Any:
    """`alerts`."""
    return pa.table(
        {
            "opened_at": times([row.opened_at_ms for row in rows]),
            "alert_id": pa.array([row.id for row in rows], TEXT),
            "revision": pa.array([row.revision for row in rows], U32),
            "state": pa.array([row.state for row in rows], TEXT),
            "level": pa.array([row.level for row in rows], TEXT),
            "subject_kind": pa.array([row.subject_kind for row in rows], TEXT),
            "subject_id": pa.array([row.subject_id for row in rows], TEXT),
            "updated_at": times([row.updated_at_ms for row in rows]),
            "cells": pa.array([row.cells for row in rows], TEXTS),
            "category": pa.array([row.category for row in rows], TEXT),
            "reason": pa.array([row.reason for row in rows], TEXT),
            "ingested_at": times(ingested_ms),
        }
    )


def feed_health(rows: Sequence[FeedHealth], ingested_ms: Sequence[int]) -> Any:
    """`feed_health`."""
    return pa.table(
        {
            "source": pa.array([row.source for row in rows], TEXT),
            "at": times([row.at_ms for row in rows]),
            "version": pa.array([row.version for row in rows], U64),
            "state": pa.array([row.state for row in rows], TEXT),
            "since": times([row.since_ms for row in rows]),
            "opened_at": times([row.opened_at_ms for row in rows]),
            "last_occurred": times([row.last_occurred_ms for row in rows]),
            "last_arrived": times([row.last_arrived_ms for row in rows]),
            "window_min": pa.array([row.window_min for row in rows], U16),
            "observed": pa.array([row.observed for row in rows], U32),
            "expected": pa.array([row.expected for row in rows], F64),
            "score": pa.array([row.score for row in rows], F64),
            "rejected": pa.array([row.rejected for row in rows], U32),
            "delay_p50_s": pa.array([row.delay_p50_s for row in rows], F64),
            "delay_p95_s": pa.array([row.delay_p95_s for row in rows], F64),
            "expected_gap_s": pa.array([row.expected_gap_s for row in rows], U32),
            "detail": pa.array([row.detail for row in rows], TEXT),
            "ingested_at": times(ingested_ms),
        }
    )


def rejected(rows: Sequence[Rejected], ingested_ms: Sequence[int]) -> Any:
    """`rejected`: the raw bytes as they came, valid text or not."""
    return pa.table(
        {
            "source": pa.array([row.source for row in rows], TEXT),
            "topic": pa.array([row.topic for row in rows], TEXT),
            "partition": pa.array([row.partition for row in rows], U32),
            "offset": pa.array([row.offset for row in rows], I64),
            "reason": pa.array([row.reason for row in rows], TEXT),
            "detail": pa.array([row.detail for row in rows], TEXT),
            "raw": pa.array([row.raw for row in rows], pa.binary()),
            "message_key": pa.array([row.key for row in rows], pa.binary()),
            "received_at": times([row.received_at_ms for row in rows]),
            "ingested_at": times(ingested_ms),
        }
    )
