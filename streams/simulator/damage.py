"""Records broken in every way that intake refuses. A broken record is a damaged copy: the true one comes too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

#: kind of damage = the reason intake gives
Damage = Callable[[str, bytes], bytes]

_OCCURRED = {"110": "bjsj", "12345": "accept_time", "grid": "event_time", "sensor": "raisedAt"}
_ADDRESS = {"110": "sfdz", "12345": "address", "grid": "address", "sensor": "install"}
_FAR = {
    "110": "2099-01-01 00:00:00",
    "12345": "2099/1/1 0:00:00",
    "grid": 4_070_880_000,
    "sensor": "2099-01-01T00:00:00+08:00",
}
_OLD = {
    "110": "0001-01-01 00:00:00",
    "12345": "1900/1/1 0:00:00",
    "grid": -2_208_988_800,
    "sensor": "1900-01-01T00:00:00+08:00",
}
_OVERSIZED = "超长" * 170_000  # 1.02 MB of UTF-8


def _not_utf8(source: str, raw: bytes) -> bytes:
    return raw[:-2] + "编码".encode("gb18030") + raw[-2:]


def _not_json(source: str, raw: bytes) -> bytes:
    text = raw.decode()
    return text[: len(text) // 2].encode()


def _put(raw: bytes, **values: Any) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(raw), **values})


def _point(source: str, raw: bytes, x: Any, y: Any) -> bytes:
    if source == "110":
        return _put(raw, jd=x, wd=y)
    if source == "12345":
        return _put(raw, location={"lng": x, "lat": y, "crs": "WGS84"})
    if source == "grid":
        return _put(raw, x=x, y=y)
    return _put(raw, position={"lon": x, "lat": y, "datum": "WGS84"})


def _missing(source: str, raw: bytes) -> bytes:
    record = msgspec.json.decode(raw)
    del record[_OCCURRED[source]]
    return msgspec.json.encode(record)


DAMAGES: dict[str, Damage] = {
    "not_utf8": _not_utf8,
    "not_json": _not_json,
    "not_an_object": lambda source, raw: b"[" + raw + b"]",
    "empty_record": lambda source, raw: b"",
    "missing_field": _missing,
    "wrong_type": lambda source, raw: _put(raw, **{_ADDRESS[source]: {"text": "示范市"}}),
    "bad_time": lambda source, raw: _put(raw, **{_OCCURRED[source]: "2026-13-45 99:00:00"}),
    "time_in_future": lambda source, raw: _put(raw, **{_OCCURRED[source]: _FAR[source]}),
    "time_too_old": lambda source, raw: _put(raw, **{_OCCURRED[source]: _OLD[source]}),
    "coordinates_out_of_range": lambda source, raw: _point(source, raw, 512.5, 33.0),
    "coordinates_swapped": lambda source, raw: _point(source, raw, 33.01, 115.01),
    "not_finite": lambda source, raw: _point(source, raw, "NaN", "NaN"),
    "oversized_record": lambda source, raw: _put(raw, **{_ADDRESS[source]: _OVERSIZED}),
}
KINDS = tuple(DAMAGES)
#: oversized ones are rare: a megabyte each
KIND_WEIGHTS = tuple(0.005 if kind == "oversized_record" else 0.995 / (len(KINDS) - 1) for kind in KINDS)
