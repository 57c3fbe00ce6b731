"""Kafka goes away while live runs: the workers wait in place, say so, and go on when it is back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.servers import TROUBLE, Servers, finish, reach, ready, rounds, unready
from tests.servers.deployment import RATE, City

pytestmark = pytest.mark.servers


@rounds(long=5)
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_broker_goes_away_and_comes_back(
    how: str, round: int, servers: Servers, new_city: Callable[[str], City]
) -> None:
    city = new_city(f"broker-{how}-{round}")
    city.simulate(*TROUBLE, "--rate", str(2 * RATE))
    workers = [city.start("--stages", "intake"), city.start("--stages", "city")]
    reach(city, RATE // 2)
    ready(city)
    getattr(servers.broker, how)()
    try:
        for worker in workers:
            unready([worker], "waiting for broker")
    finally:
        servers.broker.start()
    ready(city)
    finish(city)
