"""Reports put into words: the columns a vendor's record is made of, one row a version of a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.simulator import clock, reports, texts
from streams.simulator.places import Addresses, points
from streams.simulator.reports import Reports
from streams.simulator.world import World

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NORMAL, WITHDRAWN, MERGED, CLEARED = range(4)


@dataclass(frozen=True, eq=False)
class Written:
    """Columns by row; `style` is a large random number a report keeps through versions; small choices hang on it."""

    reports: Reports
    ids: list[str]
    parents: list[str]  # id of the matter's first report, "" none
    linked: list[str]  # the same where the record names it
    title: list[str]
    text: list[str]
    address: list[str]
    lon: Floats  # WGS 84
    lat: Floats
    pointed: NDArray[np.bool_]
    style: Ints
    reported: Ints  # ms
    version: Ints  # 1, 2, ...
    made: Ints  # ms: when this version was written
    state: Ints  # NORMAL .. CLEARED

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Ints) -> Written:
        """These rows."""
        chosen = rows.tolist()
        columns: list[Any] = [getattr(self, name) for name in _COLUMNS]
        taken: list[Any] = [[c[i] for i in chosen] if isinstance(c, list) else c[rows] for c in columns]
        return Written(self.reports.take(rows), *taken)


_COLUMNS = tuple(field.name for field in fields(Written))[1:]


def joined(one: Written, two: Written) -> Written:
    """The rows of both, one after the other."""
    pairs: list[Any] = [(getattr(one, name), getattr(two, name)) for name in _COLUMNS]
    columns: list[Any] = [a + b if isinstance(a, list) else np.concatenate([a, b]) for a, b in pairs]
    return Written(reports.joined(one.reports, two.reports), *columns)


def write(
    world: World, source: str, rng: np.random.Generator, addresses: Addresses, told: Reports, first_number: int
) -> Written:
    """First versions of reports; records are numbered from `first_number` on, which keeps their ids unique."""
    n = len(told)
    style = rng.integers(0, 1 << 40, n)
    lon, lat = points(world.city, told, rng)
    spelt = addresses.spelt(told, 0 * style if source == "sensor" else style >> 8)
    paths = world.dictionaries[source].paths
    categories = [paths[i] for i in told.category.tolist()]
    words = (style >> 20).tolist()
    ids = _ids(source, told, range(first_number, first_number + n))
    parents = [ids[i] if i >= 0 else "" for i in told.parent.tolist()]
    title, text = [""] * n, [""] * n
    delay = 0 * style
    if source == "110":
        text = texts.calls(categories, spelt, told.invalid.tolist(), words)
        delay = 4000 + style % 21 * 1000
        silent = (told.invalid == 1) & (style % 5 > 0)
        spelt = ["" if unknown else address for unknown, address in zip(silent.tolist(), spelt, strict=True)]
    elif source == "12345":
        title, text = texts.tickets(categories, spelt, words)
        spelt = ["" if word % 2 else address for word, address in zip(words, spelt, strict=True)]
    elif source == "grid":
        text = texts.findings(categories, spelt, words)
        delay = 30_000 + style % 190 * 1000
    else:
        delay = 200 + style % 2800
    pointless = {"110": world.scenario.no_point, "12345": 0.75}.get(source, 0.0)
    return Written(
        reports=told,
        ids=ids,
        parents=parents,
        linked=[parent if named else "" for parent, named in zip(parents, told.linked.tolist(), strict=True)],
        title=title,
        text=text,
        address=spelt,
        lon=lon,
        lat=lat,
        pointed=rng.random(n) >= pointless,
        style=style,
        reported=told.occurred + delay,
        version=np.ones(n, dtype=np.int64),
        made=told.occurred + delay,
        state=np.zeros(n, dtype=np.int64),
    )


def _ids(source: str, told: Reports, numbers: Sequence[int]) -> list[str]:
    """Record ids as the vendor writes them: a time, then a running number."""
    if source == "110":
        return [f"JJ{t}{i:06d}" for t, i in zip(clock.compact(told.occurred), numbers, strict=True)]
    if source == "sensor":
        stamps = clock.compact_t(told.occurred)
        rows = zip(told.person.tolist(), stamps, numbers, strict=True)
        return [f"S-{device:06d}-{t}-{i}" for device, t, i in rows]
    prefix = "SZ" if source == "12345" else ""
    return [f"{prefix}{day}{i:05d}" for day, i in zip(clock.days(told.occurred), numbers, strict=True)]
