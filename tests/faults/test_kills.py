"""Workers are killed, join and leave at any moment, over and over: nothing is lost, nothing counted twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.faults.servers import STOP_S, TROUBLE, finish, ready, rounds
from tests.servers.deployment import RATE, City, Worker

pytestmark = pytest.mark.servers

NewCity = Callable[[str], City]
#: seconds until the next thing happens; a worker needs about three to begin
MOMENTS = (0.5, 6.0)
#: ten seconds a day: first a flood, then for half a minute what is late or corrected
PACE = ("--pace", "8640x")


@pytest.fixture
def chance() -> random.Random:
    """Other moments every time; pytest shows the seed of a test that fails."""
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    return random.Random(seed)


def pause(chance: random.Random) -> None:
    """Until the next moment, whatever it is: nothing is waited for."""
    time.sleep(chance.uniform(*MOMENTS))


@rounds(long=10)
def test_a_stage_is_killed_ten_times(round: int, new_city: NewCity, chance: random.Random) -> None:
    city = new_city(f"kills-{round}")
    with city.simulated(*TROUBLE, "--rate", str(2 * RATE), *PACE):
        running = {stage: city.start("--stages", stage) for stage in ("intake", "city")}
        for _ in range(10):
            pause(chance)
            stage = chance.choice(list(running))
            running[stage].kill()
            running[stage] = city.start("--stages", stage)
    finish(city)


@rounds(long=10)
def test_workers_join_leave_and_are_killed(round: int, new_city: NewCity, chance: random.Random) -> None:
    """Between one and three workers share the partitions; each leaves by SIGTERM or by kill -9."""
    city = new_city(f"members-{round}")

    def leave(worker: Worker) -> None:
        if chance.random() < 0.5:
            worker.kill()
        else:
            assert worker.stop(STOP_S) == 0, worker.said

    with city.simulated(*TROUBLE, "--rate", str(2 * RATE), *PACE):
        first = city.start()
        ready(city)
        helper = city.start("--stages", "intake")
        pause(chance)
        second = city.start()
        pause(chance)
        leave(helper)
        pause(chance)
        leave(first)
        city.start()
        ready(city)
        pause(chance)
        leave(second)
    finish(city)
