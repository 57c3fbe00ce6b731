"""What the types of a mapping cannot say: patterns compile, zones and datums exist, enumerations end in our values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.errors import UsageError
from schemas.sources.cells import all_paths, as_field, as_text
from schemas.sources.spec import Field, Mapping, Source
from schemas.sources.times import unknown_directives

DATUMS = ("wgs84", "cgcs2000", "gcj02", "bd09")
STATES = ("", "raised", "cleared", "withdrawn", "merged")
RELATIONS = ("", "repeat", "chase_up", "feedback", "nuisance", "parent", "merged")
SEVERITIES = ("0", "1", "2", "3", "4")
FORMATS = ("iso", "epoch_s", "epoch_ms")


def fields(mapping: Mapping) -> Iterator[tuple[str, Field]]:
    """Every field of a mapping under its key."""
    place, category = mapping.place, mapping.category
    named: dict[str, Source | None] = {
        "id": mapping.id,
        "revision": mapping.revision,
        "time.occurred": mapping.time.occurred,
        "time.reported": mapping.time.reported,
        "category.code": category.code,
        "category.path": category.path,
        "text": mapping.text,
        "place.x": place.x,
        "place.y": place.y,
        "place.point": place.point,
        "place.datum_from": place.datum_from,
        "place.address": place.address,
        "reporter": mapping.reporter,
        "severity": mapping.severity,
        "state": mapping.state,
        **{f"state.when.{key}": source for key, source in mapping.state.when.items()},
        **{f"flags.{key}": source for key, source in mapping.flags.items()},
    }
    for place_in_list, relation in enumerate(mapping.relations):
        for part in ("to", "type_from", "when"):
            named[f"relations[{place_in_list}].{part}"] = getattr(relation, part)
    for key, source in named.items():
        if source is not None:
            yield key, as_field(source)


def wanted(mapping: Mapping) -> list[str]:
    """Paths that the mapping reads, each once."""
    paths = [path for _, field in fields(mapping) for path in all_paths(field)]
    return list(dict.fromkeys(paths + mapping.id.hash))


def check(mapping: Mapping, origin: str) -> None:
    """Raises UsageError naming `origin` and the key."""
    for part in (_patterns, _identity, _time, _category, _place, _enumerations, _csv):
        part(mapping, origin)


def _bad(origin: str, key: str, en: str, zh: str) -> UsageError:
    return UsageError(f"{origin}: {key}: {en}", f"{origin}：{key}：{zh}")


def _patterns(mapping: Mapping, origin: str) -> None:
    for key, field in fields(mapping):
        while True:
            try:
                groups = re.compile(field.pattern).groups
            except re.error as error:
                raise _bad(
                    origin, f"{key}.pattern", f"not a regular expression: {error}", f"正则表达式有误：{error}"
                ) from None
            if groups > 1:
                raise _bad(
                    origin,
                    f"{key}.pattern",
                    "more than one group; write the others as (?:...)",
                    "多于一个分组；其余请写成 (?:...)",
                )
            if not field.fallback:
                break
            key, field = f"{key}.fallback", as_field(field.fallback)


def _identity(mapping: Mapping, origin: str) -> None:
    if bool(mapping.id.hash) == bool(mapping.id.from_):
        raise _bad(
            origin,
            "id",
            'give either from = "the id\'s field", or hash = ["fields", "that identify it"] if there is none',
            'from = "编号字段" 与 hash = ["可识别记录的字段"]（没有编号时）必须且只能给出一个',
        )


def _time(mapping: Mapping, origin: str) -> None:
    time = mapping.time
    if not as_field(time.occurred).from_:
        raise _bad(origin, "time.occurred", "names no field", "没有指明字段")
    try:
        ZoneInfo(time.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _bad(
            origin,
            "time.zone",
            f"unknown zone {time.zone!r}; an IANA name such as Asia/Shanghai is wanted",
            f"未知时区 {time.zone!r}；应为 Asia/Shanghai 这样的 IANA 名称",
        ) from None
    if not time.formats:
        raise _bad(origin, "time.formats", "empty; at least one, e.g. iso", "为空；至少一个，例如 iso")
    for form in time.formats:
        unknown = unknown_directives(form)
        if unknown or (form not in FORMATS and "%" not in form):
            raise _bad(
                origin,
                "time.formats",
                f"{form!r}: not understood{': ' + unknown[0] if unknown else ''}; iso, epoch_s, epoch_ms or %Y-%m-%d",
                f"{form!r}：无法识别；可用 iso、epoch_s、epoch_ms 或 %Y-%m-%d 等",
            )


def _category(mapping: Mapping, origin: str) -> None:
    category = mapping.category
    if category.code is not None and not category.codes and category.path is None:
        raise _bad(
            origin,
            "category",
            "a code needs a dictionary: [category.codes], file, or a path field",
            "有 code 就需要字典：[category.codes]、file 或 path 字段",
        )
    for code, path in category.codes.items():
        if not path.strip("/ "):
            raise _bad(origin, f"category.codes.{code}", "empty path", "路径为空")


def _place(mapping: Mapping, origin: str) -> None:
    place = mapping.place
    _one_of(origin, "place.datum", [place.datum], DATUMS)
    if (place.x is None) != (place.y is None):
        raise _bad(origin, "place", "x and y go together", "x 与 y 必须同时给出")
    if place.x is not None and place.point is not None:
        raise _bad(origin, "place", "either x and y, or point", "x、y 与 point 只能给出一种")
    if place.bounds:
        west, south, east, north = place.bounds if len(place.bounds) == 4 else (1.0, 1.0, 0.0, 0.0)
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise _bad(
                origin,
                "place.bounds",
                "four numbers are wanted: west < east, south < north, in degrees",
                "应为四个数：西 < 东，南 < 北，单位为度",
            )


def _enumerations(mapping: Mapping, origin: str) -> None:
    _one_of(origin, "place.datum_from.values", as_field(mapping.place.datum_from).values.values(), DATUMS)
    _one_of(origin, "severity.values", as_field(mapping.severity).values.values(), SEVERITIES)
    _one_of(origin, "state", [*mapping.state.values.values(), *mapping.state.when], STATES)
    for number, relation in enumerate(mapping.relations):
        key = f"relations[{number}]"
        if relation.to is None and relation.type_from is None:
            raise _bad(origin, key, "names neither `to` nor `type_from`", "没有 to 也没有 type_from")
        _one_of(origin, f"{key}.type_from.values", as_field(relation.type_from).values.values(), RELATIONS)


def _one_of(origin: str, key: str, words: Iterable[object], allowed: tuple[str, ...]) -> None:
    for word in words:
        if as_text(word) not in allowed:
            shown = ", ".join(filter(None, allowed))
            raise _bad(origin, key, f"{word!r} is none of: {shown}", f"{word!r} 不在可用值之内：{shown}")


def _csv(mapping: Mapping, origin: str) -> None:
    if mapping.format != "csv":
        return
    form = mapping.csv
    if len(form.delimiter) != 1 or not form.delimiter.isascii() or form.delimiter in '"\r\n':
        raise _bad(origin, "csv.delimiter", "one ASCII character is wanted", "应为一个 ASCII 字符")
    if not form.header and not form.columns:
        raise _bad(origin, "csv.columns", "without a header the columns must be named", "没有表头时必须写出列名")
