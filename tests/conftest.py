"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from sinks.clickhouse import Client, connect
from tests.clickhouse import Where

#: a busy machine is no failure
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The evaluation data that lies beside a developer's clone."""
    path = Path(os.environ.get("QUANYU_SHARED") or Path(__file__).parents[2] / "shared")
    assert path.is_dir(), f"no evaluation data at {path}: set QUANYU_SHARED"
    return path


@pytest.fixture(scope="session")
def chdb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the one chDB directory that this process may open: a test takes a database of its own in it.

    It stays open for the whole session; every closing and opening of the engine would cost a second.
    """
    url = f"chdb:{tmp_path_factory.mktemp('chdb')}"
    keeper = connect(Where(url))
    yield url
    keeper.close()


@pytest.fixture
def chdb(chdb_url: str) -> Iterator[Client]:
    """A client of embedded ClickHouse."""
    client = connect(Where(chdb_url))
    yield client
    client.close()
