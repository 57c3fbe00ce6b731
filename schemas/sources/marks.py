"""What a source marks a record with: datum, state, severity, flags; and the record it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.sources.cells import Table, all_paths, as_field, remembered, texts, truth
from schemas.sources.spec import Mapping, Relation, Source

#: datum ("" unknown), state, severity, flags (sorted)
Mark = tuple[str, str, int, tuple[str, ...]]
_DATUM_NAMES = {"wgs84": "wgs84", "epsg4326": "wgs84", "cgcs2000": "cgcs2000", "epsg4490": "cgcs2000"} | {
    name: datum
    for datum, names in {"gcj02": ("gcj02", "gcj", "火星坐标"), "bd09": ("bd09", "bd09ll", "百度坐标")}.items()
    for name in names
}
_SEVERITIES = ("1", "2", "3", "4")
_NOISE = str.maketrans("", "", "-_ :")


def marks(mapping: Mapping) -> Callable[[Table], list[Mark]]:
    """Compile to a function of the table: a mark a row."""
    place, when, flags = mapping.place, mapping.state.when, mapping.flags
    sources = [place.datum_from, mapping.state, mapping.severity, *when.values(), *flags.values()]
    columns = [texts(source) for source in sources]

    def find(datum: str, state: str, severity: str, *set_or_not: str) -> Mark:
        on = list(map(truth, set_or_not))
        first = next((name for name, yes in zip(when, on, strict=False) if yes), state)
        raised = tuple(sorted(name for name, yes in zip(flags, on[len(when) :], strict=True) if yes))
        declared = _DATUM_NAMES.get(datum.lower().translate(_NOISE), "") if datum else place.datum
        return declared, first, int(severity) if severity in _SEVERITIES else 0, raised

    def read(table: Table) -> list[Mark]:
        return [find(*key) for key in zip(*[column(table) for column in columns], strict=True)]

    return remembered(_paths(sources), read)


Relations = Callable[[Table], list[tuple[str, str]]]


def relations(specs: list[Relation], source: str) -> Relations:
    """Compile to a function of the table: type of the relation and id of the signal it leads to, a row."""
    if not specs:
        return lambda table: [("", "")] * table.n
    sources = [part for spec in specs for part in (spec.to, spec.type_from, spec.when)]
    columns = [texts(part) for part in sources]

    def find(*key: str) -> tuple[str, str]:
        for place, spec in enumerate(specs):
            to, kind, when = key[3 * place : 3 * place + 3]
            if (to or kind) and (spec.when is None or truth(when)):
                return kind or spec.type, f"{source}:{to}" if to else ""
        return "", ""

    def read(table: Table) -> list[tuple[str, str]]:
        return [find(*key) for key in zip(*[column(table) for column in columns], strict=True)]

    return remembered(_paths(sources), read)


def _paths(sources: Sequence[Source | None]) -> list[str]:
    return [path for source in sources for path in all_paths(as_field(source))]
