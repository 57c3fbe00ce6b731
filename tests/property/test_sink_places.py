"""A signal stands in one place: whatever moves, and however often it is written, the three orders agree."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Change, Member
from schemas.rows import Rows
from sinks.clickhouse import ClickHouseSink, Client, connect, migrate
from tests.clickhouse import DAY0, HOUR, LAYERS, ZONE, Where, fresh_database, member

MONTH = 31 * 24 * HOUR
CELLS, PLACES, TIMES = ("", "u1", "u2"), ("", "甲路1号", "乙路2号"), (DAY0, DAY0 + 1, DAY0 + MONTH, DAY0 - 14 * MONTH)
_examples = count()


@pytest.fixture(scope="module")
def sink(chdb_url: str) -> Iterator[ClickHouseSink]:
    """One database for all examples: each has signal ids of its own."""
    client, name = connect(Where(chdb_url)), fresh_database()
    migrate(client, name, ZONE)
    yield ClickHouseSink(client, name, LAYERS, 10**6, 1e9, lambda: 0.0)
    client.close()


@st.composite
def lives(draw: st.DrawFn) -> list[Change]:
    """Changes of a few signals that move between cells, places, times and months, mixed with one another."""
    prefix = next(_examples)
    newest: dict[str, Member] = {}
    changes = []
    for _ in range(draw(st.integers(1, 20))):
        name = f"{prefix}/{draw(st.integers(0, 3))}"
        before = newest.get(name)
        after = member(
            name,
            draw(st.sampled_from(TIMES)),
            version=before.version + 1 if before else 1,
            cell=draw(st.sampled_from(CELLS)),
            place=draw(st.sampled_from(PLACES)),
            flags=draw(st.sampled_from([(), ("secret",)])),
        )
        newest[name] = after
        changes.append(Change(before, after))
    return changes


def cut(draw: st.DataObject, changes: list[Change]) -> Iterator[list[Change]]:
    """The changes from some point on, in batches cut anyhow."""
    at = draw.draw(st.integers(0, len(changes)))
    while at < len(changes):
        size = draw.draw(st.integers(1, len(changes)))
        yield changes[at : at + size]
        at += size


def stands(client: Client, database: str, prefix: str) -> list[list[tuple[object, ...]]]:
    """Where each signal stands, by each of the three orders."""
    return [
        client.rows(
            f"SELECT signal_id, version, {place}, toUnixTimestamp64Milli(occurred_at), "
            f"toUnixTimestamp64Milli(reported_at) FROM {database}.{table} FINAL "
            f"WHERE startsWith(signal_id, {{prefix:String}}) ORDER BY ALL",
            {"prefix": prefix},
        )
        for table, place in (
            ("signals", "unit_cell"),
            ("signals_by_cell", "unit_cell"),
            ("signals", "place_key"),
            ("signals_by_address", "place_key"),
        )
    ]


@settings(max_examples=25, deadline=None)
@given(changes=lives(), data=st.data())
def test_the_three_orders_agree(sink: ClickHouseSink, changes: list[Change], data: st.DataObject) -> None:
    prefix = changes[0].after.located.signal.id.rpartition("/")[0] + "/"
    newest = {change.after.located.signal.id: change.after for change in changes}
    expected_cells = sorted(
        (id, m.version, m.located.cells[0], m.located.signal.occurred_at_ms, m.reported_at_ms)
        for id, m in newest.items()
    )
    expected_places = sorted(
        (id, m.version, next(iter(m.located.place_keys), ""), m.located.signal.occurred_at_ms, m.reported_at_ms)
        for id, m in newest.items()
    )
    sink.write(Rows(DAY0, members=changes[: len(changes) // 2]))
    sink.flush()
    for batch in [changes[len(changes) // 2 :], *cut(data, changes), *cut(data, changes)]:
        sink.write(Rows(DAY0, members=batch))
        sink.flush()
    expected = [expected_cells, expected_cells, expected_places, expected_places]
    assert stands(sink.client, sink.database, prefix) == expected
    if data.draw(st.booleans(), label="merge"):
        for table in ("signals", "signals_by_cell", "signals_by_address"):
            sink.client.command(f"OPTIMIZE TABLE {sink.database}.{table} FINAL")
        assert stands(sink.client, sink.database, prefix) == expected
