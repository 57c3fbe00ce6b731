"""`quanyu doctor` without a server: what it says of each state, and what it leaves with."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sinks.clickhouse import Client, migrate
from sinks.clickhouse.health import Health, look, refused
from streams import metrics
from streams.commands.doctor_check import Check, clock, disk
from streams.commands.doctor_clickhouse import server, tables
from streams.commands.doctor_kafka import copies, group_lag, needed_ms, retention, rights, sizes, stamps
from streams.kafka import DAY_MS, LOG_MESSAGE_BYTES
from streams.kafka_state import Lag, TopicState
from streams.settings import Kafka, Settings
from tests.clickhouse import ZONE, fresh_database
from tests.command_line import Quanyu, command_line

SETTINGS = Settings()
LOG = TopicState("signals.located", 1, 1, 30 * DAY_MS, LOG_MESSAGE_BYTES, [], None)
LATE = msgspec.structs.replace(LOG, name="signals.late")
RAW = TopicState("raw.110", 1, 1, 30 * DAY_MS, 1_048_588, [], 1_000_000)
WELL = Health((25, 8), 0, [], [], 3, "signals 202603")


@pytest.fixture
def cli(chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quanyu:
    monkeypatch.setattr("streams.commands.doctor.LOOK_S", 0.3)
    return command_line(chdb_url, tmp_path / "empty", monkeypatch)


def checks(cli: Quanyu, *settings: str, lang: str = "en") -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and findings by id."""
    result = cli("doctor", "--json", settings=["kafka.servers=127.0.0.1:1", *settings], lang=lang)
    said = json.loads(result.stdout)
    assert said["ok"] == all(check["ok"] for check in said["checks"])
    return result.exit_code, {check["id"]: check for check in said["checks"]}


def how(check: Check) -> tuple[str, int]:
    """Level and exit code; whatever is not well says what to do."""
    assert (check.level == "ok") == (check.fix == "") and check.detail.endswith(check.fix)
    assert check.ok == (check.level != "error")
    return check.level, check.exit_code


def test_the_worst_finding_decides(cli: Quanyu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, found = checks(cli)
    assert code == 4 and found["kafka"]["exit_code"] == 4
    assert found["clickhouse"]["level"] == "warning" and found["clickhouse"]["fix"].startswith("replay and live")
    assert found["caller_key"]["level"] == "warning"
    assert set(found) >= {"stages", "database_disk", "metrics_port"} and "lag" not in found
    monkeypatch.setenv("QUANYU__INTAKE__CALLER_KEY", "short")
    code, found = checks(cli, f"grids.file={tmp_path / 'none'}")
    assert found["stages"]["exit_code"] == 2 and "none" in found["stages"]["detail"]
    assert "5 characters" in found["caller_key"]["detail"]
    monkeypatch.setenv("QUANYU__INTAKE__CALLER_KEY", "a long enough secret")
    assert checks(cli)[1]["caller_key"]["level"] == "ok"


def test_it_speaks_chinese(cli: Quanyu) -> None:
    _, found = checks(cli, lang="zh")
    assert found["caller_key"]["name"] == "来电人密钥" and "待迁移" in found["clickhouse"]["detail"]
    assert "提示" not in cli("doctor").stdout and "检查项" in cli("doctor", lang="zh").stdout


def test_rights_are_looked_at_once_the_tables_are_there(cli: Quanyu, chdb: Client) -> None:
    name = fresh_database()
    assert "clickhouse_rights" not in checks(cli, f"clickhouse.database={name}")[1]
    migrate(chdb, name, ZONE)
    assert refused(chdb, name) == []
    _, found = checks(cli, f"clickhouse.database={name}")
    assert found["clickhouse_rights"]["level"] == found["clickhouse"]["level"] == "ok"
    assert chdb.rows(f"SELECT sum(rows) FROM system.parts WHERE database = '{name}' AND table != 'migrations'") == [
        (0,)
    ]
    chdb.command(f"DROP TABLE {name}.incidents")
    _, found = checks(cli, f"clickhouse.database={name}")
    assert found["clickhouse_rights"]["exit_code"] == 2 and "incidents" in found["clickhouse_rights"]["detail"]


def test_a_port_is_free_or_a_worker_s_or_somebody_else_s(cli: Quanyu) -> None:
    endpoint = metrics.serve("127.0.0.1", 0, lambda: True)
    port = endpoint.server_address[1]
    assert "a worker listens" in checks(cli, f"metrics.port={port}")[1]["metrics_port"]["detail"]
    endpoint.shutdown()
    endpoint.server_close()
    assert "free" in checks(cli, f"metrics.port={port}")[1]["metrics_port"]["detail"]
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        found = checks(cli, f"metrics.port={other.getsockname()[1]}")[1]["metrics_port"]
    assert found["exit_code"] == 2 and "QUANYU__METRICS__PORT" in found["fix"]
    assert checks(cli, "metrics.port=0")[1]["metrics_port"]["level"] == "ok"


def test_a_clock_is_measured_against_ours(chdb: Client) -> None:
    fast = look(chdb, "default", lambda: 0)
    assert fast.ahead_ms > 1_700_000_000_000 and fast.version >= (26, 0)
    assert how(clock("x", "x", 1_900, "a", "b")) == how(clock("x", "x", -1_900, "a", "b")) == ("ok", 0)
    assert how(clock("x", "x", -3_000, "a", "b")) == ("warning", 0)
    assert how(clock("x", "x", 61_000, "a", "b")) == ("error", 1)


def test_disks_fill_up_with_a_warning() -> None:
    assert how(disk("x", "x", 21, 100)) == ("ok", 0)
    assert how(disk("x", "x", 19, 100)) == ("warning", 0)
    assert how(disk("x", "x", 4, 100)) == ("error", 1)
    assert how(disk("x", "x", 0, 0)) == ("ok", 0)


def test_a_server_is_old_or_behind_or_has_too_many_parts() -> None:
    assert how(server(SETTINGS, WELL, [])) == ("ok", 0)
    assert how(server(SETTINGS, WELL, ["0005_views.sql"])) == ("warning", 0)
    assert how(server(SETTINGS, msgspec.structs.replace(WELL, version=(24, 1)), [])) == ("error", 1)
    assert [how(check) for check in tables(WELL)] == [("ok", 0)]
    ill = msgspec.structs.replace(WELL, parts=31, lagging=["signals on north-2: read-only"])
    assert [how(check) for check in tables(ill)] == [("error", 1), ("warning", 0)]
    assert "north-2" in tables(ill)[0].detail


def test_the_log_keeps_the_longest_horizon_and_a_day() -> None:
    assert needed_ms(SETTINGS) == 3 * DAY_MS
    assert how(retention(SETTINGS, [LOG, RAW])) == ("ok", 0)
    forever = msgspec.structs.replace(LOG, retention_ms=-1)
    assert how(retention(SETTINGS, [forever, RAW])) == ("ok", 0)
    short = msgspec.structs.replace(LOG, retention_ms=3 * DAY_MS - 1)
    assert how(retention(SETTINGS, [short, RAW])) == ("error", 2)
    hasty = msgspec.structs.replace(RAW, retention_ms=3_600_000)
    assert how(retention(SETTINGS, [LOG, hasty])) == ("warning", 0)


def test_topics_have_copies_rights_and_room_for_a_batch() -> None:
    assert how(copies(SETTINGS, [LOG, RAW])) == how(sizes(SETTINGS, [LOG, LATE, RAW])) == ("ok", 0)
    three = Settings(kafka=Kafka(replication=3))
    assert how(copies(three, [LOG])) == ("warning", 0)
    out = TopicState("raw.110", 3, 2, DAY_MS, 1_048_588, [], None)
    assert how(copies(three, [out])) == ("warning", 0) and "raw.110 2/3" in copies(three, [out]).detail
    small = msgspec.structs.replace(LOG, max_message_bytes=1_048_588)
    assert how(sizes(SETTINGS, [small])) == ("error", 2)
    assert how(rights(SETTINGS, [LOG, RAW])) == ("ok", 0)
    no_intake = rights(SETTINGS, [msgspec.structs.replace(LOG, missing_rights=["WRITE"])])
    assert how(no_intake) == ("warning", 0) and "--stages city" in no_intake.fix
    nothing = rights(SETTINGS, [msgspec.structs.replace(LOG, missing_rights=["READ", "WRITE"])])
    assert how(nothing) == ("error", 2) and "READ signals.located" in nothing.detail


def test_records_from_the_future_tell_of_a_wrong_clock() -> None:
    for now, wanted in ((1_000_000, ("ok", 0)), (997_000, ("warning", 0)), (900_000, ("error", 1))):
        assert how(stamps([LOG, RAW], now)) == wanted


def test_what_was_deleted_unread_is_an_error_and_waiting_is_none() -> None:
    assert how(group_lag(SETTINGS, [Lag("raw.110", 9, 0, False)])) == ("ok", 0)
    assert (
        "9 raw records and 2 log"
        in group_lag(SETTINGS, [Lag("raw.110", 9, 0, True), Lag("signals.located", 2, 7, True)]).detail
    )
    lost = group_lag(SETTINGS, [Lag("raw.110", 9, 5, True)])
    assert how(lost) == ("error", 1) and "raw.110 5" in lost.detail


def test_a_database_that_cannot_be_opened_is_one_finding(cli: Quanyu, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    _, found = checks(cli, f"clickhouse.url=chdb:{file}")
    assert found["clickhouse"]["exit_code"] == 2 and "clickhouse_parts" not in found and "database_disk" in found
