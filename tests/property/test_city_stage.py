"""The city stage is a fold over the log: however it is cut, and whatever order things come in, the same facts."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Located, Pane
from streams.settings import HotSpots, Repeats, Settings
from streams.windows import HOUR_MS, MINUTE_MS
from tests.build import (
    DAY0,
    changes,
    end_tick,
    envelopes,
    fold,
    histories,
    naive_incidents,
    naive_panes,
    newest,
    signal,
    stage,
)

GAP = 30 * MINUTE_MS
EAGER = Settings(
    hotspots=HotSpots(min_history_days=1, min_count=2, open_score=0.3, keep_score=0.1, close_after_h=2),
    repeats=Repeats(incidents=2, days=2, close_days=1),
)


@st.composite
def story(draw: st.DrawFn, revisions: bool = True, span_h: int = 10) -> list[Located]:
    """Signals with revisions in a small town, so that everything meets everything."""
    names = draw(st.integers(1, 14))
    out: list[Located] = []
    for n in range(names):
        at = DAY0 + draw(st.integers(0, span_h * 6)) * 10 * MINUTE_MS + draw(st.integers(0, 3))
        for revision in range(draw(st.integers(1, 3)) if revisions else 1):
            related = draw(st.integers(0, names * 3))
            out.append(
                signal(
                    str(n),
                    at + (draw(st.sampled_from([0, 0, 0, 25])) * MINUTE_MS if revision else 0),
                    source=draw(st.sampled_from(["110", "12345"])) if not revisions else "110",
                    category=draw(st.sampled_from(["治安/盗窃", "治安/赌博", "纠纷/邻里"])),
                    cell=draw(st.sampled_from([None, 0, 0, 1, 4, 7])),
                    place=draw(st.sampled_from(["", "甲路1号", "乙路2号"])),
                    revision=revision,
                    reporter=draw(st.sampled_from(["", "r1", "r2", "r3", f"own{n}"])),
                    related=f"110:{related}" if related < names else "",
                    state=draw(st.sampled_from(["", "", "", "", "withdrawn"])),
                    text=draw(st.sampled_from(["a", "b"])),
                )
            )
    return out


def by_time(items: list[Located]) -> list[Located]:
    return sorted(items, key=lambda m: (m.signal.occurred_at_ms, m.signal.id))


@given(story(), st.integers(1, 5), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_cut_of_the_log_gives_the_same_rows_histories_and_state(
    items: list[Located], size: int, chance: random.Random, shuffled: bool
) -> None:
    ordered = by_time(items)
    if shuffled:  # everything late, revised, out of order
        chance.shuffle(ordered)
    log = [*envelopes(ordered, size), end_tick("raw.110", 0, len(ordered), DAY0 + 30 * HOUR_MS)]
    city = stage(EAGER)
    one_state, one = fold(city, log, 1)
    all_state, everything = fold(city, log, len(log))
    some_state, some = fold(city, log, 3)
    assert newest(one) == newest(everything) == newest(some)
    assert histories(one) == histories(everything) == histories(some)
    assert one_state == all_state == some_state


@given(story(), st.randoms(use_true_random=False), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_incidents_and_counts_are_those_of_the_set_whatever_the_order(
    items: list[Located], chance: random.Random, size: int
) -> None:
    shuffled = list(items)
    chance.shuffle(shuffled)
    last: dict[str, Located] = {}
    for located in items:
        known = last.get(located.signal.id)
        if known is None or known.signal.revision < located.signal.revision:
            last[located.signal.id] = located
    expected = naive_incidents(last.values(), GAP)
    for order in (by_time(items), shuffled):
        log = [*envelopes(order, size), end_tick("raw.110", 0, len(order), DAY0 + 16 * HOUR_MS)]
        # horizons longer than the story: nothing is forgotten, so everything must agree
        city = stage(Settings(), None)
        for source, pace in city.order.paces.items():
            city.order.paces[source] = type(pace)(pace.lateness_ms, 200 * HOUR_MS, pace.holds)  # type: ignore[index]
        _, rows = fold(city, log, 2)
        tables = newest(rows)
        members = {m.located.signal.id: m for m in tables["signals"].values()}  # type: ignore[attr-defined]
        assert {i: m.located for i, m in members.items()} == last
        groups: dict[str, set[str]] = {}
        for i, m in members.items():
            if m.incident_id:
                groups.setdefault(m.incident_id, set()).add(i)
        assert {i: frozenset(g) for g in groups.values() for i in g} == expected
        standing = {r.id: r for r in tables.get("incidents", {}).values() if r.state == "open"}  # type: ignore[attr-defined]
        assert {i: r.messages for i, r in standing.items()} == {i: len(g) for i, g in groups.items()}
        counted = {
            k: (p.messages, p.incidents, p.opened, p.reporters)
            for k, p in tables.get("panes", {}).items()
            if isinstance(p, Pane) and p.messages
        }
        assert counted == naive_panes(members.values(), Settings())
        emptied = [p for p in tables.get("panes", {}).values() if isinstance(p, Pane) and not p.messages]
        assert all(p.incidents == p.opened == p.reporters == 0 for p in emptied)


@given(story(revisions=False), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_every_change_starts_from_the_member_before(items: list[Located], chance: random.Random) -> None:
    chance.shuffle(items)
    log = envelopes(items, 2)
    city = stage(origins={"raw.110/0": "110", "raw.12345/0": "12345"})
    _, rows = fold(city, [*log, end_tick("raw.110", 0, 99, DAY0 + 30 * HOUR_MS)], 4)
    known: dict[str, object] = {}
    for change in changes(rows):
        i = change.after.located.signal.id
        assert known.get(i) == change.before
        assert change.after.version == (change.before.version if change.before else 0) + 1
        known[i] = change.after
