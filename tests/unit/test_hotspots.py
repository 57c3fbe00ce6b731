"""hotspots: a surge opens, cools and closes a hot spot; a usual evening does not."""

from __future__ import annotations

import math

from scipy import stats

from schemas import HotSpot, Pane, Tick
from streams.rooms.hotspots import HotSpots, State, level_of, tail_score
from streams.windows import DAY_MS, HOUR_MS, MINUTE_MS, Calendar
from tests.build import DAY0

PANE = 15 * MINUTE_MS
ROOM = HotSpots(Calendar("Asia/Shanghai", 15), "unit", 48 * HOUR_MS, 4, 14, 3, 4, 4.0, 2.0, 3, 0.2, {"grids": "g"})


def pane(at_ms: int, n: int, cell: str = "u1", version: int = 1) -> Pane:
    return Pane("unit", 15, at_ms, "治安", cell, n, n, n, n, "final", version)


def past(state: State, days: int, per_hour: int) -> None:
    """`days` days with `per_hour` incidents at 20:00 in u1 and one in u2 now and then."""
    for day in range(days):
        at = DAY0 + day * DAY_MS + 20 * HOUR_MS
        ROOM.step(state, [pane(at, per_hour), pane(at, 1, "u2"), Tick(at + PANE)])


def spots(out: list[object]) -> list[HotSpot]:
    return [o for o in out if isinstance(o, HotSpot)]


def test_a_surge_opens_grows_cools_and_closes_under_one_id() -> None:
    state = ROOM.start()
    past(state, 7, 1)
    at = DAY0 + 7 * DAY_MS + 20 * HOUR_MS
    (opened,) = spots(ROOM.step(state, [pane(at, 12), Tick(at + PANE)]))
    assert (opened.state, opened.cells, opened.observed, opened.provisional) == ("open", ("u1",), 12, True)
    assert opened.expected == (7 + 0.5) / 8 and opened.history_days == 7
    (grown,) = spots(ROOM.step(state, [pane(at + PANE, 5), Tick(at + 2 * PANE)]))
    assert (grown.id, grown.revision, grown.observed) == (opened.id, 2, 17)
    rest = spots(ROOM.step(state, [Tick(at + 12 * HOUR_MS)]))
    assert [(h.state, h.observed) for h in rest] == [("cooling", 17), ("closed", 17)]
    # the last window above the keeping score still holds the second pane; from there it is three hours
    assert rest[-1].updated_at_ms == at + 5 * PANE + 3 * HOUR_MS
    assert not state.open and state.total == 1


def test_the_usual_evening_opens_nothing() -> None:
    state = ROOM.start()
    past(state, 7, 12)
    at = DAY0 + 7 * DAY_MS + 20 * HOUR_MS
    assert not spots(ROOM.step(state, [pane(at, 12), Tick(at + PANE)]))


def test_no_claim_without_a_past() -> None:
    state = ROOM.start()
    past(state, 2, 1)
    at = DAY0 + 2 * DAY_MS + 20 * HOUR_MS
    assert not spots(ROOM.step(state, [pane(at, 30), Tick(at + PANE)]))


def test_packed_days_remember_what_loose_ones_did() -> None:
    state = ROOM.start()
    past(state, 10, 3)
    assert len(state.past) >= 6
    at = DAY0 + 10 * DAY_MS + 20 * HOUR_MS
    (found,) = spots(ROOM.step(state, [pane(at, 25), Tick(at + PANE)]))
    assert found.expected == round((10 * 3 + 0.5) / 11, 6)


def test_a_jump_of_the_clock_equals_its_steps() -> None:
    jump, steps = ROOM.start(), ROOM.start()
    for state in (jump, steps):
        past(state, 7, 1)
        at = DAY0 + 7 * DAY_MS + 20 * HOUR_MS
        ROOM.step(state, [pane(at, 12), Tick(at + PANE)])
    one = spots(ROOM.step(jump, [Tick(at + 10 * HOUR_MS)]))
    many = [h for n in range(2, 41) for h in spots(ROOM.step(steps, [Tick(at + n * PANE)]))]
    assert one == many and jump == steps


def test_the_score_is_the_tail_of_a_negative_binomial() -> None:
    for observed, mean in ((4, 0.5), (12, 3.0), (1, 7.0), (40, 12.5)):
        size = 1 / 0.2
        exact = stats.nbinom.sf(observed - 1, size, size / (size + mean))
        assert math.isclose(tail_score(observed, mean, 0.2), -math.log10(exact), rel_tol=1e-9)
    # where the tail underflows the score goes on rising
    assert 300 < tail_score(2000, 0.001, 0.2) < tail_score(3000, 0.001, 0.2) < math.inf


def test_levels() -> None:
    assert [level_of(s) for s in (6, 8, 10, 12)] == ["blue", "yellow", "orange", "red"]
