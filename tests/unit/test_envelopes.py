"""Envelopes on the wire: cut where they are large, and the fold never notices."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Envelope
from streams.envelopes import MAX_BYTES, messages, steps
from tests.build import DAY0, fold, histories, newest, signal, stage
from tests.build import envelopes as build

MINUTE_MS = 60_000
_decode = msgspec.msgpack.Decoder(Envelope).decode


def envelope(offsets: list[int], text: str = "", watermark_ms: int = 0) -> Envelope:
    """An envelope of signals at these raw offsets, between offsets 0 and 999."""
    located = [signal(str(n), DAY0 + n * MINUTE_MS, place=f"甲路{n % 3}号", text=text) for n in offsets]
    refused = sorted(set(range(0, 1000, 7)) - set(offsets))
    return Envelope("raw.110", 0, 0, 999, DAY0, located, offsets, watermark_ms, rejected=refused)


@given(st.lists(st.integers(0, 999), min_size=1, max_size=60, unique=True).map(sorted), st.integers(100, 4000))
def test_pieces_are_small_and_follow_one_another_without_a_hole(offsets: list[int], max_bytes: int) -> None:
    whole = envelope(offsets, watermark_ms=DAY0 + 5)
    pieces = list(map(_decode, messages(whole, max_bytes)))
    assert [x for piece in pieces for x in piece.located] == whole.located
    assert [x for piece in pieces for x in piece.rejected] == whole.rejected
    assert all(piece.first_offset <= o <= piece.last_offset for piece in pieces for o in piece.rejected)
    assert [x for piece in pieces for x in piece.offsets] == offsets
    assert (pieces[0].first_offset, pieces[-1].last_offset) == (0, 999)
    assert all(before.last_offset + 1 == after.first_offset for before, after in pairwise(pieces))
    assert all(piece.first_offset <= o <= piece.last_offset for piece in pieces for o in piece.offsets)
    assert [piece.watermark_ms for piece in pieces] == [0] * (len(pieces) - 1) + [DAY0 + 5]
    assert all(len(m) <= max_bytes or len(_decode(m).located) == 1 for m in messages(whole, max_bytes))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(300, 3000), st.integers(1, 20))
def test_however_it_is_cut_the_fold_gives_the_same(size: int, max_bytes: int, at_a_time: int) -> None:
    log = build([signal(str(n), DAY0 + n * MINUTE_MS, place=f"甲路{n % 3}号", cell=n % 7) for n in range(60)], size)
    cut = [m for one in log for m in messages(one, max_bytes)]
    city = stage()
    state, rows = fold(city, log, 1)
    again = city.start()
    others = [city.step(again, part, 0) for part in steps(cut, at_a_time)]
    assert again == state
    assert newest(others) == newest(rows)
    assert histories(others) == histories(rows)


def test_a_heartbeat_and_a_large_signal_are_one_message() -> None:
    beat = Envelope("raw.110", 0, 7, 6, DAY0, [], [], DAY0)
    assert messages(beat, 1) == [msgspec.msgpack.encode(beat)]
    large = envelope([3], text="长" * MAX_BYTES)
    assert messages(large) == [msgspec.msgpack.encode(large)]


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 10))
def test_steps_hold_about_so_many_signals_in_order(sizes: list[int], signals: int) -> None:
    log = [envelope(list(range(n))) for n in sizes]
    parts = list(steps(list(map(msgspec.msgpack.encode, log)), signals))
    assert [one for part in parts for one in part] == log
    for part in parts:
        assert sum(len(one.located) for one in part[:-1]) < signals
    assert all(sum(len(one.located) for one in part) >= signals for part in parts[:-1])
