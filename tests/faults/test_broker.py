"""Kafka goes away while live runs: the workers wait in place, say so, and go on when it is back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.servers import TROUBLE, Servers, finish, reach, ready, unready
from tests.servers.deployment import RATE, City

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_broker_goes_away_and_comes_back(
    how: str, servers: Servers, new_city: Callable[[str], City], long: bool
) -> None:
    times = 5 if long else 1
    city = new_city(f"broker-{how}")
    city.simulate(*TROUBLE, "--rate", str(2 * RATE * times))
    workers = [city.start("--stages", "intake"), city.start("--stages", "city")]
    ready(workers)
    for time in range(times):
        reach(city, (2 * time + 1) * RATE)
        getattr(servers.broker, how)()
        try:
            for worker in workers:
                unready([worker], "waiting for broker")
        finally:
            servers.broker.start()
        ready(workers)
    finish(city)
