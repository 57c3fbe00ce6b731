"""Messages of the dead-letter topic."""

from __future__ import annotations

import msgspec

from schemas import Rejected
from streams.letters import MAX_VALUE_BYTES, message, position

LETTER = Rejected("110", "raw.110", 3, 17, "not_json", "line 1", b'\xff\x00{"', 5, b"k\xff")


def test_a_letter_is_json_that_gives_every_byte_back() -> None:
    value, key = message(LETTER)
    assert key == position(LETTER) == b"raw.110/3/17"
    assert msgspec.json.decode(value, type=Rejected) == LETTER


def test_one_that_no_message_can_hold_goes_without_its_bytes_and_says_so() -> None:
    huge = msgspec.structs.replace(LETTER, raw=b"x" * (MAX_VALUE_BYTES * 3 // 4))
    value, _ = message(huge)
    assert len(value) < 1000
    told = msgspec.json.decode(value, type=Rejected)
    assert (told.raw, told.offset, told.reason) == (b"", 17, "not_json")
    assert told.detail == f"line 1 (its {len(huge.raw)} bytes are in the database only)"
    fits = msgspec.structs.replace(LETTER, raw=b"x" * (MAX_VALUE_BYTES * 3 // 4 - 1000))
    assert MAX_VALUE_BYTES - 2000 < len(message(fits)[0]) <= MAX_VALUE_BYTES
