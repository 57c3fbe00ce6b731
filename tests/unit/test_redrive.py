"""Which dead letters are sent again, and how they are sent."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from schemas import UNDECLARED, Rejected
from schemas.sources.mapping import load_mapping
from sinks.clickhouse.dead_letters import Stored
from streams.redrive import HEADER, judge, late, present, send_again
from streams.rooms.intake import Intake
from streams.settings import Settings, Source
from streams.windows import HOUR_MS
from tests.build import DAY0, signal
from tests.unit.test_live_workers import NOW, call

SOURCES = {
    "110": Source(mapping="110", topic="raw.110", partitions=2, lateness_s=60, horizon_h=10),
    "12345": Source(mapping="12345", topic="raw.12345", tardy=True, lateness_s=3600, horizon_h=10),
}
ROOM = Intake({name: load_mapping(s.mapping) for name, s in SOURCES.items()}, Settings().intake, b"a key")


def letter(offset: int, raw: bytes, source: str = "110", partition: int = 0, **more: Any) -> Rejected:
    fields: dict[str, Any] = {"received_at_ms": NOW + offset, "key": b""} | more
    return Rejected(source, f"raw.{source}", partition, offset, "bad_time", "", raw, **fields)


def known(name: str, revision: int, received_ms: int = NOW, **more: Any) -> Stored:
    fields: dict[str, Any] = {
        "occurred_at_ms": DAY0, "category": "治安", "category_code": "", "state": "", "severity": 0, "text": "",
        "address": "",
    } | more  # fmt: skip
    return Stored(name, revision, received_ms, **fields)


def test_letters_are_judged_by_todays_mapping_each_source_by_its_own() -> None:
    letters = [
        letter(0, call(1)),
        letter(1, b"{"),
        letter(2, b"[]", "12345"),
        letter(3, call(2)),
        letter(4, b"", "old"),
    ]
    asked: list[str] = []

    def look(signals: Any) -> dict[str, Stored]:
        asked.extend(s.id for s in signals)
        return {"110:JJ2": known("110:JJ2", 2**60)}

    found = judge(ROOM, SOURCES, letters, NOW, look)
    assert [(x.offset, s.id) for x, s in found.passing] == [(0, "110:JJ1")]
    assert [x.offset for x in found.present] == [3]
    assert [(x.offset, why) for x, why in found.failing] == [
        (1, "not_json"), (2, "not_an_object"), (4, "unknown_source"),
    ]  # fmt: skip
    assert asked == ["110:JJ1", "110:JJ2"]


def test_time_that_has_gone_by_makes_no_record_sound() -> None:
    """It was three days ahead of its broker's clock, and that it still is; whatever the clock says now."""
    ahead = letter(0, call(1, bjsj="2026-03-06 00:00:00"))
    found = judge(ROOM, SOURCES, [ahead], NOW + 30 * 24 * HOUR_MS, lambda _: {})
    assert [why for _, why in found.failing] == ["time_in_future"]


@pytest.mark.parametrize(("stored", "there"), [(5, True), (6, True), (4, False), (UNDECLARED, False)])
def test_a_revision_is_there_if_it_or_a_later_one_is_stored(stored: int, there: bool) -> None:
    assert present(signal("a", DAY0, revision=5).signal, known("110:a", stored)) is there


def test_without_revisions_content_and_time_of_arrival_tell() -> None:
    mine = signal("a", DAY0, revision=UNDECLARED).signal
    same = Stored(*(getattr(mine, name) for name in Stored.__struct_fields__))
    assert present(mine, same)
    other = replace(same, text="另一句话")
    assert not present(mine, other)  # came in the same millisecond, says something else: the order room decides
    later = replace(other, received_at_ms=mine.received_at_ms + 1)
    assert present(mine, later)  # an older record must not override it
    earlier = replace(same, received_at_ms=mine.received_at_ms - 1)
    assert not present(mine, earlier)


def test_late_is_what_lies_beyond_the_horizon_of_the_city_s_time() -> None:
    """The watermark lies as far behind what the sources have reached as the slowest prompt one may (60 s)."""
    reached = DAY0 + 10 * HOUR_MS + 60_000
    assert not late(signal("a", DAY0).signal, SOURCES, reached)
    assert late(signal("a", DAY0 - 1).signal, SOURCES, reached)


def test_bytes_go_back_as_they_came() -> None:
    sent: list[Any] = []
    letters = [letter(7, b"\xff", partition=1, key=b"k"), letter(8, b"{}", partition=5)]
    send_again(lambda *record: sent.append(record), SOURCES, letters)
    assert sent == [
        ("raw.110", b"\xff", b"k", 1, NOW + 7, [(HEADER, b"raw.110/1/7")]),
        ("raw.110", b"{}", None, None, NOW + 8, [(HEADER, b"raw.110/5/8")]),  # the topic has no such partition now
    ]
