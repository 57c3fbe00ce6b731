"""Times as sources write them, against the standard library where it can read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sources.faults import Faults, Refused
from schemas.sources.times import Times

SHANGHAI, NEW_YORK = "Asia/Shanghai", "America/New_York"
EVENT = 1_772_409_601_000  # 2026-03-02 08:00:01 in Shanghai


@pytest.mark.parametrize(
    ("text", "formats", "ms"),
    [
        ("2026-03-02 08:00:01", ["iso"], EVENT),
        ("2026-03-02T08:00:01", ["iso"], EVENT),
        ("2026-03-02T00:00:01Z", ["iso"], EVENT),
        ("2026-03-02T08:00:01.250+08:00", ["iso"], EVENT + 250),
        ("2026-03-02T08:00", ["iso"], EVENT - 1000),
        ("2026-03-02T08:00+08:00", ["iso"], EVENT - 1000),
        ("2026-03-02T08:00:01,5Z", ["iso"], EVENT + 8 * 3_600_000 + 500),
        ("2026-03-02T05:30:01.123456+05:30", ["iso"], EVENT + 123),
        ("2026-03-02", ["iso"], EVENT - 8 * 3_600_000 - 1000),
        ("2026/3/2 8:00:01", ["iso", "%Y/%m/%d %H:%M:%S"], EVENT),
        ("2026-03-02 08:00:01", ["%Y/%m/%d %H:%M:%S", "iso"], EVENT),
        ("20260302080001", ["%Y%m%d%H%M%S"], EVENT),
        ("2026年3月2日 上午8:00:01", ["%Y年%m月%d日 %p%I:%M:%S"], EVENT),
        ("03/02/2026 12:00:01 AM +0000", ["%m/%d/%Y %I:%M:%S %p %z"], EVENT),
        ("2 March 26, 8:00:01.5", ["%d %b %y, %H:%M:%S.%f"], EVENT + 500),
        ("1772409601", ["epoch_s"], EVENT),
        ("1772409601.25", ["epoch_s"], EVENT + 250),
        ("1772409601000", ["epoch_ms"], EVENT),
        ("1772409601", ["iso", "epoch_s"], EVENT),
    ],
)
def test_times_are_read(text: str, formats: list[str], ms: int) -> None:
    assert Times(SHANGHAI, formats).parse(text) == ms


@pytest.mark.parametrize(
    ("text", "formats", "reason"),
    [
        ("2026-02-30 08:00:00", ["iso"], "bad_time"),
        ("2026/3/2 8:05:09:00", ["iso", "%Y/%m/%d %H:%M:%S"], "bad_time"),
        ("03/02/2026 13:00:00 PM", ["%m/%d/%Y %I:%M:%S %p"], "bad_time"),
        ("03/02/2026 08:60:00", ["%m/%d/%Y %H:%M:%S"], "bad_time"),
        ("2026/2/30", ["%Y/%m/%d"], "bad_time"),
        ("20260302", ["iso"], "bad_time"),
        ("1e9", ["epoch_s"], "bad_time"),
        ("inf", ["epoch_s"], "not_finite"),
        ("0000-00-00 00:00:00", ["iso"], "time_too_old"),
    ],
)
def test_what_is_no_time_is_refused(text: str, formats: list[str], reason: str) -> None:
    with pytest.raises(Refused) as caught:
        Times(SHANGHAI, formats).parse(text)
    assert caught.value.reason == reason


def test_an_hour_that_comes_twice_is_the_first_and_one_that_never_comes_is_read_on() -> None:
    times = Times(NEW_YORK, ["%Y-%m-%d %H:%M", "iso"])
    assert times.parse("2015-11-01 01:30") == 1_446_355_800_000  # 05:30 UTC, still summer time
    assert times.parse("2015-03-08 02:30") == times.parse("2015-03-08 03:30")
    half = Times("Australia/Lord_Howe", ["%Y-%m-%d %H:%M:%S"])  # clocks go back half an hour, inside an hour
    for text in ("2026-04-05 01:10:00", "2026-04-05 01:40:59", "2026-04-05 02:10:00"):
        wall = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Australia/Lord_Howe"))
        assert half.parse(text) == wall.timestamp() * 1000


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),
    st.sampled_from([SHANGHAI, NEW_YORK, "Europe/London", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%Y-%m-%dT%H:%M:%S.%f", "%Y/%m/%d %H:%M"]),
)
def test_formats_agree_with_the_standard_library(moment: datetime, zone: str, form: str) -> None:
    text = moment.strftime(form)
    wall = datetime.strptime(text, form).replace(tzinfo=ZoneInfo(zone))
    expected = (wall.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000 // 1
    assert Times(zone, [form]).parse(text) == expected


SPELLINGS = ["2026-03-02 08:00:01", "2026-03-02T00:00:01Z", "", "x", "2026/3/2 8:05:09", "2026-03-02T08:00:01.25+08:00"]
ODD = [
    "2026-03-02T08:00:60",
    "2026-03-02T08:00:01.5",
    "2026-03-02T08:00:01+25:00",
    "2026-03-02T08:00+0800",
    "2026-03-02",
]


@given(st.lists(st.sampled_from(SPELLINGS), max_size=4) | st.lists(st.sampled_from(SPELLINGS + ODD)))
def test_a_column_is_each_of_its_cells(texts: list[str]) -> None:
    formats = ["iso", "%Y/%m/%d %H:%M:%S"]
    expected, wrong = [], set()
    for index, text in enumerate(texts):
        try:
            expected.append(Times(SHANGHAI, formats).parse(text) if text else None)
        except Refused:
            expected.append(None)
            wrong.add(index)
    faults: Faults = {}
    assert Times(SHANGHAI, formats).column(texts, "at", faults) == expected
    assert set(faults) == wrong
