"""Callers: keyed hashes, and numbers in texts with their middle hidden."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sources.memo import Memo
from schemas.sources.privacy import KeyedHash, mask, mask_all


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("电话13812345678。", "电话138****5678。"),
        ("13812345678/13987654321", "138****5678/139****4321"),
        ("138-1234-5678", "138****5678"),
        ("138 1234 5678", "138****5678"),
        ("+8613812345678", "+86138****5678"),
        ("１３８１２３４５６７８", "１３８****５６７８"),
        ("身份证110105199003070123", "身份证110105********0123"),
        ("11010519900307012X", "110105********012X"),
        ("JJ20260302080001234567", "JJ20260302080001234567"),
        ("6222021234567890123", "6222021234567890123"),
        ("12812345678", "12812345678"),
        ("人民路120号3幢402室", "人民路120号3幢402室"),
    ],
)
def test_numbers_are_masked(text: str, shown: str) -> None:
    assert mask(text) == shown
    assert mask_all(["a", text, ""]) == ["a", shown, ""]


@given(st.binary(min_size=1, max_size=200), st.text(st.characters(categories=["L"]), min_size=1))
def test_the_hash_is_hmac_sha256(key: bytes, caller: str) -> None:
    caller = f"D{caller}"
    assert KeyedHash(key)[caller] == hmac.new(key, caller.encode(), hashlib.sha256).hexdigest()[:16]


def test_two_spellings_of_a_number_are_one_caller_and_two_keys_are_two_worlds() -> None:
    hashed = KeyedHash(b"one", nobody=["匿名"])
    assert hashed["13812345678"] == hashed["138 1234-5678"] == hashed["+8613812345678"]
    assert hashed["13812345678"] != KeyedHash(b"two")["13812345678"]
    assert (hashed[""], hashed["匿名"]) == ("", "")


def test_a_memory_is_bounded_and_changes_nothing() -> None:
    squares: Memo[int, int] = Memo(lambda n: n * n, limit=10)
    assert [squares[n] for n in range(100)] == [n * n for n in range(100)]
    assert len(squares) <= 10
