"""repeats: at least n incidents in d days at one place; and decide, which tells of it."""

from __future__ import annotations

from msgspec import structs

from schemas import Alert, Incident, RepeatCluster, Tick
from streams.rooms.decide import Decide
from streams.rooms.repeats import Repeats
from streams.windows import DAY_MS, HOUR_MS
from tests.build import DAY0

ROOM = Repeats(3, 30, 15, 48 * HOUR_MS, {"config": "c"})


def incident(n: int, day: float, place: str = "a:x1号", **more: object) -> Incident:
    at = DAY0 + int(day * DAY_MS)
    base = Incident(f"{n:016x}", "open", at, at, "纠纷/邻里", ("u1",), place, "X1号", 1, 1, ("110",), 1, "", 1)
    return structs.replace(base, **more)


def tick(day: float) -> Tick:
    return Tick(DAY0 + int(day * DAY_MS))


def clusters(out: list[object]) -> list[RepeatCluster]:
    return [o for o in out if isinstance(o, RepeatCluster)]


def test_the_third_within_thirty_days_opens_and_fifteen_quiet_days_close() -> None:
    state = ROOM.start()
    assert not clusters(ROOM.step(state, [incident(1, 0), incident(2, 10), tick(10.1)]))
    (opened,) = clusters(ROOM.step(state, [incident(3, 20, messages=4, sources=("110", "12345")), tick(20.1)]))
    assert (opened.incidents, opened.messages, opened.sources, opened.category) == (3, 6, ("110", "12345"), "纠纷/邻里")
    (closed,) = clusters(ROOM.step(state, [tick(40)]))
    assert (closed.id, closed.state, closed.updated_at_ms) == (opened.id, "closed", DAY0 + 35 * DAY_MS)
    assert not state.open and not state.closing


def test_three_spread_over_more_than_thirty_days_do_not() -> None:
    state = ROOM.start()
    assert not clusters(ROOM.step(state, [incident(1, 0), incident(2, 20), tick(20.1), incident(3, 30.2), tick(30.3)]))


def test_an_incident_told_again_or_merged_away_is_not_counted_twice() -> None:
    state = ROOM.start()
    ROOM.step(state, [incident(1, 0), incident(2, 1), tick(1.1), incident(2, 1, messages=9, version=2), tick(1.2)])
    assert not state.open
    (opened,) = clusters(ROOM.step(state, [incident(3, 2), tick(2.1)]))
    assert opened.messages == 11
    (told,) = clusters(ROOM.step(state, [incident(3, 2, state="merged", messages=0), tick(2.2)]))
    assert (told.revision, told.incidents) == (2, 2)


def test_an_incident_that_moves_leaves_its_old_place() -> None:
    state = ROOM.start()
    ROOM.step(state, [incident(1, 0), incident(2, 0), tick(0.1)])
    ROOM.step(state, [incident(2, 0, place="a:y"), incident(3, 0.2), tick(0.3)])
    assert not state.open
    (opened,) = clusters(ROOM.step(state, [incident(4, 0.4), tick(0.5)]))
    assert opened.incidents == 3


def test_a_place_that_comes_back_is_another_cluster() -> None:
    state = ROOM.start()
    (first,) = clusters(ROOM.step(state, [*(incident(n, n) for n in range(3)), tick(2.1)]))
    ROOM.step(state, [tick(17.5)])
    (second,) = clusters(ROOM.step(state, [incident(9, 18), tick(18.1)]))
    assert second.id != first.id and second.revision == 1 and second.incidents == 4


def test_memory_is_that_of_the_list_and_the_horizon() -> None:
    state = ROOM.start()
    for n in range(200):
        ROOM.step(state, [incident(n, n, place=f"a:{n}"), tick(n + 0.1)])
    assert len(state.places) <= 32 and len(state.where) <= 6 and len(state.old) <= 32


def test_a_hidden_incident_hides_its_place() -> None:
    state = ROOM.start()
    (opened,) = clusters(ROOM.step(state, [incident(1, 0), incident(2, 1, hidden=True), incident(3, 2), tick(2.1)]))
    assert opened.hidden


def test_an_alert_opens_and_closes_with_its_subject() -> None:
    room, decide = ROOM.start(), Decide()
    state = decide.start()
    out = ROOM.step(room, [*(incident(n, n) for n in range(3)), tick(2.1), incident(5, 3), tick(3.1), tick(30)])
    alerts = [o for o in decide.step(state, out) if isinstance(o, Alert)]
    assert [(a.revision, a.state, a.subject_kind) for a in alerts] == [(1, "open", "repeat"), (2, "closed", "repeat")]
    assert len({a.id for a in alerts}) == 1 and not state.open and state.total == 1
