"""The doors' JSON Schemas: what is published stands, and what the code writes is what they say."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Struct, inspect

from schemas import Envelope, Located, Member, Signal, UsageError, Versions
from schemas.export import DOORS, HERE, breaks, export, json_schema

WIRE = (Signal, Located, Versions, Envelope, Member)
ALL = sorted(DOORS)


def committed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return found


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(committed(name))


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a field, from msgspec's own reading of the annotations: a new field is covered by itself."""
    match kind:
        case inspect.Metadata(type=inner):
            return values(inner)
        case inspect.StructType(cls=cls):
            return instances(cls)
        case inspect.UnionType(types=types):
            return st.one_of([values(t) for t in types])
        case inspect.ListType(item_type=item):
            return st.lists(values(item), max_size=3)
        case inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=3).map(tuple)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=3)
    simple: dict[type[inspect.Type], st.SearchStrategy[Any]] = {
        inspect.StrType: st.text(max_size=8),
        inspect.IntType: st.integers(-(2**63), 2**63 - 1),
        inspect.FloatType: st.floats(allow_nan=False, allow_infinity=False),
        inspect.BoolType: st.booleans(),
        inspect.BytesType: st.binary(max_size=8),
        inspect.NoneType: st.none(),
    }
    return simple[type(kind)]


@cache
def instances(door: type[Struct]) -> st.SearchStrategy[Any]:
    info = inspect.type_info(door)
    assert isinstance(info, inspect.StructType)
    return st.builds(door, **{f.name: values(f.type) for f in info.fields})


def test_every_door_has_its_schema_and_nothing_else_lies_there() -> None:
    assert {path.stem for path in HERE.iterdir()} == set(DOORS)
    assert {"Signal", "Located", "Envelope", "Member", "Rejected", "HotSpot"} <= set(DOORS)


@pytest.mark.parametrize("name", ALL)
def test_the_published_schema_is_the_code_s(name: str) -> None:
    assert committed(name) == json_schema(DOORS[name]), "run `make docs`"
    Draft202012Validator.check_schema(committed(name))


@pytest.mark.parametrize("name", ALL)
def test_descriptions_come_from_the_code(name: str) -> None:
    definition = committed(name)["$defs"][name]
    fields = msgspec.structs.fields(DOORS[name])
    if "prefixItems" in definition:
        assert [item["title"] for item in definition["prefixItems"]] == [f.name for f in fields]
    else:
        assert list(definition["properties"]) == [f.name for f in fields]
    assert definition["description"]


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
@settings(max_examples=30)
def test_what_the_code_writes_is_what_the_published_schema_says(name: str, data: st.DataObject) -> None:
    door = data.draw(instances(DOORS[name]))
    written = json.loads(msgspec.json.encode(door))
    validator(name).validate(written)


@pytest.mark.parametrize("door", WIRE, ids=lambda door: door.__name__)
@given(data=st.data())
@settings(max_examples=30)
def test_wire_doors_survive_the_way(door: type[Struct], data: st.DataObject) -> None:
    value = data.draw(instances(door))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=door) == value
    assert msgspec.json.decode(msgspec.json.encode(value), type=door) == value
    assert isinstance(msgspec.msgpack.decode(msgspec.msgpack.encode(value)), list)


@pytest.mark.parametrize("door", WIRE, ids=lambda door: door.__name__)
@given(data=st.data())
@settings(max_examples=30)
def test_old_readers_and_old_records_are_understood(door: type[Struct], data: st.DataObject) -> None:
    """A reader of today ignores fields that a later version appends, and fills in those an earlier one lacked."""
    value = data.draw(instances(door))
    array = msgspec.to_builtins(value)
    assert msgspec.convert([*array, "a field of tomorrow"], door) == value
    required = sum(field.required for field in msgspec.structs.fields(door))
    short = msgspec.convert(array[:required], door)
    assert msgspec.to_builtins(short)[:required] == array[:required]


def altered(change: str) -> dict[str, Any]:
    """Signal's schema after a change of the code."""
    schema = copy.deepcopy(json_schema(Signal))
    signal = schema["$defs"]["Signal"]
    items = signal["prefixItems"]
    match change:
        case "appended":
            items.append({"type": "string", "default": "", "title": "extra"})
        case "reworded":
            items[0]["description"] = "other words"
        case "removed":
            items.pop()
        case "swapped":
            items[0], items[1] = items[1], items[0]
        case "inserted":
            items.insert(3, {"type": "string", "default": "", "title": "extra"})
        case "retyped":
            items[2]["type"] = "string"
        case "no default":
            items.append({"type": "string", "title": "extra"})
            signal["minItems"] = len(items)
    return schema


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("appended", ""),
        ("reworded", ""),
        ("removed", "Signal.flags is no longer field 18"),
        ("swapped", "Signal.id is no longer field 0"),
        ("inserted", "Signal.occurred_at_ms is no longer field 3"),
        ("retyped", "Signal.revision changes its type"),
        ("no default", "Signal.extra is new without a default"),
    ],
)
def test_what_breaks_the_promise_is_named(change: str, said: str) -> None:
    found = breaks(json_schema(Signal), altered(change))
    assert (said in found) if said else found == []


def test_generating_does_not_overwrite_a_promise(tmp_path: Path) -> None:
    export(tmp_path)
    path = tmp_path / "Signal.json"
    published = json.dumps(altered("retyped"))
    path.write_text(published, encoding="utf-8")
    with pytest.raises(UsageError, match=r"Signal\.revision changes its type.*SCHEMA_VERSION"):
        export(tmp_path)
    assert path.read_text(encoding="utf-8") == published
