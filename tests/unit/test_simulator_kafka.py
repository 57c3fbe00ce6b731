"""What goes to Kafka, at what pace; and what `quanyu simulate` says when it is used wrongly."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from zlib import crc32

import pytest
from click.testing import CliRunner

from schemas import UsageError
from streams.commands.simulate import simulate_command
from streams.kafka_range import TICK_KEY
from streams.settings import load
from streams.simulator.city import make_city
from streams.simulator.scenarios import scenario
from streams.simulator.simulation import Emission, simulate
from streams.simulator.to_kafka import behind, paced, produce

MONDAY_MS = 1_772_380_800_000
Sent = tuple[str, bytes, bytes | None, int | None, int | None]


def emissions() -> list[Emission]:
    return list(simulate(make_city(1, 60), scenario("dirty"), 1, 1, 1500, MONDAY_MS))


def test_versions_share_a_partition_and_ticks_end_it() -> None:
    sent: list[Sent] = []
    settings, records = load(environ={}), emissions()
    counts = produce(records, settings, lambda *record: sent.append(record))
    data = [record for record in sent if record[2] != TICK_KEY]
    assert [(value, stamp) for _, value, _, _, stamp in data] == [(e.record, e.arrival_ms) for e in records]
    assert counts.total() == len(records)
    for (topic, _, key, partition, _), e in zip(data, records, strict=True):
        assert topic == settings.sources[e.source].topic
        assert key == e.id.encode()
        assert partition == crc32(e.id.encode()) % settings.sources[e.source].partitions
    last = records[-1].arrival_ms
    ticks = sent[len(data) :]
    assert {(topic, partition) for topic, _, _, partition, _ in ticks} == {
        (source.topic, partition) for source in settings.sources.values() for partition in range(source.partitions)
    }
    assert all((value, key, stamp) == (str(last).encode(), TICK_KEY, last) for _, value, key, _, stamp in ticks)
    places: defaultdict[bytes | None, set[int | None]] = defaultdict(set)
    for _, _, key, partition, _ in data:
        places[key].add(partition)
    assert all(len(partitions) == 1 for partitions in places.values())


def test_one_partition_an_hour_behind() -> None:
    records, hour = emissions(), 3_600_000
    late = list(behind(records, load(environ={}), {("110", 1): hour}))

    def held(e: Emission) -> bool:
        return e.source == "110" and crc32(e.id.encode()) % load(environ={}).sources["110"].partitions == 1

    assert 0 < sum(map(held, records)) < len(records)
    assert [e for e in late if not held(e)] == [e for e in records if not held(e)]
    assert [(e.arrival_ms - hour, e.record) for e in late if held(e)] == [
        (e.arrival_ms, e.record) for e in records if held(e)
    ]
    assert [e.arrival_ms for e in late] == sorted(e.arrival_ms for e in late)


@pytest.mark.parametrize("text", ["110=60", "110/x=60", "110/0"])
def test_behind_what(text: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(simulate_command, ["--to", "kafka", "--behind", text, str(tmp_path)])
    assert done.exit_code == 2
    assert "110/0=60" in done.output


def test_a_source_without_a_topic() -> None:
    settings = load(environ={}, overrides=['sources.grid.topic=""'])
    with pytest.raises(UsageError, match=r"sources\.grid\.topic"):
        produce(emissions(), settings, lambda *record: None)


def test_pace_follows_the_clock_it_is_given() -> None:
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    first = emissions()[:200]
    out = [(now[0], e) for e in paced(first, 60.0, lambda: now[0], sleep)]
    assert [e for _, e in out] == first
    for at, e in out:
        assert at - 1000 == pytest.approx((e.arrival_ms - first[0].arrival_ms) / 60_000, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--scenario", "calm", "--to", "file", "x"], "--scenario calm"),
        (["--start", "2026-02-30", "--to", "file", "x"], "--start 2026-02-30"),
        (["--pace", "fast", "--to", "kafka"], "--pace fast"),
        (["--pace", "0x", "--to", "kafka"], "--pace 0x"),
        (["--cells", "5", "--to", "file", "x"], "--cells 5"),
        (["--to", "file"], "--to file DIR"),
    ],
)
def test_wrong_usage(options: list[str], named: str) -> None:
    done = CliRunner().invoke(simulate_command, options)
    assert done.exit_code == 2
    assert named in done.stderr


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(simulate_command, ["--rate", "10", "--to", "file", str(tmp_path / "file" / "below")])
    assert done.exit_code == 2
    assert "cannot write" in done.stderr


def test_gzip_holds_the_same_records(tmp_path: Path) -> None:
    common = ["--rate", "300", "--cells", "60", "--json"]
    for options in (["--to", "file", str(tmp_path / "plain")], ["--gzip", "--to", "file", str(tmp_path / "zipped")]):
        assert CliRunner().invoke(simulate_command, [*common, *options]).exit_code == 0
    manifest = json.loads((tmp_path / "zipped" / "manifest.json").read_bytes())
    for source, name in manifest["files"].items():
        lines = gzip.decompress((tmp_path / "zipped" / name).read_bytes())
        assert lines == (tmp_path / "plain" / f"{source}.ndjson").read_bytes()
        assert lines.count(b"\n") == manifest["records"][source]


def test_the_table_for_people(tmp_path: Path) -> None:
    done = CliRunner().invoke(simulate_command, ["--rate", "300", "--cells", "60", "--to", "file", str(tmp_path)])
    assert done.exit_code == 0
    assert "report" in done.stdout
    assert "12345" in done.stdout
