"""incidents: what is one matter, and what a late or withdrawn signal does to it."""

from __future__ import annotations

from schemas import Admitted, Change, Incident, Located, Tick
from streams.rooms.incidents import Incidents, State
from streams.windows import HOUR_MS, MINUTE_MS
from tests.build import DAY0, signal

M = MINUTE_MS
ROOM = Incidents(30 * M, 48 * HOUR_MS)


def file(state: State, *items: Located) -> list[Change | Incident]:
    out = ROOM.step(state, [Admitted(i, 0, i.signal.reported_at_ms) for i in items])
    return [o for o in out if isinstance(o, Change | Incident)]


def groups(state: State) -> list[list[str]]:
    return sorted(sorted(i.partition(":")[2] for i in g.ids) for g in state.groups.values())


def test_one_place_one_category_within_the_gap_is_one_incident() -> None:
    state = ROOM.start()
    file(state, signal("a", DAY0, place="甲路1号"), signal("b", DAY0 + 30 * M, place="甲路1号"))
    file(state, signal("c", DAY0 + 61 * M, place="甲路1号"))  # 31 minutes of silence
    file(state, signal("d", DAY0, place="甲路1号", category="纠纷/邻里"))  # another matter
    assert groups(state) == [["a", "b"], ["c"], ["d"]]


def test_a_late_signal_bridges_two_incidents() -> None:
    #  minute   0            25            50
    #           a ......... (late) ........ b        a, b alone; then one
    state = ROOM.start()
    file(state, signal("a", DAY0, place="x1号"), signal("b", DAY0 + 50 * M, place="x1号"))
    assert len(state.groups) == 2
    out = file(state, signal("late", DAY0 + 25 * M, place="x1号"))
    assert groups(state) == [["a", "b", "late"]]
    merged = [o for o in out if isinstance(o, Incident) and o.state == "merged"]
    standing = [o for o in out if isinstance(o, Incident) and o.state == "open"]
    assert [(m.messages, m.merged_into) for m in merged] == [(0, standing[0].id)]
    assert standing[0].messages == 3 and standing[0].version == 2
    assert state.total == 1


def test_an_earlier_signal_renames_the_incident() -> None:
    state = ROOM.start()
    (old,) = [o for o in file(state, signal("b", DAY0 + 10 * M, place="x1号")) if isinstance(o, Incident)]
    out = [o for o in file(state, signal("a", DAY0, place="x1号")) if isinstance(o, Incident)]
    assert [(o.state, o.opened_at_ms - DAY0, o.messages) for o in out] == [("merged", 10 * M, 0), ("open", 0, 2)]
    assert out[0].id == old.id and out[0].version == old.version + 1


def test_withdrawing_the_bridge_splits_the_incident_again() -> None:
    state = ROOM.start()
    bridge = signal("m", DAY0 + 25 * M, place="x1号", revision=1)
    file(state, signal("a", DAY0, place="x1号"), bridge, signal("b", DAY0 + 50 * M, place="x1号"))
    file(state, signal("m", DAY0 + 25 * M, place="x1号", revision=2, state="withdrawn"))
    assert groups(state) == [["a"], ["b"]]
    assert state.members["110:m"].incident_id == ""


def test_relations_link_across_places_in_either_order_and_through_a_third() -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        state = ROOM.start()
        items = [
            signal("parent", DAY0, place="x1号"),
            signal("child", DAY0 + 5 * HOUR_MS, place="y2号", category="纠纷", related="110:parent"),
            signal("other", DAY0 + 9 * HOUR_MS, category="火警", related="110:parent"),
        ]
        for n in order:
            file(state, items[n])
        assert groups(state) == [["child", "other", "parent"]]


def test_two_that_name_an_unknown_third_are_one() -> None:
    state = ROOM.start()
    file(state, signal("a", DAY0, related="110:gone"), signal("b", DAY0 + 5 * HOUR_MS, related="110:gone"))
    assert groups(state) == [["a", "b"]]


def test_naming_oneself_or_each_other_is_harmless() -> None:
    state = ROOM.start()
    file(
        state,
        signal("a", DAY0, related="110:a"),
        signal("b", DAY0, related="110:c"),
        signal("c", DAY0, related="110:b"),
    )
    assert groups(state) == [["a"], ["b", "c"]]


def test_messages_reporters_and_sources_are_counted_apart() -> None:
    state = ROOM.start()
    out = file(
        state,
        signal("a", DAY0, place="x1号", reporter="r1"),
        signal("b", DAY0 + M, place="x1号", reporter="r1"),
        signal("c", DAY0 + 2 * M, place="x1号", reporter="r2", source="12345"),
        signal("d", DAY0 + 3 * M, place="x1号"),
    )
    (row,) = [o for o in out if isinstance(o, Incident)]
    assert (row.messages, row.reporters, row.sources) == (4, 2, ("110", "12345"))


def test_a_chain_of_thousands_is_walked_once() -> None:
    state = ROOM.start()
    for n in range(5000):
        file(state, signal(f"{n:05}", DAY0 + n * 1000, place="x1号"))
    (group,) = state.groups.values()
    assert len(group.ids) == 5000


def test_thousands_that_name_one_parent_and_thousands_withdrawn_are_no_burden() -> None:
    state = ROOM.start()
    file(state, *(signal(f"{n:05}", DAY0 + n * HOUR_MS // 100, related="110:parent") for n in range(4000)))
    assert len(state.groups) == 1
    state = ROOM.start()
    items = [signal(f"{n:05}", DAY0 + n * 1000, place="x1号", revision=1) for n in range(3000)]
    file(state, *items)
    out = file(state, *(signal(f"{n:05}", DAY0 + n * 1000, revision=2, state="withdrawn") for n in range(2999, 0, -1)))
    assert groups(state) == [["00000"]]
    assert len([o for o in out if isinstance(o, Change)]) == 2999


def test_old_incidents_are_forgotten_whole() -> None:
    state = ROOM.start()
    file(
        state,
        signal("a", DAY0, place="x1号"),
        signal("b", DAY0 + 20 * M, place="x1号"),
        signal("w", DAY0, flags=("invalid",)),
    )
    ROOM.step(state, [Tick(DAY0 + 48 * HOUR_MS)])
    assert groups(state) == [["a", "b"]]
    ROOM.step(state, [Tick(DAY0 + 51 * HOUR_MS)])
    assert not any((state.members, state.groups, state.sessions, state.kin, state.shelves))
    assert state.total == 1
