"""Archived days: what comes back is what went in, and nothing that is damaged, missing or another's passes."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import QuanyuError, UsageError
from streams import archive
from streams.archive import FILE, MANIFEST, Archive, Manifest, Message, check
from tests.command_line import Quanyu, command_line, told, unique

ZONE = "Asia/Shanghai"
ODD = [
    Message(7, 1000, None, b"\x00\xff plain"),
    Message(8, 999, b"key", None),
    Message(9, 1001, b"", b"", [("name", b"value"), ("name", None)]),
]


def put(store: Archive, day: str, messages: list[Message], first: int, joins: bool = True) -> Manifest:
    """A day, its messages coming in parts."""
    parts = [messages[n : n + 2] for n in range(0, len(messages), 2)]
    return store.write(day, ZONE, range(first, first + len(messages)), joins, parts)


def everything(store: Archive, from_ms: int | None = None, to_ms: int | None = None) -> list[Message]:
    return [message for part in store.read(from_ms, to_ms) for message in part]


@pytest.fixture
def store(tmp_path: Path) -> Archive:
    found = Archive(tmp_path, "log")
    with found.locked():
        put(found, "2026-03-02", ODD, 7)
        put(found, "2026-03-03", [], 10)
        put(found, "2026-03-04", [Message(10, 5000, None, b"x"), Message(11, 4000, None, b"y")], 10)
    return found


def test_what_comes_back_is_what_went_in(store: Archive) -> None:
    assert everything(store) == [*ODD, Message(10, 5000, None, b"x"), Message(11, 4000, None, b"y")]
    assert [(m.day, m.messages, m.max_timestamp_ms) for m in store.days()] == [
        ("2026-03-02", 3, 1001),
        ("2026-03-03", 0, 0),
        ("2026-03-04", 2, 5000),
    ]
    assert [store.last(m) for m in store.days()] == [ODD[-1], None, Message(11, 4000, None, b"y")]


def test_the_same_messages_have_the_same_digest_however_they_came(tmp_path: Path) -> None:
    one, other = Archive(tmp_path / "one", "log"), Archive(tmp_path / "other", "log")
    with one.locked(), other.locked():
        first = put(one, "2026-03-02", ODD, 7)
        second = other.write("2026-03-02", ZONE, range(7, 10), True, [ODD])
    assert first.digest == second.digest


@settings(max_examples=40, deadline=None)
@given(
    stamps=st.lists(st.lists(st.integers(0, 20), max_size=6), min_size=1, max_size=4),
    from_ms=st.none() | st.integers(0, 21),
    to_ms=st.none() | st.integers(0, 21),
)
def test_a_span_of_time_is_that_of_kafka(
    tmp_path_factory: pytest.TempPathFactory, stamps: list[list[int]], from_ms: int | None, to_ms: int | None
) -> None:
    """From the first message at or after its start, before the first at or after its end, stamps in whatever order."""
    store = Archive(tmp_path_factory.mktemp("span"), "log")
    whole: list[Message] = []
    with store.locked():
        for n, day in enumerate(stamps):
            messages = [Message(len(whole) + i, at, None, b"%d" % at) for i, at in enumerate(day)]
            put(store, f"2026-03-{n + 1:02d}", messages, len(whole))
            whole += messages
    first = next((n for n, m in enumerate(whole) if from_ms is None or m.timestamp_ms >= from_ms), len(whole))
    end = next((n for n, m in enumerate(whole) if to_ms is not None and m.timestamp_ms >= to_ms), len(whole))
    assert everything(store, from_ms, to_ms) == whole[first:end]


def test_a_day_that_is_there_is_never_written_over(store: Archive) -> None:
    before = (store.folder / "2026-03-02" / FILE).read_bytes()
    with pytest.raises(OSError):
        put(store, "2026-03-02", [Message(7, 1, None, b"other")], 7)
    assert (store.folder / "2026-03-02" / FILE).read_bytes() == before


def test_a_try_that_was_cut_off_leaves_nothing_and_is_begun_anew(store: Archive) -> None:
    with pytest.raises(QuanyuError, match="no message at offset 12: 13 came"):
        put(store, "2026-03-05", [Message(13, 1, None, b"")], 12)
    with pytest.raises(QuanyuError, match="ends at offset 13, 20 was due"):
        store.write("2026-03-05", ZONE, range(12, 20), True, [[Message(12, 1, None, b"")]])
    assert (store.folder / ".2026-03-05.partial").exists() and len(store.days()) == 3
    put(store, "2026-03-05", [Message(12, 1, None, b"")], 12)
    assert len(store.days()) == 4 and not (store.folder / ".2026-03-05.partial").exists()


def test_what_is_damaged_is_found(store: Archive) -> None:
    path = store.folder / "2026-03-02"
    good, manifest = (path / FILE).read_bytes(), store.days()[0]
    for at in range(0, len(good), 7):
        (path / FILE).write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(QuanyuError, match="damaged"):
            check(path, manifest)
    (path / FILE).write_bytes(good[:-1])
    with pytest.raises(QuanyuError, match="damaged"):
        store.days()
    # a sound file with other messages: the digest tells, when it is replayed
    other = Archive(store.folder.parent / "elsewhere", "log")
    with other.locked():
        lied = put(other, "2026-03-02", [ODD[0], ODD[1], msgspec.structs.replace(ODD[2], value=b"!")], 7)
    shutil.copy(other.folder / "2026-03-02" / FILE, path / FILE)
    faked = msgspec.structs.replace(manifest, file_bytes=lied.file_bytes, sha256=lied.sha256)
    (path / MANIFEST).write_bytes(msgspec.json.encode(faked))
    with pytest.raises(QuanyuError, match="not those of the manifest"):
        everything(store)


def test_a_missing_day_is_found(store: Archive) -> None:
    shutil.rmtree(store.folder / "2026-03-02")
    assert [m.day for m in store.days()] == ["2026-03-03", "2026-03-04"]  # the oldest may have been let go of
    with store.locked():
        put(store, "2026-03-05", [Message(20, 1, None, b"")], 20)
    with pytest.raises(QuanyuError, match="2026-03-04 ends before offset 12, but 2026-03-05 begins at 20"):
        store.days()


def test_one_writes_at_a_time(store: Archive, tmp_path: Path) -> None:
    with store.locked(), pytest.raises(QuanyuError, match="another archive"), Archive(tmp_path, "log").locked():
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"), Archive(tmp_path / "file", "log").locked():
        pass


def test_large_days_are_cut_into_row_groups(store: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "GROUP_BYTES", 100)
    messages = [Message(12 + n, n, None, b"x" * 30) for n in range(50)]
    put(store, "2026-03-05", messages, 12)
    assert everything(store)[-50:] == messages


@pytest.fixture
def cli(chdb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quanyu:
    return command_line(chdb_url, tmp_path / "here", monkeypatch)


def test_the_commands_say_what_is_wrong(cli: Quanyu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "want 2026-03-02" in told(cli("archive", "--until", "today"), 2)
    nobody = ("kafka.servers=127.0.0.1:9",)
    assert "127.0.0.1:9" in told(cli("archive", "--until", "2026-03-02", "--dir", tmp_path, settings=nobody), 4)
    monkeypatch.setenv("QUANYU__INTAKE__CALLER_KEY", "secret")
    empty = cli("replay", "run", "--archive", tmp_path / unique())
    assert "holds no days of signals.located" in empty.stderr and empty.exit_code == 2
    both = told(cli("replay", "run", "--archive", tmp_path, "--kafka"), 2)
    assert "--archive goes alone, or with --kafka --log" in both
