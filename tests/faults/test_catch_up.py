"""Everything stands still for hours of event time and is then caught up at full speed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.servers import STOP_S, TROUBLE, finish, reach, rounds
from tests.servers.deployment import RATE, City, Worker, wait

pytestmark = pytest.mark.servers


@rounds(long=3)
def test_hours_are_caught_up(round: int, new_city: Callable[[str], City]) -> None:
    """Nothing is late that would not be late if every record had been read when it came, and memory stays bounded."""
    city = new_city(f"behind-{round}")
    with city.simulated(*TROUBLE, "--rate", str(4 * RATE), "--pace", "5000x"):
        before = [city.start("--stages", "intake"), city.start("--stages", "city")]
        reach(city, RATE // 2)
        assert [worker.stop(STOP_S) for worker in before] == [0, 0]
        wait("half a day has come", lambda: city.left() > 2 * RATE)
        after = [city.start("--stages", stage) for stage in ("intake", "intake", "city")]
        reach(city, 4 * RATE)
        peak = max(map(peak_mb, after))
    finish(city, repeats=False)  # the list differs now and then from its recount (see docs/plan.md)
    held = state_mb(city)
    live, undisturbed = late(city, "--log"), late(city)
    print("late", live, undisturbed, "MB", peak, held)
    assert 0 < live <= undisturbed
    assert peak < 2 * held


def state_mb(city: City) -> float:
    """The memory of a worker that does nothing but take over the state that the city has now."""
    worker = city.start("--stages", "city")
    wait("the state is loaded", lambda: '"state loaded"' in worker.said)
    held = peak_mb(worker)
    assert worker.stop(STOP_S) == 0, worker.said
    return held


def peak_mb(worker: Worker) -> float:
    """The most memory that the process has held."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def late(city: City, *options: str) -> int:
    """Late signals in a replay: of the log as live wrote it, or of the raw topics, each read in its time."""
    summary: dict[str, int] = json.loads(city.ok("replay", "run", "--kafka", "--json", *options))
    return summary["late"]
