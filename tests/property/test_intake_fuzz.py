"""intake: arbitrary bytes raise nothing, every record is one Signal or one Rejected, any cut gives the same."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import RawBatch, Rejected, Signal
from schemas.sources import load_mapping
from schemas.sources.checks import wanted
from schemas.sources.faults import REASONS
from schemas.sources.privacy import mask, mask_all
from streams.rooms.intake import Intake
from streams.settings import Intake as Settings
from tests.unit.test_intake import CALL, KEY, NOW

EXAMPLES = Path(__file__).parents[2] / "examples"
MAPPINGS = {name: load_mapping(name) for name in ("110", "12345", "grid", "sensor")} | {
    name: load_mapping(EXAMPLES / f"{name}.toml") for name in ("seattle_fire911", "montgomery_911")
}
ROOM = Intake(MAPPINGS, Settings(), KEY)
HEADERS = {name: tuple(wanted(mapping)) for name, mapping in MAPPINGS.items() if mapping.format == "csv"}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(["0", "1", " 1", "", "121.4", "31.2", "nan", "1_0", "(47.6, -122.3)", "13812345678"]),
    st.sampled_from(["2026-03-02 08:00:01", "2026-03-02T08:00:01.5+08:00", "06/12/2015 08:52:00 PM +0000"]),
    st.sampled_from(["0000-00-00", "GCJ02", "WGS84", "010203"]),
)
leaves = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(st.text(max_size=3), scalars, max_size=2))


def objects(source: str) -> st.SearchStrategy[bytes]:
    """Records that name the mapping's fields, with any value in each."""
    names = {path.split(".")[0] for path in wanted(MAPPINGS[source])}
    inner = {path.split(".")[1] for path in wanted(MAPPINGS[source]) if "." in path}
    nested = st.dictionaries(st.sampled_from(sorted(inner) or ["-"]), leaves)
    wild = st.dictionaries(st.sampled_from(sorted(names)), st.one_of(leaves, nested))
    base = CALL if source == "110" else {}
    return wild.map(lambda changes: json.dumps({**base, **changes}, ensure_ascii=True).encode())


def rows(source: str) -> st.SearchStrategy[bytes]:
    width = len(HEADERS[source])
    plain = st.lists(scalars.map(lambda value: str(value).replace("\x00", "")), min_size=width, max_size=width)
    return plain.map(lambda cells: ",".join(f'"{cell}"' if "," in cell else cell for cell in cells)).map(
        lambda row: row.encode(errors="replace")
    )


@st.composite
def batches(draw: st.DrawFn) -> RawBatch:
    source = draw(st.sampled_from(sorted(MAPPINGS)))
    sound = rows(source) if source in HEADERS else objects(source)
    values = draw(st.lists(st.one_of(sound, sound, st.binary(max_size=60)), max_size=8))
    offsets = list(range(7, 7 + len(values)))
    received = draw(st.sampled_from([[], [NOW] * len(values)]))
    return RawBatch(source, f"raw.{source}", 0, values, offsets, received, NOW, HEADERS.get(source, ()))


def part(batch: RawBatch, start: int, end: int) -> RawBatch:
    return msgspec.structs.replace(
        batch,
        values=batch.values[start:end],
        offsets=batch.offsets[start:end],
        received_at_ms=batch.received_at_ms[start:end],
    )


@given(batches())
@settings(max_examples=250, deadline=None)
def test_every_record_is_one_signal_or_one_rejected_and_can_be_sent_on(batch: RawBatch) -> None:
    signals, offsets, rejected = ROOM.step(batch)
    assert sorted(offsets + [refused.offset for refused in rejected]) == batch.offsets
    assert len(signals) == len(offsets)
    assert offsets == sorted(offsets)
    for refused in rejected:
        assert refused.reason in REASONS
        assert refused.raw == batch.values[refused.offset - 7]
    wire = msgspec.msgpack.encode((signals, rejected))
    assert msgspec.msgpack.decode(wire, type=tuple[list[Signal], list[Rejected]]) == (signals, rejected)


@given(batches(), st.lists(st.integers(0, 8), max_size=4))
@settings(max_examples=250, deadline=None)
def test_any_cut_of_a_batch_gives_the_same(batch: RawBatch, cuts: list[int]) -> None:
    bounds = sorted({0, len(batch.values), *(cut for cut in cuts if cut < len(batch.values))})
    fresh = Intake({batch.source: MAPPINGS[batch.source]}, Settings(), KEY)  # remembers nothing of other batches
    parts = [fresh.step(part(batch, start, end)) for start, end in pairwise(bounds)]
    whole = ROOM.step(batch)
    joined: tuple[list[Any], ...] = tuple([item for one in parts for item in one[place]] for place in range(3))
    assert msgspec.msgpack.encode(joined) == msgspec.msgpack.encode(whole)


texts = st.text(st.sampled_from("0123456789x １２８-+张\x00")) | st.sampled_from(
    ["13812345678", "8613812345678", "110105199003070123", "11010519900307012X", "１３８12345678", "4"]
)


@given(st.lists(st.lists(texts, max_size=3).map("".join), max_size=5))
@settings(max_examples=500, deadline=None)
def test_masking_a_column_is_masking_each(column: list[str]) -> None:
    assert mask_all(column) == [mask(text) for text in column]
