"""Everything stands still for hours of event time and is then caught up at full speed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.servers import TROUBLE, finish, reach, rounds, working
from tests.servers.deployment import RATE, City, Worker

pytestmark = pytest.mark.servers


@rounds(long=3)
def test_hours_are_caught_up(round: int, new_city: Callable[[str], City]) -> None:
    """Nothing is late that would not be late if every record had been read when it came, and memory stays bounded."""
    city = new_city(f"behind-{round}")
    with city.simulated(*TROUBLE, "--rate", str(3 * RATE), "--pace", "8640x"):
        before = [city.start("--stages", "intake"), city.start("--stages", "city")]
        reach(city, RATE // 2)
        peaks = list(map(peak_mb, before))
        assert [worker.stop() for worker in before] == [0, 0]
    assert city.left() > RATE
    after = [city.start("--stages", stage) for stage in ("intake", "intake", "city")]
    reach(city, 3 * RATE)
    assert max(map(peak_mb, after)) < 1.5 * max(peaks)
    assert working(city) == after
    finish(city)
    live, undisturbed = late(city, "--log"), late(city)
    assert 0 < live <= undisturbed


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
