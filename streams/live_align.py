"""Which raw partitions are to wait because they run ahead of the city.

Catching up after an outage then does not fill the memory of `order`; while few signals wait there, nothing is held. How
far a partition is, is told by the median of its last batch: a wrong clock holds nothing. One whose time is the present
is never ahead.

The record that the city waits for may lie behind a held one: after a silence of hours every partition is ahead at once,
and a few records do not move an origin's median. So when the watermark stands still, all go on for a moment, at first
every `PATIENCE_MS`, then half as often each time: progress is certain, and memory still bounded.
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.batches import TP
from streams.windows import MINUTE_MS

PATIENCE_MS, MOST_MS = 10_000, 10 * MINUTE_MS


class Alignment:
    """`ahead_ms`: event time that a partition may be ahead of the city's watermark, once `signals` wait for that."""

    def __init__(self, ahead_ms: int, signals: int = 0) -> None:
        self._ahead_ms, self._signals = ahead_ms, signals
        self._watermark_ms = self._since_ms = 0
        self._patience_ms = PATIENCE_MS

    def ahead(self, middles_ms: Mapping[TP, int], watermark_ms: int, now_ms: int, waiting: int = 0) -> set[TP]:
        """Those to hold until the next look. `middles_ms`: event time in the middle of each partition's last batch.

        `watermark_ms` 0: not known (the city has not begun); nothing is held. `waiting`: signals in `order`.
        """
        if watermark_ms != self._watermark_ms:
            self._watermark_ms, self._since_ms, self._patience_ms = watermark_ms, now_ms, PATIENCE_MS
        if waiting < self._signals:
            return set()
        limit = watermark_ms + self._ahead_ms
        found = {tp for tp, middle in middles_ms.items() if watermark_ms and min(middle, now_ms) > limit}
        if found and now_ms - self._since_ms >= self._patience_ms:
            self._since_ms, self._patience_ms = now_ms, min(2 * self._patience_ms, MOST_MS)
            return set()
        return found
