"""Files of records: what is read, in which pieces, and what a damaged file still gives."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import QuanyuError, RawBatch, UsageError
from schemas.sources import Mapping, load_mapping
from schemas.sources.spec import Csv, Id, Time
from streams import files
from streams.files import read_batches
from streams.rooms.intake import Intake
from streams.settings import Intake as Settings

NOW = 1_772_424_000_000
CSV = Mapping(name="csv", format="csv", id=Id(from_="id"), time=Time(occurred="at"), text="text")
NDJSON = load_mapping("110")


def write(folder: Path, content: bytes, name: str = "records") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(path: Path, mapping: Mapping = CSV, size: int = 2) -> list[RawBatch]:
    return list(read_batches(path, "src", mapping, size, NOW))


def values(batches: list[RawBatch]) -> list[bytes]:
    return [value for batch in batches for value in batch.values]


def test_batches_carry_position_header_and_the_clock_told(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbfid, at ,text\r\n1,a,x\r\n2,b,y\r\n3,c,z")
    assert read(path) == [
        RawBatch("src", "file:records", 0, [b"1,a,x", b"2,b,y"], [0, 1], [], NOW, ("id", "at", "text")),
        RawBatch("src", "file:records", 0, [b"3,c,z"], [2], [], NOW, ("id", "at", "text")),
    ]


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"id,at,text\n", []),
        (b"id,at,text\n1,a,x\n\n \n", [b"1,a,x"]),
        (b"id,at,text\n1,a,x\n\n2,b,y\n", [b"1,a,x", b"", b"2,b,y"]),
        (b'id,at,text\n1,a,"x\n\n y"\n2,b,y', [b'1,a,"x\n\n y"', b"2,b,y"]),
        (b'id,at,text\n1,a,"x ""q""\r\n, y"\r\n2,b,y', [b'1,a,"x ""q""\r\n, y"', b"2,b,y"]),
        (b'id,at,text\n1,a,5" pipe\n2,b,"a"b\n3,c,z', [b'1,a,5" pipe', b'2,b,"a"b', b"3,c,z"]),
        (b'id,at,text\n1,a,"never closed\n2,b,y\n3,c,z', [b'1,a,"never closed', b"2,b,y", b"3,c,z"]),
    ],
)
def test_csv_records_are_the_bytes_that_stand_in_the_file(tmp_path: Path, content: bytes, records: list[bytes]) -> None:
    assert values(read(write(tmp_path, content))) == records
    assert values(read(write(tmp_path, gzip.compress(content)))) == records


cells = st.text(st.sampled_from('ab,"\n\r é'), max_size=6)


@given(st.lists(st.lists(cells, min_size=2, max_size=3), max_size=6), st.integers(1, 4))
def test_what_csv_writes_is_read_record_by_record(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], size: int
) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["id", "at", "text"], *rows])
    path = write(tmp_path_factory.getbasetemp(), text.getvalue().encode())
    batches = read(path, size=size)
    assert [next(csv.reader([value.decode()])) for value in values(batches)] == rows
    assert [offset for batch in batches for offset in batch.offsets] == list(range(len(rows)))


def test_a_quote_that_is_never_closed_costs_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 40)
    content = b'id,at,text\n1,2026-01-01,"open\n' + b"2,2026-01-02,fine\n" * 5
    batches = read(write(tmp_path, content), size=10)
    signals, offsets, rejected = Intake({"src": CSV}, Settings(), b"key").step(batches[0])
    assert offsets == [1, 2, 3, 4, 5]
    assert [signal.text for signal in signals] == ["fine"] * 5
    assert [(refused.reason, refused.raw) for refused in rejected] == [("not_csv", b'1,2026-01-01,"open')]


@pytest.mark.parametrize("row", [b"1,2026-01-01", b"1,2026-01-01,x,y", b'1,2026-01-01,"x"y', b"1,2\n3,4,5"])
def test_a_row_that_does_not_fit_the_header_is_not_csv(row: bytes) -> None:
    batch = RawBatch("src", "file:x", 0, [b"0,2026-01-01,good", row], [0, 1], [], NOW, ("id", "at", "text"))
    signals, _, rejected = Intake({"src": CSV}, Settings(), b"key").step(batch)
    assert [signal.id for signal in signals] == ["src:0"]
    assert [(refused.reason, refused.offset) for refused in rejected] == [("not_csv", 1)]


def test_a_header_without_a_wanted_column_is_a_usage_error() -> None:
    batch = RawBatch("src", "file:x", 0, [b"1,2"], [0], [], NOW, ("id", "when"))
    with pytest.raises(UsageError, match=r"no column 'at'; the file has: id, when"):
        Intake({"src": CSV}, Settings(), b"key").step(batch)


def test_a_file_without_header_and_with_another_delimiter_and_encoding(tmp_path: Path) -> None:
    form = Csv(delimiter=";", header=False, columns=["id", "at", "text"])
    mapping = Mapping(
        name="gbk", format="csv", encoding="gb18030", csv=form, id=Id(from_="id"), time=Time(occurred="at"), text="text"
    )
    path = write(tmp_path, '1;2026-01-01;"人民路;1号"\n'.encode("gb18030") + b"2;2026-01-01;\xff\n")
    (batch,) = read(path, mapping)
    signals, _, rejected = Intake({"src": mapping}, Settings(), b"key").step(batch)
    assert [signal.text for signal in signals] == ["人民路;1号"]
    assert [refused.reason for refused in rejected] == ["not_utf8"]


def test_ndjson_lines(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": 2}\n{"a":\n\n'
    assert values(read(write(tmp_path, content), NDJSON)) == [b'{"a": 1}', b"", b'{"a": 2}', b'{"a":']
    with pytest.raises(UsageError, match="JSON array"):
        read(write(tmp_path, b'[\n{"a": 1}\n]\n'), NDJSON)


def test_a_truncated_gzip_gives_all_that_can_be_read_then_says_so(tmp_path: Path) -> None:
    lines = [b'{"n": %d, "noise": "%d"}' % (n, n * 7919 % 1_000_003) for n in range(20_000)]
    whole = gzip.compress(b"\n".join(lines))
    for content in (whole[: len(whole) // 2], whole[:-4], whole + b"garbage"):
        path = write(tmp_path, content, "cut.gz")
        got: list[bytes] = []
        with pytest.raises(QuanyuError) as caught:
            for batch in read_batches(path, "src", NDJSON, 1000, NOW):
                got += batch.values
        assert caught.value.exit_code == 1
        assert str(path) in caught.value.en
        assert str(len(got)) in caught.value.en
        assert str(len(got)) in caught.value.zh
        assert got == lines[: len(got)]
        assert len(got) >= len(lines) * len(content) // len(whole) * 0.9 - 1000


def test_a_file_that_cannot_be_opened_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(UsageError, match="header not readable"):
        read(write(tmp_path, b"\xff,a\n1,2\n"))


def test_a_line_longer_than_memory_should_hold_is_cut_and_the_next_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    got = values(read(write(tmp_path, b"x" * 1000 + b'\n{"a": 1}\n'), NDJSON))
    assert got == [b"x" * 101, b'{"a": 1}']


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b"id,at,text\n" + b"1,2026-01-01,some text of a record\n" * 100_000))
    tracemalloc.start()
    count = sum(len(batch.values) for batch in read_batches(path, "src", CSV, 1000, NOW))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000
    assert peak < 2_000_000
