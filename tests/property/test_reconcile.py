"""Whatever comes beyond the horizon: after the reconcile every number is that of a recount as if nothing had been late.

on time  |== two days ==|                          any order, any revisions
late                       ... eight days later    more revisions, moves, withdrawals, signals never seen before
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from schemas import Located
from sinks.clickhouse import ClickHouseSink, connect, migrate
from sinks.clickhouse.stored import digest
from streams.windows import MINUTE_MS
from tests.beyond import NOW, lived, reconciled, store
from tests.build import DAY0, LAYERS, signal
from tests.clickhouse import ZONE, Where, empty, fresh_database
from tests.recount import tables
from tests.recount.incidents import incidents, summary
from tests.recount.panes import COUNTS, KEY, panes


@pytest.fixture(scope="module")
def sink(chdb_url: str) -> Iterator[ClickHouseSink]:
    client, name = connect(Where(chdb_url)), fresh_database()
    migrate(client, name, ZONE)
    yield ClickHouseSink(client, name, LAYERS, 10**6, 1e9, lambda: 0.0)
    client.close()


@st.composite
def versions(draw: st.DrawFn, name: int) -> Located:
    """One revision of a signal of the two days; times are few, so that reports meet, at midnight too."""
    minutes = draw(st.sampled_from([600, 1420])) + draw(st.integers(0, 60))
    return signal(
        str(name),
        DAY0 + minutes * MINUTE_MS,
        category=draw(st.sampled_from(["治安/盗窃", "治安/扰民", "治安/盗窃", "交通/事故"])),
        cell=draw(st.sampled_from([None, 0, 1, 7])),
        place=draw(st.sampled_from(["", "甲路1号", "甲路1号", "乙路2号"])),
        revision=draw(st.integers(1, 3)),
        reporter=draw(st.sampled_from(["", "", "r1", "r2"])),
        related=draw(st.sampled_from(["", "", "", "110:0", "110:5", "110:99"])),
        state=draw(st.sampled_from(["", "", "", "withdrawn"])),
    )


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Located], list[Located]]:
    """What comes on time, and what comes late."""
    on_time: list[Located] = []
    late: list[Located] = []
    for name in range(draw(st.integers(2, 10))):
        # one revision says one thing; its first report may move with the event, or stay
        said = {v.signal.revision: v for v in draw(st.lists(versions(name), min_size=1, max_size=3))}
        stays = draw(st.booleans())
        for version in draw(st.permutations(list(said.values()))):
            inner = structs.replace(version.signal, reported_at_ms=DAY0) if stays else version.signal
            (late if draw(st.booleans()) else on_time).append(structs.replace(version, signal=inner))
    return draw(st.permutations(on_time)), draw(st.permutations(late))


def truth(on_time: list[Located], late: list[Located]) -> pd.DataFrame:
    """The newest revision of every signal."""
    newest: dict[str, Located] = {}
    for item in [*on_time, NOW, *late]:
        known = newest.get(item.signal.id)
        if known is None or item.signal.revision > known.signal.revision:
            newest[item.signal.id] = item
    return pd.DataFrame(
        {
            "id": s.id, "at_ms": s.occurred_at_ms, "category": s.category, "source": s.source, "reporter": s.reporter,
            "place": m.place_keys[0] if m.place_keys else "", "related": s.related_id, "state": s.state,
            "unit": m.cells[0], "street": m.cells[1], "district": m.cells[2],
        }
        for m in newest.values() for s in [m.signal]
    )  # fmt: skip


def read(sink: ClickHouseSink, sql: str) -> pd.DataFrame:
    return pd.DataFrame(sink.client.dicts(sql.replace("{run}", sink.database)))


def hold(sink: ClickHouseSink, frame: pd.DataFrame) -> None:
    """Every number stored is that of the recount."""
    stored = read(sink, tables.SIGNALS + " WHERE NOT superseded")
    joined = frame.merge(stored, left_on="id", right_on="signal_id", how="outer", suffixes=("", "_stored"))
    assert len(joined) == len(frame) == len(stored)
    for column in ("at_ms", "category", "reporter", "state"):
        assert joined[column].tolist() == joined[f"{column}_stored"].tolist(), column
    for column, theirs in (("place", "place_key"), ("related", "related_id"), ("unit", "unit_cell")):
        assert joined[column].tolist() == joined[theirs].tolist(), column
    shown = read(sink, "SELECT signal_id, late FROM {run}.v_signals")
    assert sorted(shown.signal_id) == sorted(frame.id) and not shown.late.any()
    counting = joined[joined.state != "withdrawn"].copy()
    joined["incident"] = incidents(counting).reindex(joined.index).fillna("")
    assert ((joined.incident_id != "") == (joined.incident != "")).all()
    counting = joined[joined.incident != ""]
    pairs = counting[["incident", "incident_id"]].drop_duplicates()
    assert pairs.incident.is_unique and pairs.incident_id.is_unique
    assert ((counting.opens == 1) == (counting.incident == counting.id)).all()
    kept = read(sink, tables.INCIDENTS)
    standing = kept[kept.state == "open"].set_index("incident_id") if len(kept) else kept
    assert sorted(standing.index) == sorted(pairs.incident_id)
    if len(counting):
        ours = summary(counting).join(pairs.set_index("incident")).set_index("incident_id").sort_index()
        for column in ("opened_ms", "last_ms", "messages", "reporters", "category"):
            assert ours[column].tolist() == standing.sort_index()[column].tolist(), column
        assert ours.sources.map(list).tolist() == standing.sort_index().sources.map(list).tolist()
    for row in kept.itertuples():
        assert row.state == "open" or row.messages == 0
        assert row.state != "merged" or row.merged_into in set(kept.incident_id)
    counted = read(sink, tables.PANES)
    theirs = counted.set_index(KEY)[COUNTS].astype("int64").sort_index() if len(counted) else pd.DataFrame()
    if len(counting):
        ours = panes(joined, joined[list(LAYERS)], ZONE).astype("int64")
        pd.testing.assert_frame_equal(ours, theirs[theirs.messages > 0], check_index_type=False)
    if len(theirs):
        assert (theirs[theirs.messages == 0] == 0).all(axis=None)
    for table, column in (("signals_by_cell", "unit_cell"), ("signals_by_address", "place_key")):
        places = f"SELECT signal_id, {column}, occurred_at, reported_at, incident_id, version FROM {{run}}"
        copied = sink.client.rows(f"{places}.{table} FINAL ORDER BY ALL".replace("{run}", sink.database))
        own = sink.client.rows(
            f"{places}.signals FINAL WHERE NOT superseded ORDER BY ALL".replace("{run}", sink.database)
        )
        assert copied == own


@settings(max_examples=25, deadline=None)
@given(log=logs(), size=st.integers(1, 4))
def test_a_reconciled_city_is_one_in_which_nothing_was_late(
    sink: ClickHouseSink, log: tuple[list[Located], list[Located]], size: int
) -> None:
    on_time, late = log
    empty(sink.client, sink.database)
    rows = lived(on_time, late, size)
    store(sink, rows)
    reports = reconciled(sink)
    assert not any(report.waiting for report in reports) and not reports[-1].due, reports
    frame = truth(on_time, late)
    hold(sink, frame)

    # a second time there is nothing to do
    before = digest(sink.client, sink.database)
    again = reconciled(sink)
    assert [(r.new, r.moved, r.withdrawn, r.signals, r.incidents, r.copies, r.panes) for r in again] == [(0,) * 7] * 2
    assert digest(sink.client, sink.database) == before

    # a worker that starts anew folds the log again and writes all of it once more: nothing moves back
    store(sink, rows)
    assert digest(sink.client, sink.database) == before
    hold(sink, frame)
