"""intake: what each kind of bad record is refused for, what a good one becomes, and that batches do not matter."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from schemas import UNDECLARED, RawBatch, Rejected, Signal, UsageError
from schemas.sources import load_mapping
from schemas.sources.faults import REASONS
from streams.rooms.intake import SLICE, Intake
from streams.settings import Intake as Settings

KEY = b"a key of the test"
#: 2026-03-02 12:00 in Shanghai
NOW = 1_772_424_000_000
EVENT = 1_772_409_601_000  # 2026-03-02 08:00:01 in Shanghai

CALL: dict[str, Any] = {
    "jjdbh": "JJ20260302080001234567",
    "gxsj": "2026-03-02 08:03:11",
    "bjsj": "2026-03-02 08:00:01",
    "jjsj": "2026-03-02 08:00:09",
    "bjlbdm": "010203",
    "bjnr": "报警称电话13812345678的人入室盗窃",
    "sfdz": "示范市东城区人民路120号3幢402室",
    "jd": 121.473701,
    "wd": "31.230416",
    "zbx": "GCJ02",
    "bjdh": "13812345678",
    "jjdj": 2,
    "glzjjdbh": "",
    "cfbjlx": "",
    "sfbm": "0",
    "sfwx": "0",
    "hbzt": "0",
    "hbjjdbh": "",
    "cxbz": "0",
    "sqq": "1",
    "swp": "0",
    "bkry": "0",
    "ryss": "1",
}


def room(source: str = "110", **settings: Any) -> Intake:
    return Intake({source: load_mapping(source)}, Settings(**settings), KEY)


def batch(values: list[bytes], source: str = "110", received: list[int] | None = None) -> RawBatch:
    return RawBatch(source, f"raw.{source}", 3, values, list(range(100, 100 + len(values))), received or [], NOW)


def call(**changes: Any) -> bytes:
    record = {key: value for key, value in {**CALL, **changes}.items() if value is not ...}
    return json.dumps(record, ensure_ascii=False).encode()


def one(value: bytes, source: str = "110", **settings: Any) -> Signal | Rejected:
    signals, offsets, rejected = room(source, **settings).step(batch([value], source))
    assert len(signals) == len(offsets)
    only: list[Signal | Rejected] = [*signals, *rejected]
    assert len(only) == 1
    return only[0]


BAD: list[tuple[str, bytes, str]] = [
    ("empty_record", b"", "no content"),
    ("empty_record", b" \r\n\t", "no content"),
    ("oversized_record", call(bjnr="x" * 1_000_001), "1000000"),
    ("not_utf8", b'{"jjdbh": "\xff\xfe"}', "byte 11"),
    ("not_utf8", call().replace(b'"jjdbh": "JJ', b'"jjdbh": "\\ud800'), "jjdbh"),
    ("not_json", b'{"jjdbh": ', "Expecting value"),
    ("not_json", call() + b"}", "Extra data"),
    ("not_json", b'{"jjdbh":' + b"[" * 100_000, ""),
    ("not_json", b'{"other":' + b"[" * 100_000, ""),
    ("not_json", b'{"jjdbh":' + b"9" * 5000 + b"}", "digits"),
    ("not_an_object", b"[1, 2]", "[1, 2]"),
    ("not_an_object", b"null", ""),
    ("not_an_object", b'"text"', "text"),
    ("missing_field", call(jjdbh=...), "jjdbh"),
    ("missing_field", call(jjdbh="  "), "jjdbh"),
    ("missing_field", call(bjsj=None), "bjsj"),
    ("missing_field", call(wd=None), "wd"),
    ("wrong_type", call(jjdbh={"no": 1}), "jjdbh"),
    ("wrong_type", call(bjnr=["a", ["b"]]), "bjnr"),
    ("wrong_type", call(jd="east"), "jd: 'east'"),
    ("wrong_type", call(jd=True), "jd"),
    ("wrong_type", call(jd="121_4"), "jd"),
    ("not_finite", call(jd=float("nan")), "jd"),
    ("not_finite", call(wd="-Infinity"), "wd"),
    ("not_finite", call().replace(b"121.473701", b"1e999"), "jd"),
    ("bad_time", call(bjsj="yesterday"), "bjsj: 'yesterday'"),
    ("bad_time", call(bjsj="2026-02-30 08:00:00"), "bjsj"),
    ("bad_time", call(gxsj="08:00"), "gxsj"),
    ("time_too_old", call(bjsj="0000-00-00 00:00:00"), "bjsj"),
    ("time_too_old", call(bjsj="1970-01-01 08:00:00"), "bjsj"),
    ("time_in_future", call(jjsj="2026-03-03 12:00:01"), "jjsj"),
    ("time_in_future", call(bjsj="9999-12-31 23:59:59"), "bjsj"),
    ("coordinates_out_of_range", call(jd=2.35, wd=48.85), "jd, wd: (2.35, 48.85)"),
    ("coordinates_out_of_range", call(jd=1214737.0), "jd, wd"),
    ("coordinates_swapped", call(jd=31.23, wd=121.47), "jd, wd: (31.23, 121.47)"),
    ("unknown_datum", call(zbx="MARS2000"), "zbx: 'MARS2000'"),
]


@pytest.mark.parametrize(("reason", "raw", "detail"), BAD, ids=[f"{n}-{row[0]}" for n, row in enumerate(BAD)])
def test_a_bad_record_is_refused_with_its_reason_bytes_and_position(reason: str, raw: bytes, detail: str) -> None:
    refused = one(raw)
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.raw, refused.offset, refused.topic, refused.partition) == (
        reason,
        raw,
        100,
        "raw.110",
        3,
    )
    assert detail in refused.detail
    assert refused.received_at_ms == NOW


def test_every_reason_has_a_case() -> None:
    assert {row[0] for row in BAD} | {"not_csv"} == set(REASONS)


def test_a_call_becomes_a_signal() -> None:
    signal = one(call())
    assert signal == Signal(
        id="110:JJ20260302080001234567",
        source="110",
        revision=1_772_409_791_000,
        occurred_at_ms=EVENT,
        reported_at_ms=EVENT + 8000,
        received_at_ms=EVENT + 8000,
        category="治安/盗窃/入室盗窃",
        category_code="010203",
        text="报警称电话138****5678的人入室盗窃",
        x=121.473701,
        y=31.230416,
        datum="gcj02",
        address="示范市东城区人民路120号3幢402室",
        reporter=hmac.new(KEY, b"13812345678", hashlib.sha256).hexdigest()[:16],
        severity=3,
        flags=("injured", "weapon"),
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"bjlbdm": "010299"}, {"category": "治安/盗窃", "category_code": "010299"}),  # longest known prefix
        ({"bjlbdm": "990101"}, {"category": "unknown", "flags": ("injured", "unknown_category", "weapon")}),
        ({"bjlbdm": None}, {"category": "unknown", "category_code": ""}),
        ({"bjlbdm": ["01", "02"]}, {"category": "治安", "category_code": "01/02"}),
        ({"gxsj": ""}, {"revision": UNDECLARED}),
        ({"jjsj": None}, {"reported_at_ms": EVENT}),
        ({"bjsj": "2026-03-02T00:00:01Z"}, {"occurred_at_ms": EVENT}),
        ({"jd": None, "wd": ""}, {"x": None, "y": None}),
        ({"jd": 0, "wd": "0.0"}, {"x": None, "y": None}),
        ({"jd": "", "wd": "", "zbx": "?"}, {"x": None, "datum": "gcj02"}),
        ({"zbx": "WGS-84"}, {"datum": "wgs84"}),
        ({"zbx": ""}, {"datum": "gcj02"}),
        ({"bjdh": "+86 138-1234-5678"}, {"reporter": hmac.new(KEY, b"13812345678", "sha256").hexdigest()[:16]}),
        ({"bjdh": 13812345678}, {"reporter": hmac.new(KEY, b"13812345678", "sha256").hexdigest()[:16]}),
        ({"bjdh": "匿名"}, {"reporter": ""}),
        ({"jjdj": "9"}, {"severity": 0}),
        ({"glzjjdbh": "JJ1"}, {"relation": "parent", "related_id": "110:JJ1"}),
        ({"glzjjdbh": "JJ1", "cfbjlx": "2"}, {"relation": "chase_up", "related_id": "110:JJ1"}),
        ({"cfbjlx": 4}, {"relation": "nuisance", "related_id": ""}),
        (
            {"hbzt": "1", "hbjjdbh": "JJ9", "glzjjdbh": "JJ1"},
            {"relation": "merged", "related_id": "110:JJ9", "state": "merged"},
        ),
        ({"hbjjdbh": "JJ9"}, {"relation": "", "state": ""}),
        ({"cxbz": "1", "hbzt": "1"}, {"state": "withdrawn"}),
        ({"sfbm": "是", "sfwx": True, "sqq": "否", "ryss": False}, {"flags": ("invalid", "secret")}),
        ({"sfdz": "人民路1号 身份证110105199003070123"}, {"address": "人民路1号 身份证110105********0123"}),
    ],
)
def test_fields_of_a_call(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    signal = one(call(**changes))
    assert isinstance(signal, Signal), signal
    assert {name: getattr(signal, name) for name in expected} == expected


def test_a_ticket_becomes_a_signal() -> None:
    ticket = {
        "ticket_no": "SZ2026030200012345",
        "version": 2,
        "accept_time": "2026/3/2 8:05:09",
        "caller": {"phone": "13812345678", "name": "李*"},
        "title": "占道经营",
        "content": "人民路菜场门口",
        "category": ["城市管理", "市容环境", "占道经营"],
        "category_code": "",
        "address": "",
        "location": None,
        "urgency": "特急",
        "related": {"ticket_no": "SZ1", "type": "催办"},
        "status": "撤销",
    }
    signal = one(json.dumps(ticket, ensure_ascii=False).encode(), "12345")
    assert isinstance(signal, Signal), signal
    assert signal.id == "12345:SZ2026030200012345"
    assert (signal.revision, signal.occurred_at_ms) == (2, EVENT + 308_000)
    assert (signal.category, signal.category_code) == ("城市管理/市容环境/占道经营", "")
    assert signal.text == "占道经营\n人民路菜场门口"
    assert (signal.x, signal.severity, signal.state) == (None, 4, "withdrawn")
    assert (signal.relation, signal.related_id) == ("chase_up", "12345:SZ1")

    placed = ticket | {
        "location": {"lng": 121.4, "lat": 31.2, "crs": "WGS84"},
        "related": "",
        "category_code": "HB0101",
    }
    signal = one(json.dumps(placed).encode(), "12345")
    assert isinstance(signal, Signal), signal
    assert (signal.x, signal.y, signal.category, signal.relation) == (121.4, 31.2, "生态环境/噪声污染/施工噪声", "")

    broken = one(json.dumps(ticket | {"location": [121.4, 31.2]}).encode(), "12345")
    assert isinstance(broken, Rejected)
    assert (broken.reason, broken.detail[:8]) == ("wrong_type", "location")


def test_a_grid_report_becomes_a_signal() -> None:
    report = {
        "taskcode": "2026030200123",
        "rev": 1,
        "reporter_id": "WG0031",
        "event_time": 1772409600,
        "report_time": 1772409660.5,
        "type": "事件",
        "main": "05",
        "sub": "05",
        "x": 121.47,
        "y": 31.23,
        "desc": "车辆乱停",
        "dup_of": "2026030200001",
        "deleted": True,
    }
    signal = one(json.dumps(report).encode(), "grid")
    assert isinstance(signal, Signal), signal
    assert (signal.occurred_at_ms, signal.reported_at_ms) == (1772409600000, 1772409660500)
    assert (signal.category, signal.category_code) == ("事件/街面秩序/机动车乱停放", "事件0505")
    assert (signal.datum, signal.state, signal.relation) == ("cgcs2000", "withdrawn", "repeat")
    for rev in (-1, 1.5, "one", 10**30):
        refused = one(json.dumps(report | {"rev": rev}).encode(), "grid")
        assert isinstance(refused, Rejected)
        assert refused.reason == "wrong_type"


def test_a_sensor_alert_becomes_a_signal() -> None:
    alert = {
        "alertId": "S-000123-20260302T080001",
        "seq": 2,
        "deviceId": "D000123",
        "deviceType": "烟感",
        "metric": "smoke",
        "value": 0.31,
        "unit": "%/m",
        "status": "cleared",
        "raisedAt": "2026-03-02T08:00:01+08:00",
        "sentAt": "2026-03-02T08:00:02.120+08:00",
        "position": {"lon": 121.4, "lat": 31.2, "datum": "WGS84"},
        "install": "示范市人民路1号",
    }
    signal = one(json.dumps(alert).encode(), "sensor")
    assert isinstance(signal, Signal), signal
    assert (signal.occurred_at_ms, signal.reported_at_ms, signal.state) == (EVENT, EVENT, "cleared")
    assert (signal.category, signal.text) == ("火警/烟感告警", "烟感 smoke 0.31 %/m")
    assert signal.reporter == hmac.new(KEY, b"D000123", "sha256").hexdigest()[:16]


def test_times_are_bounded_by_the_broker_the_clock_told_or_the_latest_configured() -> None:
    value = call(bjsj="2026-03-02 12:30:00", jjsj="", gxsj="")
    hour = 3_600_000
    cases: list[tuple[list[int], dict[str, Any], str]] = [
        ([NOW], {"max_ahead_h": 1}, ""),
        ([NOW - hour], {"max_ahead_h": 1}, "time_in_future"),
        ([], {"max_ahead_h": 1}, ""),
        ([NOW], {"latest": "2026-03-02T04:29:59"}, "time_in_future"),
        ([NOW - 100 * hour], {"latest": "2026-03-02T04:30:00"}, ""),
        ([NOW], {"earliest": "2026-03-03"}, "time_too_old"),
    ]
    for received, settings, reason in cases:
        signals, _, rejected = room(**settings).step(batch([value], received=received))
        assert [refused.reason for refused in rejected] == ([reason] if reason else []), (received, settings)
        assert [signal.received_at_ms for signal in signals] == (
            [] if reason else received or [signals[0].reported_at_ms]
        )


def test_the_first_fault_of_a_record_is_told() -> None:
    refused = one(call(bjsj="never", jd=500, zbx="?"))
    assert isinstance(refused, Rejected)
    assert refused.reason == "bad_time"


def test_callers_are_in_no_signal_and_no_detail() -> None:
    refused = one(call(bjsj="13812345678"))
    assert isinstance(refused, Rejected)
    assert "138****5678" in refused.detail
    signal = one(call())
    assert "13812345678" not in repr(signal)


def test_good_and_bad_keep_their_offsets_and_order() -> None:
    values = [call(), b"", call(jjdbh="JJ2"), b"{", call(jjdbh="JJ3", bjsj="x"), call(jjdbh="JJ4")] * SLICE
    signals, offsets, rejected = room().step(batch(values))
    assert offsets == [100 + n for n in range(len(values)) if n % 6 in (0, 2, 5)]
    assert [signal.id[4:] for signal in signals[:3]] == ["JJ20260302080001234567", "JJ2", "JJ4"]
    assert [refused.offset for refused in rejected] == [100 + n for n in range(len(values)) if n % 6 in (1, 3, 4)]
    assert [refused.reason for refused in rejected[:3]] == ["empty_record", "not_json", "bad_time"]


def test_a_json_record_may_begin_with_a_byte_order_mark_and_hold_what_nobody_reads() -> None:
    assert isinstance(one(b"\xef\xbb\xbf" + call()), Signal)
    assert isinstance(one(call(other={"deep": [1, {"a": float("nan")}]})), Signal)


def test_the_room_wants_a_key_a_mapping_and_dates() -> None:
    with pytest.raises(UsageError, match="caller_key"):
        Intake({}, Settings(), b"")
    with pytest.raises(UsageError, match="no mapping for source 'weather'"):
        room().step(batch([b"{}"], "weather"))
    with pytest.raises(UsageError, match=r"intake\.earliest: 'soon' is not a date"):
        room(earliest="soon")
