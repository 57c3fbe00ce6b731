"""9,226 calls to Montgomery County's 911, reported up to three hours after the event; several calls, one incident."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.recount import cells
from tests.recount.agree import hold
from tests.recount.runs import Run, replay
from tests.recount.sources import montgomery

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def calls(shared: Path) -> Path:
    return shared / "data" / "montgomery_911" / "calls.csv.gz"


@pytest.fixture(scope="module")
def run(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return replay(tmp_path_factory.mktemp("montgomery") / "db", calls, "montgomery_911")


@pytest.fixture(scope="module")
def recounted(run: Run, calls: Path) -> pd.DataFrame:
    return hold(run, montgomery(calls), "America/New_York", cells.regular, ["text", "category", "reported_ms"])


def test_every_number_is_that_of_the_recount(recounted: pd.DataFrame) -> None:
    assert len(recounted) == 9_226


def test_several_calls_of_one_incident_become_one(recounted: pd.DataFrame) -> None:
    # one crash in three townships' words, and a second crash on the same crossing minutes later
    crash = recounted[recounted.place == "crossing fitzwatertown rd and moreland rd"]
    crash = crash[crash.text.str.contains("2015-12-22 @ 14:")]
    assert len(crash) == 3
    assert crash.incident_id.nunique() == 1
    # what a person would call one incident: same minute, same address, same kind
    same = recounted[recounted.place != ""].assign(
        minute=recounted.at_ms // 60_000, kind=recounted.category.str.split("/").str[0]
    )
    assert same.groupby(["place", "minute", "kind"]).incident_id.nunique().max() == 1
    assert recounted.incident_id.nunique() < len(recounted) - 300


def test_calls_are_filed_by_the_time_of_the_event(recounted: pd.DataFrame) -> None:
    delay = recounted.reported_ms - recounted.at_ms
    assert delay.mean() / 1000 == pytest.approx(239, abs=1)
    assert delay.max() / 3_600_000 == pytest.approx(3, abs=0.02)
    assert delay.min() >= 2_000
