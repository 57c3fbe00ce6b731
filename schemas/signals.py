"""Doors of the intake stage: a vendor's record becomes a Signal, then a Located signal, or a Rejected one.

All times are integer milliseconds UTC, all identifiers strings, all structs frozen. `Signal`, `Located` and
`Envelope` travel on Kafka as MessagePack arrays: fields are only ever added at the end, with a default.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

SCHEMA_VERSION = 1

#: `Envelope.watermark_ms` of an origin that has been read to its end and brings nothing more
ENDED_MS = 2**61

#: `Signal.revision` of a source that declares none: content and order of arrival then decide.
UNDECLARED = -1

Ms = Annotated[int, Meta(description="milliseconds since 1970-01-01 UTC")]


class RawBatch(Struct, frozen=True):
    """Records of one origin (a raw topic's partition, or a file) as they were delivered, in order."""

    source: Annotated[str, Meta(description="name of the source, a key of [sources] in quanyu.toml")]
    topic: Annotated[str, Meta(description="raw topic, or file:NAME")]
    partition: int
    values: Annotated[list[bytes], Meta(description="one record each: a JSON object or a CSV row")]
    offsets: Annotated[list[int], Meta(description="position of each record, rising")]
    received_at_ms: Annotated[list[int], Meta(description="broker time stamp of each record; empty: unknown (a file)")]
    now_ms: Annotated[int, Meta(description="the shell's clock when it read the batch; bounds times, never decides")]
    header: Annotated[tuple[str, ...], Meta(description="column names of a CSV file; empty: the mapping's")] = ()
    keys: Annotated[list[bytes | None], Meta(description="message key of each record; empty: none (a file)")] = []


class Signal(Struct, frozen=True, array_like=True, gc=False):
    """One report of something that happened, whatever source it came from."""

    id: Annotated[str, Meta(description="source:record id; the same for every revision")]
    source: Annotated[str, Meta(description="110, 12345, grid, sensor or a city's own")]
    revision: Annotated[int, Meta(description="as the source counts it (a number or a time); -1: it does not")]
    occurred_at_ms: Annotated[int, Meta(description="event time")]
    reported_at_ms: Annotated[int, Meta(description="when the source first took it down")]
    received_at_ms: Annotated[int, Meta(description="broker time stamp; of a file: reported_at_ms")]
    category: Annotated[
        str, Meta(description="path, coarse to fine: 治安/盗窃/扒窃; 'unknown' if not in the dictionary")
    ]
    category_code: Annotated[str, Meta(description="the source's own code, kept as it came")] = ""
    text: Annotated[str, Meta(description="what was said, callers masked by the mapping")] = ""
    x: Annotated[float | None, Meta(description="raw coordinate: longitude in `datum`")] = None
    y: Annotated[float | None, Meta(description="raw coordinate: latitude in `datum`")] = None
    datum: Annotated[str, Meta(description="declared datum of x, y: wgs84, cgcs2000, gcj02, bd09")] = "wgs84"
    address: Annotated[str, Meta(description="address of the scene as written")] = ""
    reporter: Annotated[str, Meta(description="keyed hash of the caller, reporter or device; '' unknown")] = ""
    relation: Annotated[
        str, Meta(description="to related_id: '', repeat, chase_up, feedback, nuisance, parent, merged")
    ] = ""
    related_id: Annotated[
        str, Meta(description="id of the signal that this one repeats, chases or was merged into")
    ] = ""
    state: Annotated[str, Meta(description="'', raised, cleared, withdrawn, merged")] = ""
    severity: Annotated[int, Meta(description="0 unknown, 1 (IV, lowest) .. 4 (I, highest)")] = 0
    flags: Annotated[
        tuple[str, ...],
        Meta(description="sorted: secret, invalid, unknown_category, weapon, explosion, trapped, injured, ..."),
    ] = ()

    @property
    def hidden(self) -> bool:
        """Whether its place and text may not be shown on a wall."""
        return bool(self.flags) and ("secret" in self.flags or "sensitive" in self.flags)

    @property
    def counts(self) -> bool:
        """Whether it is counted at all: not withdrawn, not marked invalid by the source."""
        return self.state != "withdrawn" and "invalid" not in self.flags


class Located(Struct, frozen=True, array_like=True, gc=False):
    """A Signal with its place: one cell code a grid layer, and keys of the place for merging and repeats."""

    signal: Signal
    cells: Annotated[tuple[str, ...], Meta(description="a code a layer, in the grids' order; '' nowhere in the layer")]
    lon: Annotated[float | None, Meta(description="WGS 84 longitude, degrees")] = None
    lat: Annotated[float | None, Meta(description="WGS 84 latitude, degrees")] = None
    place_keys: Annotated[tuple[str, ...], Meta(description="keys of the same place, deepest first")] = ()
    uncertainty_m: Annotated[float, Meta(description="radius of the place, metres; 0 unknown")] = 0.0
    quality: Annotated[str, Meta(description="point, outside (a coordinate in no cell), unlocated")] = "unlocated"


class Rejected(Struct, frozen=True):
    """A record that intake refused, whole: nothing is dropped without its reason, bytes and position."""

    source: str
    topic: str
    partition: int
    offset: int
    reason: Annotated[str, Meta(description="stable code, e.g. not_json, missing_field, time_in_future")]
    detail: Annotated[str, Meta(description="field and value, for a person; long numbers are hidden")]
    raw: bytes
    received_at_ms: Annotated[int, Meta(description="broker time stamp, or the shell's clock for a file")]
    key: Annotated[bytes, Meta(description="message key; empty: it had none")] = b""


class Tick(Struct, frozen=True, gc=False):
    """Time, told: nothing that holds the watermark will still come from before `at_ms`."""

    at_ms: Ms


class Versions(Struct, frozen=True, array_like=True):
    """The snapshots a result was computed with; they travel with every result."""

    grids: str = ""
    config: str = ""
    baseline: str = ""
    aliases: str = ""
    code: str = ""


class Envelope(Struct, frozen=True, array_like=True):
    """A message of the city's log: the located signals of one batch of one origin, then a tick of that origin."""

    topic: Annotated[str, Meta(description="origin: raw topic")]
    partition: Annotated[int, Meta(description="origin: raw partition")]
    first_offset: Annotated[int, Meta(description="first raw offset the batch covers (rejected ones too)")]
    last_offset: Annotated[int, Meta(description="last one; first - 1 in a heartbeat")]
    ingested_at_ms: Annotated[
        int,
        Meta(description="wall clock of the intake stage; of a heartbeat: it was read to its end then, 0 no clock"),
    ]
    located: list[Located]
    offsets: Annotated[list[int], Meta(description="raw offset of each located signal")]
    watermark_ms: Annotated[int, Meta(description="tick: the origin will bring nothing older; 0 none given")] = 0
    versions: Versions = Versions()
    schema_version: int = SCHEMA_VERSION
    rejected: Annotated[list[int], Meta(description="raw offset of each record of the batch that was refused")] = []

    @property
    def heartbeat(self) -> bool:
        """Whether it covers no record and only tells time."""
        return self.last_offset < self.first_offset

    @property
    def origin(self) -> str:
        """Name of the raw partition (or file) it came from."""
        return f"{self.topic}/{self.partition}"
