"""What a source usually brings: records an hour by hour of the week, and how long it is usually silent. Pure.

Both are learnt from the arrivals themselves, and so that a bad day teaches little:

* **Rate.** For each of the 168 hours of the local week the mean of past weeks (each newer week a quarter), for the
  first four weeks shrunk towards the mean of that hour of the day (each newer day a fourteenth): a new feed knows its
  day after a day, its week after a week. A count is taken for at most twice and at least half of what was expected (a
  first one: a quarter), 3 records more or less: a dead or doubled feed bends the mean slowly, and does.
* **Silence.** A gap between two arrivals is measured in the records that were expected in it, so that a minute at noon
  counts as much as an hour at night. For a Poisson feed that is exponential with mean 1, whatever its rate, and the
  longest of N gaps about ln N; a feed that comes in batches has longer ones. The *usual* longest gap is the second
  longest of the last 28 days' longest: one bad day does not count. A silence is news when `factor` times that many
  records are missing, and at least `fewest`. What was told as news counts for a quarter more than the usual: a feed
  that has changed for good is accepted in the end.

A Poisson feed of 9,000 records a day has a usual longest gap of about 12: told at 2 x 12 = 24 missing records, it is
wrong once in e^24 gaps, some thousand years; were its rate for weeks half the usual, about once a month.
"""

from __future__ import annotations

from msgspec import Struct, field

from streams.windows import DAY_MS, HOUR_MS, Calendar

WEEK_HOURS, DAY_HOURS = 168, 24
WEEK_STEP, DAY_STEP, SPREAD_STEP = 1 / 4, 1 / 14, 1 / 100
#: weeks that the hour of the day weighs, by the weeks that are known of the hour of the week
PRIOR_WEEKS = (1.0, 1.0, 0.5, 0.25, 0.0)
#: days whose longest gaps are remembered
GAP_DAYS = 28
#: a silence that was told counts for this many times the usual longest gap
TOLD_GAP = 1.25
#: variance of an hour beyond Poisson, over the mean squared: what is assumed at first, and its bounds
SPREAD, SPREAD_MIN, SPREAD_MAX = 0.05, 0.005, 0.25
#: hours with fewer records expected say nothing of the spread
SPREAD_RECORDS = 20.0


class Usual(Struct):
    """What has been learnt of one source. Rates are records an hour; gaps are in expected records, newest last."""

    week: list[float] = field(default_factory=lambda: [0.0] * WEEK_HOURS)
    weeks: list[int] = field(default_factory=lambda: [0] * WEEK_HOURS)
    day: list[float] = field(default_factory=lambda: [0.0] * DAY_HOURS)
    days: list[int] = field(default_factory=lambda: [0] * DAY_HOURS)
    peak: float = 0.0
    spread: float = SPREAD
    gaps: list[float] = []
    today: int = 0
    gap: float = 0.0


class Rhythm:
    """Reads and teaches a `Usual`, in the hours of a calendar. `fewest`, `factor`: see above."""

    def __init__(self, calendar: Calendar, fewest: float, factor: float) -> None:
        self._calendar = calendar
        self._fewest, self._factor = fewest, factor

    def rate(self, usual: Usual, at_ms: int) -> float:
        """Records an hour usual at a time; 0 while nothing is known of it."""
        hour = self._calendar.of_week(self._hour(at_ms))
        weeks = min(usual.weeks[hour], len(PRIOR_WEEKS) - 1)
        prior = PRIOR_WEEKS[weeks]
        return (weeks * usual.week[hour] + prior * usual.day[hour % DAY_HOURS]) / (weeks + prior)

    def expected(self, usual: Usual, from_ms: int, to_ms: int) -> float:
        """Records usual in a span."""
        total, at = 0.0, from_ms
        while at < to_ms:
            end = min(self._hour(at) + HOUR_MS, to_ms)
            total += self.rate(usual, at) * (end - at) / HOUR_MS
            at = end
        return total

    def reached(self, usual: Usual, from_ms: int, to_ms: int, records: float) -> int | None:
        """When so many records have been expected since `from_ms`; None: not by `to_ms`."""
        if usual.peak * (to_ms - from_ms) < records * HOUR_MS:
            return None
        at = from_ms
        while at < to_ms:
            end = min(self._hour(at) + HOUR_MS, to_ms)
            rate = self.rate(usual, at)
            here = rate * (end - at) / HOUR_MS
            if here >= records:
                return at + int(records / rate * HOUR_MS)
            records -= here
            at = end
        return None

    def limit(self, usual: Usual) -> float:
        """Expected records whose absence is news."""
        longest = sorted([*usual.gaps, usual.gap])
        return max(self._fewest, self._factor * longest[-2]) if len(longest) > 1 else self._fewest

    def learn_gap(self, usual: Usual, expected: float, told: bool) -> None:
        """Nothing came between two arrivals while so much was expected. `told`: it was news, and teaches little."""
        most = TOLD_GAP * self.limit(usual) / self._factor
        usual.gap = max(usual.gap, min(expected, most) if told else expected)

    def learn_day(self, usual: Usual, at_ms: int) -> None:
        """Time has come to `at_ms`: another day has a longest gap of its own."""
        day = at_ms // DAY_MS
        if day != usual.today:
            if usual.today:
                usual.gaps = [*usual.gaps, usual.gap][-GAP_DAYS:]
            usual.today, usual.gap = day, 0.0

    def short_ms(self, usual: Usual) -> int:
        """A gap up to this long is neither news nor the longest of its day, whatever the hour."""
        return int(min(usual.gap, self.limit(usual)) / usual.peak * HOUR_MS) if usual.peak else 0

    def learn_hour(self, usual: Usual, hour_ms: int, count: int) -> None:
        """A whole hour's records."""
        hour = self._calendar.of_week(self._hour(hour_ms))
        hour_of_day = hour % DAY_HOURS
        weeks, days = usual.weeks[hour], usual.days[hour_of_day]
        seen = float(count)
        if days:
            mean = self.rate(usual, hour_ms)
            seen = min(max(seen, mean / (2 if weeks else 4) - 3), mean * 2 + 3)
            known = usual.week[hour]
            if weeks and known >= SPREAD_RECORDS and count < known:
                beyond = ((count - known) ** 2 - known * (1 + 1 / weeks)) / known**2
                usual.spread += SPREAD_STEP * (min(max(beyond, SPREAD_MIN), SPREAD_MAX) - usual.spread)
        usual.week[hour] += max(1 / (weeks + 1), WEEK_STEP) * (seen - usual.week[hour])
        usual.day[hour_of_day] += max(1 / (days + 1), DAY_STEP) * (seen - usual.day[hour_of_day])
        usual.weeks[hour], usual.days[hour_of_day] = weeks + 1, days + 1
        usual.peak = max(usual.peak, usual.week[hour], usual.day[hour_of_day])

    def _hour(self, at_ms: int) -> int:
        """Start of the local hour."""
        calendar = self._calendar
        return calendar.start(60, calendar.pane(at_ms))
