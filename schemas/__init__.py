"""Doors: the frozen types that pass between rooms, and the adapters (`sources/`) that make signals of records."""

from schemas.city import Admitted, Alert, Change, FeedHealth, HotSpot, Incident, Late, Member, Pane, RepeatCluster
from schemas.errors import QuanyuError, TooMuchBadData, Unreachable, UsageError
from schemas.signals import ENDED_MS, UNDECLARED, Envelope, Located, RawBatch, Rejected, Signal, Tick, Versions

__all__ = [
    "ENDED_MS",
    "UNDECLARED",
    "Admitted",
    "Alert",
    "Change",
    "Envelope",
    "FeedHealth",
    "HotSpot",
    "Incident",
    "Late",
    "Located",
    "Member",
    "Pane",
    "QuanyuError",
    "RawBatch",
    "Rejected",
    "RepeatCluster",
    "Signal",
    "Tick",
    "TooMuchBadData",
    "Unreachable",
    "UsageError",
    "Versions",
]
