"""Dead letters in ClickHouse: found again whole, marked, shown masked; and the commands over them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from schemas import Rejected
from schemas.rows import Rows
from sinks.clickhouse import ClickHouseSink, Client, connect, dead_letters, migrate, users
from sinks.clickhouse.dead_letters import FAILING, PRESENT, REDRIVEN, Asked, Reason
from streams.redrive import present
from tests.clickhouse import DAY0, LAYERS, ZONE, Where, change, fresh_database, late, member
from tests.command_line import Quanyu, command_line, told
from tests.unit.test_live_workers import call

PHONE = "13812345678"
MINUTE = 60_000
SOUND = call(1)
#: a filled database, and the settings that name it
At = tuple[ClickHouseSink, list[str]]


def letter(offset: int, source: str = "110", reason: str = "not_json", raw: bytes = b"{", **more: Any) -> Rejected:
    fields: dict[str, Any] = {"partition": 0, "detail": "line 1", "received_at_ms": DAY0 + offset, "key": b""} | more
    return Rejected(source=source, topic=f"raw.{source}", offset=offset, reason=reason, raw=raw, **fields)


@pytest.fixture
def stored(chdb: Client) -> ClickHouseSink:
    name = fresh_database()
    migrate(chdb, name, ZONE)
    return ClickHouseSink(chdb, name, LAYERS, 10**6, 1e9, lambda: 0.0)


def store(sink: ClickHouseSink, letters: Sequence[Rejected]) -> None:
    sink.write(Rows(DAY0, rejected=list(letters)))
    sink.flush()


def unresolved(sink: ClickHouseSink, asked: Asked = Asked(), limit: int = 100) -> list[list[Rejected]]:  # noqa: B008
    return list(dead_letters.unresolved(sink.client, sink.database, asked, limit))


def test_letters_come_back_whole_and_in_order_a_piece_at_a_time(stored: ClickHouseSink) -> None:
    wild = [letter(n, raw=b"\xff\x00'\\\n%d" % n, key=b"k\xfe", partition=n % 2) for n in range(7)]
    other = [letter(0, "grid", raw=b"")]
    store(stored, [*reversed(wild), *other])
    pieces = unresolved(stored, limit=3)
    assert [len(piece) for piece in pieces] == [3, 3, 2]
    found = [x for piece in pieces for x in piece]
    assert found == sorted(wild, key=lambda x: (x.partition, x.offset)) + other


def test_what_was_asked_for_and_nothing_else(stored: ClickHouseSink) -> None:
    store(stored, [letter(0), letter(1, reason="bad_time"), letter(2, "grid"), letter(3)])
    asked = [
        (Asked(source="grid"), [2]),
        (Asked(reason="bad_time"), [1]),
        (Asked(since_ms=DAY0 + 1, until_ms=DAY0 + 3), [1, 2]),
        (Asked(source="110", since_ms=DAY0 + 3), [3]),
        (Asked(source="sensor"), []),
    ]
    for question, offsets in asked:
        assert [x.offset for piece in unresolved(stored, question) for x in piece] == offsets


def test_marks_say_what_became_of_letters_and_the_last_word_stays(stored: ClickHouseSink) -> None:
    letters = [letter(n) for n in range(4)]
    store(stored, letters)
    mark = dead_letters.mark
    mark(stored.client, stored.database, [(letters[0], REDRIVEN, ""), (letters[1], FAILING, "bad_time")], DAY0, "li")
    mark(stored.client, stored.database, [(letters[0], FAILING, "not_json"), (letters[2], PRESENT, "")], DAY0 + 1, "li")
    mark(stored.client, stored.database, [], DAY0, "li")
    assert [x.offset for piece in unresolved(stored) for x in piece] == [1, 3]
    (found,) = dead_letters.by_reason(stored.client, stored.database)
    assert found == Reason("110", "not_json", 4, "line 1", open=1, failing=1, redriven=2)
    states = stored.client.rows(f"SELECT offset, state FROM {stored.database}.v_rejected ORDER BY offset")
    assert states == [(0, "redriven"), (1, "failing"), (2, "redriven"), (3, "open")]


def test_a_letter_written_again_after_a_crash_stays_marked(stored: ClickHouseSink) -> None:
    store(stored, [letter(0)])
    dead_letters.mark(stored.client, stored.database, [(letter(0), REDRIVEN, "")], DAY0, "li")
    stored.write(Rows(DAY0 + MINUTE, rejected=[letter(0)]))
    stored.flush()
    assert unresolved(stored) == []


def test_another_record_at_the_position_of_a_topic_made_anew_is_open(stored: ClickHouseSink) -> None:
    store(stored, [letter(0)])
    dead_letters.mark(stored.client, stored.database, [(letter(0), REDRIVEN, "")], DAY0, "li")
    anew = letter(0, received_at_ms=DAY0 + 30 * MINUTE)
    store(stored, [anew])
    assert unresolved(stored) == [[anew]]


def test_views_and_lists_show_neither_bytes_nor_keys_nor_numbers(stored: ClickHouseSink) -> None:
    """Also of a row that an earlier version wrote, whose detail holds a number that is no phone."""
    raw = f'{{"bjdh": "{PHONE}", "no": "88812345678"}}'.encode()
    store(stored, [letter(0, raw=raw, key=PHONE.encode(), detail=f"no: 88812345678 {PHONE} 2026-03-02")])
    (row,) = stored.client.dicts(f"SELECT * FROM {stored.database}.v_rejected")
    assert not {"raw", "message_key", "key"} & set(row)
    shown = json.dumps([row, [*map(str, dead_letters.by_reason(stored.client, stored.database))]], default=str)
    shown += "".join(dead_letters.records(stored.client, stored.database, "", "", 9))
    for number in (PHONE, "88812345678"):
        assert number not in shown
    assert "2026-03-02" in row["detail"]
    assert row["bytes"] == len(raw)


def test_what_is_stored_of_signals_tells_whether_a_record_is_among_them(stored: ClickHouseSink) -> None:
    seen = member("seen", DAY0 + MINUTE)
    old = late("old", DAY0, reported_ms=DAY0)
    stored.write(Rows(DAY0, members=[change(seen)], late=[old]))
    stored.flush()
    ids = ["110:seen", "110:old", "110:none"]
    found = dead_letters.stored_signals(stored.client, stored.database, ids, DAY0 - MINUTE, DAY0 + MINUTE)
    assert set(found) == {"110:seen", "110:old"}
    for located in (seen.located, old.located):
        signal = located.signal
        uncounted = structs.replace(signal, revision=-1)
        assert present(signal, found[signal.id])
        assert present(uncounted, structs.replace(found[signal.id], revision=-1))
    assert dead_letters.stored_signals(stored.client, stored.database, ids, DAY0 + 1, DAY0 + MINUTE) == {}
    assert dead_letters.newest_event_ms(stored.client, stored.database) == DAY0 + MINUTE


def test_only_the_named_role_is_granted_the_bytes() -> None:
    """The engine of the tests has no users: the administrator's SQL, read as text."""
    grants = re.findall(r"^GRANT ([^;]+?)\s+ON `quanyu`\.(\S+) TO (\w+);$", users.sql("quanyu"), re.M)
    readers = {
        role for rights, table, role in grants if table == "rejected" or (table.endswith("*") and table != "v_*")
    }
    assert readers == {"quanyu_dead_letters", "quanyu_migrator", "quanyu_writer"}
    assert ("INSERT", "rejected_shown", "quanyu_dead_letters") in grants
    assert {table for _, table, role in grants if role == "quanyu_wall"} == {"v_*"}


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def cli(chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quanyu:
    return command_line(chdb_url, tmp_path / "here", monkeypatch)


@pytest.fixture
def at(chdb_url: str) -> At:
    """A database with a phone in a letter, one that passes by now, one that does not; and the setting that names it."""
    client, name = connect(Where(chdb_url)), fresh_database()
    migrate(client, name, ZONE)
    sink = ClickHouseSink(client, name, LAYERS, 10**6, 1e9, lambda: 0.0)
    bad = letter(0, raw=b'{"bjdh": "%s"}' % PHONE.encode(), reason="missing_field", detail="jjdbh")
    store(sink, [bad, letter(1, raw=SOUND, reason="bad_time"), letter(2, "closed")])
    return sink, [f"clickhouse.database={name}", "clickhouse.rejected_retention_days=0"]


def test_show_hides_numbers_unless_told_and_then_says_who_looked(cli: Quanyu, at: At) -> None:
    sink, settings = at
    masked = cli("rejected", "show", "--reason", "missing_field", settings=settings)
    assert "138****5678" in masked.stdout and PHONE not in masked.stdout
    assert sink.client.rows(f"SELECT count() FROM {sink.database}.rejected_shown") == [(0,)]
    whole = cli("rejected", "show", "--reason", "missing_field", "--raw", settings=settings)
    assert json.loads(whole.stdout)["raw"] == f'{{"bjdh": "{PHONE}"}}'
    line = json.loads(whole.stderr)
    assert (line["event"], line["records"], line["reason"]) == ("dead letters shown unmasked", 1, "missing_field")
    assert PHONE not in whole.stderr
    rows = sink.client.rows(f"SELECT user, database_user, source, reason, records FROM {sink.database}.rejected_shown")
    assert rows == [(line["user"], "default", "", "missing_field", 1)]


def test_a_dry_run_says_what_would_pass_and_changes_nothing(cli: Quanyu, at: At) -> None:
    sink, settings = at
    done = cli("rejected", "redrive", "--dry-run", "--json", settings=settings)
    assert json.loads(done.stdout) == {
        "letters": 3, "sent": 1, "late": 1, "present": 0,
        "still_failing": {"missing_field": 1, "unknown_source": 1}, "dry_run": True,
    }  # fmt: skip
    assert "nightly reconcile" in cli("rejected", "redrive", "--dry-run", settings=settings).stdout
    assert sink.client.rows(f"SELECT count() FROM {sink.database}.redrives") == [(0,)]
    only = cli("rejected", "redrive", "--dry-run", "--json", "--reason", "bad_time", settings=settings)
    assert (json.loads(only.stdout)["letters"], json.loads(only.stdout)["sent"]) == (1, 1)


def test_without_a_broker_nothing_is_marked(cli: Quanyu, at: At) -> None:
    sink, settings = at
    result = cli("rejected", "redrive", settings=[*settings, "kafka.servers=127.0.0.1:1"])
    assert result.exit_code == 4 and "127.0.0.1:1" in result.stderr
    assert sink.client.rows(f"SELECT count() FROM {sink.database}.redrives") == [(0,)]


def test_a_replay_is_refused_and_so_is_what_is_not_there(cli: Quanyu, tmp_path: Path) -> None:
    assert "`quanyu replay run`" in told(cli("rejected", "redrive", "--run", "first"), 2)
    assert "回放" in told(cli("rejected", "redrive", "--run", "first", lang="zh"), 2)
    assert "known: 110" in told(cli("rejected", "redrive", "--source", "911"), 2)
    assert "--since soon" in told(cli("rejected", "redrive", "--since", "soon"), 2)
    empty = cli("rejected", "redrive", "--json", "--db", tmp_path / "nothing")
    assert json.loads(empty.stdout)["letters"] == 0
    assert not (tmp_path / "nothing").exists()
