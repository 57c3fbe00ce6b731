"""Dead letters on the real broker: a stage that stops over them, and a redrive after the mapping was fixed.

mapping    knows one way of writing times     |  knows both
raw.110/0  good good good ...                 |
raw.110/1  good, then every second is refused |  + refused ones, sent again (three times: two redrives are killed)
worker     ... exit 3                         |  goes on
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas import Envelope, Rejected
from streams.kafka import producing
from streams.kafka_range import TICK_KEY
from streams.redrive import HEADER
from tests.build import DAY0
from tests.servers.deployment import PARTITIONS, City, Worker, read_topic
from tests.servers.recounted import stored
from tests.unit.test_live_workers import call

pytestmark = pytest.mark.servers

RECORDS = 3_000
SLASHED = "2026/03/02 %02d:%02d:00"
#: of each kind, one: before the horizon (48 h), and never right
OLD, BROKEN = call(90_000, bjsj="2026/02/25 08:00:00"), b'{"jjdbh": "13812345678"'
COUNTS = """
    SELECT layer, minutes, pane_start, category, cell, messages, incidents, opened, reporters
    FROM {run}.grid_counts FINAL WHERE messages > 0 AND pane_start >= '2026-03-01'
    ORDER BY layer, minutes, pane_start, category, cell"""
SIGNALS = """
    SELECT signal_id, occurred_at, shown_address, unit_cell, incident_id
    FROM {run}.v_signals WHERE occurred_at >= '2026-03-01' ORDER BY signal_id"""
KILLED = """
import os, signal
from sinks.clickhouse import dead_letters
dead_letters.mark = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from streams.cli import main
main()
"""


def records() -> Iterator[tuple[int, bytes, bytes]]:
    """(partition, key, value): of the second partition every second record has its time in slashes, but the first."""
    for n in range(RECORDS):
        hour, minute = divmod(n // 10, 60)
        slashed = n % 4 == 3 and n > RECORDS * 2 // 5
        at = SLASHED % (hour, minute) if slashed else f"2026-03-02 {hour:02d}:{minute:02d}:00"
        yield n % 2, b"key %d" % n, call(n, bjsj=at, sfdz=f"人民路{n % 50}号", bjdh=f"138{n:08d}")
    yield 1, b"", OLD
    yield 1, b"", BROKEN


def fill(city: City) -> None:
    city.prepare()
    with producing(city.kafka) as send:
        for n, (partition, key, value) in enumerate(records()):
            send(city.raw[0], value, key or None, partition, DAY0 + n)


def tell(city: City, worker: Worker) -> None:
    """Tell the end of the day on every partition, so that no signal waits for time to pass."""
    city.wait_stored(worker)
    with producing(city.kafka) as send:
        for topic in city.raw:
            for partition in range(PARTITIONS):
                send(topic, b"%d" % (DAY0 + 24 * 3_600_000), TICK_KEY, partition, DAY0 + RECORDS + 9)
    city.wait_stored(worker)


def mapping(folder: Path, right: bool) -> str:
    """The shipped mapping of 110; the right one knows times in slashes as well."""
    text = (resources.files("schemas.sources") / "110.toml").read_text(encoding="utf-8")
    formats = 'formats = ["iso", "%Y/%m/%d %H:%M:%S"]' if right else 'formats = ["iso"]'
    path = folder / f"110-{right}.toml"
    path.write_text(text.replace('formats = ["iso"]', formats), encoding="utf-8")
    return str(path)


def listed(city: City) -> dict[str, Any]:
    rows = json.loads(city.ok("rejected", "list", "--json"))
    return {key: sum(row[key] for row in rows) for key in ("records", "open", "failing", "redriven")}


def redrive(city: City, *options: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(city.ok("rejected", "redrive", "--json", *options))
    return report


def kill_a_redrive(city: City) -> None:
    """kill -9 when it has sent its first letters and not yet marked them."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("QUANYU__")}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "rejected", "redrive"],
        cwd=city.folder,
        env=clean | city.environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == -9, done.stderr


def stored_letters(city: City) -> set[tuple[int, int]]:
    """(partition, offset) of source 110's dead letters."""
    (rows,) = stored(city, "SELECT partition, offset FROM {run}.rejected FINAL WHERE source = '110'")
    return set(rows.itertuples(index=False, name=None))


def covered(city: City) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """What the log covers of source 110, and what it has of it."""
    decode = msgspec.msgpack.Decoder(Envelope).decode
    envelopes = [e for r in read_topic(city.kafka, city.log) if (e := decode(r.value)).topic == city.raw[0]]
    span = {(e.partition, n) for e in envelopes for n in range(e.first_offset, e.last_offset + 1)}
    return span, {(e.partition, n) for e in envelopes for n in e.offsets}


@pytest.fixture(scope="module")
def right(new_city: Callable[[str, dict[str, str]], City]) -> City:
    """The same records under the right mapping from the start."""
    city = new_city("letters-right", {"QUANYU__GRIDS__FILE": ""})
    city.settings["QUANYU__SOURCES__110__MAPPING"] = mapping(city.folder, right=True)
    fill(city)
    worker = city.start()
    tell(city, worker)
    assert worker.stop() == 0, worker.said
    return city


def test_a_stage_stops_comes_back_and_what_was_refused_is_sent_again(
    new_city: Callable[[str, dict[str, str]], City], right: City
) -> None:
    city = new_city("letters", {"QUANYU__GRIDS__FILE": "", "QUANYU__INTAKE__BAD_WINDOW": "500"})
    city.settings["QUANYU__SOURCES__110__MAPPING"] = mapping(city.folder, right=False)
    fill(city)

    # too much bad data: exit 3, and everything that is acked or covered by the log is in the log or a letter
    stopped = city.run("live")
    assert stopped.returncode == 3, stopped.stderr
    assert "intake.max_bad_share" in stopped.stderr
    assert "Traceback" not in stopped.stderr, stopped.stderr
    span, located = covered(city)
    letters = stored_letters(city)
    assert span and letters
    assert span <= located | letters
    for partition, (done, _) in enumerate(city.offsets(city.raw[0])):
        assert {(partition, n) for n in range(done)} <= located | letters
    assert city.left() > 0

    # after the fix: redrives that are killed before they mark anything, one that is not, and the worker again
    city.settings["QUANYU__SOURCES__110__MAPPING"] = mapping(city.folder, right=True)
    city.settings["QUANYU__INTAKE__MAX_BAD_SHARE"] = "0.5"
    before = len(letters)
    would = redrive(city, "--dry-run")
    assert would["letters"] == before == would["sent"] + sum(would["still_failing"].values())
    kill_a_redrive(city)
    kill_a_redrive(city)
    assert listed(city)["open"] == before
    did = redrive(city)
    assert did | {"dry_run": True} == would
    raw = read_topic(city.kafka, city.raw[0])
    again = [r for r in raw if dict(r.headers).get(HEADER)]
    assert len(again) == 3 * did["sent"] > 300  # fewer than are marked together: each redrive got to all
    by_place = {f"{r.topic}/{r.partition}/{r.offset}": r for r in raw}
    for record in again:
        first = by_place[dict(record.headers)[HEADER].decode()]
        assert (record.partition, record.key, record.value) == (first.partition, first.key, first.value)
        assert record.timestamp == first.timestamp
    worker = city.start()
    tell(city, worker)

    # nothing is missing, nothing counted twice; one more redrive finds nothing but what never will pass
    last = redrive(city)
    assert last["sent"] == 0
    assert last["still_failing"] == {"not_json": 1}
    assert redrive(city)["letters"] == 1
    assert worker.stop() == 0, worker.said
    for query in (SIGNALS, COUNTS):
        (ours,), (theirs,) = stored(city, query), stored(right, query)
        assert len(ours) >= (RECORDS if query == SIGNALS else 100)
        assert ours.equals(theirs)
    state = listed(city)
    assert (state["open"], state["failing"], state["redriven"]) == (0, 1, state["records"] - 1)

    # the topic has what the table has
    found = {r.key: msgspec.json.decode(r.value, type=Rejected) for r in read_topic(city.kafka, city.rejected)}
    assert {(letter.partition, letter.offset) for letter in found.values()} == stored_letters(city)
    assert BROKEN in {letter.raw for letter in found.values()}


def test_a_signal_from_beyond_the_horizon_is_said_to_be_late_and_is(right: City) -> None:
    """Refused by the wrong mapping, sent again by the right one three months after its time."""
    city = right
    with producing(city.kafka) as send:
        send(city.raw[0], call(80_000, bjsj="26.02.2026 08:00"), None, 0, DAY0 + 10**6)
    worker = city.start()
    city.wait_stored(worker)
    assert worker.stop() == 0, worker.said
    path = Path(city.settings["QUANYU__SOURCES__110__MAPPING"])
    path.write_text(path.read_text(encoding="utf-8").replace('"iso",', '"iso", "%d.%m.%Y %H:%M",'), encoding="utf-8")
    told = city.ok("rejected", "redrive", "--reason", "bad_time")
    assert "about 1 of them are older than their source's horizon" in told
    worker = city.start()
    city.wait_stored(worker)
    assert worker.stop() == 0, worker.said
    (late,) = stored(city, "SELECT signal_id FROM {run}.late_signals FINAL WHERE signal_id = '110:JJ80000'")
    assert len(late) == 1
