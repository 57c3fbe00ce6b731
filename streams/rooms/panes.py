"""panes: how many signals, incidents and reporters a cell and category had in a span of time.

Rows are absolute counts with a version, the number of changes (and the closing) that touched them. A pane is
provisional while open, final when the watermark passes its end, revised when something moves it after that.

    messages   signals                         adds up over panes and cells
    opened     incidents whose first signal    adds up over panes and cells
    incidents  distinct incidents seen here    does not add up
    reporters  distinct known reporters        does not add up

So the coarser panes are counted, not summed. Most incidents and reporters have one signal a day: those are counted in
bulk, the others row by row (`_add`). The index of who was where is kept by local day, the longest pane.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from schemas import Change, Incident, Late, Member, Pane, Tick
from schemas.city import CITY_LAYER, SOURCE_LAYER
from streams.windows import DAY_MIN, Calendar, category_level

MESSAGES, INCIDENTS, OPENED, REPORTERS, VERSION, STATE, DIRTY = range(7)
PROVISIONAL, FINAL, REVISED = range(3)
NAMES = ("provisional", "final", "revised")

Cell = tuple[str, str]  # category, cell code
Row = list[int]
Rows = dict[Cell, Row]
Span = tuple[int, int, int]  # layer, minutes, start
Out = Pane | Incident | Tick


class Day(Struct):
    """Who was where in one local day."""

    incidents: dict[str, list[Member]] = {}
    reporters: dict[str, list[Member]] = {}


class State(Struct):
    """`tables`: (layer, minutes, start) -> rows; `open`: spans not yet closed; `fine`, `coarse`: rows to be told."""

    tables: dict[Span, Rows] = {}
    open: set[Span] = set()
    days: dict[int, Day] = {}
    fine: list[tuple[Span, Cell, Row]] = []
    coarse: list[tuple[Span, Cell, Row]] = []
    tick_ms: int = -(2**62)


@dataclass(frozen=True)
class Panes:
    """`layers`: names of the grids' layers, finest first; `resolutions_min`: layer -> lengths of its panes."""

    calendar: Calendar
    layers: tuple[str, ...]
    resolutions_min: Mapping[str, Sequence[int]]
    category_depth: int
    horizon_ms: int

    def start(self) -> State:
        """Nothing counted."""
        return State()

    @property
    def all_layers(self) -> tuple[str, ...]:
        """Grid layers, then the city and its sources."""
        return (*self.layers, CITY_LAYER, SOURCE_LAYER)

    def lengths(self, layer: str) -> Sequence[int]:
        """Lengths of a layer's panes, minutes."""
        return self.resolutions_min.get(layer, (self.calendar.minutes,))

    def step(self, state: State, batch: Sequence[Change | Incident | Late | Tick]) -> list[Out]:
        """Count changes. The finest layer's rows leave before each tick, all others once, at the end of the batch."""
        out: list[Out] = []
        fresh: dict[int, list[Member]] = {}
        for item in batch:
            if isinstance(item, Change):
                self._count(state, item, fresh)
                continue
            if isinstance(item, Tick):
                self._bulk(state, fresh)
                self._close(state, item.at_ms)
                state.fine = self._tell(state.fine, out)
            if not isinstance(item, Late):
                out.append(item)
        self._bulk(state, fresh)
        state.fine = self._tell(state.fine, out)
        state.coarse = self._tell(state.coarse, out)
        self._forget(state)
        return out

    # -- counting --------------------------------------------------------------------------------------------------

    def _count(self, state: State, change: Change, fresh: dict[int, list[Member]]) -> None:
        before, after = change.before, change.after
        if before is not None and before.incident_id and not self._frozen(state, before):
            if after.incident_id and self._same(before, after):
                self._swap(state, before, after)
                return
            self._remove(state, before)
        if not after.incident_id or self._frozen(state, after):
            return
        signal = after.located.signal
        pane = self.calendar.pane(signal.occurred_at_ms)
        day_start = self.calendar.start(DAY_MIN, pane)
        day = state.days.get(day_start)
        if day is None:
            day = state.days[day_start] = Day()
        known = after.incident_id in day.incidents or not after.opens or signal.reporter in day.reporters
        if known:
            self._add(state, day, after)
            return
        day.incidents[after.incident_id] = [after]
        if signal.reporter:
            day.reporters[signal.reporter] = [after]
        members = fresh.get(pane)
        if members is None:
            fresh[pane] = [after]
        else:
            members.append(after)

    def _bulk(self, state: State, fresh: dict[int, list[Member]]) -> None:
        """Count signals that are the only one of their incident and reporter that day."""
        for pane, members in fresh.items():
            signals = [m.located.signal for m in members]
            categories = [category_level(s.category, self.category_depth) for s in signals]
            columns = [*zip(*[m.located.cells for m in members], strict=True)] if self.layers else []
            columns += [(CITY_LAYER,) * len(members), tuple([s.source for s in signals])]
            nameless = [n for n, s in enumerate(signals) if not s.reporter]
            for layer, (name, column) in enumerate(zip(self.all_layers, columns, strict=True)):
                cells = list(zip(categories, column, strict=True))
                counts = Counter(cells)
                unknown = Counter([cells[n] for n in nameless])
                for minutes in self.lengths(name):
                    span = (layer, minutes, self.calendar.start(minutes, pane))
                    self._raise(state, span, counts, unknown)
        fresh.clear()

    def _raise(self, state: State, span: Span, counts: Counter[Cell], unknown: Counter[Cell]) -> None:
        """Add to the rows of one span (the hot loop: `_row` written out)."""
        rows = self._rows(state, span)
        told = state.fine if self._is_fine(span) else state.coarse
        stage = PROVISIONAL if span in state.open else REVISED
        for cell, n in counts.items():
            if not cell[1]:
                continue
            row = rows.get(cell)
            if row is None:
                row = rows[cell] = [0, 0, 0, 0, 0, stage, 0]
            elif row[STATE] == FINAL:
                row[STATE] = REVISED
            if not row[DIRTY]:
                row[DIRTY] = 1
                told.append((span, cell, row))
            row[MESSAGES] += n
            row[INCIDENTS] += n
            row[OPENED] += n
            row[REPORTERS] += n - unknown[cell] if unknown else n
            row[VERSION] += n

    def _rows(self, state: State, span: Span) -> Rows:
        rows = state.tables.get(span)
        if rows is None:
            rows = state.tables[span] = {}
            if self.calendar.end(span[1], span[2]) > state.tick_ms:
                state.open.add(span)
        return rows

    def _row(self, state: State, span: Span, rows: Rows, cell: Cell) -> Row:
        """The row, marked as to be told (and as revised, if its pane is closed)."""
        row = rows.get(cell)
        if row is None:
            row = rows[cell] = [0, 0, 0, 0, 0, PROVISIONAL if span in state.open else REVISED, 0]
        elif row[STATE] == FINAL:
            row[STATE] = REVISED
        self._mark(state, span, cell, row)
        return row

    def _mark(self, state: State, span: Span, cell: Cell, row: Row) -> None:
        if not row[DIRTY]:
            row[DIRTY] = 1
            (state.fine if self._is_fine(span) else state.coarse).append((span, cell, row))

    def _is_fine(self, span: Span) -> bool:
        return span[0] == 0 and span[1] == self.calendar.minutes

    def _spans(self, member: Member) -> Iterator[tuple[Span, Cell]]:
        """Every row that a member is counted in."""
        located = member.located
        signal = located.signal
        category = category_level(signal.category, self.category_depth)
        pane = self.calendar.pane(signal.occurred_at_ms)
        codes = (*located.cells, CITY_LAYER, signal.source)
        for layer, (name, code) in enumerate(zip(self.all_layers, codes, strict=True)):
            if code:
                for minutes in self.lengths(name):
                    yield (layer, minutes, self.calendar.start(minutes, pane)), (category, code)

    def _add(self, state: State, day: Day, member: Member) -> None:
        """Count a member whose incident or reporter may already stand in the same rows."""
        reporter = member.located.signal.reporter
        kin = day.incidents.setdefault(member.incident_id, [])
        same = day.reporters.setdefault(reporter, []) if reporter else []
        self._shift(state, member, kin, same, 1)
        kin.append(member)
        if reporter:
            same.append(member)

    def _remove(self, state: State, member: Member) -> None:
        signal = member.located.signal
        day = state.days[self.calendar.start(DAY_MIN, self.calendar.pane(signal.occurred_at_ms))]
        kin = day.incidents[member.incident_id]
        _take_out(kin, signal.id)
        same: list[Member] = []
        if signal.reporter:
            same = day.reporters[signal.reporter]
            _take_out(same, signal.id)
        self._shift(state, member, kin, same, -1)
        if not kin:
            del day.incidents[member.incident_id]
        if signal.reporter and not same:
            del day.reporters[signal.reporter]

    def _shift(self, state: State, member: Member, kin: list[Member], same: list[Member], by: int) -> None:
        """Move every row of `member` by one; distinct counts only where no other member stands for it."""
        taken_by_kin = {place for m in kin for place in self._spans(m)} if kin else ()
        taken_by_same = {place for m in same for place in self._spans(m)} if same else ()
        has_reporter = bool(member.located.signal.reporter)
        for place in self._spans(member):
            row = self._row(state, place[0], self._rows(state, place[0]), place[1])
            row[MESSAGES] += by
            row[VERSION] += 1
            if member.opens:
                row[OPENED] += by
            if place not in taken_by_kin:
                row[INCIDENTS] += by
            if has_reporter and place not in taken_by_same:
                row[REPORTERS] += by

    def _frozen(self, state: State, member: Member) -> bool:
        """Whether the member's day has left the horizon: its counts stand as they are (reconcile moves them)."""
        day = self.calendar.start(DAY_MIN, self.calendar.pane(member.located.signal.occurred_at_ms))
        return self.calendar.end(DAY_MIN, day) <= state.tick_ms - self.horizon_ms

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

    def _swap(self, state: State, before: Member, after: Member) -> None:
        signal = before.located.signal
        day = state.days[self.calendar.start(DAY_MIN, self.calendar.pane(signal.occurred_at_ms))]
        lists = [day.incidents[before.incident_id]]
        if signal.reporter:
            lists.append(day.reporters[signal.reporter])
        for members in lists:
            _take_out(members, signal.id)
            members.append(after)

    # -- time ------------------------------------------------------------------------------------------------------

    def _close(self, state: State, now_ms: int) -> None:
        """Panes that end by now are final; that is a change of every row of theirs."""
        state.tick_ms = now_ms
        for span in sorted(s for s in state.open if self.calendar.end(s[1], s[2]) <= now_ms):
            state.open.discard(span)
            for cell, row in state.tables[span].items():
                row[STATE] = FINAL
                row[VERSION] += 1
                self._mark(state, span, cell, row)

    def _tell(self, told: list[tuple[Span, Cell, Row]], out: list[Out]) -> list[tuple[Span, Cell, Row]]:
        """Rows that changed leave in a fixed order; returns the empty list that takes their place."""
        told.sort(key=_place)
        names = self.all_layers
        for (layer, minutes, start), (category, cell), row in told:
            row[DIRTY] = 0
            m, i, o, r, version, stage, _ = row
            out.append(Pane(names[layer], minutes, start, category, cell, m, i, o, r, NAMES[stage], version))
        return []

    def _forget(self, state: State) -> None:
        """Days (and the panes in them) that end before the horizon are forgotten: nothing can move them any more."""
        limit = state.tick_ms - self.horizon_ms
        for day in [d for d in state.days if self.calendar.end(DAY_MIN, d) <= limit]:
            del state.days[day]
        for span in [s for s in state.tables if self.calendar.end(DAY_MIN, self._day_of(s)) <= limit]:
            del state.tables[span]

    def _day_of(self, span: Span) -> int:
        return self.calendar.start(DAY_MIN, self.calendar.pane(span[2]))


def _place(told: tuple[Span, Cell, Row]) -> tuple[Span, Cell]:
    return told[:2]


def _take_out(members: list[Member], signal_id: str) -> None:
    for n, member in enumerate(members):
        if member.located.signal.id == signal_id:
            del members[n]
            return
