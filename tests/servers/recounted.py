"""A deployment's database held against a recount of what lies on its raw topics."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pandas as pd

from tests.recount import simulated, tables
from tests.recount.incidents import incidents, summary
from tests.recount.panes import COUNTS, KEY, panes
from tests.recount.simulated import ZONE, Record, Recount
from tests.servers.deployment import SOURCES, City, read_topic

TICK = b"quanyu.tick"
#: every row as it was written, copies of it included
ALERTS = """
SELECT alert_id, revision, state, level, subject_kind, subject_id, toUnixTimestamp64Milli(opened_at) AS opened_at,
    toUnixTimestamp64Milli(updated_at) AS updated_at, arrayStringConcat(cells, ' ') AS cells, category, reason
FROM {run}.alerts
"""


def recount(city: City) -> Recount:
    """Everything on the raw topics, read by kafka-python."""
    return simulated.recount(
        Record(source, r.topic, r.partition, r.offset, r.timestamp, r.value or b"")
        for source, topic in zip(SOURCES, city.raw, strict=True)
        for r in read_topic(city.kafka, topic)
        if r.key != TICK
    )


def check(city: City, repeats: bool = True) -> None:
    """Every number is that of the recount, an undisturbed replay of the log gives the same, no alert comes twice."""
    hold(city, recount(city), repeats=repeats)
    once(city)
    live = city.digest()
    run = json.loads(city.ok("replay", "run", "--kafka", "--log", "--json"))
    again = city.digest(run["database"])
    assert again | {"rejected": ""} == live | {"rejected": ""}


def once(city: City) -> None:
    """Assert that each alert has one history: it opens once, its revisions are counted without a gap, a revision that
    was written again says the same, and a subject has one open alert at most."""
    told, *_ = stored(city, ALERTS)
    assert len(told)
    said = told.drop_duplicates()
    assert not said.duplicated(["alert_id", "revision"]).any(), said[said.duplicated(["alert_id", "revision"], False)]
    for alert, history in said.sort_values("revision").groupby("alert_id"):
        assert history.revision.tolist() == list(range(1, len(history) + 1)), alert
        assert history.opened_at.nunique() == 1, alert
        # it opens with its first revision, and what is closed stays closed
        assert history.state.tolist() == sorted(history.state, reverse=True) and history.state.iloc[0] == "open", alert
    last = said.sort_values("revision").groupby("alert_id").last()
    still = last[last.state == "open"]
    assert not still.duplicated(["subject_kind", "subject_id"]).any(), still


def stored(city: City, *queries: str, database: str = "") -> list[pd.DataFrame]:
    """Results of `tables`' queries over the live database, or a run's."""
    with city.client() as client:
        return [pd.DataFrame(client.dicts(sql.replace("{run}", database or city.database))) for sql in queries]


def hold(city: City, found: Recount, database: str = "", repeats: bool = True) -> pd.DataFrame:
    """Assert that every number stored is that of the recount; returns the recounted signals."""
    signals, kept, counted, listed, refused = stored(
        city, tables.SIGNALS, tables.INCIDENTS, tables.PANES, tables.REPEATS, tables.REJECTED, database=database
    )
    bad = {(r.topic, r.partition, r.offset): r.reason for r in refused.itertuples(index=False)}
    assert bad == found.bad
    frame = _same_signals(found.frame, signals)
    codes = simulated.cells(frame, city.folder)
    _same_codes(frame, codes)
    counting = frame[frame.counts]
    frame["incident"] = incidents(counting).reindex(frame.index).fillna("")
    frame["codes"] = codes.ne("").any(axis=1)
    _same_incidents(frame, kept)
    ours = panes(frame, codes, ZONE)
    theirs = counted.set_index(KEY)[COUNTS].astype("int64").sort_index()
    assert (theirs[theirs.messages == 0] == 0).all(axis=None)
    pd.testing.assert_frame_equal(ours.astype("int64"), theirs[theirs.messages > 0], check_index_type=False)
    if repeats:
        _same_repeats(frame, listed)
    return frame


def _same_signals(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Every signal once, as its newest version says."""
    assert theirs.signal_id.is_unique
    joined = ours.merge(
        theirs, left_on="id", right_on="signal_id", how="outer", suffixes=("", "_stored"), indicator=True
    )
    assert (joined._merge == "both").all(), joined[joined._merge != "both"]
    for column in ("source", "at_ms", "category", "address", "state"):
        wrong = joined[joined[column] != joined[f"{column}_stored"]]
        assert wrong.empty, wrong[["id", column, f"{column}_stored"]]
    assert (joined.related == joined.related_id).all()
    for column in ("lon", "lat"):
        near = pd.to_numeric(joined[f"{column}_stored"])
        pd.testing.assert_series_equal(joined[column], near, check_names=False, rtol=0, atol=1e-8)
    assert ((joined.incident_id != "") == joined.counts).all()
    for mine, other in (("place", "place_key"), ("reporter", "reporter_stored")):
        pairs = joined[[mine, other]].drop_duplicates()
        assert pairs[mine].is_unique and pairs[other].is_unique, pairs[pairs[mine].duplicated(keep=False)]
    return joined


def _same_codes(frame: pd.DataFrame, codes: pd.DataFrame) -> None:
    for layer, column in (("unit", "unit_cell"), ("street", "street"), ("district", "district")):
        wrong = frame[codes[layer] != frame[column]]
        assert wrong.empty, wrong[["id", "lon", "lat", column]]


def _same_incidents(frame: pd.DataFrame, kept: pd.DataFrame) -> None:
    counting = frame[frame.counts]
    pairs = counting[["incident", "incident_id"]].drop_duplicates()
    assert pairs.incident.is_unique and pairs.incident_id.is_unique
    assert ((counting.opens == 1) == (counting.incident == counting.id)).all()
    ours = summary(counting).join(pairs.set_index("incident")).set_index("incident_id").sort_index()
    theirs = kept[kept.state == "open"].set_index("incident_id").sort_index()
    assert ours.index.equals(theirs.index)
    for column in ("opened_ms", "last_ms", "messages", "reporters", "category"):
        assert ours[column].tolist() == theirs[column].tolist(), column
    assert ours.sources.map(list).tolist() == theirs.sources.map(list).tolist()
    standing = set(theirs.index)
    ended = kept[kept.state != "open"]
    assert not standing & set(ended.incident_id)
    assert (ended.messages == 0).all()


def _same_repeats(frame: pd.DataFrame, listed: pd.DataFrame, enough: int = 3) -> None:
    """Places with three incidents are on the list, each with its sums; one whose incidents merged may stay with less.

    Holds for a span shorter than what closes a place. The place of an incident is that of its first signal that has
    a cell, or of its first one.
    """
    ordered = frame[frame.counts].sort_values(["at_ms", "id"])
    first = ordered.sort_values("codes", ascending=False, kind="stable").groupby("incident").first()
    plain = ordered.groupby("incident").agg(opened=("at_ms", "min"), messages=("id", "size"))
    plain["place_key"] = first.place_key
    visits = plain[plain.place_key != ""].groupby("place_key")
    sums = visits.agg(incidents=("messages", "size"), messages=("messages", "sum"), first=("opened", "min"))
    theirs = listed[listed.state == "open"].set_index("place_key")
    assert theirs.index.is_unique
    assert set(sums.index[sums.incidents >= enough]) <= set(theirs.index)
    wanted = sums.reindex(theirs.index).fillna(0)
    assert wanted.incidents.astype(int).tolist() == theirs.incidents.tolist()
    assert wanted.messages.astype(int).tolist() == theirs.messages.tolist()


def reasons(found: dict[Any, str], city: City) -> Counter[tuple[str, str]]:
    """Bad records by source and reason."""
    names = dict(zip(city.raw, SOURCES, strict=True))
    return Counter((names[topic], reason) for (topic, _, _), reason in found.items())
