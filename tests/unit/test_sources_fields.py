"""What a mapping can say of a field, a place, an id, a category: small mappings, one record each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas import RawBatch, Rejected, Signal, UsageError
from schemas.sources import load_mapping
from schemas.sources.cells import as_text
from streams.rooms.intake import Intake
from streams.settings import Intake as Settings

NOW = 1_772_424_000_000
HEAD = 'name = "small"\n'
ID = '[id]\nfrom = "no"\n'
TIME = '[time]\noccurred = "at"\n'
RECORD = {"no": "1", "at": "2026-03-02 08:00:01"}


def taken(folder: Path, mapping: str, **fields: Any) -> Signal | Rejected:
    path = folder / "small.toml"
    path.write_text(mapping, encoding="utf-8")
    room = Intake({"city": load_mapping(path)}, Settings(), b"key")
    raw = json.dumps(RECORD | fields).encode()
    signals, _, rejected = room.step(RawBatch("city", "raw.city", 0, [raw], [0], [], NOW))
    only: list[Signal | Rejected] = [*signals, *rejected]
    assert len(only) == 1
    return only[0]


@pytest.mark.parametrize(
    ("field", "record", "text"),
    [
        ('"a.b.c"', {"a": {"b": {"c": " deep "}}}, "deep"),
        ('"a.b.c"', {"a": {"b": None}}, ""),
        ('"list"', {"list": ["a", 1, None, "b"]}, "a/1/b"),
        ('["a", "b"]', {"a": "x", "b": 2}, "x/2"),
        ('{ from = ["a", "b"], join = ", " }', {"a": "x", "b": None}, "x"),
        ('{ from = "a", pattern = "at ([0-9]+)" }', {"a": "seen at 17:00"}, "17"),
        ('{ from = "a", pattern = "[0-9]+" }', {"a": "seen at 17:00"}, "17"),
        ('{ from = "a", pattern = "[0-9]+", default = "none" }', {"a": "seen"}, "none"),
        ('{ from = "a", values = { "1" = "one" } }', {"a": 1}, "one"),
        ('{ from = "a", values = { "1" = "one" }, fallback = "b" }', {"a": 2, "b": "two"}, "two"),
        ('{ from = "a", fallback = { from = "b", default = 7 } }', {}, "7"),
        ('{ default = "always" }', {}, "always"),
        ('"带.点"', {"带": {"点": True}}, "1"),
    ],
)
def test_fields(tmp_path: Path, field: str, record: dict[str, Any], text: str) -> None:
    signal = taken(tmp_path, f"{HEAD}text = {field}\n{ID}{TIME}", **record)
    assert isinstance(signal, Signal), signal
    assert signal.text == text


@pytest.mark.parametrize(
    ("place", "record", "expected"),
    [
        ('point = "p"', {"p": "(47.6, -122.3)"}, (-122.3, 47.6)),
        ('point = "p"', {"p": "47.6 -122.3"}, (-122.3, 47.6)),
        ('point = "p"\norder = "lon,lat"', {"p": "POINT (121.4 31.2)"}, (121.4, 31.2)),
        ('point = "p"', {"p": ""}, (None, None)),
        ('point = "p"', {"p": "downtown"}, "wrong_type"),
        ('point = "p"', {"p": "(nan, 3)"}, "not_finite"),
        ('x = { from = "x", scale = 1e-7 }\ny = { from = "y", scale = 1e-7 }', {"x": 10, "y": "20"}, (1e-6, 2e-6)),
        ('x = "x"\ny = "y"', {"x": 0, "y": 0}, (None, None)),
        ('x = "x"\ny = "y"\nnone = [[-1, -1]]', {"x": 0, "y": 0}, (0, 0)),
        ('x = "x"\ny = "y"\nnone = [[-1, -1]]', {"x": -1, "y": -1.0}, (None, None)),
        ('x = "x"\ny = "y"', {"x": 31.2, "y": 121.4}, "coordinates_swapped"),
        ('x = "x"\ny = "y"', {"x": 181, "y": 5}, "coordinates_out_of_range"),
        ('x = "x"\ny = "y"', {"x": 10**400, "y": 5}, "not_finite"),
    ],
)
def test_places(tmp_path: Path, place: str, record: dict[str, Any], expected: Any) -> None:
    found = taken(tmp_path, f"{HEAD}{ID}{TIME}[place]\n{place}\n", **record)
    if isinstance(expected, str):
        assert isinstance(found, Rejected)
        assert found.reason == expected
    else:
        assert isinstance(found, Signal), found
        assert (found.x, found.y) == pytest.approx(expected)


def test_ids_of_several_parts_need_every_one_and_a_hash_stands_for_an_id(tmp_path: Path) -> None:
    parts = f'{HEAD}[id]\nfrom = ["no", "part"]\njoin = "-"\n{TIME}'
    signal = taken(tmp_path, parts, part=2)
    assert isinstance(signal, Signal)
    assert signal.id == "city:1-2"
    refused = taken(tmp_path, parts, part=" ")
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.detail) == ("missing_field", "part")

    hashed = f'{HEAD}[id]\nhash = ["no", "text"]\n{TIME}'
    ids = {
        (one.id if isinstance(one := taken(tmp_path, hashed, **changes), Signal) else one.reason)
        for changes in ({"text": "a"}, {"text": "a", "other": 1}, {"text": "b"}, {"no": "1a", "text": ""})
    }
    assert len(ids) == 3
    assert all(one.startswith("city:") and len(one) == len("city:") + 24 for one in ids)


@pytest.mark.parametrize(
    ("category", "record", "expected"),
    [
        ('path = "c"', {"c": "A/ B //C"}, "A/B/C"),
        ('path = "c"\nseparator = ":"', {"c": "EMS: BACK/NECK"}, "EMS/BACK／NECK"),
        ('path = "c"\nseparator = ""', {"c": "A/B"}, "A／B"),
        ('path = ["c", "d"]\nseparator = ""', {"c": "A/B", "d": "C"}, "A／B/C"),
        ('path = "c"', {"c": ["A", "B"]}, "A/B"),
        ('path = { default = "other" }', {}, "other"),
        ('path = "c"', {"c": " / "}, "unknown"),
        ('code = "c"\ncodes = { "1" = "A" }', {"c": 1}, "A"),
        ('code = "c"\ncodes = { "1" = "A" }', {"c": "12"}, "unknown"),
        ('code = "c"\nprefix = true\ncodes = { "1" = "A" }', {"c": "123"}, "A"),
        ('code = "c"\npath = "d"\ncodes = { "1" = "A" }', {"c": "", "d": "B"}, "B"),
        ('code = "c"\npath = "d"\ncodes = { "1" = "A" }', {"c": "2", "d": "B"}, "unknown"),
    ],
)
def test_categories(tmp_path: Path, category: str, record: dict[str, Any], expected: str) -> None:
    signal = taken(tmp_path, f"{HEAD}{ID}{TIME}[category]\n{category}\n", **record)
    assert isinstance(signal, Signal), signal
    assert signal.category == expected
    assert signal.flags == (("unknown_category",) if expected == "unknown" else ())


def test_one_path_cannot_be_both_value_and_object(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'a' is wanted both as a value and as an object"):
        taken(tmp_path, f'{HEAD}text = ["a", "a.b"]\n{ID}{TIME}')
    with pytest.raises(UsageError, match="'a' is wanted both as a value and as an object"):
        taken(tmp_path, f'{HEAD}text = ["a.b", "a"]\n{ID}{TIME}')


def test_equal_values_read_as_equal_texts() -> None:
    """What `remembered` rests on: its memory finds 1, 1.0 and True under one key."""
    for same in ([1, 1.0, True], [0, 0.0, -0.0, False], [2**60, float(2**60)], [-5, -5.0]):
        assert len({as_text(value) for value in same}) == 1
