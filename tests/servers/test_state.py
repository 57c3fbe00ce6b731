"""The state survives its worker: what a restart loads is what the log says, and nothing is folded twice for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from streams.kafka import producing
from streams.settings import load
from streams.state_topic import MANIFEST, read
from tests.servers.deployment import DAY5, MEMORY, City, Worker, wait
from tests.servers.recounted import check

pytestmark = pytest.mark.servers

NewCity = Callable[[str, dict[str, str]], City]


def news(worker: Worker, event: str) -> list[dict[str, Any]]:
    """Lines of this event that the worker wrote."""
    lines = [json.loads(line) for line in worker.said.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def shown(city: City) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(city.ok("state", "show", "--json"))
    return found


@pytest.fixture(scope="module")
def stopped(new_city: NewCity) -> City:
    """A city whose first worker has stored half of the day and was told to stop."""
    city = new_city("state", dict(MEMORY))
    city.prepare()
    city.simulate()
    first = city.start()
    city.wait_stored(first)
    assert first.stop() == 0, first.said
    assert not news(first, "state loaded")
    return city


def test_a_stop_leaves_a_snapshot_of_everything(stopped: City) -> None:
    found = shown(stopped)
    (newest,) = [s for s in found["snapshots"] if s["edition"] == found["newest"]]
    assert newest["next_offset"] == found["log"]["end"] > 0
    assert newest["complete"] and newest["same_rules"]
    # nothing is left of snapshots that were replaced
    kept = read(load(environ=stopped.environment).kafka)
    assert set(kept.editions) == {found["newest"]}
    assert len(kept.editions[found["newest"]]) == newest["chunks"] + 1


def test_the_next_worker_goes_on_from_it(stopped: City) -> None:
    before = shown(stopped)["log"]["end"]
    second = stopped.start()
    second.wait_ready()
    wait("the state is loaded", lambda: bool(news(second, "state loaded")))
    assert news(second, "state loaded")[0]["offset"] == before
    stopped.simulate("--start", "2026-03-03")
    stopped.wait_stored(second)
    stopped.tell_time(DAY5)
    stopped.wait_stored(second)
    assert second.stop() == 0, second.said
    check(stopped)


def test_a_rebuilt_state_writes_the_same_rows(stopped: City) -> None:
    live = stopped.digest()
    rebuilt = json.loads(stopped.ok("state", "rebuild", "--json"))
    found = shown(stopped)
    assert [s["edition"] for s in found["snapshots"]] == [found["newest"]] == [rebuilt["edition"]]
    assert rebuilt["next_offset"] == found["log"]["end"]
    assert stopped.digest() == live


def test_a_snapshot_of_other_rules_is_refused_and_rebuilt(stopped: City) -> None:
    stopped.settings["QUANYU__INCIDENTS__SESSION_GAP_MIN"] = "45"
    done = stopped.run("live")
    assert done.returncode == 2, done.stderr
    assert "quanyu state rebuild" in done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    done = stopped.run("state", "rebuild")
    assert done.returncode == 2, done.stderr
    assert "clickhouse.database" in done.stderr
    stopped.settings["QUANYU__CLICKHOUSE__DATABASE"] = "state_45"
    stopped.ok("migrate")
    stopped.ok("state", "rebuild")
    worker = stopped.start()
    worker.wait_ready()
    wait("the state is loaded", lambda: bool(news(worker, "state loaded")))
    assert worker.stop() == 0, worker.said


def test_an_edition_that_is_not_complete_is_passed_over(stopped: City) -> None:
    kafka = load(environ=stopped.environment).kafka
    topic = kafka.state_topic
    kept = read(kafka)
    name = kept.newest()
    value = kept.values  # chunks by key
    manifest_key = f"{name}/".encode() + MANIFEST
    assert manifest_key not in value
    with producing(stopped.kafka, compression=None) as send:
        send(topic, b"no manifest at all", key=b"ffff-broken/" + MANIFEST, partition=0)
        send(topic, b"\x00", key=b"fffe-torn/chunk", partition=0)
    again = read(kafka)
    assert again.newest() == name
    worker = stopped.start()
    worker.wait_ready()
    wait("the state is loaded", lambda: bool(news(worker, "state loaded")))
    assert worker.stop() == 0, worker.said
