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


class Corrected(Struct, frozen=True):
    """What the nightly reconcile has decided to write: absolute rows again, so that writing them twice does no harm.

    `copies`: late rows that stand in `signals` under another first report than the signal they belong to, to be hidden;
    `days_ms`: starts of the local days whose counts the rows move.
    """

    rows: Rows
    copies: list[Late] = []
    days_ms: list[int] = []

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows) + len(self.copies)


#: Versions of reconciled rows begin above this; those of the fold count changes, and never get there.
RECONCILED = 2**40


def above(version: int) -> int:
    """The version of a reconciled row that takes the place of one with `version` (0: of none)."""
    return max(version, RECONCILED) + 1


#: the kinds of rows, in the order in which sinks write them: dead letters first, what people are told last
KINDS = ("rejected", "members", "late", "incidents", "panes", "hotspots", "repeats", "feeds", "alerts")
