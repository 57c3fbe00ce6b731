"""Rooms: small pure machines, in the order of `streams/pipeline.py`. They do not import each other.

A room is a frozen configuration with two methods (see `Room`): `start()` gives its empty state, `step(state, batch)`
folds a batch into the state, in place, and returns what leaves the room. Same items, same state and same newest rows,
however the batches were cut: the conformance suite holds every room to it.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

State = TypeVar("State")
In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


class Room(Protocol[State, In, Out]):
    """What every room of the city stage is."""

    def start(self) -> State:
        """The state before the first item."""

    def step(self, state: State, batch: Sequence[In]) -> Sequence[Out]:
        """Fold `batch` into `state` (changed in place) and return what leaves the room, in order."""
