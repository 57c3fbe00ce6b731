"""Partitions that run ahead wait, and never for ever.

watermark  10:00 --------------------------- 10:00 (stands still)
a          10:05     b  12:00 held ........ goes on for a moment, held again
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from streams.batches import TP
from streams.live_align import MOST_MS, PATIENCE_MS, Alignment
from streams.windows import HOUR_MS, MINUTE_MS
from tests.build import DAY0
from tests.unit.test_live_workers import NOW, Bench, Event, Record, call

A, B = TP("raw.110", 0), TP("raw.110", 1)
LATER = DAY0 + 10 * HOUR_MS


def test_who_is_ahead_waits_and_who_is_not_does_not() -> None:
    align = Alignment(HOUR_MS)
    middles = {A: DAY0 + 5 * MINUTE_MS, B: DAY0 + 2 * HOUR_MS}
    assert align.ahead(middles, DAY0, LATER) == {B}
    assert align.ahead(middles, DAY0 + HOUR_MS, LATER) == set()


def test_while_few_signals_wait_nobody_is_held() -> None:
    align = Alignment(HOUR_MS, 1000)
    assert align.ahead({B: DAY0 + 2 * HOUR_MS}, DAY0, LATER, 999) == set()
    assert align.ahead({B: DAY0 + 2 * HOUR_MS}, DAY0, LATER, 1000) == {B}


def test_before_the_city_has_begun_nobody_waits() -> None:
    assert Alignment(HOUR_MS).ahead({B: DAY0 + 2 * HOUR_MS}, 0, LATER) == set()


def test_the_present_and_a_clock_beyond_it_are_not_ahead() -> None:
    align = Alignment(HOUR_MS)
    assert align.ahead({B: DAY0 + 20 * HOUR_MS}, DAY0, DAY0 + HOUR_MS) == set()


def test_while_the_watermark_stands_still_all_go_on_now_and_then() -> None:
    align, middles, going = Alignment(HOUR_MS), {A: DAY0 + 2 * HOUR_MS, B: DAY0 + 3 * HOUR_MS}, []
    for second in range(100):
        if not align.ahead(middles, DAY0, LATER + second * 1000):
            going.append(second)
    first = PATIENCE_MS // 1000
    assert going == [first, 3 * first, 7 * first]
    for minute in range(2, 200):
        align.ahead(middles, DAY0, LATER + minute * MINUTE_MS)
    at = LATER + 200 * MINUTE_MS
    waits = [ms for ms in range(0, MOST_MS + 2000, 1000) if not align.ahead(middles, DAY0, at + ms)]
    assert len(waits) in (1, 2)  # never longer than the longest wait
    assert align.ahead(middles, DAY0 + 1, at + MOST_MS + 3000) == {A, B}  # it moved: patience is short again
    assert align.ahead(middles, DAY0 + 1, at + MOST_MS + 3000 + PATIENCE_MS) == set()


class Held:
    """A consumer of both partitions, as far as holding goes."""

    def __init__(self) -> None:
        self.held: set[TP] = set()
        self.mine = {A, B}

    def assignment(self) -> set[TP]:
        """Both."""
        return self.mine

    def hold(self, tps: Iterable[TP]) -> None:
        """From now on."""
        self.held |= set(tps)

    async def release(self, tps: Iterable[TP]) -> None:
        """From now on."""
        self.held -= set(tps)


def test_the_worker_holds_by_the_middle_of_the_last_batch_and_lets_go() -> None:
    bench, consumer = Bench(), Held()
    # two of three at 00:10 and 00:11; one clock is at 00:59
    bench.take(bench.intake, [Event("raw.110", [Record(n, call(n)) for n in (10, 11, 59)])])

    def align(watermark_ms: int) -> set[TP]:
        asyncio.run(bench.intake.align(consumer, watermark_ms, 50_000))  # type: ignore[arg-type]
        return set(consumer.held)

    assert NOW > DAY0 + HOUR_MS
    zone = 0  # DAY0 is midnight in the city's zone
    assert align(DAY0 + zone - 40 * MINUTE_MS) == set()  # 50 minutes ahead of it; 99 by the wrong clock
    assert align(DAY0 + zone - 55 * MINUTE_MS) == {A}
    assert align(DAY0 + zone - 40 * MINUTE_MS) == set()
    consumer.mine = {B}
    assert align(DAY0 - 3 * HOUR_MS) == set()
    consumer.mine = {A, B}  # back from another worker: where it stands is not known yet
    assert align(DAY0 - 3 * HOUR_MS) == set()
