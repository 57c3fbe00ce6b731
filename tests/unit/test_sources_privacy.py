"""Callers: keyed hashes, and numbers in texts with their middle hidden."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sources.memo import Memo
from schemas.sources.privacy import KeyedHash, mask, mask_all, mask_digits, mask_raw


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("13812345678", "138****5678"),
        ("11010519900307012X", "110105********012X"),
        ("1381234567", "138*****67"),  # one digit short
        ("138123456789012", "138**********12"),  # no phone, no id: the number of something, or two in one
        ("021-51234567", "021-512***67"),
        ("０２１５１２３４５６７", "０２１******６７"),
        ("2026-03-02 08:15:00", "2026-03-02 08:15:00"),
        ("bjsj: '20260302081500'", "bjsj: '202*********00'"),
        ("123456", "123456"),
    ],
)
def test_what_is_shown_of_refused_records_has_no_long_number(text: str, shown: str) -> None:
    assert mask_digits(text) == shown


@pytest.mark.parametrize(
    "raw",
    [
        b'{"bjdh": "13812345678", "n": 1',
        "来电13812345678".encode("utf-16"),
        b'{"bjdh": "\\u0031\\u00338\\u0031\\u0032\\u0033\\u0034\\u0035\\u0036\\u0037\\u0038"}',
        "\xff 13812345678 \xff".encode("latin-1"),
    ],
)
def test_bytes_are_shown_without_their_numbers_however_they_are_written(raw: bytes) -> None:
    shown = mask_raw(raw)
    assert "138****5678" in shown and "13812345678" not in shown
