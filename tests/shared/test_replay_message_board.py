"""4,326 residents' messages as 12345 tickets: two date formats, no coordinate, no order."""

from __future__ import annotations

import csv
import gzip
import io
import random
from pathlib import Path

import pandas as pd
import pytest

from tests.recount import tables
from tests.recount.agree import hold
from tests.recount.runs import Run, replay
from tests.recount.sources import message_board

pytestmark = pytest.mark.shared

#: without a secret the key of the residents' hashes is made of the file itself, and a shuffled file is another one
SECRET = {"QUANYU__INTAKE__CALLER_KEY": "of this test"}


@pytest.fixture(scope="module")
def messages(shared: Path) -> Path:
    return shared / "data" / "message_board" / "messages.csv.gz"


@pytest.fixture(scope="module")
def run(messages: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return replay(tmp_path_factory.mktemp("messages") / "db", messages, "message_board", environment=SECRET)


def nowhere(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame("", index=frame.index, columns=["unit", "street", "district"])


def test_every_number_is_that_of_the_recount(run: Run, messages: Path) -> None:
    frame = hold(run, message_board(messages), "Asia/Shanghai", nowhere, ["id"])
    assert len(frame) == 4_326
    assert run.summary["signals"] == run.summary["unlocated"] == 4_326


def test_residents_are_stored_as_hashes_only(run: Run, messages: Path) -> None:
    found = message_board(messages).frame
    (stored,) = run.read(tables.SIGNALS)
    ids = found.assign(signal_id="110:" + found.id)[["signal_id", "reporter"]]
    pairs = ids.merge(stored, on="signal_id", suffixes=("_clear", ""))[["reporter_clear", "reporter"]].drop_duplicates()
    assert len(pairs) == pairs.reporter_clear.nunique() == pairs.reporter.nunique()
    assert not set(pairs.reporter_clear) & set(pairs.reporter)


def test_shuffled_the_result_is_the_same(run: Run, messages: Path, tmp_path: Path) -> None:
    text = gzip.decompress(messages.read_bytes()).decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    random.Random(3).shuffle(rows)
    shuffled = tmp_path / "shuffled.csv"
    with shuffled.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    other = replay(tmp_path / "db", shuffled, "message_board", environment=SECRET)
    assert other.summary["result_hash"] == run.summary["result_hash"]
