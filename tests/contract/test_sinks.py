"""One suite for every sink: what `sinks.base` promises."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from schemas.rows import KINDS, Rows
from sinks.base import TABLES, Sink
from tests.clickhouse import (
    DAY0,
    HOUR,
    alert,
    change,
    feed,
    hotspot,
    incident,
    late,
    member,
    pane,
    rejected,
    repeat,
)

NewSink = Callable[[], Sink]


def story() -> list[Rows]:
    """A little of everything, in steps: things come, move, are revised and end."""
    first, moved = member("1", DAY0), member("1", DAY0 + 60_000, version=2, cell="u2", place="人民路2号")
    return [
        Rows(DAY0, members=[change(first)], incidents=[incident("i1")], panes=[pane("u1", DAY0)]),
        Rows(
            DAY0 + 1,
            members=[change(moved, first), change(member("2", DAY0 + HOUR))],
            late=[late("3", DAY0 - 90 * HOUR), late("1", DAY0, reported_ms=DAY0, cell="u9")],
            panes=[pane("u1", DAY0, 2, 0), pane("u2", DAY0), pane("u1", DAY0, 1, 0, "city", 1440)],
        ),
        Rows(DAY0 + 2, incidents=[incident("i1", 2, 5), incident("i2")], rejected=[rejected(7), rejected(9)]),
        Rows(
            DAY0 + 3,
            hotspots=[hotspot("h1"), hotspot("h1", 2, "closed")],
            repeats=[repeat("r1"), repeat("r1", 2)],
            alerts=[alert("a1")],
            feeds=[feed(), feed(version=2, state="silent"), feed("12345"), feed(at_ms=DAY0 + HOUR, version=3)],
        ),
        Rows(DAY0 + 4, members=[change(member("4", DAY0, flags=("secret",), lon=None, cell="", place=""))]),
    ]


COUNTS = {
    "signals": 4,
    "late_signals": 2,
    "incidents": 2,
    "grid_counts": 3,
    "hotspots": 2,
    "repeat_clusters": 2,
    "alerts": 1,
    "rejected": 2,
    "feed_health": 3,
}


def stored(sink: Sink, steps: list[Rows]) -> dict[str, str]:
    for step in steps:
        sink.write(step)
    sink.flush()
    return sink.digest()


def single(steps: list[Rows]) -> list[Rows]:
    """The same rows, each a step of its own."""
    return [
        Rows(step.ingested_at_ms, **{kind: [row]}) for step in steps for kind in KINDS for row in getattr(step, kind)
    ]


def test_an_empty_sink_has_nothing(new_sink: NewSink) -> None:
    sink = new_sink()
    assert sink.counts() == dict.fromkeys(TABLES, 0)
    assert set(sink.digest()) == set(TABLES)
    sink.write(Rows(DAY0))
    sink.poll()
    sink.flush()
    assert sink.counts() == dict.fromkeys(TABLES, 0)


def test_each_key_is_counted_once(new_sink: NewSink) -> None:
    sink = new_sink()
    stored(sink, story())
    assert sink.pending == 0
    assert sink.counts() == COUNTS


def test_writing_again_changes_nothing(new_sink: NewSink) -> None:
    sink = new_sink()
    digest = stored(sink, story())
    assert stored(sink, story()[2:]) == digest
    assert stored(sink, single(story())) == digest
    assert sink.counts() == COUNTS


def test_order_and_cuts_do_not_matter(new_sink: NewSink) -> None:
    digest = stored(new_sink(), story())
    whole = Rows(DAY0 + 77, **{kind: [row for step in story() for row in getattr(step, kind)] for kind in KINDS})
    assert stored(new_sink(), [whole]) == digest
    shuffled = single(story())
    for seed in range(2):
        random.Random(seed).shuffle(shuffled)
        assert stored(new_sink(), shuffled) == digest


def test_an_older_version_does_not_come_back(new_sink: NewSink) -> None:
    sink = new_sink()
    newest = [Rows(DAY0, panes=[pane("u1", DAY0, 5, 9)], incidents=[incident("i1", 3, 4)], feeds=[feed(version=3)])]
    digest = stored(sink, newest)
    older = Rows(DAY0, panes=[pane("u1", DAY0, 4, 2)], incidents=[incident("i1", 2, 2)], feeds=[feed(observed=5)])
    assert stored(sink, [older]) == digest


def test_the_digest_ignores_clocks(new_sink: NewSink) -> None:
    base, later = member("1", DAY0), DAY0 + 5 * HOUR
    signal = msgspec.structs.replace(base.located.signal, received_at_ms=later)
    again = msgspec.structs.replace(
        base, located=msgspec.structs.replace(base.located, signal=signal), ingested_at_ms=later
    )
    one = [Rows(DAY0, members=[change(base)], incidents=[incident("i")], rejected=[rejected(1)])]
    two = [Rows(later, members=[change(again)], incidents=[incident("i")], rejected=[rejected(1, received_ms=later)])]
    assert stored(new_sink(), one) == stored(new_sink(), two)


def one_of_each(**other: list[object]) -> Rows:
    """A row of each kind, of which some are given."""
    rows: dict[str, list[object]] = {
        "members": [change(member("1", DAY0))],
        "late": [late("3", DAY0)],
        "incidents": [incident("i1")],
        "panes": [pane("u1", DAY0)],
        "hotspots": [hotspot("h1")],
        "repeats": [repeat("r1")],
        "alerts": [alert("a1")],
        "rejected": [rejected(7)],
        "feeds": [feed()],
    }
    return Rows(DAY0, **(rows | other))  # type: ignore[arg-type]


def test_the_digest_sees_every_difference(new_sink: NewSink) -> None:
    base = stored(new_sink(), [one_of_each()])

    def differing(rows: Rows) -> set[str]:
        digest = stored(new_sink(), [rows])
        return {table for table in TABLES if digest[table] != base[table]}

    assert differing(one_of_each()) == set()
    everywhere = one_of_each(
        members=[change(member("1", DAY0, text="别的话"))],
        late=[late("3", DAY0, text="别的话")],
        incidents=[incident("i1", 1, 6)],
        panes=[pane("u1", DAY0, 1, 2)],
        hotspots=[hotspot("h1", score=7.5)],
        repeats=[repeat("r1", incidents=4)],
        alerts=[alert("a1", state="closed")],
        rejected=[rejected(7, b"{")],
        feeds=[feed(observed=91)],
    )
    assert differing(everywhere) == set(TABLES)
    # a NULL and a map are hashed too
    assert differing(one_of_each(members=[change(member("1", DAY0, lon=None))])) == {"signals"}
    cells = ("u1", "su1", "du1", "another beat")
    moved = msgspec.structs.replace(member("1", DAY0).located, cells=cells)
    assert differing(one_of_each(members=[change(msgspec.structs.replace(member("1", DAY0), located=moved))])) == {
        "signals"
    }


def test_late_signals_never_override(new_sink: NewSink) -> None:
    sink = new_sink()
    known = member("1", DAY0)
    digest = stored(sink, [Rows(DAY0, members=[change(known)])])
    after = stored(sink, [Rows(DAY0, late=[late("1", DAY0 + 1, reported_ms=DAY0, cell="u9")])])
    assert after["signals"] == digest["signals"]
    assert sink.counts()["signals"] == 1
    assert sink.counts()["late_signals"] == 1


def test_late_signals_under_one_watermark_are_all_kept(new_sink: NewSink) -> None:
    sink = new_sink()
    stored(sink, [Rows(DAY0, late=[late("1", DAY0), late("1", DAY0, text="改过"), late("1", DAY0)])])
    assert sink.counts()["late_signals"] == 2
