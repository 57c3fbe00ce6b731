"""A state that was saved and loaded is the state: the fold goes on from it as if it had never stopped.

log      e0 e1 e2 | e3 e4 e5 ...
one           fold everything
other    fold   save .. load   fold the rest       the same rows, the same state
"""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import Located, UsageError, Versions
from streams import snapshots
from streams.pipeline import CityStage, CityState
from streams.rooms.panes import Day
from streams.snapshots import Manifest, chunks, freeze, restore
from streams.windows import HOUR_MS
from tests.build import DAY0, end_tick, envelopes, fold, histories, newest, signal, stage
from tests.property.test_city_stage import EAGER, by_time, story

RULES = "rules"


def saved(
    state: CityState, form: int = snapshots.FORM, large: int = snapshots.LARGE
) -> tuple[Manifest, dict[str, bytes]]:
    """A snapshot of the state, with the bytes of its chunks by name."""
    parts: dict[str, list[str]] = {}
    kept: dict[str, bytes] = {}
    for part, name, piece in chunks(freeze(state), large):
        parts.setdefault(part, []).append(name)
        kept[name] = piece
    return Manifest(form, RULES, Versions(code="0.1"), 5, 0, 0, 0, parts), kept


def loaded(city: CityStage, manifest: Manifest, kept: dict[str, bytes]) -> CityState:
    """The state again."""
    return restore(manifest, kept.__getitem__, RULES, city.start())


@given(story(), st.integers(0, 12), st.randoms(use_true_random=False), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_fold_goes_on_from_a_loaded_state(
    items: list[Located], cut: int, chance: random.Random, shuffled: bool, tables_are_cut: bool
) -> None:
    ordered = by_time(items)
    if shuffled:
        chance.shuffle(ordered)
    log = [*envelopes(ordered, 2), end_tick("raw.110", 0, len(ordered), DAY0 + 30 * HOUR_MS)]
    city = stage(EAGER)
    whole, _ = fold(city, log, 1)
    state, _ = fold(city, log[:cut], 1)
    again = loaded(city, *saved(state, large=1 if tables_are_cut else snapshots.LARGE))
    assert again == state
    rows = [city.step(state, [envelope], 0) for envelope in log[cut:]]
    more = [city.step(again, [envelope], 0) for envelope in log[cut:]]
    assert newest(more) == newest(rows)
    assert histories(more) == histories(rows)
    assert [r.members for r in more] == [r.members for r in rows]
    assert again == state == whole


@given(story(), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_what_was_frozen_does_not_change_when_the_fold_goes_on(items: list[Located], cut: int) -> None:
    log = [*envelopes(by_time(items), 2), end_tick("raw.110", 0, len(items), DAY0 + 30 * HOUR_MS)]
    city = stage(EAGER)
    state, _ = fold(city, log[:cut], 1)
    frozen = freeze(state)
    before = list(chunks(frozen))
    for envelope in log[cut:]:
        city.step(state, [envelope], 0)
    assert list(chunks(frozen)) == before


def test_what_did_not_change_is_not_sent_again() -> None:
    city = stage(EAGER)
    signals = [signal(str(n), DAY0 + n * 1000, place=f"甲路{n}号", cell=n % 50, reporter=f"r{n}") for n in range(9000)]
    state, _ = fold(city, envelopes(signals, 500), 1)
    first = {name: piece for _, name, piece in chunks(freeze(state))}
    one_more = signal("new", DAY0 + 8_999_999, place="乙路1号", reporter="new")
    (envelope,) = envelopes([one_more], 1, partition=0)
    city.step(state, [replace(envelope, first_offset=9000, last_offset=9000, offsets=[9000])], 0)
    second = {name: piece for _, name, piece in chunks(freeze(state))}
    whole = sum(map(len, second.values()))
    assert sum(len(piece) for name, piece in second.items() if name not in first) < 0.35 * whole
    assert max(map(len, second.values())) < 1_000_000


def test_a_member_that_two_rooms_hold_is_one_again() -> None:
    city = stage(EAGER)
    state, _ = fold(city, envelopes([signal("1", DAY0, reporter="r")], 1), 1)
    city.step(state, [end_tick("raw.110", 0, 9, DAY0 + HOUR_MS)], 0)
    again = loaded(city, *saved(state))
    (day,) = again.panes.days.values()
    assert isinstance(day, Day)
    assert day.reporters["r"] is again.incidents.members["110:1"]


def test_a_state_of_other_rules_or_another_form_is_refused_with_what_to_do() -> None:
    city = stage(EAGER)
    manifest, kept = saved(city.start())
    with pytest.raises(UsageError, match=r"other grids.*quanyu state rebuild"):
        restore(manifest, kept.__getitem__, "others", city.start())
    manifest, kept = saved(city.start(), form=0)
    with pytest.raises(UsageError, match=r"form 0.*quanyu state rebuild"):
        loaded(city, manifest, kept)


def test_a_chunk_that_is_no_state_is_refused() -> None:
    city = stage(EAGER)
    manifest, kept = saved(city.start())
    with pytest.raises(UsageError, match="cannot be continued"):
        loaded(city, manifest, dict.fromkeys(kept, b"\xc1"))


def test_fields_of_another_version_are_left_out_and_new_ones_take_their_default() -> None:
    city = stage(EAGER)
    state, _ = fold(city, envelopes([signal("1", DAY0)], 1), 1)
    manifest, kept = saved(state)
    (name,) = manifest.parts["decide"]
    room = msgspec.msgpack.decode(kept[name])
    kept[name] = msgspec.msgpack.encode({"total": room["total"], "of_tomorrow": [1]})
    assert loaded(city, manifest, kept) == state
