"""panes: how many signals, incidents and reporters a cell and category had in a span of time.

Rows are absolute counts with a version, the number of changes (and the closing) that touched them. A pane is
provisional while open, final when the watermark passes its end, revised when something moves it after that.

    messages   signals                         adds up over panes and cells
    opened     incidents whose first signal    adds up over panes and cells
    incidents  distinct incidents seen here    does not add up
    reporters  distinct known reporters        does not add up

So the coarser panes are counted, not summed. Additions are piled up and counted together when their pane closes or the
batch ends; what is taken back goes row by row. The index of who was where is kept by local day, the longest pane.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from schemas import Change, Incident, Late, Member, Pane, Tick
from schemas.city import CITY_LAYER, SOURCE_LAYER
from streams.windows import DAY_MIN, MINUTE_MS, Calendar, category_level

MESSAGES, INCIDENTS, OPENED, REPORTERS, VERSION, STATE, TOLD = range(7)
PROVISIONAL, FINAL, REVISED = range(3)
NAMES = ("provisional", "final", "revised")

Cell = tuple[str, str]  # category, cell code
Row = list[int]
Rows = dict[Cell, Row]
Span = tuple[int, int, int]  # layer, minutes, start
Place = tuple[Span, Cell]
Mark = int  # a place as a number within its day (`Panes._marks`)
Presence = Member | dict[Mark, int]
Out = Pane | Incident | Tick


class Day(Struct):
    """Who was where in one local day: the only member, or how many members at each place.

    `cells` numbers the cells of those with more than one member: places are looked up as numbers.
    """

    incidents: dict[str, Presence] = {}
    reporters: dict[str, Presence] = {}
    cells: dict[Cell, int] = {}


class State(Struct):
    """`tables`: (layer, minutes, start) -> rows; `open`: spans not yet closed; `fine`, `coarse`: spans with rows whose
    version has not been told."""

    tables: dict[Span, Rows] = {}
    open: set[Span] = set()
    days: dict[int, Day] = {}
    fine: dict[Span, None] = {}
    coarse: dict[Span, None] = {}
    tick_ms: int = -(2**62)


class Pile(NamedTuple):
    """What is to be added to the rows of one span.

    Signals are piled up in the layer's shortest span alone; counted there, they are handed on to the longer ones.
    """

    signals: list[Cell]
    counts: dict[Cell, int]  # handed on by a shorter span
    not_first: list[Cell]  # of the signals: not their incident's first; handed on
    nameless: list[Cell]  # reporter unknown; handed on
    same_incident: list[Cell]  # the incident already stands in this span
    same_reporter: list[Cell]  # the reporter does


class Bulk(NamedTuple):
    """What a step puts together before it touches the rows.

    `fresh`: pane -> members that are the only ones of their incident and reporter that day; `days`: memory of `_day`,
    between two ticks.
    """

    fresh: dict[int, list[Member]]
    piles: dict[Span, Pile]
    days: dict[int, Day | None]


@dataclass(frozen=True)
class Panes:
    """`layers`: names of the grids' layers, finest first; `resolutions_min`: layer -> lengths of its panes."""

    calendar: Calendar
    layers: tuple[str, ...]
    resolutions_min: Mapping[str, Sequence[int]]
    category_depth: int
    horizon_ms: int
    spans: Callable[[int], tuple[tuple[Span, ...], ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spans", lru_cache(maxsize=4096)(self._spans_at))

    def start(self) -> State:
        """Nothing counted."""
        return State()

    @property
    def all_layers(self) -> tuple[str, ...]:
        """Grid layers, then the city and its sources."""
        return (*self.layers, CITY_LAYER, SOURCE_LAYER)

    def lengths(self, layer: str) -> Sequence[int]:
        """Lengths of a layer's panes, minutes, rising."""
        return sorted(self.resolutions_min.get(layer, (self.calendar.minutes,)))

    def step(self, state: State, batch: Sequence[Change | Incident | Late | Tick]) -> list[Out]:
        """Count changes. The finest layer's rows leave before each tick, all others once, at the end of the batch."""
        out: list[Out] = []
        bulk = Bulk({}, {}, {})
        for item in batch:
            if isinstance(item, Change):
                self._count(state, item, bulk)
                continue
            if isinstance(item, Tick):
                self._sort_out(bulk)
                self._close(state, item.at_ms, bulk)
                self._tell(state, state.fine, out)
            if not isinstance(item, Late):
                out.append(item)
        self._sort_out(bulk)
        self._raise_all(state, bulk, 2**62)
        self._tell(state, state.fine, out)
        self._tell(state, state.coarse, out)
        self._forget(state)
        return out

    # -- counting --------------------------------------------------------------------------------------------------

    def _count(self, state: State, change: Change, bulk: Bulk) -> None:
        before, after = change.before, change.after
        if before is not None and before.incident_id:
            day = self._day(state, before, bulk)
            if day is not None:
                if after.incident_id and self._same(before, after):
                    _swap(day, after)
                    return
                self._take_back(state, day, before)
        if not after.incident_id:
            return
        day = self._day(state, after, bulk)
        if day is None:
            return
        reporter = after.located.signal.reporter
        if not after.opens or after.incident_id in day.incidents or reporter in day.reporters:
            self._add(day, after, bulk.piles)
            return
        day.incidents[after.incident_id] = after
        if reporter:
            day.reporters[reporter] = after
        pane = self.calendar.pane(after.located.signal.occurred_at_ms)
        members = bulk.fresh.get(pane)
        if members is None:
            bulk.fresh[pane] = [after]
        else:
            members.append(after)

    def _day(self, state: State, member: Member, bulk: Bulk) -> Day | None:
        """The member's day; None when it has left the horizon: its counts stand as they are (reconcile moves them)."""
        pane = self.calendar.pane(member.located.signal.occurred_at_ms)
        if pane in bulk.days:
            return bulk.days[pane]
        start = self.calendar.start(DAY_MIN, pane)
        day = None
        if self.calendar.end(DAY_MIN, start) > state.tick_ms - self.horizon_ms:
            day = state.days.get(start)
            if day is None:
                day = state.days[start] = Day()
        bulk.days[pane] = day
        return day

    def _sort_out(self, bulk: Bulk) -> None:
        """Put fresh members, the only ones of their incident and reporter that day, on the piles of their spans."""
        for pane, members in bulk.fresh.items():
            signals = [m.located.signal for m in members]
            categories = [category_level(s.category, self.category_depth) for s in signals]
            columns = [*zip(*[m.located.cells for m in members], strict=True)] if self.layers else []
            columns += [(CITY_LAYER,) * len(members), tuple([s.source for s in signals])]
            nameless = [n for n, s in enumerate(signals) if not s.reporter]
            for column, spans in zip(columns, self.spans(pane), strict=True):
                cells = list(zip(categories, column, strict=True))
                unknown = [cells[n] for n in nameless]
                if "" in column:
                    cells = [cell for cell in cells if cell[1]]
                    unknown = [cell for cell in unknown if cell[1]]
                pile = _pile(bulk.piles, spans[0])
                pile.signals.extend(cells)
                pile.nameless.extend(unknown)
        bulk.fresh.clear()

    def _raise_all(self, state: State, bulk: Bulk, now_ms: int) -> None:
        """Add the piles of spans that end by now, and of the finest ones, to their rows; the shortest spans first."""
        for shortest in (True, False):
            due = [s for s in bulk.piles if self._is_fine(s) or self.calendar.end(s[1], s[2]) <= now_ms]
            for span in due:
                if not shortest or self._spans_of(span)[0] == span:
                    self._raise(state, span, bulk)

    def _raise(self, state: State, span: Span, bulk: Bulk) -> None:
        """Add the pile of a span to its rows, and hand it on to the longer spans."""
        pile = bulk.piles.pop(span)
        rows = self._rows(state, span)
        stage = PROVISIONAL if span in state.open else REVISED
        counts: dict[Cell, int] = Counter(pile.signals) if pile.signals else pile.counts
        for cell, n in counts.items():
            row = rows.get(cell)
            if row is None:
                rows[cell] = [n, n, n, n, n, stage, 0]
                continue
            row[MESSAGES] += n
            row[INCIDENTS] += n
            row[OPENED] += n
            row[REPORTERS] += n
            row[VERSION] += n
            if row[STATE] == FINAL:
                row[STATE] = REVISED
        for column, cells in (
            (INCIDENTS, pile.same_incident),
            (OPENED, pile.not_first),
            (REPORTERS, pile.nameless),
            (REPORTERS, pile.same_reporter),
        ):
            for cell in cells:
                rows[cell][column] -= 1
        spans = self._spans_of(span)
        if spans[0] == span:
            for longer in spans[1:]:
                into = _pile(bulk.piles, longer)
                total = into.counts
                for cell, n in counts.items():
                    total[cell] = total.get(cell, 0) + n
                into.not_first.extend(pile.not_first)
                into.nameless.extend(pile.nameless)

    def _spans_of(self, span: Span) -> tuple[Span, ...]:
        """The spans of a layer that hold the start of this one, the shortest first."""
        return self.spans(self.calendar.pane(span[2]))[span[0]]

    def _rows(self, state: State, span: Span) -> Rows:
        """The rows of a span, which has been touched."""
        (state.fine if self._is_fine(span) else state.coarse)[span] = None
        rows = state.tables.get(span)
        if rows is None:
            rows = state.tables[span] = {}
            if self.calendar.end(span[1], span[2]) > state.tick_ms:
                state.open.add(span)
        return rows

    def _row(self, state: State, place: Place) -> Row:
        """A row that has been touched (revised, if its pane is closed)."""
        span, cell = place
        rows = self._rows(state, span)
        row = rows.get(cell)
        if row is None:
            row = rows[cell] = [0, 0, 0, 0, 0, PROVISIONAL if span in state.open else REVISED, 0]
        elif row[STATE] == FINAL:
            row[STATE] = REVISED
        return row

    def _is_fine(self, span: Span) -> bool:
        return span[0] == 0 and span[1] == self.calendar.minutes

    def _places(self, member: Member) -> list[Place]:
        """Every row that a member is counted in."""
        codes, category, pane = self._stand(member)
        return [
            (span, (category, code)) for code, own in zip(codes, self.spans(pane), strict=True) if code for span in own
        ]

    def _marks(self, day: Day, member: Member) -> list[Mark]:
        """The same places as numbers, in the same order."""
        codes, category, pane = self._stand(member)
        marks: list[Mark] = []
        cells = day.cells
        for code, own in zip(codes, self.spans(pane), strict=True):
            if code:
                cell = cells.setdefault((category, code), len(cells))
                for layer, minutes, start in own:
                    marks.append((((start // MINUTE_MS << 11 | minutes) << 4 | layer) << 20) + cell)
        return marks

    def _stand(self, member: Member) -> tuple[tuple[str, ...], str, int]:
        """A code a layer, the category, the shortest pane."""
        located = member.located
        signal = located.signal
        category = category_level(signal.category, self.category_depth)
        codes = (*located.cells, CITY_LAYER, signal.source)
        return codes, category, self.calendar.pane(signal.occurred_at_ms)

    def _spans_at(self, pane: int) -> tuple[tuple[Span, ...], ...]:
        """For each layer the spans that hold a shortest pane."""
        return tuple(
            tuple((layer, minutes, self.calendar.start(minutes, pane)) for minutes in self.lengths(name))
            for layer, name in enumerate(self.all_layers)
        )

    def _add(self, day: Day, member: Member, piles: dict[Span, Pile]) -> None:
        """Put a member on the piles whose incident or reporter has others that day."""
        reporter = member.located.signal.reporter
        places = self._places(member)
        marks = self._marks(day, member)
        codes, category, pane = self._stand(member)
        for code, own in zip(codes, self.spans(pane), strict=True):
            if code:
                pile = _pile(piles, own[0])
                pile.signals.append((category, code))
                if not member.opens:
                    pile.not_first.append((category, code))
                if not reporter:
                    pile.nameless.append((category, code))
        for n in self._come(day, day.incidents, member.incident_id, member, marks):
            span, cell = places[n]
            _pile(piles, span).same_incident.append(cell)
        for n in self._come(day, day.reporters, reporter, member, marks) if reporter else ():
            span, cell = places[n]
            _pile(piles, span).same_reporter.append(cell)

    def _take_back(self, state: State, day: Day, member: Member) -> None:
        """Take a member out of its rows, one by one."""
        reporter = member.located.signal.reporter
        places = self._places(member)
        marks = self._marks(day, member)
        rows = [self._row(state, place) for place in places]
        for row in rows:
            row[MESSAGES] -= 1
            row[VERSION] += 1
            if member.opens:
                row[OPENED] -= 1
        for n in _go(day.incidents, member.incident_id, marks):
            rows[n][INCIDENTS] -= 1
        for n in _go(day.reporters, reporter, marks) if reporter else ():
            rows[n][REPORTERS] -= 1

    def _come(self, day: Day, index: dict[str, Presence], key: str, member: Member, marks: list[Mark]) -> Sequence[int]:
        """Note that `key` is at these places; returns which of them it already was at."""
        there = index.get(key)
        if there is None:
            index[key] = member
            return ()
        if isinstance(there, Member):
            there = index[key] = dict.fromkeys(self._marks(day, there), 1)
        known = []
        for n, mark in enumerate(marks):
            if mark in there:
                there[mark] += 1
                known.append(n)
            else:
                there[mark] = 1
        return known

    def _same(self, a: Member, b: Member) -> bool:
        """Whether two revisions of a member are counted alike."""
        s, t = a.located.signal, b.located.signal
        return (
            a.incident_id == b.incident_id
            and a.opens == b.opens
            and a.located.cells == b.located.cells
            and s.reporter == t.reporter
            and self.calendar.pane(s.occurred_at_ms) == self.calendar.pane(t.occurred_at_ms)
            and category_level(s.category, self.category_depth) == category_level(t.category, self.category_depth)
        )

    # -- time ------------------------------------------------------------------------------------------------------

    def _close(self, state: State, now_ms: int, bulk: Bulk) -> None:
        """Panes that end by now are final; that is a change of every row of theirs."""
        self._raise_all(state, bulk, now_ms)
        state.tick_ms = now_ms
        bulk.days.clear()
        for span in sorted(s for s in state.open if self.calendar.end(s[1], s[2]) <= now_ms):
            state.open.discard(span)
            for row in self._rows(state, span).values():
                row[STATE] = FINAL
                row[VERSION] += 1

    def _tell(self, state: State, spans: dict[Span, None], out: list[Out]) -> None:
        """Rows of these spans that have changed since they were told; then there are none to be told."""
        names = self.all_layers
        for span in spans:
            layer, minutes, start = names[span[0]], span[1], span[2]
            for (category, cell), row in state.tables[span].items():
                m, i, o, r, version, stage, told = row
                if version != told:
                    row[TOLD] = version
                    out.append(Pane(layer, minutes, start, category, cell, m, i, o, r, NAMES[stage], version))
        spans.clear()

    def _forget(self, state: State) -> None:
        """Days (and the panes in them) that end before the horizon are forgotten: nothing can move them any more."""
        limit = state.tick_ms - self.horizon_ms
        gone = {d for d in state.days if self.calendar.end(DAY_MIN, d) <= limit}
        if not gone:
            return
        for day in gone:
            del state.days[day]
        for span in [s for s in state.tables if self._day_of(s) in gone]:
            del state.tables[span]

    def _day_of(self, span: Span) -> int:
        return self.calendar.start(DAY_MIN, self.calendar.pane(span[2]))


def _pile(piles: dict[Span, Pile], span: Span) -> Pile:
    pile = piles.get(span)
    if pile is None:
        pile = piles[span] = Pile([], {}, [], [], [], [])
    return pile


def _go(index: dict[str, Presence], key: str, marks: list[Mark]) -> Sequence[int]:
    """Note that `key` has left these places; returns at which of them nothing of it is left."""
    there = index[key]
    if isinstance(there, Member):
        del index[key]
        return range(len(marks))
    last = []
    for n, mark in enumerate(marks):
        there[mark] -= 1
        if not there[mark]:
            del there[mark]
            last.append(n)
    if not there:
        del index[key]
    return last


def _swap(day: Day, after: Member) -> None:
    """Let a revision that is counted alike stand for the one before."""
    signal = after.located.signal
    for index, key in ((day.incidents, after.incident_id), (day.reporters, signal.reporter)):
        if isinstance(index.get(key), Member):
            index[key] = after
