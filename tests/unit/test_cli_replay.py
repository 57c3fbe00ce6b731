"""`quanyu replay` and `rejected`: runs from their file to their removal, bad data, damaged files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from sinks.clickhouse import Client
from tests.command_line import Quanyu, call, calls, command_line, replayed, run_of, told, unique, write_mapping


@pytest.fixture
def cli(chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quanyu:
    return command_line(chdb_url, tmp_path / "here", monkeypatch)


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    return write_mapping(tmp_path / "calls.toml")


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_from_its_file_to_its_removal(cli: Quanyu, chdb: Client, tmp_path: Path, mapping: Path) -> None:
    rows = [call(n) for n in range(60)]
    rows += [rows[3], call(4, kind="纠纷/邻里"), call(70, at="soon"), call(71, lon="", lat=""), call(72, id="")]
    file = calls(tmp_path / "calls.csv", rows)
    name = unique()
    summary = replayed(cli, file, mapping, "--id", name)
    assert (summary["read"], summary["signals"]) == (65, 61)
    assert (summary["duplicates"], summary["revisions"], summary["unlocated"]) == (1, 1, 1)
    assert summary["rejected"] == {"bad_time": 1, "missing_field": 1}
    assert summary["run"] == name
    assert len(summary["result_hash"]) == 32

    where = {"run": summary["database"]}
    (stored,) = chdb.rows("SELECT count(), countIf(category1 = '纠纷') FROM {run:Identifier}.signals FINAL", where)
    assert stored == (61, 1)
    sql = "SELECT sum(messages) FROM {run:Identifier}.grid_counts FINAL WHERE layer = 'city' AND minutes = 1440"
    assert chdb.rows(sql, where) == [(61,)]

    (listed,) = json.loads(cli("replay", "list", "--json").stdout)
    assert (listed["id"], listed["manifest"]["result_hash"]) == (name, summary["result_hash"])
    assert name in cli("replay", "list").stdout
    shown = json.loads(cli("replay", "show", name).stdout)
    assert shown["manifest"] == summary
    assert shown["arguments"]["files"] == [str(file)]
    again = told(cli(*run_of(file, mapping, "--id", name)), 2)
    assert "already" in again and f"`quanyu replay rm {name} --set clickhouse.url=" in again

    reasons = json.loads(cli("rejected", "list", "--run", name, "--json").stdout)
    assert [(r["source"], r["reason"], r["records"]) for r in reasons] == [
        ("110", "bad_time", 1),
        ("110", "missing_field", 1),
    ]
    assert "bad_time" in cli("rejected", "list", "--run", name).stdout
    (letter,) = map(json.loads, cli("rejected", "show", "--run", name, "--reason", "bad_time").stdout.splitlines())
    assert (letter["topic"], letter["offset"], letter["raw"].split(",")[0]) == ("file:calls.csv", 62, "c70")
    assert "at" in letter["detail"]
    assert json.loads(cli("rejected", "list", "--json").stdout) == []

    assert cli("replay", "rm", name).stdout == f"removed {name}\n"
    assert json.loads(cli("replay", "list", "--json").stdout) == []
    assert chdb.rows("SELECT count() FROM system.databases WHERE name = {run:String}", where) == [(0,)]
    for command in (["replay", "show", name], ["replay", "rm", name], ["rejected", "list", "--run", name]):
        assert f"no run {name}" in told(cli(*command), 2)


def test_the_same_file_gives_the_same_hash_whatever_the_batch(cli: Quanyu, tmp_path: Path, mapping: Path) -> None:
    rows = [call(n) for n in range(300)] + [call(n, kind="纠纷/邻里") for n in range(0, 300, 7)]
    file = calls(tmp_path / "calls.csv", rows)
    first = replayed(cli, file, mapping, "--id", unique())
    again = replayed(cli, file, mapping, "--id", unique(), "--batch", "7")
    assert first["result_hash"] == again["result_hash"]
    assert first["versions"] == again["versions"]
    other = replayed(cli, calls(tmp_path / "calls.csv", rows[:-1]), mapping, "--id", unique())
    assert other["result_hash"] != first["result_hash"]


def test_the_table_says_what_the_json_says(cli: Quanyu, tmp_path: Path, mapping: Path) -> None:
    file = calls(tmp_path / "calls.csv", [call(n) for n in range(12)] + [call(12, at="")])
    result = cli(*run_of(file, mapping, "--dry-run"), lang="zh")
    assert result.exit_code == 0, result.output
    said = {row[0]: row[1] for line in result.stdout.splitlines() if len(row := line.strip().split(maxsplit=1)) == 2}
    assert (said["读取记录"], said["信号"], said["拒收"]) == ("13", "12", "missing_field 1")


def test_a_dry_run_writes_nothing(cli: Quanyu, tmp_path: Path, mapping: Path) -> None:
    summary = replayed(cli, calls(tmp_path / "calls.csv", [call(1), call(2)]), mapping, "--dry-run")
    assert (summary["signals"], summary["database"]) == (2, "")
    assert json.loads(cli("replay", "list", "--json").stdout) == []


def test_signals_beyond_the_horizon_are_told(cli: Quanyu, tmp_path: Path, mapping: Path) -> None:
    """Two weeks, the second one first: in no count, and a warning says so; sorted first, all are counted."""
    rows = [call(n, at=f"2024-03-{17 - n // 50:02d} {n % 24:02d}:00:00") for n in range(700)]
    file = calls(tmp_path / "calls.csv", rows)
    result = cli(*run_of(file, mapping, "--dry-run", "--json"))
    summary = json.loads(result.stdout)
    assert summary["beyond_horizon"] > 0
    assert f"warning: {summary['beyond_horizon']:,} signals" in result.stderr
    assert "sources.NAME.lateness_s=-1" in result.stderr
    assert "警告" in cli(*run_of(file, mapping, "--dry-run"), lang="zh").stderr
    whole = cli(*run_of(file, mapping, "--dry-run", "--json"), settings=["sources.110.lateness_s=-1"])
    assert json.loads(whole.stdout)["beyond_horizon"] == 0
    assert whole.stderr == ""


def test_two_files_of_two_sources(cli: Quanyu, tmp_path: Path, mapping: Path) -> None:
    one, two = tmp_path / "a" / "calls.csv", tmp_path / "b" / "calls.csv"
    for path, rows in ((one, [call(n) for n in range(30)]), (two, [call(n) for n in range(20, 40)])):
        path.parent.mkdir()
        calls(path, rows)
    files = ["--file", one, "--source", "110", "--map", mapping, "--file", two, "--source", "12345", "--map", mapping]
    result = cli("replay", "run", *files, "--json", "--id", unique())
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["read"], summary["signals"], summary["duplicates"], summary["late"]) == (50, 50, 0, 0)


# -- bad data and damage -----------------------------------------------------------------------------------------------


def test_of_a_cut_gzip_everything_readable_is_stored(cli: Quanyu, chdb: Client, tmp_path: Path, mapping: Path) -> None:
    whole = calls(tmp_path / "calls.csv", [call(n, address=f"人民路{n * n}号") for n in range(700)]).read_bytes()
    cut = tmp_path / "calls.csv.gz"
    packed = gzip.compress(whole)
    cut.write_bytes(packed[: len(packed) // 2])
    name = unique()
    line = told(cli(*run_of(cut, mapping, "--id", name, "--batch", "50")), 1)
    assert "damaged gzip" in line
    readable = int(line.split(" records before")[0].split()[-1])
    assert 100 < readable < 700
    ((stored, incidents),) = chdb.rows(
        "SELECT count(), uniqExact(incident_id) FROM {run:Identifier}.signals FINAL", {"run": f"run_{name}"}
    )
    # the last record may itself be cut in the middle of a field, and then it is a dead letter
    ((refused,),) = chdb.rows("SELECT count() FROM {run:Identifier}.rejected FINAL", {"run": f"run_{name}"})
    assert stored + refused == readable
    assert refused <= 1
    sql = """
        SELECT sum(messages), sum(opened) FROM {run:Identifier}.grid_counts FINAL
        WHERE layer = 'city' AND minutes = 60"""
    assert chdb.rows(sql, {"run": f"run_{name}"}) == [(stored, incidents)]
    assert "未完成" in cli("replay", "list", lang="zh").stdout


def test_too_much_bad_data_is_exit_3_and_its_dead_letters_are_stored(
    cli: Quanyu, tmp_path: Path, mapping: Path
) -> None:
    file = calls(tmp_path / "calls.csv", [call(n, at="" if n % 3 == 0 else call(n)["at"]) for n in range(90)])
    name = unique()
    line = told(cli(*run_of(file, mapping, "--id", name)), 3)
    assert "30 of 90 records" in line
    assert "intake.max_bad_share = 0.2" in line
    assert f"`quanyu rejected list --run {name} --set clickhouse.url=" in line
    dry = told(cli(*run_of(file, mapping, "--dry-run")), 3)
    assert "30 of 90 records" in dry and "kept" not in dry and "rejected list" not in dry
    (reason,) = json.loads(cli("rejected", "list", "--run", name, "--json").stdout)
    assert (reason["reason"], reason["records"]) == ("missing_field", 30)
    letters = cli("rejected", "show", "--run", name, "--limit", "100").stdout.splitlines()
    assert sorted(json.loads(line)["offset"] for line in letters) == list(range(0, 90, 3))
    share = replayed(cli, file, mapping, "--id", unique(), settings=["intake.max_bad_share=0.5"])
    assert share["rejected"] == {"missing_field": 30}


def test_a_long_stretch_of_bad_data_stops_the_run_early(cli: Quanyu, tmp_path: Path, mapping: Path) -> None:
    rows = [call(n) for n in range(500)] + [call(n, at="") for n in range(150)] + [call(n) for n in range(500, 999)]
    file = calls(tmp_path / "calls.csv", rows)
    run = run_of(file, mapping, "--batch", "50")
    line = told(cli(*run, "--id", unique(), settings=["intake.bad_window=100"]), 3)
    assert "150 of 500 records" in line  # judged after each slice of 500
    assert cli(*run, "--id", unique(), "--json").exit_code == 0  # 150 of 1,149 altogether
