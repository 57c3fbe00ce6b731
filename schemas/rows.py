"""Door between the pipeline and the sinks: what one step of the city stage has to store."""

from __future__ import annotations

from msgspec import Struct

from schemas.city import Alert, Change, FeedHealth, HotSpot, Incident, Late, Pane, RepeatCluster
from schemas.signals import Rejected


class Rows(Struct, frozen=True):
    """Rows of one step, each an absolute fact with its key and version, in the order in which they came about.

    `members` give the rows of `signals` (`after`) and say which place a signal left (`before`). `ingested_at_ms` is
    the shell's wall clock: stored beside the rows that carry no time of their own, never used to decide anything.
    """

    ingested_at_ms: int
    members: list[Change] = []
    late: list[Late] = []
    incidents: list[Incident] = []
    panes: list[Pane] = []
    hotspots: list[HotSpot] = []
    repeats: list[RepeatCluster] = []
    alerts: list[Alert] = []
    rejected: list[Rejected] = []
    feeds: list[FeedHealth] = []

    def __len__(self) -> int:
        """Number of rows, all kinds together."""
        return sum(len(getattr(self, kind)) for kind in KINDS)


#: the kinds of rows, in the order in which sinks write them: dead letters first, what people are told last
KINDS = ("rejected", "members", "late", "incidents", "panes", "hotspots", "repeats", "feeds", "alerts")
