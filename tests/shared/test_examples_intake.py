"""The example mappings on the real files, against a reading of the same files with pandas."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from schemas import Rejected, Signal
from schemas.sources import load_mapping
from streams.files import read_batches
from streams.rooms.intake import Intake
from streams.settings import Intake as Settings

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = 1_772_424_000_000

pytestmark = pytest.mark.shared


def taken(name: str, path: Path) -> tuple[list[Signal], list[Rejected]]:
    mapping = load_mapping(EXAMPLES / f"{name}.toml")
    room = Intake({name: mapping}, Settings(), b"key")
    signals: list[Signal] = []
    rejected: list[Rejected] = []
    for batch in read_batches(path, name, mapping, 5000, NOW):
        some, _, refused = room.step(batch)
        signals += some
        rejected += refused
    return signals, rejected


def ms(times: pd.Series) -> list[int]:
    return [int(at.value) // 1_000_000 for at in times]


def test_seattle(shared: Path) -> None:
    path = shared / "data/seattle_fire911/calls.csv.gz"
    signals, rejected = taken("seattle_fire911", path)
    truth = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert (len(signals), rejected) == (65_486, [])
    assert [signal.id for signal in signals] == [f"seattle_fire911:{no}" for no in truth["Incident Number"]]
    assert sum(signal.x is None and signal.y is None for signal in signals) == 205
    assert [signal.y for signal in signals] == [float(lat) if lat else None for lat in truth["Latitude"]]
    assert [signal.x for signal in signals] == [float(lon) if lon else None for lon in truth["Longitude"]]
    assert [signal.address for signal in signals] == [address.strip() for address in truth["Address"]]
    assert Counter(signal.category.replace("／", "/") for signal in signals) == Counter(truth["Type"].str.strip())
    times = pd.to_datetime(truth["Datetime"], format="%m/%d/%Y %I:%M:%S %p %z", utc=True)
    assert [signal.occurred_at_ms for signal in signals] == ms(times)


def test_chicago(shared: Path) -> None:
    path = shared / "data/chicago_crimes/crimes.csv.gz"
    signals, rejected = taken("chicago_crimes", path)
    truth = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert (len(signals), rejected) == (25_000, [])
    assert [signal.x for signal in signals] == [float(lon) for lon in truth["longitude"]]
    assert Counter(signal.category.split("/")[0] for signal in signals) == Counter(truth["primary_type"])
    assert [("domestic" in signal.flags) for signal in signals] == [mark == "TRUE" for mark in truth["domestic"]]
    wall = pd.to_datetime(truth["date"], format="%m/%d/%Y %H:%M")
    # pandas knows no first of two hours: True says summer time for all
    every = pd.Series(True, index=wall.index).to_numpy()
    utc = wall.dt.tz_localize("America/Chicago", ambiguous=every, nonexistent="shift_forward").dt.tz_convert("UTC")
    assert [signal.occurred_at_ms for signal in signals] == ms(utc)


def test_montgomery(shared: Path) -> None:
    path = shared / "data/montgomery_911/calls.csv.gz"
    signals, rejected = taken("montgomery_911", path)
    truth = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert (len(signals), rejected) == (9_226, [])
    found = truth["desc"].str.extract(r"(\d{4}-\d\d-\d\d) @ (\d\d:\d\d:\d\d)")
    event = (found[0] + " " + found[1]).fillna(truth["timeStamp"])
    local = pd.to_datetime(event).dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    assert [signal.occurred_at_ms for signal in signals] == ms(local)
    delays = [(signal.reported_at_ms - signal.occurred_at_ms) / 1000 for signal in signals]
    assert sum(delay >= 0 for delay in delays) > 0.99 * len(delays)
    assert 200 < sum(delays) / len(delays) < 280
    assert {signal.category.split("/")[0] for signal in signals} == {"EMS", "Fire", "Traffic"}


def test_message_board(shared: Path) -> None:
    path = shared / "data/message_board/messages.csv.gz"
    signals, rejected = taken("message_board", path)
    truth = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert (len(signals), rejected) == (4_326, [])
    assert [signal.id for signal in signals] == [f"message_board:{no}" for no in truth["留言编号"]]
    assert {("/" in at) for at in truth["留言时间"]} == {True, False}
    wall = pd.to_datetime(truth["留言时间"].str.replace("/", "-"), format="mixed")
    assert [signal.occurred_at_ms for signal in signals] == ms(
        wall.dt.tz_localize("Asia/Shanghai").dt.tz_convert("UTC")
    )
    assert len({signal.reporter for signal in signals}) == truth["留言用户"].nunique()
    assert all(title.strip() in signal.text for title, signal in zip(truth["留言主题"], signals, strict=True))
