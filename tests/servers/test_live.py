"""Simulator -> Kafka -> `quanyu live` -> ClickHouse: every number is that of an independent recount, and of replays."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.recount.simulated import Recount
from tests.servers.deployment import DAY5, City
from tests.servers.recounted import hold, reasons, recount

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def city(new_city: Callable[[str, dict[str, str]], City]) -> City:
    """A deployment whose worker has stored everything and has been told to stop."""
    city = new_city("live", {})
    city.prepare()
    city.simulate()
    worker = city.start()
    worker.wait_ready()
    city.wait_stored(worker)
    city.tell_time(DAY5)
    city.wait_stored(worker)
    assert worker.stop() == 0, worker.said
    return city


@pytest.fixture(scope="module")
def found(city: City) -> Recount:
    return recount(city)


def replayed(city: City, *options: str) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(city.ok("replay", "run", "--kafka", "--json", *options))
    return summary


def truth(folder: Path) -> Counter[tuple[str, str]]:
    """Broken records as the simulator sent them, by source and reason."""
    rows = map(json.loads, (folder / "truth.ndjson").read_text().splitlines())
    broken = [row for row in rows if row["truth"] == "count" and row["kind"].startswith("broken:")]
    return Counter({(row["source"], row["kind"].removeprefix("broken:")): row["records"] for row in broken})


def test_every_number_stored_is_that_of_the_recount(city: City, found: Recount) -> None:
    frame = hold(city, found)
    assert len(frame) > 10_000
    assert frame.incident.nunique() < frame.counts.sum()


def test_rejected_are_those_that_the_simulator_broke(city: City, found: Recount) -> None:
    broken = truth(city.folder)
    assert broken.total() > 10
    assert reasons(found.bad, city) == broken


@pytest.mark.parametrize("batch", ["5000", "37"])
def test_the_log_replayed_gives_the_same_digest(city: City, batch: str) -> None:
    live = city.digest()
    again = city.digest(replayed(city, "--log", "--batch", batch)["database"])
    assert again.pop("rejected") == "0:0000000000000000"  # refused before the log
    assert again == {table: live[table] for table in again}


def test_the_raw_topics_replayed_give_the_same_facts(city: City, found: Recount) -> None:
    summary = replayed(city)
    assert summary["read"] == found.read
    assert summary["signals"] == len(found.frame)
    assert (summary["duplicates"], summary["revisions"]) == (found.duplicates, found.revisions)
    hold(city, found, summary["database"])


def test_its_log_holds_only_what_a_person_can_act_on(city: City) -> None:
    """A broker that has just been started has no coordinator for its first group: that may be said."""
    lines = [json.loads(line) for line in city.workers[0].said.splitlines()]
    told = [line["event"] for line in lines if "GroupCoordinator" not in line["event"]]
    assert [event for event in told if "coordinator dead" not in event] == ["live"]
