"""Real servers for the tests of this folder; each is started once and shared."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.servers.broker import broker


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Address of a real Kafka broker, one for all tests."""
    with broker() as address:
        yield address


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Prefix of the test's own topics and groups."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()) + "."
