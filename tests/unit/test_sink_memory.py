"""The sink in memory refuses what a database cannot notice: a row whose key has changed."""

from __future__ import annotations

import msgspec
import pytest

from schemas.rows import Rows
from sinks.memory import MemorySink
from tests.clickhouse import DAY0, alert, change, hotspot, incident, late, member, pane, repeat

CHANGED = {
    "reported_at_ms": Rows(DAY0, members=[change(member("1", DAY0, 2, reported_ms=DAY0 + 1))]),
    "incident i1: opened_at_ms": Rows(DAY0, incidents=[incident("i1", 2, opened_ms=DAY0 + 1)]),
    "hot spot h1: opened_at_ms": Rows(DAY0, hotspots=[hotspot("h1", 2, opened_ms=DAY0 + 1)]),
    "repeat cluster r1: opened_at_ms": Rows(DAY0, repeats=[repeat("r1", 2, opened_ms=DAY0 + 1)]),
    "alert a1: opened_at_ms": Rows(DAY0, alerts=[alert("a1", 2, opened_ms=DAY0 + 1)]),
}


@pytest.mark.parametrize("message", CHANGED)
def test_a_key_that_changes_is_a_bug(message: str) -> None:
    sink = MemorySink()
    sink.write(
        Rows(
            DAY0,
            members=[change(member("1", DAY0))],
            incidents=[incident("i1")],
            hotspots=[hotspot("h1")],
            repeats=[repeat("r1")],
            alerts=[alert("a1")],
        )
    )
    with pytest.raises(ValueError, match=message):
        sink.write(CHANGED[message])


def test_what_it_keeps() -> None:
    sink = MemorySink()
    newest = member("1", DAY0, 2, cell="u2")
    sink.write(Rows(DAY0, members=[change(newest, member("1", DAY0))], panes=[pane("u1", DAY0, 2, 7)]))
    sink.write(Rows(DAY0, members=[change(member("1", DAY0))], panes=[pane("u1", DAY0, 1, 3)], late=[late("1", DAY0)]))
    assert sink.members == {"110:1": newest}
    assert [row.messages for row in sink.panes.values()] == [7]
    sink.write(Rows(DAY0, hotspots=[hotspot("h1"), hotspot("h1", 2, "closed")]))
    assert [row.state for row in sink.hotspots["h1"].values()] == ["open", "closed"]


def test_rows_know_how_many_they_are() -> None:
    rows = Rows(DAY0, members=[change(member("1", DAY0))], alerts=[alert("a"), alert("b")])
    assert len(rows) == 3
    assert len(msgspec.structs.replace(rows, alerts=[])) == 1
