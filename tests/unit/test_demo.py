"""demo: steps of simulated time, sources as origins, and the command from city to summary."""

from __future__ import annotations

import json
import threading
from itertools import pairwise

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from schemas import Envelope
from sinks.clickhouse import Client
from sinks.memory import MemorySink
from streams.cli import main
from streams.demo import Walk, origins, steps
from streams.replay import Folding
from streams.settings import Settings
from streams.simulator.simulation import Emission
from streams.windows import HOUR_MS, MINUTE_MS
from tests.shells import EAGER, START_MS, folded, lived, records, wired


def emission(at_ms: int) -> Emission:
    return Emission(at_ms, "110", b"{}", "report", str(at_ms))


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(1, 90), st.integers(1, 90))
def test_steps_hold_every_arrival_once_in_spans_without_gaps(times: list[int], early: int, late: int) -> None:
    emissions = [emission(at) for at in sorted(times)]
    found = list(steps(emissions, 0, lambda at: early if at < 200 else late))
    assert [e for _, arrived in found for e in arrived] == emissions
    ends = [end for end, _ in found]
    starts = [0, *ends]
    for (start, end), (_, arrived) in zip(pairwise(starts), found, strict=True):
        assert end - start == (early if start < 200 else late)
        assert all(start <= e.arrival_ms < end for e in arrived)
    assert not found or found[-1][1]  # it ends with the last arrival


def test_every_source_is_an_origin_and_speaks_in_every_step() -> None:
    assert origins(Settings()) == {f"raw.{name}/0": name for name in ("110", "12345", "grid", "sensor")}
    log, _, _ = lived()
    by_origin = {name: [e for e in log if e.origin == name] for name in origins(EAGER)}
    assert len({len(envelopes) for envelopes in by_origin.values()}) == 1
    for envelopes in by_origin.values():
        assert all(b.first_offset == a.last_offset + 1 for a, b in pairwise(envelopes))


def test_a_silent_source_tells_its_time_less_its_lateness() -> None:
    log: list[Envelope] = []

    def walk(folding: Folding) -> None:
        walker = Walk(folding, EAGER)
        walker.log = log.append
        walker.step(START_MS + HOUR_MS, [])

    folded(wired(), MemorySink(), walk)
    told = {e.topic: e.watermark_ms for e in log}
    assert told == {s.topic: START_MS + HOUR_MS - s.lateness_s * 1000 for s in EAGER.sources.values()}


def test_longer_steps_store_the_same_signals_and_counts() -> None:
    (_, short, told), (_, long, also) = lived(2, 10 * MINUTE_MS), lived(2, HOUR_MS)
    assert (told.read, told.signals, told.rejected) == (also.read, also.signals, also.rejected)
    assert set(short.members) == set(long.members)
    assert set(short.rejected) == set(long.rejected)
    assert told.read == len(records(2))


def test_the_last_pane_of_every_signal_is_closed() -> None:
    _, sink, _ = lived()
    assert {p.state for p in sink.panes.values() if p.minutes == EAGER.panes.minutes} <= {"final", "revised"}


def run_demo(chdb_url: str, *arguments: str) -> dict[str, object]:
    command = ["demo", "--city", "100", "--rate", "800", "--history", "1", "--for", "0s", "--headless", "--json"]
    result = CliRunner().invoke(main, [*command, "--set", f"clickhouse.url={chdb_url}", *arguments])
    assert result.exit_code == 0, result.output
    summary: dict[str, object] = json.loads(result.stdout)
    return summary


def test_the_demo_from_city_to_summary(chdb: Client, chdb_url: str) -> None:
    summary = run_demo(chdb_url, "--scenario", "dirty")
    rejected = summary["rejected"]
    assert isinstance(rejected, dict)
    parts = [summary["signals"], summary["duplicates"], summary["revisions"], *rejected.values()]
    assert summary["read"] == sum(int(str(n)) for n in parts)
    assert int(str(summary["read"])) > 500
    assert chdb.rows("SELECT count() FROM demo.signals FINAL") == [(summary["signals"],)]
    assert chdb.rows("SELECT count() FROM demo.rejected FINAL") == [(sum(rejected.values()),)]
    assert chdb.rows("SELECT count() FROM demo.incidents FINAL WHERE state = 'open'") == [(summary["incidents"],)]


def test_the_same_seed_is_the_same_demo_and_another_is_not(chdb_url: str) -> None:
    first = run_demo(chdb_url)
    again = run_demo(chdb_url)
    assert first["result_hash"] == again["result_hash"]
    assert run_demo(chdb_url, "--seed", "2")["result_hash"] != first["result_hash"]


def test_the_demo_shows_how_its_feeds_stand(chdb_url: str) -> None:
    command = ["--lang", "en", "demo", "--city", "100", "--rate", "800", "--history", "1", "--for", "0s"]
    result = CliRunner().invoke(main, [*command, "--set", f"clickhouse.url={chdb_url}"])
    assert result.exit_code == 0, result.output
    feeds = result.stdout[result.stdout.index("feeds") :].splitlines()
    for source in Settings().sources:
        assert any(source in line and "starting" in line and "2026-03-0" in line for line in feeds), source


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scenario", "peace"], ["--scenario peace", "quiet, city"]),
        (["--speed", "fast"], ["--speed fast", "60x"]),
        (["--for", "soon"], ["--for soon", "10m"]),
        (["--city", "3"], ["3"]),
    ],
)
def test_wrong_usage_is_exit_2_and_one_line(chdb_url: str, options: list[str], words: list[str]) -> None:
    threads = set(threading.enumerate())
    where = ["--set", f"clickhouse.url={chdb_url}"]
    result = CliRunner().invoke(main, ["--lang", "en", "demo", "--headless", *where, *options])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    for word in words:
        assert word in line
    assert set(threading.enumerate()) == threads  # no writer waits for rows that never come
