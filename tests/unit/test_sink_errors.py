"""Errors of ClickHouse say who must act, in two languages, and name the place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError

from schemas import Unreachable, UsageError
from sinks.clickhouse import Client, connect
from sinks.clickhouse.errors import MISSING, NO_CLUSTER, OUTAGES, REFUSED, translate
from tests.clickhouse import Where
from tests.servers.chdb_process import ROOT, free_port


@pytest.mark.parametrize("code", [*OUTAGES, *REFUSED, *MISSING, NO_CLUSTER])
def test_codes(code: int) -> None:
    ours = translate(DatabaseError(f"Code: {code}. DB::Exception: Oops.\n more", code=code), "http://ch:8123")
    assert isinstance(ours, Unreachable if code in OUTAGES else UsageError)
    for text in (ours.text("en"), ours.text("zh")):
        assert "http://ch:8123" in text
        assert "Oops." in text
        assert "more" not in text
    assert ours.text("en") != ours.text("zh")


def test_a_gateway_that_answers_for_the_server_is_an_outage() -> None:
    for error in (
        DatabaseError("HTTP driver received HTTP status 502, server response: Bad Gateway"),
        OperationalError("HTTP driver received HTTP status 503"),
        DatabaseError("HTTP driver received HTTP status 500, server response: Internal Server Error"),
    ):
        assert isinstance(translate(error, "x"), Unreachable)


def test_a_full_disk_is_an_outage_under_whatever_code() -> None:
    error = DatabaseError("Code: 1001. DB::Exception: std::filesystem: No space left on device", code=1001)
    assert isinstance(translate(error, "x"), Unreachable)


def test_a_bug_stays_what_it_is() -> None:
    error = DatabaseError("Code: 62. DB::Exception: Syntax error", code=62)
    assert translate(error, "x") is error
    assert isinstance(translate(ProgrammingError("what"), "x"), ProgrammingError)


def test_a_bug_is_raised_as_it_is(chdb: Client) -> None:
    with pytest.raises(DatabaseError, match="Syntax error"):
        chdb.rows("SELEC 1")


def test_a_missing_table_names_the_command(chdb: Client) -> None:
    with pytest.raises(UsageError, match="quanyu migrate"):
        chdb.rows("SELECT * FROM nowhere.signals")


@pytest.mark.parametrize("url", ["", "clickhouse://h", "http://", "localhost:8123", "https:///x"])
def test_a_bad_url(url: str) -> None:
    with pytest.raises(UsageError, match=r"clickhouse\.url"):
        connect(Where(url))


def test_a_bad_url_does_not_show_its_password() -> None:
    with pytest.raises(UsageError) as error:
        connect(Where("tcp://me:hunter2@host:9000"))
    assert "hunter2" not in error.value.text("en") + error.value.text("zh")


def test_nobody_listens() -> None:
    port = free_port()
    with pytest.raises(Unreachable) as error:
        connect(Where(f"http://127.0.0.1:{port}"))
    assert f"http://127.0.0.1:{port}" in error.value.text("en")
    assert "clickhouse.url" in error.value.text("zh")
    assert error.value.retry_after_s > 0


def test_a_second_directory_in_one_process(chdb: Client, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="another chDB directory"):
        connect(Where(f"chdb:{tmp_path}"))
    chdb.rows("SELECT 1")


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(UsageError, match="is not a directory"):
        connect(Where(f"chdb:{tmp_path / 'file' / 'db'}"))


def test_a_directory_that_another_process_has_open(chdb_url: str) -> None:
    program = (
        "import sys\nfrom schemas import Unreachable\nfrom sinks.clickhouse import connect\n"
        "from tests.clickhouse import Where\n"
        "try:\n    connect(Where(sys.argv[1]))\n"
        "except Unreachable as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", program, chdb_url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "open in another process" in done.stdout
    assert chdb_url.removeprefix("chdb:") in done.stdout
