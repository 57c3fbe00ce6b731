"""Counts of every pane, from signals whose incident is known: group by, count, count distinct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import pandas as pd

#: layer -> lengths of its panes, minutes, as configured by default
LENGTHS_MIN: Mapping[str, Sequence[int]] = {
    "unit": (15,),
    "street": (15, 1440),
    "district": (15, 60, 1440),
    "city": (15, 60, 1440),
    "source": (15, 60, 1440),
}
KEY = ["layer", "minutes", "start_ms", "category", "cell"]
COUNTS = ["messages", "incidents", "opened", "reporters"]


@lru_cache(maxsize=1 << 18)
def start(at_ms: int, minutes: int, zone: str) -> int:
    """Start of the pane, by the clock on the city's walls: quarters and hours of the hour, days from midnight."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(zone))
    if minutes == 1440:
        begin = at.replace(hour=0, minute=0, second=0, fold=0)
        return int(begin.timestamp()) * 1000
    return at_ms - ((at.minute % minutes) * 60 + at.second) * 1000 - at_ms % 1000


def panes(frame: pd.DataFrame, cells: pd.DataFrame, zone: str) -> pd.DataFrame:
    """Counts by KEY. `frame` has `id`, `at_ms`, `category`, `source`, `reporter`, `incident`; `cells` a layer a column.

    A signal without an incident (withdrawn, invalid) is not counted at all.
    """
    layers = cells.assign(city="city", source=frame.source)
    base = pd.DataFrame(
        {
            "category": frame.category.str.split("/").str[0],
            "incident": frame.incident,
            "opened": (frame.incident == frame.id).astype(int),
            "reporter": frame.reporter.where(frame.reporter != ""),
        }
    )
    starts = {m: frame.at_ms.map(lambda at, m=m: start(at, m, zone)) for m in (15, 60, 1440)}
    found = []
    for layer in layers.columns:
        for minutes in LENGTHS_MIN.get(layer, (15,)):
            part = base.assign(layer=layer, minutes=minutes, start_ms=starts[minutes], cell=layers[layer])
            part = part[(part.cell != "") & (part.incident != "")]
            groups = part.groupby(KEY, sort=False)
            found.append(
                pd.DataFrame(
                    {
                        "messages": groups.size(),
                        "incidents": groups.incident.nunique(),
                        "opened": groups.opened.sum(),
                        "reporters": groups.reporter.nunique(),
                    }
                )
            )
    return pd.concat(found).sort_index()
