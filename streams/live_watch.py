"""A deadline for work that never ends: a stuck agent would keep its partitions, silently, for ever.

Waiting for a server is no such work: that is told by `Health`, and takes as long as it takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

from streams import logs
from streams.live_store import Health

#: seconds between two looks
LOOK_S = 1.0
STUCK_EXIT = 70


class Watch:
    """Notes what is in work, and since when. `clock` gives monotonic seconds."""

    def __init__(self, health: Health, stuck_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._health, self._stuck_s, self._clock = health, stuck_s, clock
        self._works: dict[object, tuple[str, float]] = {}
        self._waited = clock()
        self._over = Event()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Wraps the work on one batch."""
        work = object()
        self._works[work] = what, self._clock()
        try:
            yield
        finally:
            del self._works[work]

    def overdue(self) -> str:
        """What has been in work for too long, not counting the time until a server last answered; "" if nothing."""
        now = self._clock()
        if self._health.waiting:
            self._waited = now
        works = list(self._works.values())
        return next((what for what, since in works if now - max(since, self._waited) > self._stuck_s), "")

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look from a thread of its own, which a blocked event loop does not block; end the process if need be."""
        thread = Thread(target=self._look, name="watch", daemon=True)
        thread.start()
        yield
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            if stuck := self.overdue():
                logs.get().critical(
                    f"the {stuck} stage has worked on one batch for more than live.stuck_s; the process ends, un-acked",
                    stuck_s=self._stuck_s,
                )
                os._exit(STUCK_EXIT)
