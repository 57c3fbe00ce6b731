"""Real servers for the tests of this folder; each is started once and shared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.servers import chdb_process
from tests.servers.broker import broker
from tests.servers.deployment import City


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Address of a real Kafka broker, one for all tests."""
    with broker() as address:
        yield address


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Prefix of the test's own topics and groups."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()) + "."


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of ClickHouse's engine behind HTTP, one for all tests."""
    with chdb_process.serve(tmp_path_factory.mktemp("clickhouse") / "data") as url:
        yield url


@pytest.fixture(scope="session")
def new_city(
    kafka: str, clickhouse: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, dict[str, str]], City]]:
    """Makes a deployment by name and settings; its workers are gone when the tests end."""
    made: list[City] = []

    def make(name: str, settings: dict[str, str]) -> City:
        city = City(name, kafka, clickhouse, tmp_path_factory.mktemp(name), settings)
        made.append(city)
        return city

    yield make
    for city in made:
        city.end()
