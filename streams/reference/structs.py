"""Structs as Markdown tables: fields, types, defaults and meaning, read from the annotations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct, inspect


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", "&#124;").replace("\n", " ") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def paragraphs(door: type[Struct]) -> str:
    """A docstring as Markdown."""
    return re.sub(r"\n +", "\n", (door.__doc__ or "").strip())


def kind(type_: inspect.Type) -> str:
    """A field's type as one reads it aloud, bounds included."""
    match type_:
        case inspect.Metadata(type=inner):
            return kind(inner)
        case inspect.StructType(cls=cls):
            return cls.__name__
        case inspect.UnionType(types=types):
            return " or ".join(kind(t) for t in types if not isinstance(t, inspect.NoneType)) + (
                " or nothing" if any(isinstance(t, inspect.NoneType) for t in types) else ""
            )
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return f"list of {kind(item)}"
        case inspect.TupleType(item_types=items):
            return f"({', '.join(kind(i) for i in items)})"
        case inspect.DictType(key_type=key, value_type=value):
            return f"table, {kind(key)} -> {kind(value)}"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(f"`{v}`" for v in values)
        case inspect.IntType() | inspect.FloatType():
            bounds = ((">=", type_.ge), (">", type_.gt), ("<=", type_.le), ("<", type_.lt))
            said = ", ".join(f"{sign} {bound}" for sign, bound in bounds if bound is not None)
            return " ".join(filter(None, ["int" if isinstance(type_, inspect.IntType) else "float", said]))
        case inspect.StrType(pattern=str(pattern)):
            return f"str `{pattern}`"
    return type(type_).__name__.removesuffix("Type").lower()


def value(thing: object) -> str:
    """A default as it stands in a TOML file."""
    plain = msgspec.to_builtins(thing)
    if isinstance(plain, dict) and isinstance(thing, Struct):
        return "see there"
    return "" if plain is None else f"`{msgspec.json.encode(plain).decode()}`"


def fields(struct: type[Struct]) -> list[inspect.Field]:
    """Fields of a struct with their types resolved."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return list(info.fields)


def default(field: inspect.Field) -> str:
    """What a field is when it is not given."""
    if field.default_factory is not msgspec.NODEFAULT:
        return value(field.default_factory())
    return "required" if field.default is msgspec.NODEFAULT else value(field.default)


def meaning(field: inspect.Field) -> str:
    """The description of a field's annotation."""
    kind_ = field.type
    return str((kind_.extra_json_schema or {}).get("description", "")) if isinstance(kind_, inspect.Metadata) else ""


def struct_table(struct: type[Struct]) -> str:
    """Fields of a struct: name, type, default, meaning."""
    rows = [(f"`{f.encode_name}`", kind(f.type), default(f), meaning(f)) for f in fields(struct)]
    return table(("field", "type", "default", "meaning"), rows)
