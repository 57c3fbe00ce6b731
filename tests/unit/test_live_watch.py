"""Work that never ends is told, waiting for a server is not."""

from __future__ import annotations

import subprocess
import sys

from streams.live_store import Health
from streams.live_watch import STUCK_EXIT, Watch


class Clock:
    """Seconds, as told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_batch_in_work_for_too_long_is_overdue_until_it_is_done() -> None:
    clock = Clock()
    watch = Watch(Health(), 60, clock)
    with watch.working("city"):
        clock.now = 60
        assert watch.overdue() == ""
        clock.now = 61
        assert watch.overdue() == "city"
    assert watch.overdue() == ""


def test_the_time_until_a_server_answered_does_not_count() -> None:
    clock, health = Clock(), Health()
    watch = Watch(health, 60, clock)
    with watch.working("intake"):
        health.waits["a call"] = "database", "gone"
        clock.now = 500
        assert watch.overdue() == ""
        health.waits.clear()
        clock.now = 559
        assert watch.overdue() == ""
        clock.now = 561
        assert watch.overdue() == "intake"


def test_two_at_the_same_kind_of_work_are_watched_apart() -> None:
    """The intake of two cities."""
    clock = Clock()
    watch = Watch(Health(), 60, clock)
    first = watch.working("intake")
    with watch.working("intake"):
        clock.now = 50
        with first:
            pass
        clock.now = 61
        assert watch.overdue() == "intake"
    assert watch.overdue() == ""


def test_a_stuck_process_ends_although_its_loop_is_blocked() -> None:
    program = """
import threading
from streams import logs
from streams.live_store import Health
from streams.live_watch import Watch
logs.configure("info")
watch = Watch(Health(), stuck_s=0.2)
with watch.looking(), watch.working("city"):
    threading.Event().wait(60)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == STUCK_EXIT, done.stderr
    assert "the city stage has worked on one batch for more than live.stuck_s" in done.stderr
