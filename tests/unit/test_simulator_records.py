"""What the simulator emits, recounted from its files by other means: kinds, truth, order."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from geo.grids import open_grids
from schemas import RawBatch, Rejected
from schemas.sources.mapping import load_mapping
from streams.commands.simulate import simulate_command
from streams.rooms.intake import Intake
from streams.settings import Intake as IntakeSettings
from streams.simulator.city import City, make_city
from streams.simulator.damage import KINDS
from streams.simulator.dictionaries import SOURCES
from streams.simulator.rhythm import DAY_MS
from streams.simulator.scenarios import SCENARIOS, scenario
from streams.simulator.simulation import Emission, simulate
from streams.simulator.truth import Truth

MONDAY_MS = 1_772_380_800_000  # 2026-03-02 00:00 +08:00
ZONE = timezone(timedelta(hours=8))
ID = {"110": "jjdbh", "12345": "ticket_no", "grid": "taskcode", "sensor": "alertId"}


@dataclass(frozen=True)
class Folder:
    """A folder that `quanyu simulate --to file` made."""

    path: Path
    summary: dict[str, Any]

    def lines(self, source: str) -> list[bytes]:
        return (self.path / f"{source}.ndjson").read_bytes().split(b"\n")[:-1]

    @cached_property
    def truth(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "truth.ndjson").read_bytes().splitlines()]

    def rows(self, sort: str) -> list[dict[str, Any]]:
        return [row for row in self.truth if row["truth"] == sort]

    @cached_property
    def first(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By source and id, the lowest version of every record that intake takes."""
        found: dict[str, dict[str, dict[str, Any]]] = {source: {} for source in SOURCES}
        for source, held in found.items():
            for line in self.taken(source)[0]:
                record = json.loads(line)
                known = held.setdefault(record[ID[source]], record)
                if version(source, record) < version(source, known):
                    held[record[ID[source]]] = record
        return found

    def taken(self, source: str) -> tuple[list[bytes], list[Rejected]]:
        """What the intake room takes and what it refuses."""
        lines = self.lines(source)
        now_ms = MONDAY_MS + 9 * DAY_MS
        intake = Intake({source: load_mapping(source)}, IntakeSettings(), b"key")
        _, kept, refused = intake.step(RawBatch(source, "test", 0, lines, list(range(len(lines))), [], now_ms))
        return [lines[i] for i in kept], refused


def version(source: str, record: dict[str, Any]) -> Any:
    return record[{"110": "gxsj", "12345": "version", "grid": "rev", "sensor": "seq"}[source]]


def code(source: str, record: dict[str, Any]) -> str:
    if source == "grid":
        return str(record["type"] + record["main"] + record["sub"])
    return str(record[{"110": "bjlbdm", "12345": "category_code", "sensor": "deviceType"}[source]])


def occurred_s(source: str, record: dict[str, Any]) -> int:
    if source == "grid":
        return int(record["event_time"])
    text = record[{"110": "bjsj", "12345": "accept_time", "sensor": "raisedAt"}[source]]
    if "/" in text:
        return int(datetime.strptime(text, "%Y/%m/%d %H:%M:%S").replace(tzinfo=ZONE).timestamp())
    read = datetime.fromisoformat(text)
    return int((read if read.tzinfo else read.replace(tzinfo=ZONE)).timestamp())


def made(folder: Path, *options: str) -> Folder:
    done = CliRunner().invoke(simulate_command, ["--json", "--cells", "300", *options, "--to", "file", str(folder)])
    assert done.exit_code == 0, done.output
    return Folder(folder, json.loads(done.stdout))


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return made(
        tmp_path_factory.mktemp("dirty"), "--scenario", "dirty", "--days", "2", "--rate", "20000", "--seed", "4"
    )


@pytest.fixture(scope="module")
def stormy(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return made(tmp_path_factory.mktemp("stormy"), "--scenario", "storm", "--days", "2", "--rate", "8000")


@pytest.fixture(scope="module")
def city() -> City:
    return make_city(1, 300)


@pytest.mark.parametrize("source", SOURCES)
def test_kinds_recounted(dirty: Folder, source: str) -> None:
    """Broken by what intake refuses, duplicates by equal bytes, corrections by a known id: as many as truth says."""
    sound, refused = dirty.taken(source)
    recount = Counter(f"broken:{rejected.reason}" for rejected in refused)
    distinct = set(sound)
    recount["duplicate"] = len(sound) - len(distinct)
    recount["report"] = len({json.loads(line)[ID[source]] for line in distinct})
    recount["later"] = len(distinct) - recount["report"]
    told: Counter[str] = Counter()
    for row in dirty.rows("count"):
        if row["source"] == source:
            told["later" if row["kind"].startswith(("correction", "cleared")) else row["kind"]] += row["records"]
    assert recount == told
    assert dirty.summary["records"][source] == len(dirty.lines(source)) == told.total()
    assert dirty.summary["kinds"][source] == {
        row["kind"]: row["records"] for row in dirty.rows("count") if row["source"] == source
    }


def test_every_broken_kind_is_in_dirty(dirty: Folder) -> None:
    kinds = {kind for source in SOURCES for kind in dirty.summary["kinds"][source]}
    assert {f"broken:{kind}" for kind in KINDS} <= kinds
    assert {f"correction:{what}" for what in ("recoded", "moved", "withdrawn", "merged")} <= kinds


def test_hot_spots_recounted(dirty: Folder) -> None:
    first = dirty.first
    members: dict[str, list[dict[str, Any]]] = {}
    for row in dirty.rows("member"):
        members.setdefault(row["of"], []).append(row)
    spots = dirty.rows("hotspot")
    assert spots
    for spot in spots:
        source = spot["source"]
        records = [first[source][row["record"]] for row in members[spot["id"]]]
        assert len({record[ID[source]] for record in records}) == spot["incidents"]
        for record in records:
            assert code(source, record) == spot["code"]
            assert spot["start_ms"] // 1000 <= occurred_s(source, record) < spot["end_ms"] / 1000
            if source == "grid":
                assert record["grid_code"] in spot["cells"]


def test_repeat_places_recounted(dirty: Folder) -> None:
    city = make_city(4, 300)
    first = dirty.first
    members: dict[str, list[str]] = {}
    for row in dirty.rows("member"):
        members.setdefault(row["of"], []).append(row["record"])
    places = dirty.rows("repeat")
    assert len(places) == SCENARIOS["dirty"].chronic_places
    assert sum(place["incidents"] for place in places) > len(places) / 4
    text = {"110": "bjnr", "12345": "content", "grid": "desc"}
    for place in places:
        records = [first[place["source"]][record] for record in members.get(place["id"], ())]
        assert len(records) == place["incidents"]
        compound = city.compounds[city.codes.index(place["cell"])]
        assert compound in place["address"]
        assert all(compound in record[text[place["source"]]] for record in records)
        if place["source"] == "110":
            assert len({record["bjdh"] for record in records}) <= place["callers"]


def test_storms_recounted(stormy: Folder) -> None:
    storms = stormy.rows("storm")
    assert len(storms) == 2
    for source in SOURCES:
        records = list(stormy.first[source].values())
        for storm in storms:
            wet = [r for r in records if code(source, r) in storm["codes"][source]]
            inside = sum(storm["start_ms"] <= occurred_s(source, r) * 1000 + 999 < storm["end_ms"] + 999 for r in wet)
            # Records say seconds, truth milliseconds: the second at either end may fall on either side.
            assert inside == pytest.approx(storm["reports"][source], abs=2)


def test_a_storm_multiplies_its_categories(stormy: Folder) -> None:
    storm = stormy.rows("storm")[0]
    hours = (storm["end_ms"] - storm["start_ms"]) / 3_600_000
    records = stormy.first["sensor"].values()
    wet = [occurred_s("sensor", r) * 1000 for r in records if code("sensor", r) in storm["codes"]["sensor"]]
    spans = [(s["start_ms"], s["end_ms"]) for s in stormy.rows("storm")]
    dry = sum(not any(low <= ms < high for low, high in spans) for ms in wet)
    dry_hours = 48 - sum(high - low for low, high in spans) / 3_600_000
    ratio = sum(spans[0][0] <= ms < spans[0][1] for ms in wet) / hours / (dry / dry_hours)
    assert 7 < ratio < 14


def test_outages_come_late_in_a_burst(city: City) -> None:
    rows: list[dict[str, Any]] = []
    readings = [
        (e.arrival_ms, json.loads(e.record))
        for e in simulate(city, scenario("storm"), 5, 2, 40_000, MONDAY_MS, Truth(rows.append))
        if e.source == "sensor" and e.kind in ("report", "cleared")
    ]
    names = {street.code: street.name for street in city.streets}
    held = 0
    for outage in (row for row in rows if row["truth"] == "outage"):
        for arrival, reading in readings:
            sent = datetime.fromisoformat(reading["sentAt"]).timestamp() * 1000
            if names[outage["street"]] in reading["install"] and outage["start_ms"] <= sent < outage["end_ms"]:
                assert arrival >= outage["end_ms"]
                held += 1
    assert held > 5


def test_same_arguments_same_bytes(city: City) -> None:
    def run(seed: int) -> list[Emission]:
        return list(simulate(city, scenario("city"), seed, 2, 3000, MONDAY_MS))

    assert run(7) == run(7)
    assert run(7) != run(8)


@pytest.mark.parametrize("name", SCENARIOS)
def test_arrivals_are_in_order_and_within_the_bound(city: City, name: str) -> None:
    """A first version is later than its source's bound only as often as truth says."""
    rows: list[dict[str, Any]] = []
    emissions = list(simulate(city, scenario(name), 3, 2, 4000, MONDAY_MS, Truth(rows.append)))
    assert [e.arrival_ms for e in emissions] == sorted(e.arrival_ms for e in emissions)
    late: Counter[str] = Counter()
    for e in emissions:
        if e.kind == "report":
            waited = e.arrival_ms - 1000 * occurred_s(e.source, json.loads(e.record))
            assert waited >= 0
            late[e.source] += waited > {"110": 120, "12345": 3600, "grid": 300, "sensor": 300}[e.source] * 1000 + 999
    told = {row["source"]: row["records"] for row in rows if row["truth"] == "late"}
    assert all(late[source] <= told[source] <= late[source] + 8 for source in SOURCES)
    if name == "quiet":
        assert late["110"] == late["grid"] == late["sensor"] == 0
        assert {e.kind for e in emissions} == {"report", "cleared"}


def test_surge_across_midnight(city: City) -> None:
    rows: list[dict[str, Any]] = []
    list(simulate(city, scenario("surge_across_midnight"), 3, 3, 500, MONDAY_MS, Truth(rows.append)))
    spots = [row for row in rows if row["truth"] == "hotspot"]
    assert [(s["start_ms"] - MONDAY_MS) % DAY_MS for s in spots] == [22.5 * 3_600_000] * 3
    members = [r["occurred_ms"] - MONDAY_MS for r in rows if r["truth"] == "member" and r["of"] == spots[0]["id"]]
    assert any(ms < DAY_MS for ms in members)
    assert any(ms >= DAY_MS for ms in members)
    assert len(members) == spots[0]["incidents"]


def test_grid_codes_are_where_the_coordinates_are(tmp_path: Path) -> None:
    folder = made(tmp_path, "--rate", "4000", "--scenario", "quiet")
    records = [json.loads(line) for line in folder.lines("grid")]
    x, y = (np.array([record[name] for record in records]) for name in "xy")
    assert open_grids(tmp_path / "grids.toml").locate(x, y)[0] == [record["grid_code"] for record in records]
