"""The command line as a user meets it: wrong usage, servers that are not there, languages, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import shapely

from tests.cells import box, feature, squares, write
from tests.command_line import MAPPING, Quanyu, call, calls, command_line, run_of, told, write_mapping
from tests.recount.runs import quanyu


@pytest.fixture
def cli(chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quanyu:
    return command_line(chdb_url, tmp_path / "here", monkeypatch)


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    return write_mapping(tmp_path / "calls.toml")


# -- wrong usage -------------------------------------------------------------------------------------------------------


FILE = ["--file", "{calls}", "--source", "110"]
MAPPED = [*FILE, "--map", "{mapping}"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--file", "none.csv", "--source", "110"], ["--file none.csv", "no such file"]),
        (["--file", "{folder}", "--source", "110"], ["is a directory", "one --file each"]),
        (["--file", "{pipe}", "--source", "110"], ["records", "not a regular file"]),
        ([*MAPPED, "--db", "{calls}"], ["calls.csv is not a directory", "--db"]),
        (["--file", "{calls}"], ["1 --file", "0 --source"]),
        ([], ["--file", "--kafka"]),
        ([*FILE, "--kafka"], ["--file", "--kafka"]),
        (["--file", "{calls}", "--source", "112"], ["--source 112", "110, 12345, grid, sensor", "--map"]),
        ([*FILE, "--map", "none.toml"], ["none.toml"]),
        ([*MAPPED, "--map", "{mapping}"], ["1 --file", "2 --map"]),
        ([*FILE, "--map", "{broken}"], ["broken.toml", "colour"]),
        ([*FILE, "--map", "{columns}"], ["calls.csv", "'when'", "id, kind, at"]),
        ([*FILE, "--log"], ["--log", "--kafka"]),
        (["--kafka", "--from", "yesterday"], ["--from yesterday", "2026-03-02T08:00"]),
        (["--file", "{empty}", "--source", "110", "--map", "{mapping}"], ["empty.csv", "no records"]),
        ([*MAPPED, "--grids", "none.geojson"], ["none.geojson"]),
        ([*MAPPED, "--grids", "{crossed}"], ["crossed.geojson", "A1"]),
        ([*MAPPED, "--grids", "{datum}"], ["datum", "mars"]),
        ([*MAPPED, "--id", "a b"], ["'a b'", "letters"]),
        ([*FILE, "--set", "panes.minutes=7"], ["panes.minutes", "divide 60"]),
        ([*FILE, "--set", "panes.minute=15"], ["--set panes.minute:", "did you mean `minutes`?"]),
        ([*FILE, "--set", "panes"], ["--set panes", "section.key=value"]),
        ([*FILE, "--config", "none.toml"], ["none.toml"]),
    ],
)
def test_wrong_usage_is_exit_2_and_one_line_that_says_where(
    cli: Quanyu, tmp_path: Path, mapping: Path, options: list[str], words: list[str]
) -> None:
    files = {
        "calls": calls(tmp_path / "calls.csv", [call(1)]),
        "mapping": mapping,
        "folder": tmp_path,
        "pipe": tmp_path / "records",
        "broken": tmp_path / "broken.toml",
        "columns": tmp_path / "columns.toml",
        "empty": tmp_path / "empty.csv",
        "crossed": tmp_path / "crossed.geojson",
        "datum": tmp_path / "grids.toml",
    }
    files["broken"].write_text(MAPPING + '\n[colour]\nfrom = "x"\n')
    files["columns"].write_text(MAPPING.replace('occurred = "at"', 'occurred = "when"'))
    files["empty"].write_text("")
    os.mkfifo(files["pipe"])
    bowtie = shapely.Polygon([(121.4, 31.2), (121.5, 31.3), (121.5, 31.2), (121.4, 31.3)])
    write(files["crossed"], [feature(bowtie, code="A1"), feature(box(50, 50), code="A2")])
    squares(tmp_path / "unit.geojson")
    files["datum"].write_text('[[layers]]\nname = "unit"\nfile = "unit.geojson"\ndatum = "mars"\n')
    arguments = [o.format_map(files) if o.startswith("{") else o for o in options]
    line = told(cli("replay", "run", *arguments), 2)
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_messages_in_chinese(cli: Quanyu, tmp_path: Path) -> None:
    file = calls(tmp_path / "calls.csv", [call(1)])
    missing = cli("replay", "run", "--file", "none.csv", "--source", "110", lang="zh")
    assert told(missing, 2) == "错误：--file none.csv：没有这个文件"
    assert "来源" in told(cli("replay", "run", "--file", file, lang="zh"), 2)
    assert "未配置" in told(cli("replay", "run", "--file", file, "--source", "x", lang="zh"), 2)
    assert "没有名为 x 的运行" in told(cli("replay", "rm", "x", lang="zh"), 2)


# -- servers that are not there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [["replay", "run", "--file", "{calls}", "--source", "110", "--map", "{mapping}"], ["replay", "list"], ["migrate"],
     ["rejected", "list"]],
)  # fmt: skip
def test_no_clickhouse_is_exit_4(cli: Quanyu, tmp_path: Path, mapping: Path, command: list[str]) -> None:
    files = {"calls": calls(tmp_path / "calls.csv", [call(1)]), "mapping": mapping}
    arguments = [o.format_map(files) for o in command]
    line = told(cli(*arguments, settings=["clickhouse.url=http://default@127.0.0.1:1"]), 4)
    assert "cannot reach ClickHouse at http://127.0.0.1:1" in line
    assert "clickhouse.url" in line


def test_no_kafka_is_exit_4(cli: Quanyu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.kafka_range.CONNECT_S", 1.0)
    line = told(cli("replay", "run", "--kafka", settings=["kafka.servers=127.0.0.1:1"]), 4)
    assert "127.0.0.1:1" in line
    assert "kafka.servers" in line


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_migrate_tells_what_it_did_and_the_second_time_that_there_is_nothing_to_do(cli: Quanyu) -> None:
    first = json.loads(cli("migrate", "--json").stdout)
    assert len(first["applied"]) >= 4
    assert json.loads(cli("migrate", "--json").stdout)["applied"] == []
    assert "up to date" in cli("migrate").stdout


def test_config_shows_what_is_in_force_without_its_secrets(
    cli: Quanyu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "quanyu.toml"
    file.write_text('[city]\nname = "甲市"\n[panes]\nminutes = 30\n')
    monkeypatch.setenv("QUANYU__INTAKE__CALLER_KEY", "hush")
    monkeypatch.setenv("QUANYU__CITY__NAME", "乙市")
    layers = "panes.resolutions_min={unit=[30],city=[60]}"
    shown = json.loads(cli("config", "show", "--config", file, "--json", settings=[layers]).stdout)
    assert (shown["city"]["name"], shown["panes"]["minutes"]) == ("乙市", 30)
    text = cli("config", "show", "--config", file, settings=[layers]).stdout
    assert "hush" not in text
    assert 'caller_key = "***"' in text
    again = tmp_path / "again.toml"
    again.write_text(text.replace('"***"', '""'))
    assert json.loads(cli("config", "show", "--config", again, "--json").stdout) == shown
    checked = cli("config", "check", "--config", file, "--json", settings=[layers])
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout)["versions"]["config"]


def test_doctor_names_what_is_missing_and_leaves_with_its_code(cli: Quanyu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.commands.doctor.LOOK_S", 0.5)
    result = cli("doctor", "--json", settings=["kafka.servers=127.0.0.1:1"])
    assert result.exit_code == 4
    checks = {c["name"]: c for c in json.loads(result.stdout)["checks"]}
    assert checks["mappings and grids"]["ok"]
    assert checks["ClickHouse"]["ok"]
    assert "replay and live apply them" in checks["ClickHouse"]["detail"]
    assert "quanyu migrate" in checks["ClickHouse"]["detail"]
    assert not checks["Kafka"]["ok"]
    assert "kafka.servers" in checks["Kafka"]["detail"]
    assert "Only `quanyu live`" in checks["Kafka"]["detail"]
    assert "topics" not in checks


def test_a_process_of_its_own_writes_one_json_object_and_nothing_else(tmp_path: Path, mapping: Path) -> None:
    file = calls(tmp_path / "calls.csv", [call(n) for n in range(50)])
    done = quanyu(
        "replay", "run", "--file", file, "--source", "110", "--map", mapping, "--db", tmp_path / "db", "--json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["signals"] == 50
    bare = quanyu("replay", "run", "--file", tmp_path / "none", "--source", "110", "--json")
    assert (bare.returncode, bare.stdout) == (2, "")
    chinese = quanyu("replay", "run", environment={"LANG": "zh_CN.UTF-8"})
    assert chinese.stderr.startswith("错误：")


def test_looking_for_runs_where_nothing_is_makes_no_database(cli: Quanyu, tmp_path: Path) -> None:
    db = tmp_path / "nothing"
    assert cli("replay", "list", "--db", db).stdout == f"there are no runs in chdb:{db}\n"
    assert json.loads(cli("replay", "list", "--db", db, "--json").stdout) == []
    assert "nothing was rejected" in cli("rejected", "list", "--db", db).stdout
    assert json.loads(cli("rejected", "list", "--db", db, "--json").stdout) == []
    assert cli("rejected", "show", "--db", db).stdout == ""
    for command in (["replay", "show", "x"], ["replay", "rm", "x"], ["rejected", "list", "--run", "x"]):
        line = told(cli(*command, "--db", db), 2)
        assert "there is no run x" in line and "--db" in line
    assert not db.exists()


def test_a_terminal_without_chinese_gets_escapes(tmp_path: Path, mapping: Path) -> None:
    file = calls(tmp_path / "calls.csv", [call(1)])
    arguments = run_of(file, mapping, "--dry-run")
    done = quanyu("--lang", "zh", *arguments, environment={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u8fd0\\u884c" in done.stdout  # 运行


def test_an_interrupted_replay_names_the_run_that_it_leaves(tmp_path: Path, mapping: Path) -> None:
    """Interrupted while it surely folds: its record is there as soon as it has begun."""
    file = calls(tmp_path / "calls.csv", [call(n) for n in range(40_000)])
    code = """
import signal, sys
from streams import runner
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background inherits that it is ignored
write = runner.Writer.write
def interrupted(self, rows):
    signal.raise_signal(signal.SIGINT)
    write(self, rows)
runner.Writer.write = interrupted
from streams.cli import main
main()
"""
    arguments = ["replay", "run", "--file", file, "--source", "110", "--map", mapping, "--db", "db", "--id", "cut"]
    done = subprocess.run(
        [sys.executable, "-c", code, "--lang", "en", *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "interrupted: run cut is left unfinished" in done.stderr
    assert "`quanyu replay rm cut --db db`" in done.stderr
    assert "Traceback" not in done.stderr
    left = quanyu("replay", "list", "--db", tmp_path / "db", "--json")
    assert [(run["id"], run["finished_at_ms"]) for run in json.loads(left.stdout)] == [("cut", None)]
    assert quanyu("replay", "rm", "cut", "--db", tmp_path / "db").returncode == 0
