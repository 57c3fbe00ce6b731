"""Callers are a keyed hash inside the pipeline; numbers in texts are shown with their middle hidden (GB/T 35273)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

import numpy as np

from schemas.sources.memo import Memo

HASH_HEX = 16
_WIDE = "０１２３４５６７８９"


def _number(one: str, high: str, any_: str) -> re.Pattern[str]:
    """A phone (11 digits, perhaps in groups of 3 4 4) or a citizen's id (18 places); `_hide` judges the neighbours."""
    phone = rf"(?<=[{one}])[{high}][{any_}][- ]?[{any_}]{{4}}[- ]?[{any_}]{{4}}"
    return re.compile(rf"[{any_}](?:[{any_}]{{16}}[{any_}XxＸｘ]|{phone})")


_NARROW_NUMBER = _number("1", "3-9", "0-9")
_ANY_NUMBER = _number("1１", "3-9３-９", "0-9０-９")
_LONG = re.compile(r"\d{7,}")
_ESCAPED_DIGIT = re.compile(r"\\u003([0-9])")
_BEFORE = re.compile(r"\d+$")
_COUNTRY = ("86", "0086")
_SEPARATOR = "\x00"
_PHONE = 11
_ZERO, _WIDE_ZERO, _TEN = np.uint16(ord("0")), np.uint16(ord(_WIDE[0])), 10


def mask(text: str) -> str:
    """Phones as 138****5678, ids as 110105********0123; longer runs of digits (record numbers) are left alone."""
    return (_ANY_NUMBER if _has_wide(text) else _NARROW_NUMBER).sub(_hide, text)


def mask_digits(text: str) -> str:
    """`mask`, and the middle of every other run of seven digits or more: for what is shown of refused records.

    There a number may stand in any place and form (a landline, a phone one digit short, an id in a field of times).
    Dates and times in groups stay readable.
    """
    return _LONG.sub(_hide_long, mask(text))


def mask_raw(raw: bytes) -> str:
    """The bytes of a refused record as text with its long numbers hidden, however they are written.

    Not bytes that can be read back: NULs (UTF-16) are left out, JSON escapes of digits are written as digits, bytes
    that are not UTF-8 are shown with replacement characters.
    """
    text = raw.decode("utf-8", "replace").replace("\0", "")
    return mask_digits(_ESCAPED_DIGIT.sub(lambda found: found[1], text))


def _hide_long(found: re.Match[str]) -> str:
    digits = found[0]
    return digits[:3] + "*" * (len(digits) - 5) + digits[-2:]


def mask_all(texts: list[str]) -> list[str]:
    """`mask` of each, at the price of one search where there is nothing to hide."""
    joined = _SEPARATOR.join(texts)
    if not _may_hide(joined):
        return texts
    masked = mask(joined).split(_SEPARATOR)
    return masked if len(masked) == len(texts) else [mask(text) for text in texts]


def _has_wide(text: str) -> bool:
    return any(digit in text for digit in _WIDE)


def _may_hide(text: str) -> bool:
    """Whether eleven digits, narrow or wide, stand within thirteen characters: what every number needs."""
    units = np.frombuffer(text.encode("utf-16-le"), np.uint16)
    digits = np.flatnonzero((units - _ZERO < _TEN) | (units - _WIDE_ZERO < _TEN))
    return bool((digits[_PHONE - 1 :] - digits[: 1 - _PHONE] <= _PHONE + 1).any())


def _hide(found: re.Match[str]) -> str:
    number, whole, start, end = found[0], found.string, found.start(), found.end()
    if end < len(whole) and whole[end].isdigit():
        return number
    digits = number.replace("-", "").replace(" ", "")
    if start and whole[start - 1].isdigit():
        before = _BEFORE.search(whole, max(0, start - 8), start)
        if len(digits) != 11 or before is None or before[0] not in _COUNTRY:
            return number
    return digits[:3] + "****" + digits[7:] if len(digits) == 11 else digits[:6] + "********" + digits[14:]


class KeyedHash(Memo[str, str]):
    """HMAC-SHA-256 (RFC 2104) of a caller's number, first 16 hex digits; '' of ''. Remembers the latest ones.

    Spaces, dashes and the country code 86 are no part of a number, so that two sources agree on a caller. `nobody`:
    what stands where the caller is not known.
    """

    def __init__(self, key: bytes, nobody: Collection[str] = ()) -> None:
        super().__init__(self._hash)
        self._nobody = frozenset(nobody)
        if len(key) > hashlib.sha256().block_size:
            key = hashlib.sha256(key).digest()
        block = key.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def _hash(self, number: str) -> str:
        if not number or number in self._nobody:
            return ""
        if not number.isalnum():
            number = re.sub(r"[\s()+-]", "", number)
        if len(number) == 13 and number.startswith("86"):
            number = number[2:]
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(number.encode())
        outer.update(inner.digest())
        return outer.hexdigest()[:HASH_HEX]
