"""hotspots: first, provisional detector. Cell counts of the last panes against the same hours of the past days.

At every closed pane, for every cell and category of the finest layer with enough incidents in the last `window_panes`:

    observed  incidents opened in the window
    expected  (sum over the past days of the same window + 1/2) / (days + 1)         (a Bayes mean with a weak prior)
    score     -log10 P(N >= observed), N negative binomial with that mean and size 1/dispersion  (day-to-day variance)

A hot spot opens at `open_score` with at least `min_count` incidents, stays while the score is above `keep_score`,
cools below it and closes after `close_after_h` without. With fewer than `min_history_days` days nothing opens: a claim
needs a past. All of it is marked `provisional`: it controls no false-alarm rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from scipy import special

from schemas import HotSpot, Incident, Pane, Tick
from streams.windows import DAY_MIN, HOUR_MS, Calendar

METHOD = "same-hours-nb"
#: -log10 of the tail probability at which a level begins
LEVELS = ((12.0, "red"), (10.0, "orange"), (8.0, "yellow"), (0.0, "blue"))

Spot = tuple[str, str]  # cell, category
Out = HotSpot | Incident | Tick


class Open(Struct):
    """An open hot spot: its last revision and when it was last above the keeping score."""

    revision: HotSpot
    warm_ms: int


class Past(Struct):
    """Closed panes of one day: sorted keys (spot code x panes a day + pane of the day) and their counts."""

    keys: bytes
    counts: bytes


class State(Struct):
    """`recent`: pane start -> spot -> incidents opened; `past`: day -> counts; `codes`: spot -> small integer."""

    recent: dict[int, dict[Spot, int]] = {}
    past: dict[int, Past] = {}
    codes: dict[Spot, int] = {}
    open: dict[Spot, Open] = {}
    total: int = 0
    tick_ms: int = -(2**62)


class SameHours(NamedTuple):
    """Counts of a window's hours in the days before it."""

    ordinals: list[int]
    packed: list[Past]
    loose: list[dict[Spot, int]]
    days: int


@dataclass(frozen=True)
class HotSpots:
    """Configuration of `[hotspots]`; `layer` is the finest; `horizon_ms` is how long a pane may still move."""

    calendar: Calendar
    layer: str
    horizon_ms: int
    window_panes: int
    history_days: int
    min_history_days: int
    min_count: int
    open_score: float
    keep_score: float
    close_after_h: int
    dispersion: float
    versions: Mapping[str, str]

    def start(self) -> State:
        """No past, nothing open."""
        return State()

    def step(self, state: State, batch: Sequence[Pane | Incident | Tick]) -> list[Out]:
        """Take counts in; at each tick evaluate every pane that has closed. Incidents and ticks pass through."""
        out: list[Out] = []
        minutes = self.calendar.minutes
        for item in batch:
            if isinstance(item, Pane):
                if item.minutes == minutes and item.layer == self.layer:
                    self._take(state, item)
                continue
            if isinstance(item, Tick):
                self._evaluate(state, item.at_ms, out)
            out.append(item)
        return out

    def _take(self, state: State, pane: Pane) -> None:
        counts = state.recent.setdefault(pane.start_ms, {})
        if pane.opened:
            counts[(pane.cell, pane.category)] = pane.opened
        else:
            counts.pop((pane.cell, pane.category), None)

    def _evaluate(self, state: State, now_ms: int, out: list[Out]) -> None:
        """Every pane end up to now at which a window has counts, or a hot spot is open: a jump equals its steps."""
        pane_ms = self.calendar.pane_ms
        reach = range(pane_ms, (self.window_panes + 1) * pane_ms, pane_ms)
        since = state.tick_ms - self.window_panes * pane_ms
        ends = sorted({s + k for s in state.recent if s >= since for k in reach if s + k > state.tick_ms})
        at, i = state.tick_ms, 0
        while True:
            while i < len(ends) and ends[i] <= at:
                i += 1
            at = at + pane_ms if state.open else ends[i] if i < len(ends) else now_ms + 1
            if at > now_ms:
                break
            self._at(state, at, out)
        state.tick_ms = now_ms
        self._shelve(state, now_ms)

    def _at(self, state: State, end: int, out: list[Out]) -> None:
        """Evaluate the window that ends at `end`."""
        pane_ms = self.calendar.pane_ms
        starts = range(end - self.window_panes * pane_ms, end, pane_ms)
        window: dict[Spot, int] = {}
        for start in starts:
            for spot, n in state.recent.get(start, {}).items():
                window[spot] = window.get(spot, 0) + n
        candidates = sorted({s for s, n in window.items() if n >= self.min_count} | set(state.open))
        if not candidates:
            return
        same_hours = self._same_hours(state, starts)
        for spot in candidates:
            observed = window.get(spot, 0)
            found = state.open.get(spot)
            if found is None and observed < self.min_count:
                continue
            days, total = self._history(state, spot, same_hours)
            expected = (total + 0.5) / (days + 1)
            score = tail_score(observed, expected, self.dispersion) if observed else 0.0
            if found is None:
                if days >= self.min_history_days and score >= self.open_score:
                    state.total += 1
                    state.open[spot] = self._open(spot, end, observed, expected, score, days, out)
            else:
                self._go_on(state, spot, found, end, observed, expected, score, days, out)

    def _same_hours(self, state: State, starts: range) -> SameHours:
        """The window's hours in the days before: packed days, and panes that may still move."""
        today = self.calendar.start(DAY_MIN, starts[-1])
        ordinals = [self.calendar.of_day(s) for s in starts]
        packed = [p for day, p in state.past.items() if day < today]
        days = {s: self.calendar.start(DAY_MIN, s) for s in state.recent}
        loose = [state.recent[s] for s, d in days.items() if d < today and self.calendar.of_day(s) in ordinals]
        return SameHours(ordinals, packed, loose, len(packed) + len({d for d in days.values() if d < today}))

    def _history(self, state: State, spot: Spot, hours: SameHours) -> tuple[int, int]:
        """(days of history, incidents of this spot at the same hours of these days)."""
        total = sum(counts.get(spot, 0) for counts in hours.loose)
        code = state.codes.get(spot)
        if code is not None:
            per_day = DAY_MIN // self.calendar.minutes
            wanted = np.array([code * per_day + o for o in hours.ordinals], dtype=np.int64)
            for past in hours.packed:
                keys = np.frombuffer(past.keys, dtype=np.int64)
                at = np.searchsorted(keys, wanted)
                inside = at < len(keys)
                hit = at[inside][keys[at[inside]] == wanted[inside]]
                total += int(np.frombuffer(past.counts, dtype=np.int32)[hit].sum())
        return hours.days, total

    def _open(
        self,
        spot: Spot,
        end: int,
        observed: int,
        expected: float,
        score: float,
        days: int,
        out: list[Out],
    ) -> Open:
        name = hashlib.blake2b(
            f"{METHOD}|{self.layer}|{spot}|{end}|{self.versions}".encode(), digest_size=8
        ).hexdigest()
        hotspot = HotSpot(
            id=name,
            revision=1,
            state="open",
            method=METHOD,
            provisional=True,
            level=level_of(score),
            layer=self.layer,
            cells=(spot[0],),
            category=spot[1],
            opened_at_ms=end,
            updated_at_ms=end,
            window_start_ms=end - self.window_panes * self.calendar.pane_ms,
            window_end_ms=end,
            observed=observed,
            expected=round(expected, 6),
            score=round(score, 6),
            history_days=days,
            versions=dict(self.versions),
        )
        out.append(hotspot)
        return Open(hotspot, end)

    def _go_on(
        self,
        state: State,
        spot: Spot,
        found: Open,
        end: int,
        observed: int,
        expected: float,
        score: float,
        days: int,
        out: list[Out],
    ) -> None:
        """A further revision, if anything a person would see has changed."""
        last = found.revision
        warm = score >= self.keep_score
        if warm:
            found.warm_ms = end
        stage = "open" if warm else "cooling"
        if end - found.warm_ms >= self.close_after_h * HOUR_MS:
            stage = "closed"
        grew = warm and observed > last.observed
        if stage == last.state and not grew:
            return
        # what is told stays that of the strongest window; only its state goes on
        told = HotSpot(
            id=last.id,
            revision=last.revision + 1,
            state=stage,
            method=METHOD,
            provisional=True,
            level=max(last.level, level_of(score), key=_rank) if grew else last.level,
            layer=last.layer,
            cells=last.cells,
            category=last.category,
            opened_at_ms=last.opened_at_ms,
            updated_at_ms=end,
            window_start_ms=end - self.window_panes * self.calendar.pane_ms if grew else last.window_start_ms,
            window_end_ms=end if grew else last.window_end_ms,
            observed=observed if grew else last.observed,
            expected=round(expected, 6) if grew else last.expected,
            score=round(score, 6) if grew else last.score,
            history_days=days if grew else last.history_days,
            versions=last.versions,
        )
        found.revision = told
        out.append(told)
        if stage == "closed":
            del state.open[spot]

    def _shelve(self, state: State, now_ms: int) -> None:
        """Days that no correction can reach any more are packed; days beyond the history are dropped."""
        limit = now_ms - self.horizon_ms
        if not state.recent or self._day_end(min(state.recent)) > limit:
            return
        per_day = DAY_MIN // self.calendar.minutes
        old = [s for s in state.recent if self._day_end(s) <= limit]
        days: dict[int, dict[int, int]] = {}
        for start in sorted(old):
            counts = days.setdefault(self.calendar.start(DAY_MIN, start), {})
            ordinal = self.calendar.of_day(start)
            for spot, n in state.recent.pop(start).items():
                code = state.codes.setdefault(spot, len(state.codes))
                key = code * per_day + ordinal
                counts[key] = counts.get(key, 0) + n
        for day, counts in days.items():
            keys = np.array(sorted(counts), dtype=np.int64)
            state.past[day] = Past(keys.tobytes(), np.array([counts[k] for k in keys.tolist()], np.int32).tobytes())
        oldest = self.calendar.start(DAY_MIN, self.calendar.pane(now_ms)) - self.history_days * DAY_MIN * 60_000
        for day in [d for d in state.past if d < oldest]:
            del state.past[day]

    def _day_end(self, pane_start: int) -> int:
        return self.calendar.end(DAY_MIN, self.calendar.start(DAY_MIN, pane_start))


def tail_score(observed: int, mean: float, dispersion: float) -> float:
    """-log10 P(N >= observed) of a negative binomial with `mean` and variance mean + dispersion x mean².

    P(N >= c) = I_x(c, r) with r = 1/dispersion, x = mean / (mean + r): the regularised incomplete beta function.
    Where that underflows, the first term of the tail is taken (a bound from below on the score's truth).
    """
    size = 1.0 / dispersion
    p = float(special.betainc(observed, size, mean / (mean + size)))
    if p > 0.0:
        return max(0.0, -log(p) / log(10))
    log_first = (
        special.gammaln(observed + size)
        - special.gammaln(size)
        - special.gammaln(observed + 1)
        + observed * log(mean / (mean + size))
        + size * log(size / (mean + size))
    )
    return float(-log_first / log(10))


def level_of(score: float) -> str:
    """Colour of a score (provisional thresholds)."""
    return next(name for bound, name in LEVELS if score >= bound)


def _rank(level: str) -> int:
    return ("blue", "yellow", "orange", "red").index(level)
