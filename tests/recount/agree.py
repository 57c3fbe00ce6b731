"""The recount of a run held against its tables: every number of every row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from tests.recount import tables
from tests.recount.incidents import incidents, summary
from tests.recount.panes import COUNTS, KEY, panes
from tests.recount.places import place_key
from tests.recount.repeats import repeats
from tests.recount.runs import Run
from tests.recount.sources import Signals

PANE_MS = 15 * 60_000
CLUSTER = ["opened_ms", "incidents", "messages", "first_ms", "last_ms"]


def hold(
    run: Run, found: Signals, zone: str, cells: Callable[[pd.DataFrame], pd.DataFrame], match: list[str]
) -> pd.DataFrame:
    """Assert that the run's summary and tables are those of the recount; returns the recounted signals.

    `match`: columns that tell which stored signal a recounted one is (its id, or what the id is a hash of).
    """
    stored, kept, counted, listed = run.read(tables.SIGNALS, tables.INCIDENTS, tables.PANES, tables.REPEATS)
    frame = _same_signals(found, stored, match)
    frame["place"] = list(map(place_key, frame.address, frame.lon, frame.lat))
    frame["incident"] = incidents(frame)
    codes = cells(frame)

    said = run.summary
    assert said["read"] == found.read == said["signals"] + said["duplicates"] + said["revisions"]
    assert (said["duplicates"], said["revisions"]) == (found.duplicates, found.revisions)
    assert (said["rejected"], said["late"]) == ({}, 0)
    assert said["unlocated"] == (codes == "").all(axis=1).sum()
    assert said["signals"] == len(frame) == len(stored)

    _same_places(frame)
    _same_incidents(frame, kept)
    assert said["incidents"] == frame.incident.nunique()
    _same_codes(frame, codes)
    _same_panes(panes(frame, codes, zone), counted)
    newest = int(frame.at_ms.max())
    clusters, total = repeats(frame, newest - newest % PANE_MS + PANE_MS)
    assert said["repeat_clusters"] == total == len(listed)
    assert _rows(listed[listed.state == "open"], CLUSTER) == _rows(clusters, CLUSTER)
    return frame


def _same_signals(found: Signals, stored: pd.DataFrame, match: list[str]) -> pd.DataFrame:
    """Every signal stands in the table once, with what its source said of it."""
    theirs = stored.rename(columns={"summary": "text"}).assign(id=stored.signal_id.str.removeprefix("110:"))
    joined = found.frame.assign(source="110").merge(
        theirs, on=match, how="outer", suffixes=("", "_stored"), indicator=True
    )
    assert (joined._merge == "both").all(), joined[joined._merge != "both"]
    assert joined.signal_id.is_unique
    for column in ("at_ms", "reported_ms", "category", "address"):
        if column not in match:
            wrong = joined[joined[column] != joined[f"{column}_stored"]]
            assert wrong.empty, wrong[[column, f"{column}_stored"]]
    for column in ("lon", "lat"):
        pd.testing.assert_series_equal(joined[column], joined[f"{column}_stored"], check_names=False)
    assert ((joined.quality == "unlocated") == joined.lon.isna()).all()
    return joined.assign(id=joined.signal_id)


def _same_places(frame: pd.DataFrame) -> None:
    """The two keys name the same places: one of ours is one of theirs."""
    pairs = frame[["place", "place_key"]].drop_duplicates()
    assert pairs.place.is_unique
    assert pairs.place_key.is_unique
    assert (pairs.place_key[pairs.place == ""] == "").all()


def _same_incidents(frame: pd.DataFrame, kept: pd.DataFrame) -> None:
    """One incident of ours is one of theirs, opened by the same signal, with the same sums."""
    pairs = frame[["incident", "incident_id"]].drop_duplicates()
    assert pairs.incident.is_unique
    assert pairs.incident_id.is_unique
    assert ((frame.opens == 1) == (frame.incident == frame.id)).all()
    ours = summary(frame).join(pairs.set_index("incident")).set_index("incident_id").sort_index()
    theirs = kept[kept.state == "open"].set_index("incident_id").sort_index()
    assert ours.index.equals(theirs.index)
    for column in ("opened_ms", "last_ms", "messages", "category"):
        assert ours[column].tolist() == theirs[column].tolist(), column
    assert ours.sources.map(list).tolist() == theirs.sources.map(list).tolist()
    if "reporter" in frame and (frame.reporter != "").any():
        assert ours.reporters.tolist() == theirs.reporters.tolist()


def _same_codes(frame: pd.DataFrame, codes: pd.DataFrame) -> None:
    theirs = {"unit": "unit_cell", "street": "street", "district": "district"}
    for layer in codes.columns:
        wrong = frame[codes[layer] != frame[theirs[layer]]]
        assert wrong.empty, wrong[["lon", "lat", theirs[layer]]]


def _same_panes(ours: pd.DataFrame, stored: pd.DataFrame) -> None:
    """Every row of `grid_counts`; rows from which everything has moved away are all zeros."""
    theirs = stored.set_index(KEY)[COUNTS].astype("int64").sort_index()
    empty = theirs[theirs.messages == 0]
    assert (empty == 0).all(axis=None)
    pd.testing.assert_frame_equal(ours.astype("int64"), theirs[theirs.messages > 0], check_index_type=False)


def _rows(frame: pd.DataFrame, columns: list[str]) -> list[Any]:
    return sorted(frame[columns].astype("int64").itertuples(index=False, name=None)) if len(frame) else []
