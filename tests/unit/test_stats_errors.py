"""What `quanyu stats` says of files that are wrong: exit code 2, with file, line and column."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.analyst import refused

SCAN = "zone,time,count,expected,x,y"
GOOD = "a,2026-03-01,1,1,0,0\n"


def told(tmp_path: Path, text: str | bytes, *options: object, command: str = "scan") -> str:
    file = tmp_path / "given.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return refused(command, file, *map(str, options))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("b,2026-03-01,-1,1,1,0", "line 3, column count: -1 is below 0"),
        ("b,2026-03-01,1.5,1,1,0", "line 3, column count: 1.5 is not a whole number"),
        ("b,2026-03-01,nan,1,1,0", "line 3, column count: nan is not finite"),
        ("b,2026-03-01,many,1,1,0", "line 3, column count: 'many' is not a number"),
        ("b,2026-03-01,1,inf,1,0", "line 3, column expected: inf is not finite"),
        ("b,2026-03-01,1,-2,1,0", "line 3, column expected: -2 is below 0"),
        ("b,2026-03-01,1,0,1,0", "line 3, column expected: 0, but there are cases"),
        ("b,2026-03-01,1,1,,0", "line 3, column x: '' is not a number"),
        ("b,2026-03-01,1,1,1,NaN", "line 3, column y: NaN is not finite"),
        ("b,2026-13-01,1,1,1,0", "line 3, column time: '2026-13-01' is neither a date"),
        ("b,,1,1,1,0", "line 3, column time: '' is neither a date"),
        (",2026-03-01,1,1,1,0", "line 3, column zone: is empty"),
        ("a,2026-03-02,1,1,1,0", "line 3, column x: zone a lies elsewhere in line 2"),
        ("b,2026-03-01,1,1,1", "line 3: 5 fields, but 6 columns"),
        ("b,9026-03-01,1,1,1,0", "line 3, column time: 2556698 periods of 2 zones are too many"),
        ("b,2026-03-01,9000000000,1,1,0", "line 3, column count: more than 2^31 cases"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, words: str) -> None:
    assert words in told(tmp_path, f"{SCAN}\n{GOOD}{row}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (SCAN + "\n", "no rows"),
        (SCAN + "\n\n  \n", "no rows"),
        ("zone,time,expected,x,y\na,1,1,0,0\n", "line 1: no column count; it has zone, time, expected, x, y"),
        ("zone,count,x,y\na,1,0,0\n", "line 1: no column expected or population"),
        ("zone,count,expected\na,1,1\n", "no columns x, y"),
        ("zone,count,count\na,1,1\n", "column count twice"),
        ("zone,count,expected,x,y\na,0,0,0,0\n", "line 2, column expected: 0 everywhere"),
        ("zone,count\n甲,1\n".encode("gbk"), "not UTF-8"),
        (b"\x1f\x8bno", "cannot read"),
        ('zone,count\n"a,1\nb,2\n', "line 3: 1 fields, but 2 columns"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str | bytes, words: str) -> None:
    assert words in told(tmp_path, text)


def test_a_field_that_never_ends(tmp_path: Path) -> None:
    before = csv.field_size_limit(100)
    try:
        assert "line 2: field larger than field limit" in told(tmp_path, "zone,count\n" + "x" * 200)
    finally:
        csv.field_size_limit(before)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "none.csv" in refused("scan", tmp_path / "none.csv")
    assert "cannot read" in refused("knox", tmp_path, "--dist", 1, "--days", 1)


@pytest.mark.parametrize(
    ("zones", "words"),
    [("a\na q\n", "zones.txt, line 2: unknown zone q"), ("a a\n", "line 1: zone a twice"), ("\n", "no zones")],
)
def test_a_wrong_zones_file_is_named(tmp_path: Path, zones: str, words: str) -> None:
    (tmp_path / "zones.txt").write_text(zones)
    assert words in told(tmp_path, f"{SCAN}\n{GOOD}", "--zones", tmp_path / "zones.txt")


@pytest.mark.parametrize(
    ("neighbours", "words"),
    [
        ('{"q": ["a"]}', "near.json, zone q: unknown zone"),
        ('{"a": ["q"]}', "near.json, zone a: unknown neighbour q"),
        ('{"a": {"b": -1}}', "near.json, zone a: weight -1.0 of b"),
        ('{"a": 1}', "near.json: want JSON {zone: [zone, ...]}"),
        ("[]", "near.json: want JSON"),
        ("{", "near.json: want JSON"),
    ],
)
def test_a_wrong_neighbours_file_is_named(tmp_path: Path, neighbours: str, words: str) -> None:
    near = tmp_path / "near.json"
    near.write_text(neighbours)
    values = "zone,value\na,1\nb,2\n"
    assert words in told(tmp_path, values, "--neighbors", near, command="gistar")
    assert words in told(tmp_path, f"{SCAN}\n{GOOD}b,2026-03-01,1,1,0,0\n", "--neighbors", near)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--windows", "soon"), "--windows soon: want last, any, whole"),
        (("--windows", "0"), "--windows 0"),
        (("--windows", "5"), "not above 1"),
        (("--zones", "z", "--nearest", 2), "give one of --zones, --neighbors, --nearest"),
        (("--kind", "pb-poisson"), "no column population"),
        (("--since", "1990"), "--since 1990: want a time like 2026-03-01"),
        (("--until", "2026-02-01"), "line 2, column time: outside of --since and --until"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: tuple[object, ...], words: str) -> None:
    assert words in told(tmp_path, f"{SCAN}\n{GOOD}", *options)


def test_other_commands(tmp_path: Path) -> None:
    assert "zone a lies" not in told(tmp_path, "zone,value\na,1\na,2\n", "--neighbors", "n", command="gistar")
    assert "line 3, column zone: a twice" in told(
        tmp_path, "zone,value,x,y\na,1,0,0\na,2,1,1\n", "--distance", 1, command="gistar"
    )
    assert "give either --neighbors or --distance" in refused("gistar", tmp_path / "v.csv")
    assert "no column x" in told(tmp_path, "zone,value\na,1\n", "--distance", 1, command="gistar")
    near = ("--dist", 1, "--days", 1)
    assert "no column t" in told(tmp_path, "x,y\n1,1\n", *near, command="knox")
    assert "one event makes no pair" in told(tmp_path, "x,y,t\n1,1,1\n", *near, command="knox")
    assert "line 3, column t: nan is not finite" in told(tmp_path, "x,y,t\n1,1,1\n1,1,nan\n", *near, command="knox")
    assert "line 2, column y: beyond 90 degrees" in told(
        tmp_path, "x,y,t\n1,91,1\n1,1,2\n", *near, "--lonlat", command="knox"
    )
    much = f"{SCAN}\n{GOOD}b,2026-03-01,1,2e9,1,0\n"
    assert "line 2, column expected: adds up to 2e+09" in told(tmp_path, much, "--kind", "eb-poisson")
    people = "zone,time,count,population,x,y\na,1,0,0,0,0\na,2,1,5,0,0\n"
    assert "a period without people" in told(tmp_path, people, "--kind", "pb-poisson")


def test_limits_of_memory_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.statistics.zones.MOST_MEMBERS", 1)
    monkeypatch.setattr("streams.statistics.pairs.MOST_PAIRS", 0)
    assert "--max-share 1.0" in told(tmp_path, f"{SCAN}\n{GOOD}b,2026-03-01,1,1,1,0\n", "--max-share", 1)
    two = "zone,value,x,y,t\na,1,0,0,1\nb,2,1,0,1\n"
    assert "--distance 2" in told(tmp_path, two, "--distance", 2, command="gistar")
    assert "--dist 2" in told(tmp_path, two, "--dist", 2, "--days", 1, command="knox")
