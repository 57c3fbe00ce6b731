"""Spans of time: panes of a city's day, in its own time zone. Pure: time comes in as integer ms UTC.

15 min   |--|--|--|--|--|--|--|--| ...
60 min   |-----------|-----------| ...     on the city's hours
1440     |------------------------ ...     from local midnight to local midnight (23 or 25 h on DST days)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
DAY_MIN = 1440


class Calendar:
    """Starts and ends of panes in one time zone. Stateless but for a cache."""

    def __init__(self, timezone: str, minutes: int) -> None:
        self.zone = ZoneInfo(timezone)
        self.minutes = minutes
        self.pane_ms = minutes * MINUTE_MS
        self.start = lru_cache(maxsize=8192)(self._start)
        self.end = lru_cache(maxsize=8192)(self._end)
        self.of_day = lru_cache(maxsize=8192)(self._of_day)
        self.of_week = lru_cache(maxsize=8192)(self._of_week)

    def pane(self, at_ms: int) -> int:
        """Start of the shortest pane that holds `at_ms`."""
        return at_ms - at_ms % self.pane_ms

    def _offset_ms(self, at_ms: int) -> int:
        delta = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone).utcoffset()
        return int((delta or timedelta()).total_seconds() * 1000)

    def _start(self, minutes: int, at_ms: int) -> int:
        """Start of the pane of `minutes` that holds `at_ms` (give a shortest pane's start: the cache loves it)."""
        if minutes == self.minutes:
            return self.pane(at_ms)
        if minutes == DAY_MIN:
            local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone)
            midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
            return int(midnight.timestamp()) * 1000
        offset = self._offset_ms(at_ms)
        local_ms = at_ms + offset
        return local_ms - local_ms % (minutes * MINUTE_MS) - offset

    def _end(self, minutes: int, start_ms: int) -> int:
        """End of the pane of `minutes` that starts at `start_ms`."""
        if minutes != DAY_MIN:
            return start_ms + minutes * MINUTE_MS
        local = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(self.zone)
        return int((local + timedelta(days=1)).timestamp()) * 1000

    def _of_day(self, at_ms: int) -> int:
        """Ordinal of the shortest pane within the local day (0 .. 95 for 15 minutes), by the clock on the wall."""
        return (at_ms + self._offset_ms(at_ms)) % DAY_MS // self.pane_ms

    def _of_week(self, at_ms: int) -> int:
        """Hour of the local week: 0 (Monday 00:00) .. 167, by the clock on the wall. Day 0 of the epoch: a Thursday."""
        return ((at_ms + self._offset_ms(at_ms)) // HOUR_MS + 72) % 168


@lru_cache(maxsize=4096)
def category_level(path: str, depth: int) -> str:
    """The first `depth` levels of a category path."""
    return "/".join(path.split("/", depth)[:depth])
