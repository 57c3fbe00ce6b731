"""Small builders of doors for tests: a located signal, an envelope, the city stage with its defaults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from schemas import UNDECLARED, Alert, Change, Envelope, HotSpot, Located, Member, RepeatCluster, Signal, Versions
from schemas.rows import Rows
from streams.pipeline import CityStage, CityState, city_stage
from streams.rooms.order import Pace
from streams.settings import Settings
from streams.windows import HOUR_MS, MINUTE_MS, Calendar, category_level

LAYERS = ("unit", "street", "district")
DAY0 = 1_772_380_800_000  # 2026-03-02 00:00 in Shanghai
PACES = {
    "110": Pace(10 * MINUTE_MS, 48 * HOUR_MS, True),
    "sensor": Pace(10 * MINUTE_MS, 48 * HOUR_MS, True),
    "12345": Pace(60 * MINUTE_MS, 48 * HOUR_MS, False),
}


def signal(
    name: str,
    at_ms: int,
    source: str = "110",
    category: str = "治安/盗窃",
    cell: int | None = 0,
    place: str = "",
    revision: int = UNDECLARED,
    reporter: str = "",
    related: str = "",
    state: str = "",
    flags: tuple[str, ...] = (),
    text: str = "",
) -> Located:
    """A located signal in unit cell `cell` (its street and district follow)."""
    inner = Signal(
        id=f"{source}:{name}",
        source=source,
        revision=revision,
        occurred_at_ms=at_ms,
        reported_at_ms=at_ms,
        received_at_ms=at_ms,
        category=category,
        text=text,
        address=place,
        reporter=reporter,
        relation="repeat" if related else "",
        related_id=related,
        state=state,
        flags=flags,
    )
    cells = ("", "", "") if cell is None else (f"u{cell}", f"s{cell // 3}", f"d{cell // 6}")
    return Located(inner, cells, place_keys=(f"a:{place}",) if place else ())


def envelopes(items: Iterable[Located], size: int, topic: str = "raw.110", partition: int = 0) -> list[Envelope]:
    """Envelopes of `size` signals of one origin, in order."""
    rows = list(items)
    return [
        Envelope(topic, partition, n, n + len(part) - 1, n, part, list(range(n, n + len(part))))
        for n in range(0, len(rows), size)
        if (part := rows[n : n + size])
    ]


def end_tick(topic: str, partition: int, offset: int, at_ms: int) -> Envelope:
    """A heartbeat."""
    return Envelope(topic, partition, offset, offset - 1, 0, [], [], at_ms)


def stage(settings: Settings | None = None, origins: dict[str, str] | None = None) -> CityStage:
    """The city stage with default configuration."""
    paces = dict(PACES)  # a test may change them
    return city_stage(settings or Settings(), LAYERS, Versions("g1", "c1"), paces, origins or {"raw.110/0": "110"})


def fold(city: CityStage, log: Sequence[Envelope], cut: int) -> tuple[CityState, list[Rows]]:
    """The whole log, `cut` envelopes a step."""
    state = city.start()
    return state, [city.step(state, log[n : n + cut], 0) for n in range(0, len(log), cut)]


def newest(rows: Sequence[Rows]) -> dict[str, dict[object, object]]:
    """Newest version of every row, by table, as a sink keeps it."""
    tables: dict[str, dict[object, object]] = defaultdict(dict)
    for step in rows:
        for change in step.members:
            m = change.after
            key = (m.reported_at_ms, m.located.signal.id)
            _put(tables["signals"], key, m, m.version)
        for incident in step.incidents:
            _put(tables["incidents"], (incident.opened_at_ms, incident.id), incident, incident.version)
        for p in step.panes:
            _put(tables["panes"], (p.layer, p.minutes, p.start_ms, p.category, p.cell), p, p.version)
    return dict(tables)


def _put(table: dict[object, object], key: object, row: object, version: int) -> None:
    old = table.get(key)
    assert old is None or old.version != version or old == row, f"two rows of one version: {old} {row}"  # type: ignore[attr-defined]
    if old is None or version >= old.version:  # type: ignore[attr-defined]
        table[key] = row


def histories(rows: Sequence[Rows]) -> tuple[list[HotSpot], list[RepeatCluster], list[Alert]]:
    """Everything that keeps a history, in order."""
    return (
        [h for step in rows for h in step.hotspots],
        [r for step in rows for r in step.repeats],
        [a for step in rows for a in step.alerts],
    )


def changes(rows: Sequence[Rows]) -> list[Change]:
    """All changes, in order."""
    return [c for step in rows for c in step.members]


def naive_incidents(members: Iterable[Located], gap_ms: int) -> dict[str, frozenset[str]]:
    """Connected components by comparing everything with everything: signal id -> ids of its incident."""
    signals = [m for m in members if m.signal.counts]
    parent = {m.signal.id: m.signal.id for m in signals}

    def root(i: str) -> str:
        while parent[i] != i:
            i = parent[i]
        return i

    def link(a: str, b: str) -> None:
        parent[root(a)] = root(b)

    for a in signals:
        for b in signals:
            s, t = a.signal, b.signal
            if s.related_id and (s.related_id == t.id or s.related_id == t.related_id):
                link(s.id, t.id)
            same_category = category_level(s.category, 1) == category_level(t.category, 1)
            same = (s.reporter and s.reporter == t.reporter) or (a.place_keys and a.place_keys == b.place_keys)
            if same and same_category and abs(s.occurred_at_ms - t.occurred_at_ms) <= gap_ms:
                link(s.id, t.id)
    parts: dict[str, set[str]] = defaultdict(set)
    for m in signals:
        parts[root(m.signal.id)].add(m.signal.id)
    return {i: frozenset(part) for part in parts.values() for i in part}


def naive_panes(members: Iterable[Member], settings: Settings) -> dict[tuple[object, ...], tuple[int, int, int, int]]:
    """Recount of every pane: (messages, incidents, opened, reporters)."""
    calendar = Calendar(settings.city.timezone, settings.panes.minutes)
    got: dict[tuple[object, ...], list[Member]] = defaultdict(list)
    for m in members:
        s = m.located.signal
        if not m.incident_id:
            continue
        for layer, code in zip((*LAYERS, "city", "source"), (*m.located.cells, "city", s.source), strict=True):
            for minutes in settings.panes.resolutions_min[layer]:
                if code:
                    start = calendar.start(minutes, calendar.pane(s.occurred_at_ms))
                    got[(layer, minutes, start, s.category.split("/")[0], code)].append(m)
    return {
        key: (
            len(ms),
            len({m.incident_id for m in ms}),
            sum(m.opens for m in ms),
            len({m.located.signal.reporter for m in ms} - {""}),
        )
        for key, ms in got.items()
    }
