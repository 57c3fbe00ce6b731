"""What a mapping file may say. Every struct here is a section of the TOML; unknown keys are errors.

A *field* is where a value comes from. A bare string is the path of one ("caller.phone" goes into nested objects; a
list of values at a path reads as "a/b/c"; in a CSV file it is the column's name). A table says more; its steps run in
this order: take the values at `from`, join them, keep what `pattern` finds, look it up in `values`; where nothing is
left try `fallback`, then `default`. A constant is a `default` without `from`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

Scalar: TypeAlias = str | int | float | bool


class Field(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Where a value comes from and what is done to it."""

    from_: Annotated[str | list[str], Meta(description="path, or several to join; absent parts are left out")] = ""
    join: str = "/"
    pattern: Annotated[str, Meta(description="regular expression; its first group (else all of it) is the value")] = ""
    values: Annotated[dict[str, Scalar], Meta(description="enumeration: theirs -> ours; anything else is absent")] = (
        field(default_factory=dict)
    )
    scale: Annotated[float, Meta(description="numbers only: factor to degrees")] = 1.0
    fallback: Annotated[str | Field | None, Meta(description="another field where this one is absent")] = None
    default: Scalar = ""


Source: TypeAlias = str | list[str] | Field


class Id(Field, frozen=True, forbid_unknown_fields=True):
    """The record's id: the same for all its revisions. Every part must be there."""

    hash: Annotated[list[str], Meta(description="no id in the source: hash of these fields instead")] = field(
        default_factory=list
    )


class Revision(Field, frozen=True, forbid_unknown_fields=True, rename={"as_": "as"}):
    """Which of two records with one id is newer. Without it, content and order of arrival decide."""

    as_: Literal["integer", "time"] = "integer"


class Time(Struct, frozen=True, forbid_unknown_fields=True):
    """When. Formats are tried in order: iso, epoch_s, epoch_ms, or %Y %m %d %H %I %M %S %f %p %z %y %b."""

    occurred: Source
    reported: Annotated[Source | None, Meta(description="default: as occurred")] = None
    zone: Annotated[str, Meta(description="of times that carry no offset")] = "Asia/Shanghai"
    formats: list[str] = field(default_factory=lambda: ["iso"])
    lateness_s: Annotated[int, Meta(ge=-1, description="replay: how late one may come; -1: sort the whole input")] = 120
    horizon_h: Annotated[int, Meta(ge=1, description="replay: how long corrections are recognised")] = 48


class Category(Struct, frozen=True, forbid_unknown_fields=True):
    """What. With a dictionary the code decides; the record's own path is used where it has no code."""

    code: Source | None = None
    path: Annotated[Source | None, Meta(description="levels, coarse to fine, as the record spells them")] = None
    separator: Annotated[str, Meta(description="between the levels of a path; empty: do not split")] = "/"
    prefix: Annotated[bool, Meta(description="an unknown code falls back to its longest known prefix")] = False
    codes: Annotated[dict[str, str], Meta(description="code -> path")] = field(default_factory=dict)
    file: Annotated[str, Meta(description="CSV beside the mapping: code, then one column a level")] = ""


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """Where, as the source says it."""

    x: Annotated[Source | None, Meta(description="longitude")] = None
    y: Annotated[Source | None, Meta(description="latitude")] = None
    point: Annotated[Source | None, Meta(description="both in one text, e.g. (47.6, -122.3)")] = None
    order: Annotated[Literal["lat,lon", "lon,lat"], Meta(description="of point")] = "lat,lon"
    datum: Annotated[str, Meta(description="wgs84, cgcs2000, gcj02, bd09")] = "wgs84"
    datum_from: Annotated[Source | None, Meta(description="field that names it; `datum` where it is blank")] = None
    none: Annotated[
        list[tuple[float, float]], Meta(description="x, y that mean: no coordinate (blank always does)")
    ] = field(default_factory=lambda: [(0.0, 0.0)])
    bounds: Annotated[list[float], Meta(description="west, south, east, north in degrees; outside is refused")] = field(
        default_factory=list
    )
    address: Source | None = None


class Reporter(Field, frozen=True, forbid_unknown_fields=True):
    """Who: only a keyed hash of it goes on."""

    none: Annotated[list[str], Meta(description="what is written where nobody is known")] = field(
        default_factory=lambda: ["0", "无", "匿名", "未知", "不详", "00000000000"]
    )


class Relation(Struct, frozen=True, forbid_unknown_fields=True):
    """To an earlier record. The first relation that holds is taken."""

    to: Annotated[Source | None, Meta(description="id of the other record")] = None
    type: Literal["repeat", "chase_up", "feedback", "nuisance", "parent", "merged"] = "parent"
    type_from: Annotated[Source | None, Meta(description="field with the type; `type` where it is absent")] = None
    when: Annotated[Source | None, Meta(description="only where this is true (not blank, 0, false, no, 否)")] = None


class State(Field, frozen=True, forbid_unknown_fields=True):
    """Raised, cleared, withdrawn, merged: an enumeration, or marks of which the first true one is taken."""

    when: dict[str, Source] = field(default_factory=dict)


class Csv(Struct, frozen=True, forbid_unknown_fields=True):
    """Form of a CSV file."""

    delimiter: str = ","
    header: Annotated[bool, Meta(description="the first row names the columns")] = True
    columns: Annotated[list[str], Meta(description="their names where there is no header")] = field(
        default_factory=list
    )


class Mapping(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole mapping file."""

    name: str
    id: Id
    time: Time
    title: str = ""
    format: Literal["json", "csv"] = "json"
    encoding: Literal["utf-8", "gb18030", "gbk", "big5", "latin-1", "ascii"] = "utf-8"
    csv: Csv = Csv()
    revision: Revision | None = None
    category: Category = Category()
    text: Source | None = None
    place: Place = Place()
    reporter: Reporter | str | None = None
    severity: Annotated[Source | None, Meta(description="0 unknown, 1 lowest .. 4 highest")] = None
    state: State = State()
    relations: list[Relation] = field(default_factory=list)
    flags: Annotated[dict[str, Source], Meta(description="flag -> field that is true")] = field(default_factory=dict)
