"""ClickHouse goes away, refuses, hangs or lies: the worker waits, says why, and nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.faults.front import ANSWERS, CUT, HANG
from tests.faults.servers import TROUBLE, Database, Servers, finish, ready, rounds, unready, working
from tests.servers.deployment import RATE, City, wait

pytestmark = pytest.mark.servers

#: what happens to ClickHouse -> what the worker says meanwhile
FAULTS = {
    "stop": "cannot reach ClickHouse",
    "kill": "cannot reach ClickHouse",
    "error 500": "Internal Server Error",
    "out of memory": "MEMORY_LIMIT_EXCEEDED",
    "disk full": "NOT_ENOUGH_SPACE",
    CUT: "cannot reach ClickHouse",
    HANG: "no answer",
}


@contextmanager
def suffering(database: Database, fault: str) -> Iterator[None]:
    """The fault for as long as the block runs."""
    if fault in ANSWERS or fault in (CUT, HANG):
        with database.front.failing(fault):
            yield
        assert database.front.met
        return
    database.stop() if fault == "stop" else database.kill()
    try:
        yield
    finally:
        database.back()


@rounds(long=5)
def test_every_way_in_which_clickhouse_fails(round: int, servers: Servers, new_city: Callable[[str], City]) -> None:
    """One after the other, in one city to which records come all the time."""
    city = new_city(f"clickhouse-{round}")
    with city.simulated(*TROUBLE, "--days", "3", "--rate", str(RATE // 2), "--pace", "600x", whole=False):
        workers = [city.start("--stages", stage) for stage in ("intake", "city")]
        ready(city)
        for fault, why in FAULTS.items():
            with suffering(servers.database, fault):
                unready(workers, why)
            done = city.committed(city.log)
            wait("goes on", lambda done=done: working(city) and city.committed(city.log) > done)  # type: ignore[misc]
            ready(city)
    finish(city)
