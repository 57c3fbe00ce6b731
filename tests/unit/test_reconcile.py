"""The nightly reconcile: a story of late corrections, what it refuses, what a cut leaves, and the control totals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from schemas import Located, Unreachable, UsageError
from sinks.clickhouse import ClickHouseSink, Client, connect, migrate
from sinks.clickhouse.stored import digest
from streams import control_totals
from streams.windows import DAY_MS, HOUR_MS, MINUTE_MS
from tests.beyond import FIRST, LATER, lived, reconciled, store, work
from tests.build import DAY0, LAYERS, signal
from tests.clickhouse import ZONE, Where, empty, fresh_database
from tests.command_line import Quanyu, command_line, told

MORNING = DAY0 + 8 * HOUR_MS
# Two neighbours report one matter; it is withdrawn late, a third report of it comes late, and another is moved to the
# next day and cell late. What came late says so in its name.
#
#   day 1, 08:00   a---b------(late c)      (late d)                          e
#   day 2, 09:00                                          (late revision of e)
ON_TIME = [
    signal("a", MORNING, place="甲路1号", revision=1),
    signal("b", MORNING + 10 * MINUTE_MS, place="甲路1号", revision=1),
    signal("e", MORNING + 5 * HOUR_MS, cell=7, place="乙路2号", revision=1),
]
LATE = [
    signal("a", MORNING, place="甲路1号", revision=2, state="withdrawn"),
    signal("c", MORNING + 30 * MINUTE_MS, place="甲路1号", revision=1),
    signal("d", MORNING + 2 * HOUR_MS, place="甲路1号", category="交通/事故", revision=1),
    signal("e", DAY0 + 33 * HOUR_MS, cell=1, place="丙路3号", revision=4),
]


@pytest.fixture(scope="module")
def sink(chdb_url: str) -> Iterator[ClickHouseSink]:
    client, name = connect(Where(chdb_url)), fresh_database()
    migrate(client, name, ZONE)
    yield ClickHouseSink(client, name, LAYERS, 10**6, 1e9, lambda: 0.0)
    client.close()


@pytest.fixture
def city(sink: ClickHouseSink) -> ClickHouseSink:
    """The story, up to the night."""
    empty(sink.client, sink.database)
    store(sink, lived(ON_TIME, LATE))
    return sink


def rows(sink: ClickHouseSink, sql: str) -> list[tuple[Any, ...]]:
    return sink.client.rows(sql, {"db": sink.database})


def test_the_story(city: ClickHouseSink) -> None:
    first, second = reconciled(city)
    assert (first.late, first.new, first.moved, first.withdrawn, first.known) == (4, 2, 1, 1, 0)
    assert first.copies == 1  # of the one whose first report moved too
    assert first.days == ["2026-03-02", "2026-03-03"] and not first.due and first.agrees
    assert (second.late, second.known, second.signals, second.panes) == (1, 1, 0, 0)
    assert rows(
        city, "SELECT signal_id, incident_id != '', opens, late FROM {db:Identifier}.v_signals ORDER BY signal_id"
    ) == [
        ("110:a", 0, 0, 0),
        ("110:b", 1, 1, 0),
        ("110:c", 1, 0, 0),
        ("110:d", 1, 1, 0),
        ("110:e", 1, 1, 0),
        ("110:now", 1, 1, 0),
    ]
    assert rows(
        city,
        "SELECT toString(toDate(pane_start)), category, messages, incidents, opened, state "
        "FROM {db:Identifier}.v_grid_counts WHERE layer = 'city' AND minutes = 1440 AND pane_start < '2026-03-09' "
        "ORDER BY ALL",
    ) == [
        ("2026-03-02", "交通", 1, 1, 1, "revised"),
        ("2026-03-02", "治安", 2, 1, 1, "revised"),
        ("2026-03-03", "治安", 1, 1, 1, "revised"),
    ]
    assert rows(city, "SELECT unit_cell, toHour(occurred_at) FROM {db:Identifier}.v_cell_signals "
                      "WHERE signal_id = '110:e'") == [("u1", 9)]  # fmt: skip
    # the incident that lost its first signal lives on under the name of the next one
    ended = rows(city, "SELECT messages, merged_into IN (SELECT incident_id FROM {db:Identifier}.v_signals WHERE "
                       "signal_id = '110:b') FROM {db:Identifier}.v_incidents WHERE state = 'merged'")  # fmt: skip
    assert ended == [(0, 1)]


def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(city: ClickHouseSink) -> None:
    before = digest(city.client, city.database)
    report = work(city).day(FIRST, {}, dry_run=True)
    assert (report.new, report.moved, report.withdrawn, report.agrees) == (2, 1, 1, False)
    assert digest(city.client, city.database) == before
    assert rows(city, "SELECT count() FROM {db:Identifier}.reconciliations") == [(0,)]
    reconciled(city)
    assert work(city).day(FIRST, {}, dry_run=True).agrees


def test_a_day_that_live_remembers_is_refused(city: ClickHouseSink) -> None:
    """Live is at midnight of 11 March, and remembers 48 h, a gap and an hour: 8 March is the first such day."""
    work(city).day(FIRST.replace(day=7), {}, dry_run=False)
    with pytest.raises(UsageError, match="live may still revise this day") as raised:
        work(city).day(FIRST.replace(day=8), {}, dry_run=False)
    assert "the one before 2026-03-08" in raised.value.en and "2026-03-08 的前一日" in raised.value.zh


@pytest.mark.parametrize(
    "late",
    [
        signal("x", MORNING, revision=2, related="110:young"),  # of one matter with a signal that may still change
        signal("e", LATER - DAY_MS - 2 * HOUR_MS, revision=9),  # moved onto a day that may still change
    ],
)
def test_what_touches_a_day_that_live_remembers_waits(sink: ClickHouseSink, late: Located) -> None:
    empty(sink.client, sink.database)
    young = signal("young", LATER - 12 * HOUR_MS, revision=1)
    store(sink, lived([*ON_TIME, young], [late]))
    before = digest(sink.client, sink.database)
    (report,) = reconciled(sink, 1)
    assert (report.late, report.waiting, report.signals) == (1, 1, 0) and report.agrees
    assert digest(sink.client, sink.database) == before


def test_without_revisions_what_came_last_stands(sink: ClickHouseSink) -> None:
    empty(sink.client, sink.database)
    on_time = [signal("a", MORNING, text="one"), signal("b", MORNING, text="same")]
    late = [signal("a", MORNING, text="two"), signal("b", MORNING, text="same"), signal("a", MORNING, text="three")]
    store(sink, lived(on_time, late, size=1))
    (report,) = reconciled(sink, 1)
    assert (report.moved, report.known, report.due) == (1, 2, [])
    texts = "SELECT signal_id, summary FROM {db:Identifier}.signals FINAL WHERE signal_id < '110:c' ORDER BY ALL"
    assert rows(sink, texts) == [("110:a", "three"), ("110:b", "same")]
    (again,) = reconciled(sink, 1)
    assert (again.moved, again.signals, again.due) == (0, 0, [])


def test_other_days_that_are_due_are_named(city: ClickHouseSink) -> None:
    """A day without late signals of its own; the moved one is due where it was and where it goes."""
    assert work(city).day(FIRST.replace(day=5), {}, dry_run=False).due == ["2026-03-02", "2026-03-03"]


class Cut(Client):
    """A client whose connection is gone after so many inserts."""

    def __init__(self, client: Client, inserts: int) -> None:
        super().__init__(client._driver, client.where)
        self.left = inserts

    def insert(self, database: str, table: str, batch: Any, settings: Mapping[str, Any] | None = None) -> None:
        if not self.left:
            raise Unreachable("cut")
        self.left -= 1
        super().insert(database, table, batch, settings)


def test_cut_off_anywhere_the_next_one_ends_where_it_would_have(city: ClickHouseSink) -> None:
    story = lived(ON_TIME, LATE)
    reconciled(city)
    whole = digest(city.client, city.database)
    cuts = 0
    while True:
        empty(city.client, city.database)
        store(city, story)
        client = Cut(city.client, cuts)
        try:
            work(ClickHouseSink(client, city.database, LAYERS, 10**6, 1e9, lambda: 0.0)).day(FIRST, {}, dry_run=False)
        except Unreachable:
            work(city).day(FIRST.replace(day=5), {}, dry_run=False)  # another day's run takes up what was begun
            reconciled(city, 1)
            assert digest(city.client, city.database) == whole, f"after {cuts} inserts"
            assert rows(city, "SELECT count() FROM {db:Identifier}.reconciliations FINAL WHERE NOT finished") == [(0,)]
            cuts += 1
        else:
            break
    assert cuts >= 5  # plan, signals, incidents, counts of two days


# -- control totals, the command ---------------------------------------------------------------------------------------


def test_control_totals_of_both_forms(tmp_path: Path) -> None:
    csv, toml = tmp_path / "t.csv", tmp_path / "t.toml"
    csv.write_text("day,source,total\n2026-03-02,110,6\n2026-03-02,12345, 7\n", "utf-8-sig")
    toml.write_text(
        '[[total]]\nday = 2026-03-02\nsource = "110"\ntotal = 6\n'
        '[[total]]\nday = "2026-03-02"\nsource = "12345"\ntotal = 7\n'
    )
    wanted = {("2026-03-02", "110"): 6, ("2026-03-02", "12345"): 7}
    assert control_totals.read(csv) == control_totals.read(toml) == wanted


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "day,source\n", "want the columns day,source,total"),
        ("t.csv", "day,source,total\n2026-03-02,110,many\n", "line 2: total many: want a whole number"),
        ("t.csv", "day,source,total\nMonday,110,3\n", "line 2: day Monday: want 2026-03-02"),
        ("t.csv", "day,source,total\n2026-03-02,110,3,4\n", "line 2: want day, source and total"),
        (
            "t.csv",
            "day,source,total\n2026-03-02,110,3\n2026-03-02,110,4\n",
            "line 3: 2026-03-02 110 stands there twice",
        ),
        ("t.toml", "total = 3\n", r"want entries \[\[total\]\]"),
        ("t.toml", "[[total]]\nday = 2026-03-02\n", "total 1: want day, source and total"),
        ("t.toml", "[[total]\n", "t.toml: "),
        ("no.csv", None, "No such file"),
    ],
)
def test_control_totals_that_are_none(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        control_totals.read(tmp_path / name)


@pytest.fixture
def cli(chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quanyu:
    return command_line(chdb_url, tmp_path / "here", monkeypatch)


def test_the_command(cli: Quanyu, city: ClickHouseSink, tmp_path: Path) -> None:
    base = (f"clickhouse.database={city.database}",)
    totals = tmp_path / "totals.csv"
    totals.write_text("day,source,total\n2026-03-02,110,6\n2026-03-02,12345,1\n")
    done = cli("reconcile", "--day", "2026-03-02", "--totals", totals, "--json", settings=base)
    assert done.exit_code == 1, done.output
    report = json.loads(done.stdout)
    assert (report["new"], report["agrees"]) == (2, False)
    assert report["totals"] == [
        {"source": "110", "total": 6, "signals": 5, "rejected": 0},
        {"source": "12345", "total": 1, "signals": 0, "rejected": 0},
    ]
    # by first report: the one that was moved to the next day was taken down on this one
    totals.write_text("day,source,total\n2026-03-02,110,5\n")
    agreed = cli("reconcile", "--day", "2026-03-02", settings=(*base, f"reconcile.totals={totals}"))
    assert agreed.exit_code == 0, agreed.output
    assert "110" in agreed.stdout and "+0" in agreed.stdout
    shown = cli("reconcile", "--day", "2026-03-02", lang="zh", settings=base)
    assert shown.exit_code == 0 and "逾期信号" in shown.stdout


def test_the_command_says_what_is_wrong(cli: Quanyu, city: ClickHouseSink) -> None:
    base = (f"clickhouse.database={city.database}",)
    assert "want 2026-03-02" in told(cli("reconcile", "--day", "yesterday", settings=base), 2)
    assert "live may still revise" in told(cli("reconcile", "--day", "2026-03-10", settings=base), 2)
    assert "live has closed no pane yet" in told(cli("reconcile", "--day", "2026-03-02"), 2)
    where = ("clickhouse.url=chdb:nowhere",)
    assert "nothing to reconcile" in told(cli("reconcile", "--day", "2026-03-02", settings=where), 2)
