"""The nightly reconcile of one local day: corrections from beyond the horizon, a recount, the sources' totals.

    plans left unfinished --> written again
    late rows of the day --settle--> corrections --> rows of signals and incidents (corrections.py)
                                                       |  noted as a plan, written, noted as done
    the day, and those that the rows touch --recount in the database--> rows of grid_counts that were wrong

It may run while live writes: it moves nothing that live still remembers, and live never writes what it has forgotten
with a version as high. One reconcile at a time. See docs/decisions/0014.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from schemas import Late, UsageError
from schemas.city import CITY_LAYER, SOURCE_LAYER
from schemas.rows import Corrected, Rows
from sinks.base import Sink
from sinks.clickhouse.reconcile import Plan, Stored
from sinks.clickhouse.recount import Day, Span, Total, totals, wrong
from streams.corrections import Correct, Correction, Settled, settle
from streams.rooms.incidents import Incidents
from streams.settings import Settings
from streams.windows import DAY_MIN, HOUR_MS, MINUTE_MS, Calendar

#: changes of one part of a plan
PART = 2000


class Compared(Struct, frozen=True):
    """A source's total and what is stored; `total` None: the city gave none."""

    source: str
    total: int | None
    signals: int
    rejected: int

    @property
    def agrees(self) -> bool:
        """Whether nothing speaks against it."""
        return self.total is None or self.total == self.signals


class Report(Struct):
    """What a reconcile found and did; the keys other programs rely on.

    `late` = rows of late signals looked at; of their signals `new`, `moved` and `withdrawn` were put in place,
    `waiting` will be; `known` rows said nothing new. `signals`, `incidents`, `copies`, `panes`: rows written (in a dry
    run: that would be, those of `panes` without what the others will move). `days`: whose counts were gone through.
    `redone`: parts of an earlier reconcile that was cut off. `due`: other days with late signals that can be put in
    place.
    """

    day: str
    dry_run: bool
    late: int = 0
    known: int = 0
    new: int = 0
    moved: int = 0
    withdrawn: int = 0
    waiting: int = 0
    signals: int = 0
    incidents: int = 0
    copies: int = 0
    panes: int = 0
    redone: int = 0
    days: list[str] = []
    due: list[str] = []
    totals: list[Compared] = []
    agrees: bool = True


class Reconcile:
    """One reconcile over a database. `sink` writes to the same one; `now` is the wall clock, ms: stored, never
    decides."""

    def __init__(self, settings: Settings, stored: Stored, sink: Sink, now: Callable[[], int]) -> None:
        self._settings, self._stored, self._sink, self._now = settings, stored, sink, now
        self._calendar = Calendar(settings.city.timezone, settings.panes.minutes)
        horizon_ms = max(s.horizon_h for s in settings.sources.values()) * HOUR_MS
        gap_ms = settings.incidents.session_gap_min * MINUTE_MS
        self._room = Incidents(gap_ms, horizon_ms, settings.incidents.category_depth)
        #: what live remembers behind its time: the horizon, a gap, and the hour it forgets by
        self._memory_ms = horizon_ms + gap_ms + HOUR_MS

    def day(self, day: date, wanted: Mapping[tuple[str, str], int], dry_run: bool) -> Report:
        """Reconcile one local day. `wanted`: control totals by (ISO day, source).

        Raises UsageError while live remembers the day, Unreachable on an outage; then the same call may be repeated.
        """
        start, end = self._calendar.day(day)
        limit = self._limit(day, end)
        report = Report(day.isoformat(), dry_run)
        plans = self._stored.unfinished()
        begun = [plan for plan in plans if plan.whole]
        report.redone = len(begun)
        if not dry_run:
            self._write(begun)
        corrected = self._corrected(start, end, limit, report)
        pieces = list(_pieces(corrected))
        began = self._now()
        fresh = [Plan(began, report.day, n, len(pieces), piece) for n, piece in enumerate(pieces)]
        days = sorted({start, *corrected.days_ms, *(at for plan in begun for at in plan.corrected.days_ms)})
        if not dry_run:
            self._note(fresh, finished=False)
            self._write(fresh)
        for at in days:
            rows = wrong(self._stored, self._spans(at))
            report.panes += len(rows)
            if rows and not dry_run:
                self._sink.write(Rows(self._now(), panes=rows))
                self._sink.flush()
        if not dry_run:
            self._note([*plans, *fresh], finished=True)
        report.days = [self._iso(at) for at in days]
        zone = self._settings.city.timezone
        report.due = [at for at in self._stored.due(limit, zone) if at != report.day]
        report.totals = _compared(report.day, wanted, totals(self._stored.client, self._stored.database, start, end))
        changes = report.signals + report.incidents + report.copies + report.panes + report.redone
        report.agrees = all(total.agrees for total in report.totals) and not (dry_run and changes)
        return report

    # -- time ------------------------------------------------------------------------------------------------------

    def _limit(self, day: date, end_ms: int) -> int:
        """Start of the first day that live remembers. UsageError if `day`, which ends at `end_ms`, is not before it."""
        told = self._stored.told_ms()
        reached = max([told.pop(0), *(self._calendar.end(minutes, start) for minutes, start in told.items())])
        limit = self._calendar.start(DAY_MIN, self._calendar.pane(max(reached - self._memory_ms, 0)))
        if end_ms > limit:
            hours = self._memory_ms / HOUR_MS
            en = f"live has come to {self._clock(reached)}" if reached else "live has closed no pane yet"
            zh = f"实时处理到 {self._clock(reached)}" if reached else "实时处理尚未关闭任何时段"
            raise UsageError(
                f"--day {day}: live may still revise this day ({en}, and remembers {hours:g} hours); the last day that "
                f"can be reconciled is the one before {self._iso(limit)}",
                f"--day {day}：该日仍可能被实时处理修订（{zh}，并保留 {hours:g} 小时的记忆）；"
                f"目前最晚可核算到 {self._iso(limit)} 的前一日",
            )
        return limit

    def _spans(self, start_ms: int) -> Day:
        """The panes of the day that starts then, as configured."""
        end = self._calendar.end(DAY_MIN, start_ms)
        panes = range(start_ms, end, self._calendar.pane_ms)
        lengths = self._settings.panes.resolutions_min
        spans = [
            Span(layer, minutes, {at // 1000: self._calendar.start(minutes, at) // 1000 for at in panes})
            for layer in (*self._stored.layers, CITY_LAYER, SOURCE_LAYER)
            for minutes in lengths.get(layer, [self._calendar.minutes])
        ]
        return Day(start_ms, end, self._calendar.pane_ms, self._settings.panes.category_depth, spans)

    def _iso(self, at_ms: int) -> str:
        return datetime.fromtimestamp(at_ms / 1000, self._calendar.zone).date().isoformat()

    def _clock(self, at_ms: int) -> str:
        return datetime.fromtimestamp(at_ms / 1000, self._calendar.zone).isoformat(timespec="minutes")

    # -- corrections -----------------------------------------------------------------------------------------------

    def _corrected(self, start_ms: int, end_ms: int, limit_ms: int, report: Report) -> Corrected:
        stored, correct = self._stored, Correct(self._room, self._calendar, limit_ms)
        late = stored.late(start_ms, end_ms)
        ids = {row.located.signal.id for row in late}
        settled = settle(late, stored.members(ids))
        near = stored.near([c.located for c in settled.corrections if c.located.signal.counts], self._room.gap_ms)
        touched = correct.touched(settled.corrections, near)
        members = stored.of_incidents(set().union(*touched.values()))
        made, waiting = correct.split(settled.corrections, touched, members)
        names = set().union(*(touched[c.id] for c in made))
        filed = correct.file(made, [m for m in members if m.incident_id in names])
        corrected = correct.rows(filed, stored.incidents(names | filed.standing.keys()), self._now())
        shown = stored.shown_copies(ids - {c.id for c in waiting})
        copies = _copies(settled, late, shown)
        report.late, report.known, report.waiting = len(late), settled.known, len(waiting)
        for correction in made:
            kind = _kind(correction)
            setattr(report, kind, getattr(report, kind) + 1)
        report.signals, report.incidents = len(corrected.rows.members), len(corrected.rows.incidents)
        report.copies = len(copies)
        return replace(corrected, copies=copies)

    def _note(self, plans: Sequence[Plan], finished: bool) -> None:
        for plan in plans:
            self._stored.note(plan, finished)

    def _write(self, plans: Sequence[Plan]) -> None:
        for plan in plans:
            self._sink.write(plan.corrected.rows)
        self._sink.flush()
        for plan in plans:
            self._stored.hide(plan.corrected.copies)


def _kind(correction: Correction) -> str:
    """What the correction is to those who read the report."""
    if correction.before is None:
        return "new"
    gone = correction.before.located.signal.counts and not correction.located.signal.counts
    return "withdrawn" if gone else "moved"


def _copies(settled: Settled, late: Sequence[Late], shown: set[tuple[int, str]]) -> list[Late]:
    """Late rows that are shown under another first report than their signal stands under, each once."""
    found = {}
    for row in late:
        signal = row.located.signal
        if signal.reported_at_ms != settled.keys[signal.id] and (signal.reported_at_ms, signal.id) in shown:
            found[signal.reported_at_ms, signal.id] = row
    return list(found.values())


def _pieces(corrected: Corrected) -> Iterator[Corrected]:
    """Parts of a plan, none too large for a row; each names all days."""
    members, incidents, copies = (
        iter(corrected.rows.members), iter(corrected.rows.incidents), iter(corrected.copies)
    )  # fmt: skip
    while True:
        rows = replace(corrected.rows, members=[*islice(members, PART)], incidents=[*islice(incidents, PART)])
        piece = replace(corrected, rows=rows, copies=[*islice(copies, PART)])
        if not len(piece):
            return
        yield piece


def _compared(day: str, wanted: Mapping[tuple[str, str], int], found: Sequence[Total]) -> list[Compared]:
    """Every source that has signals, refused records or a total of the day, by name."""
    stored = {total.source: total for total in found}
    given = {source: total for (at, source), total in wanted.items() if at == day}
    return [
        Compared(name, given.get(name), *((t.signals, t.rejected) if (t := stored.get(name)) else (0, 0)))
        for name in sorted({*stored, *given})
    ]
