"""Servers of these tests alone: they are stopped, killed and made to lie, one test after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.servers import Database, Servers
from tests.servers.broker import Broker
from tests.servers.deployment import City


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A broker and a ClickHouse behind its proxy; both run when a test begins and when it ends."""
    home = tmp_path_factory.mktemp("faults")
    broker, database = Broker(home / "kafka"), Database(home / "clickhouse")
    try:
        broker.start()
        database.start()
        yield Servers(broker, database)
    finally:
        broker.stop()
        database.end()


@pytest.fixture
def new_city(servers: Servers, tmp_path: Path) -> Iterator[Callable[[str], City]]:
    """Makes a deployment by name; its workers are gone when the test ends."""
    made: list[City] = []

    def make(name: str) -> City:
        city = servers.city(name, tmp_path)
        made.append(city)
        return city

    yield make
    for city in made:
        city.end()
