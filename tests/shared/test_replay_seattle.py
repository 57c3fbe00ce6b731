"""65,486 real emergency calls, dirty on purpose: every number of the run is that of an independent recount."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recount import cells, tables
from tests.recount.agree import hold
from tests.recount.runs import Run, replay
from tests.recount.sources import backward, rows, seattle

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def calls(shared: Path) -> Path:
    return shared / "data" / "seattle_fire911" / "calls.csv.gz"


@pytest.fixture(scope="module")
def run(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return replay(tmp_path_factory.mktemp("seattle") / "db", calls, "seattle_fire911")


def test_every_number_is_that_of_the_recount(run: Run, calls: Path) -> None:
    frame = hold(run, seattle(calls), "UTC", cells.regular, ["id"])
    assert (run.summary["read"], run.summary["duplicates"], run.summary["unlocated"]) == (65_486, 52, 205)
    assert frame.lon.isna().sum() == 205


def test_rows_that_step_back_in_time_are_not_lost(run: Run, calls: Path) -> None:
    assert backward(calls) == 1_122
    (stored,) = run.read(tables.SIGNALS)
    assert set(stored.signal_id) == {f"110:{row['Incident Number']}" for row in rows(calls)}
    assert run.summary["late"] == 0


def test_the_addresses_with_most_calls_are_on_the_repeat_list(run: Run) -> None:
    signals, listed = run.read(tables.SIGNALS, tables.REPEATS)
    calls = signals.groupby("place_key").size()
    for address, least in (("517 3rd av", 588), ("318 2nd av et s", 480), ("1811 eastlake av", 326)):
        assert calls[f"a:{address}"] >= least  # and a few that write it otherwise
        assert f"a:{address}" in set(listed.place_key)


def test_other_batches_give_the_same_result(run: Run, calls: Path, tmp_path: Path) -> None:
    again = replay(tmp_path / "db", calls, "seattle_fire911", "--batch", "1000")
    assert again.summary["result_hash"] == run.summary["result_hash"]
