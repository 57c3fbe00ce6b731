"""order: what leaves, when, and in which order."""

from __future__ import annotations

from schemas import Admitted, Envelope, Late, Tick
from streams.rooms.order import Order, Pace, State
from streams.windows import HOUR_MS, MINUTE_MS
from tests.build import DAY0, PACES, end_tick, envelopes, signal

PANE = 15 * MINUTE_MS
M = MINUTE_MS


def room(*holders: str) -> Order:
    return Order(PACES, holders or ("raw.110/0",), PANE, window=1)


def left(out: list[Admitted | Tick | Late]) -> list[str | int]:
    """Names of signals, (minute) of ticks, !name of late ones."""
    return [
        (o.at_ms - DAY0) // M
        if isinstance(o, Tick)
        else ("!" if isinstance(o, Late) else "") + o.located.signal.id.partition(":")[2]
        for o in out
    ]


def feed(order: Order, *log: Envelope) -> tuple[State, list[str | int]]:
    state = order.start()
    return state, left(order.step(state, log))


def test_signals_wait_for_the_watermark_and_leave_in_time_order() -> None:
    #  minute   0    5        20            lateness 10: W = 20 - 10
    #           a    b                c
    #  log: b a c           -> a b leave, c waits
    log = envelopes([signal("b", DAY0 + 5 * M), signal("a", DAY0), signal("c", DAY0 + 20 * M)], 1)
    state, out = feed(room(), *log)
    assert [x for x in out if isinstance(x, str)] == ["a", "b"]
    assert [entry[2] for entry in state.waiting] == ["110:c"]


def test_ties_leave_by_id() -> None:
    log = envelopes([signal("z", DAY0), signal("k", DAY0), signal("m", DAY0)], 3)
    assert feed(room(), *log, end_tick("raw.110", 0, 3, DAY0 + 1))[1][-3:] == ["k", "m", "z"]


def test_a_tick_leaves_before_the_first_signal_behind_a_pane() -> None:
    #  minute  1     14 |15    16  ...       76 |
    #          a     b  |tick  c             d
    items = [signal(n, DAY0 + at * M) for n, at in (("a", 1), ("b", 14), ("c", 16), ("d", 76))]
    _, out = feed(room(), *envelopes(items, 4), end_tick("raw.110", 0, 4, DAY0 + 200 * M))
    # the pane of c gets its own tick at 30; the jump to 75 stands for the empty ones
    assert out == [0, "a", "b", 15, "c", 30, 75, "d", 90, 195]


def test_an_origin_that_has_not_spoken_holds_the_city() -> None:
    order = room("raw.110/0", "raw.110/1")
    state = order.start()
    log = envelopes([signal("a", DAY0), signal("b", DAY0 + HOUR_MS)], 2)
    assert order.step(state, log) == []
    assert left(order.step(state, [end_tick("raw.110", 1, 0, DAY0 + 30 * M)])) == [0, "a", 15, 30]


def test_a_tardy_source_never_holds_and_its_signals_leave_behind_the_watermark() -> None:
    prompt = envelopes([signal("a", DAY0), signal("b", DAY0 + HOUR_MS)], 2)
    tardy = envelopes([signal("t", DAY0 + 5 * M, source="12345")], 1, topic="raw.12345")
    state, out = feed(room(), *prompt, *tardy)
    assert out == [0, "a", 15, 45, "t"]
    assert state.counts.late == 0  # late is a word for prompt sources


def test_late_within_the_horizon_leaves_at_once_beyond_it_aside() -> None:
    now = DAY0 + 100 * HOUR_MS
    log = envelopes([signal("now", now), signal("late", now - HOUR_MS), signal("old", now - 49 * HOUR_MS)], 3)
    state, out = feed(room(), *log)
    assert [x for x in out if isinstance(x, str)] == ["late", "!old"]
    assert (state.counts.signals, state.counts.late) == (3, 2)


def test_duplicates_revisions_and_what_came_in_the_wrong_order() -> None:
    at = DAY0
    log = envelopes(
        [signal("a", at, revision=r, text=str(r)) for r in (1, 3, 3, 2, 2, 1)] + [signal("end", at + HOUR_MS)], 1
    )
    order = room()
    state = order.start()
    out = order.step(state, log)
    admitted = [o for o in out if isinstance(o, Admitted)]
    # 1 was still waiting when 3 came: only 3 leaves. 3 again, 2 again, 1 again: duplicates. 2: an old revision
    assert [a.located.signal.revision for a in admitted] == [3]
    c = state.counts
    assert (c.signals, c.revisions, c.duplicates) == (2, 2, 3)


def test_without_declared_revisions_other_content_is_the_next_one() -> None:
    log = envelopes([signal("a", DAY0, text=t) for t in ("x", "x", "y", "y", "x")] + [signal("e", DAY0 + HOUR_MS)], 1)
    order = room()
    state = order.start()
    admitted = [o for o in order.step(state, log) if isinstance(o, Admitted)]
    assert [a.located.signal.text for a in admitted] == ["x"]
    assert (state.counts.revisions, state.counts.duplicates) == (2, 2)


def test_the_first_report_stays_the_report() -> None:
    first = signal("a", DAY0, revision=1)
    later = signal("a", DAY0 + M, revision=2)
    order = room()
    out = order.step(order.start(), [*envelopes([first, later], 1), end_tick("raw.110", 0, 2, DAY0 + HOUR_MS)])
    assert [o.reported_at_ms for o in out if isinstance(o, Admitted)] == [DAY0]


def test_an_envelope_sent_again_however_cut_changes_nothing() -> None:
    items = [signal(str(n), DAY0 + n * M) for n in range(30)]
    once, cut_twice = room(), room()
    a, b = once.start(), cut_twice.start()
    out = once.step(a, envelopes(items, 10))
    again = [*envelopes(items, 10)[:2], *envelopes(items[:25], 7), *envelopes(items, 10)]
    assert left(cut_twice.step(b, again)) == left(out)
    assert a.counts == b.counts and a.offsets == b.offsets == {"raw.110/0": 29}


def test_a_few_wrong_clocks_move_nothing() -> None:
    #  200 calls, one a minute; some are dated a month ahead
    items = [signal(f"{n:03}", DAY0 + n * M) for n in range(200)]
    wrong = [signal(f"w{n}", DAY0 + 30 * 24 * HOUR_MS + n) for n in range(5)]
    mixed = [*items[:50], *wrong[:4], *items[50:100], wrong[4], *items[100:]]
    order = Order(PACES, ("raw.110/0",), PANE)
    state = order.start()
    out = order.step(state, envelopes(mixed, 7))
    assert state.counts.late == state.counts.beyond_horizon == 0
    assert [x for x in left(out) if isinstance(x, str)] == [f"{n:03}" for n in range(185)]
    assert [entry[2] for entry in state.waiting][-5:] == [f"110:w{n}" for n in range(5)]


def test_ids_are_forgotten_behind_the_horizon() -> None:
    order = Order({"110": Pace(0, HOUR_MS, True)}, ("raw.110/0",), PANE, window=1)
    state = order.start()
    order.step(state, envelopes([signal(str(n), DAY0 + n * HOUR_MS) for n in range(10)], 1))
    assert len(state.seen) <= 3
    assert state.counts.signals == 10
