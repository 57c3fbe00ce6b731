"""JSON Schema of every door, for readers in other languages: `python -m schemas.export [DIRECTORY]`.

One file a door in `json/v1/` (v2 when the promise below is broken). Doors that travel on Kafka are arrays there: the
`title` of an item is the name of the field.

The promise of a version: fields are only added, at the end, with a default. So a reader of old schemas understands what
new code writes (it ignores the rest of an array), and new code reads what old code has left on a topic. Generating
refuses to overwrite a schema with one that breaks this.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

import schemas
from schemas.errors import UsageError
from schemas.signals import SCHEMA_VERSION

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
HERE = Path(__file__).parent / "json" / f"v{SCHEMA_VERSION}"
#: every door, by name
DOORS: dict[str, type[Struct]] = {
    name: door
    for name, door in sorted(vars(schemas).items())
    if isinstance(door, type) and issubclass(door, Struct) and name in schemas.__all__
}


def json_schema(door: type[Struct]) -> Schema:
    """JSON Schema (2020-12) of `door`, complete in itself: the doors it holds are in `$defs`."""
    (reference,), definitions = msgspec.json.schema_components([door], ref_template="#/$defs/{name}")
    for name, definition in definitions.items():
        names = [field.name for field in msgspec.structs.fields(DOORS[name])]
        for field, item in zip(names, definition.get("prefixItems", ()), strict=False):
            item["title"] = field
    schema: Schema = {"$schema": DIALECT, "title": door.__name__, **reference, "$defs": definitions}
    plain: Schema = json.loads(json.dumps(schema))  # defaults as a file can hold them
    return plain


def breaks(old: Schema, new: Schema) -> list[str]:
    """What of `new` breaks the promise that `old` gave, one sentence each; [] if nothing does."""
    found: list[str] = []
    for name, definition in old["$defs"].items():
        if name not in new["$defs"]:
            found.append(f"{name} is gone")
            continue
        before, after = _fields(definition), _fields(new["$defs"][name])
        if ("prefixItems" in definition) != ("prefixItems" in new["$defs"][name]):
            found.append(f"{name} changes between array and object")
        for at, (field, kind, _) in enumerate(before):
            if at >= len(after) or after[at][0] != field:
                found.append(f"{name}.{field} is no longer field {at}")
            elif after[at][1] != kind:
                found.append(f"{name}.{field} changes its type")
        found += [f"{name}.{field} is new without a default" for field, _, given in after[len(before) :] if not given]
    return found


def _fields(definition: Schema) -> list[tuple[str, Schema, bool]]:
    """(name, type, has a default) of each field, in order."""
    if "prefixItems" in definition:
        least = definition.get("minItems", 0)
        return [(item["title"], _type(item), at >= least) for at, item in enumerate(definition["prefixItems"])]
    required = definition.get("required", ())
    return [(name, _type(item), name not in required) for name, item in definition["properties"].items()]


def _type(item: Schema) -> Schema:
    return {key: value for key, value in item.items() if key not in ("title", "description", "default")}


def export(directory: Path = HERE) -> list[Path]:
    """Write every schema to `directory`; returns the files.

    Raises UsageError, before anything is written, if one would break what the file there has promised.
    """
    texts: dict[Path, str] = {}
    for name, door in DOORS.items():
        path, schema = directory / f"{name}.json", json_schema(door)
        if path.exists() and (broken := breaks(json.loads(path.read_text(encoding="utf-8")), schema)):
            raise UsageError(
                f"{path}: {'; '.join(broken)}: restore it, or raise SCHEMA_VERSION and keep reading the old version",
                f"{path}：与已发布的版本不兼容（{'; '.join(broken)}）：请改回，或提高 SCHEMA_VERSION 并继续读取旧版本",
            )
        texts[path] = json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


if __name__ == "__main__":
    try:
        export(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
    except UsageError as error:
        sys.exit(f"error: {error}")
