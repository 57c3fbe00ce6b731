"""Neither stage makes reference cycles: replay runs without the cycle collector."""

from __future__ import annotations

import gc

from schemas import RawBatch
from schemas.sources.mapping import load_mapping
from streams.rooms.intake import Intake
from streams.settings import Intake as IntakeSettings


def test_refused_records_do_not_keep_their_batch() -> None:
    room = Intake({"110": load_mapping("110")}, IntakeSettings(), b"key")
    bad = [b"{", b"\xff\xfe", b"[]", b"{}", b"", b'{"jjdbh": 1}'] * 300
    batch = RawBatch("110", "raw.110", 0, bad, list(range(len(bad))), [], 1_772_380_800_000)
    room.step(batch)
    gc.collect()
    gc.disable()
    try:
        assert len(room.step(batch)[2]) == len(bad)
        assert gc.collect() < 100  # a slice's own closure, never one a record
    finally:
        gc.enable()
