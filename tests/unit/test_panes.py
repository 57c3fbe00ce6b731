"""panes: provisional, final, revised; and what moves a count."""

from __future__ import annotations

from schemas import Change, Member, Pane, Tick
from streams.rooms.panes import Panes, State
from streams.windows import DAY_MS, HOUR_MS, MINUTE_MS, Calendar
from tests.build import DAY0, signal

M = MINUTE_MS
ROOM = Panes(
    Calendar("Asia/Shanghai", 15),
    ("unit", "street", "district"),
    {"unit": [15], "street": [15, 1440], "district": [15], "city": [15, 60, 1440], "source": [15]},
    1,
    48 * HOUR_MS,
)


def member(
    name: str, at_ms: int, incident: str, opens: bool = True, cell: int = 0, reporter: str = "", v: int = 1
) -> Member:
    located = signal(name, at_ms, cell=cell, reporter=reporter)
    return Member(located, incident, opens, at_ms, 0, v)


def told(out: list[object], layer: str = "unit", minutes: int = 15) -> list[tuple[object, ...]]:
    return [
        (p.cell, (p.start_ms - DAY0) // M, p.messages, p.incidents, p.opened, p.reporters, p.state, p.version)
        for p in out
        if isinstance(p, Pane) and (p.layer, p.minutes) == (layer, minutes)
    ]


def test_a_pane_is_provisional_then_final_then_revised() -> None:
    #  minute 0         15        30
    #         a b       |tick     late c for the first pane
    state = ROOM.start()
    a, b = member("a", DAY0, "i1"), member("b", DAY0 + M, "i2", reporter="r")
    assert told(ROOM.step(state, [Change(None, a)])) == [("u0", 0, 1, 1, 1, 0, "provisional", 1)]
    assert told(ROOM.step(state, [Change(None, b)])) == [("u0", 0, 2, 2, 2, 1, "provisional", 2)]
    assert told(ROOM.step(state, [Tick(DAY0 + 15 * M)])) == [("u0", 0, 2, 2, 2, 1, "final", 3)]
    c = member("c", DAY0 + 2 * M, "i3")
    assert told(ROOM.step(state, [Change(None, c)])) == [("u0", 0, 3, 3, 3, 1, "revised", 4)]
    assert told(ROOM.step(state, [])) == []


def test_distinct_counts_do_not_add_up_but_opened_does() -> None:
    state = ROOM.start()
    first = member("a", DAY0, "i", reporter="r")
    again = member("b", DAY0 + 20 * M, "i", opens=False, cell=1, reporter="r")
    out = ROOM.step(state, [Change(None, first), Change(None, again)])
    assert sorted(row[2:6] for row in told(out)) == [(1, 1, 0, 1), (1, 1, 1, 1)]
    assert [row[2:6] for row in told(out, "city", 60)] == [(2, 1, 1, 1)]
    assert [row[2:6] for row in told(out, "street", 1440)] == [(2, 1, 1, 1)]


def test_a_moved_signal_lowers_the_old_row_and_raises_the_new_one() -> None:
    state = ROOM.start()
    before = member("a", DAY0, "i", reporter="r")
    ROOM.step(state, [Change(None, before)])
    after = member("a", DAY0, "i", cell=7, reporter="r", v=2)
    out = ROOM.step(state, [Change(before, after)])
    assert sorted(row[:6] for row in told(out)) == [("u0", 0, 0, 0, 0, 0), ("u7", 0, 1, 1, 1, 1)]
    assert [row[2:6] for row in told(out, "city", 1440)] == [(1, 1, 1, 1)]


def test_a_withdrawn_signal_leaves_no_count() -> None:
    state = ROOM.start()
    before = member("a", DAY0, "i", reporter="r")
    ROOM.step(state, [Change(None, before)])
    out = ROOM.step(state, [Change(before, member("a", DAY0, "", False, reporter="r", v=2))])
    for layer, minutes in (("unit", 15), ("street", 1440), ("city", 60), ("source", 15)):
        assert [row[2:6] for row in told(out, layer, minutes)] == [(0, 0, 0, 0)]


def test_a_revision_that_counts_alike_tells_nothing() -> None:
    state = ROOM.start()
    before = member("a", DAY0, "i")
    ROOM.step(state, [Change(None, before)])
    assert ROOM.step(state, [Change(before, member("a", DAY0 + M, "i", v=2))]) == []


def test_a_signal_without_a_cell_counts_for_the_city_alone() -> None:
    located = signal("a", DAY0, cell=None)
    out = ROOM.step(ROOM.start(), [Change(None, Member(located, "i", True, DAY0, 0, 1))])
    assert {p.layer for p in out if isinstance(p, Pane)} == {"city", "source"}


def test_the_finest_rows_leave_before_their_tick() -> None:
    out = ROOM.step(ROOM.start(), [Change(None, member("a", DAY0, "i")), Tick(DAY0 + 15 * M)])
    kinds = [o.layer if isinstance(o, Pane) else "tick" for o in out]
    assert kinds.index("unit") < kinds.index("tick") < kinds.index("street")


def test_days_behind_the_horizon_are_forgotten_and_frozen() -> None:
    state: State = ROOM.start()
    old = member("a", DAY0, "i")
    ROOM.step(state, [Change(None, old), Tick(DAY0 + 3 * DAY_MS)])
    assert not state.tables and not state.days
    assert ROOM.step(state, [Change(old, member("a", DAY0, "", False, v=2))]) == []


def test_days_follow_the_clocks_of_the_city() -> None:
    calendar = Calendar("America/New_York", 15)
    # 2025-11-02 has 25 hours there
    midnight = calendar.start(1440, 1_762_056_000_000)
    assert calendar.end(1440, midnight) - midnight == 25 * HOUR_MS
    assert calendar.start(1440, midnight + 24 * HOUR_MS) == midnight
