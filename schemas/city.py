"""Doors of the city stage: what the fold over the log gives. Rows are absolute facts with an id and a version.

`version` is the number of items that have changed the row, counted in the state: the same content gets the same
version however the batches were cut, and the highest one is the truth.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from schemas.signals import Located

#: layers every city has beside its grids
CITY_LAYER, SOURCE_LAYER = "city", "source"


class Admitted(Struct, frozen=True, gc=False):
    """A signal, or a newer revision of one, in its place in the order."""

    located: Located
    ingested_at_ms: int
    reported_at_ms: Annotated[int, Meta(description="of the first revision seen")]


class Member(Struct, frozen=True, array_like=True, gc=False):
    """A located signal as a member of an incident: a row of `signals`."""

    located: Located
    incident_id: Annotated[str, Meta(description="'' while it does not count (withdrawn, invalid)")]
    opens: Annotated[bool, Meta(description="it is the incident's first signal")]
    reported_at_ms: Annotated[int, Meta(description="of the first revision seen; never changes: key of the row")]
    ingested_at_ms: int
    version: int


class Change(Struct, frozen=True, gc=False):
    """A member before (None: new) and after an item of the log. Every count moves by this."""

    before: Member | None
    after: Member


class Late(Struct, frozen=True):
    """A signal from beyond the horizon: stored, counted, left to the nightly reconcile."""

    located: Located
    ingested_at_ms: int
    watermark_ms: Annotated[int, Meta(description="of the city when it came")]


class Incident(Struct, frozen=True):
    """One matter, reported once or many times. Its id is the content hash of its first signal."""

    id: str
    state: Annotated[str, Meta(description="open, merged (into another), withdrawn")]
    opened_at_ms: Annotated[int, Meta(description="event time of its first signal")]
    last_at_ms: int
    category: Annotated[str, Meta(description="path, of its first signal")]
    cells: Annotated[tuple[str, ...], Meta(description="a code a layer, of its first located signal")]
    place_key: str
    address: str
    messages: Annotated[int, Meta(description="signals (一地多报 .. 一事多报 all together)")]
    reporters: Annotated[int, Meta(description="distinct known reporters")]
    sources: Annotated[tuple[str, ...], Meta(description="sorted")]
    severity: Annotated[int, Meta(description="highest of its signals, 0..4")]
    merged_into: str
    version: int
    hidden: Annotated[bool, Meta(description="one of its signals is secret or sensitive: no address on a wall")] = False


class Pane(Struct, frozen=True, gc=False):
    """Counts of one cell and category in one span of time."""

    layer: str
    minutes: Annotated[int, Meta(description="length of the pane: 15, 60, 1440")]
    start_ms: int
    category: Annotated[str, Meta(description="first levels of the path, as [panes] category_depth says")]
    cell: Annotated[str, Meta(description="code in the layer; the source's name in layer 'source'")]
    messages: Annotated[int, Meta(description="signals")]
    incidents: Annotated[int, Meta(description="distinct incidents with a signal here")]
    opened: Annotated[int, Meta(description="incidents whose first signal is here: adds up over panes and cells")]
    reporters: Annotated[int, Meta(description="distinct known reporters")]
    state: Annotated[str, Meta(description="provisional, final (pane closed), revised (changed after)")]
    version: int


class HotSpot(Struct, frozen=True):
    """A revision of a claim: this many incidents here, now, is not chance."""

    id: str
    revision: int
    state: Annotated[str, Meta(description="open, cooling, closed")]
    method: str
    provisional: bool
    level: Annotated[str, Meta(description="blue, yellow, orange, red")]
    layer: str
    cells: tuple[str, ...]
    category: str
    opened_at_ms: int
    updated_at_ms: Annotated[int, Meta(description="event time of this revision")]
    window_start_ms: int
    window_end_ms: int
    observed: int
    expected: float
    score: Annotated[float, Meta(description="-log10 of the tail probability")]
    history_days: Annotated[int, Meta(description="days behind `expected`")]
    versions: dict[str, str]


class RepeatCluster(Struct, frozen=True):
    """A revision of a place on the repeat list (重复高发清单)."""

    id: str
    revision: int
    state: Annotated[str, Meta(description="open, closed")]
    place_key: str
    address: Annotated[str, Meta(description="as last written")]
    cells: tuple[str, ...]
    category: Annotated[str, Meta(description="of most of its incidents")]
    opened_at_ms: int
    updated_at_ms: int
    first_at_ms: int
    last_at_ms: int
    incidents: int
    messages: int
    reporters: Annotated[int, Meta(description="largest number of distinct reporters of one incident, at least")]
    sources: tuple[str, ...]
    versions: dict[str, str]
    hidden: Annotated[bool, Meta(description="one of its incidents is hidden: no address on a wall")] = False


class Alert(Struct, frozen=True):
    """A revision of what people are to be told."""

    id: str
    revision: int
    state: Annotated[str, Meta(description="open, closed")]
    level: str
    subject_kind: Annotated[str, Meta(description="hotspot, repeat, feed")]
    subject_id: str
    opened_at_ms: int
    updated_at_ms: int
    cells: tuple[str, ...]
    category: str
    reason: str


class FeedHealth(Struct, frozen=True):
    """How a source's feed stands at a time: at every pane's end, and when that changes.

    Times are arrivals: the broker's time stamp of a record, in a file the time of its report (docs/decisions/0012).
    """

    source: str
    at_ms: Annotated[int, Meta(description="when it is so, by the clock of arrivals")]
    state: Annotated[
        str,
        Meta(
            description="starting (too little is known), ok, late (most come after lateness_s), thin (too few), silent "
            "(none), unread (read only up to a time long past)"
        ),
    ]
    since_ms: Annotated[int, Meta(description="since when it is in this state")]
    opened_at_ms: Annotated[int, Meta(description="since when its alert is open; 0: none is")]
    last_occurred_ms: Annotated[int, Meta(description="newest event; 0: none yet")]
    last_arrived_ms: Annotated[int, Meta(description="newest arrival, refused ones too; 0: none yet")]
    window_min: Annotated[int, Meta(description="minutes before at_ms that the counts are of")]
    observed: Annotated[int, Meta(description="records taken in the window")]
    expected: Annotated[float, Meta(description="records usual in these hours of the week; 0 while starting")]
    score: Annotated[float, Meta(description="-log10 of the probability of so few; 0: not few")]
    rejected: Annotated[int, Meta(description="records refused in the window")]
    delay_p50_s: Annotated[float, Meta(description="arrival minus event in the window, median, to a fifth; -1: none")]
    delay_p95_s: Annotated[float, Meta(description="the same, 95 %")]
    expected_gap_s: Annotated[int, Meta(description="a silence that lasts longer is told; 0: none is")]
    detail: Annotated[str, Meta(description="what is wrong, for a person; '' nothing")]
    version: Annotated[int, Meta(description="number of rows of the source so far")]
