"""usual: rates by hour of the week and longest gaps, learnt so that a bad day teaches little."""

from __future__ import annotations

from itertools import pairwise

import pytest

from streams.arrivals import BOUNDS_MS, Slot, percentiles, score_of_few
from streams.usual import GAP_DAYS, Rhythm, Usual
from streams.windows import DAY_MS, HOUR_MS, Calendar
from tests.build import DAY0

RHYTHM = Rhythm(Calendar("Asia/Shanghai", 15), 20.0, 2.0)


def count(hour: int) -> int:
    """A week: 200 an hour in the daytime of working days, 100 at weekends, 10 at night."""
    day, clock = divmod(hour % 168, 24)
    return 10 if clock < 6 else 100 if day >= 5 else 200


def lived(weeks: int, usual: Usual | None = None, first: int = 0) -> Usual:
    usual = usual or Usual()
    for hour in range(first * 168, (first + weeks) * 168):
        RHYTHM.learn_hour(usual, DAY0 + hour * HOUR_MS, count(hour))
    return usual


def test_hours_of_the_week_are_those_of_the_city() -> None:
    calendar = Calendar("Asia/Shanghai", 15)
    assert [calendar.of_week(DAY0 + n * HOUR_MS) for n in (0, 1, 167, 168)] == [0, 1, 167, 0]
    assert [Calendar("UTC", 15).of_week(DAY0 + n * HOUR_MS) for n in (0, 8)] == [160, 0]


def test_a_feed_knows_its_day_after_a_day_and_its_week_after_weeks() -> None:
    usual = Usual()
    assert RHYTHM.rate(usual, DAY0) == 0.0
    for hour in range(24):
        RHYTHM.learn_hour(usual, DAY0 + hour * HOUR_MS, count(hour))
    assert RHYTHM.rate(usual, DAY0 + DAY_MS + 12 * HOUR_MS) == 200.0
    saturday = DAY0 + 5 * DAY_MS + 12 * HOUR_MS
    errors = [abs(RHYTHM.rate(lived(weeks), saturday) - 100.0) for weeks in (1, 2, 6)]
    assert errors[0] < 40 and errors[2] < 10 and errors == sorted(errors, reverse=True)


def test_expected_is_the_sum_over_hours_and_reached_its_inverse() -> None:
    usual = lived(6)
    start, end = DAY0 + 5 * HOUR_MS + 1_000_000, DAY0 + 9 * HOUR_MS + 17
    naive = sum(RHYTHM.rate(usual, at) / 3600 for at in range(start, end, 1000))
    whole = RHYTHM.expected(usual, start, end)
    assert whole == pytest.approx(naive, rel=1e-4)
    for records in (1.0, 20.0, whole - 1):
        at = RHYTHM.reached(usual, start, end, records)
        assert at is not None
        assert RHYTHM.expected(usual, start, at) == pytest.approx(records, abs=0.01)
    assert RHYTHM.reached(usual, start, end, whole + 1) is None


def test_a_dead_week_bends_the_mean_and_a_lasting_change_wins() -> None:
    usual, noon = lived(4), DAY0 + 12 * HOUR_MS
    for hour in range(4 * 168, 5 * 168):
        RHYTHM.learn_hour(usual, DAY0 + hour * HOUR_MS, 0)
    assert 130 < RHYTHM.rate(usual, noon) < 190
    for hour in range(5 * 168, 20 * 168):
        RHYTHM.learn_hour(usual, DAY0 + hour * HOUR_MS, count(hour) // 2)
    assert RHYTHM.rate(usual, noon) == pytest.approx(100, rel=0.05)


def test_the_limit_is_twice_the_second_longest_day() -> None:
    usual = Usual()
    for day in range(60):
        RHYTHM.learn_day(usual, DAY0 + day * DAY_MS)
        RHYTHM.learn_gap(usual, 500.0 if day == 50 else 12.0, told=False)
    assert RHYTHM.limit(usual) == 24.0 and len(usual.gaps) == GAP_DAYS
    RHYTHM.learn_gap(usual, 400.0, told=True)
    assert usual.gap == 15.0  # what was news teaches a quarter more than the usual 12


def test_the_score_of_few_is_the_negative_binomial_tail() -> None:
    from scipy import stats

    for observed, mean, spread in ((3, 20.0, 0.05), (0, 8.0, 0.01), (100, 300.0, 0.02)):
        size = 1 / spread
        tail = stats.nbinom.cdf(observed, size, size / (size + mean))
        assert 10 ** -score_of_few(observed, mean, spread) == pytest.approx(tail, rel=1e-6)
    assert score_of_few(18, 20.0, 0.05) == 0.0


def test_percentiles_are_right_to_a_fifth() -> None:
    delays = [n * n * 50 for n in range(1, 200)]
    window = [Slot(), Slot()]
    for n, delay in enumerate(delays):
        window[n % 2].take(delay)
    for share in (0.5, 0.95):
        true = sorted(delays)[int(share * len(delays))]
        assert true / 1000 <= percentiles(window, share)[0] <= true * 1.25 / 1000
    assert percentiles([Slot()], 0.5, 0.95) == [-1.0, -1.0]
    assert all(a < b for a, b in pairwise(BOUNDS_MS))
