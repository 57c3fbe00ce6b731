"""What: the source's code -> a path, coarse to fine. An unknown code is kept, under the category `unknown`."""

from __future__ import annotations

from collections.abc import Callable

from schemas.sources.cells import Table, all_paths, as_field, paths_of, remembered, texts
from schemas.sources.spec import Category, Field

UNKNOWN = "unknown"
UNKNOWN_CATEGORY = "unknown_category"
#: stands for a "/" inside a level's name
_SLASH = "／"

#: path and code as it came, a row
Categories = Callable[[Table], list[tuple[str, str]]]


def categories(spec: Category) -> Categories:
    """Compile to a function of the table."""
    fields = [as_field(spec.code), *_levels(spec)]
    columns = [texts(field) for field in fields]
    codes = {key.strip(): _clean(path.split("/")) for key, path in spec.codes.items()}

    def find(own: str, *named: str) -> tuple[str, str]:
        if codes and own:
            return _known(codes, own, spec.prefix), own
        parts = [part for name in named for part in (name.split(spec.separator) if spec.separator else [name])]
        return _clean(parts) or UNKNOWN, own

    def read(table: Table) -> list[tuple[str, str]]:
        return [find(*key) for key in zip(*[column(table) for column in columns], strict=True)]

    return remembered([path for field in fields for path in all_paths(field)], read)


def _levels(spec: Category) -> list[Field]:
    """A path of several plain fields is a level each."""
    if spec.path is None:
        return []
    field = as_field(spec.path)
    if isinstance(spec.path, list):
        return [Field(from_=path) for path in paths_of(field)]
    return [field]


def _clean(parts: list[str]) -> str:
    return "/".join(part.strip().replace("/", _SLASH) for part in parts if part.strip())


def _known(codes: dict[str, str], code: str, prefix: bool) -> str:
    if not prefix:
        return codes.get(code, UNKNOWN)
    while code and code not in codes:
        code = code[:-1]
    return codes.get(code, UNKNOWN)
