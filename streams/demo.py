"""Demo: the simulated city walks through the same two stages in one process, no broker; first its past, then paced.

What a broker does live is a function call here: records of a source that arrived in the same step are one batch of one
origin, and a source that brought nothing tells its time with a heartbeat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from schemas import Envelope, RawBatch
from streams.pipeline import heartbeat
from streams.replay import Folding
from streams.settings import Settings
from streams.simulator.simulation import Emission
from streams.windows import MINUTE_MS

PARTITION = 0
#: steps of simulated time while the past is read
PAST_STEP_MS = 60 * MINUTE_MS


def origins(settings: Settings) -> dict[str, str]:
    """One origin a source."""
    return {f"{source.topic}/{PARTITION}": name for name, source in settings.sources.items()}


def steps(
    emissions: Iterable[Emission], start_ms: int, step_ms: Callable[[int], int]
) -> Iterator[tuple[int, list[Emission]]]:
    """Cut arrivals into spans of time: (end of the span, what arrived in it). `step_ms` gives the length at a time."""
    end = start_ms + step_ms(start_ms)
    got: list[Emission] = []
    for emission in emissions:
        while emission.arrival_ms >= end:
            yield end, got
            got = []
            end += step_ms(end)
        got.append(emission)
    if got:
        yield end, got


class Walk:
    """Feeds the stages step by step, as the four sources' topics would."""

    def __init__(self, folding: Folding, settings: Settings) -> None:
        self._folding = folding
        self._sources = settings.sources
        self._next = dict.fromkeys(settings.sources, 0)
        self.log: Callable[[Envelope], None] | None = None

    def step(self, now_ms: int, arrived: list[Emission]) -> None:
        """Everything that arrived up to `now_ms` (simulated)."""
        for name, source in self._sources.items():
            mine = [e for e in arrived if e.source == name]
            first = self._next[name]
            if mine:
                batch = RawBatch(
                    source=name,
                    topic=source.topic,
                    partition=PARTITION,
                    values=[e.record for e in mine],
                    offsets=list(range(first, first + len(mine))),
                    received_at_ms=[e.arrival_ms for e in mine],
                    now_ms=now_ms,
                )
                self._next[name] += len(mine)
                self._keep(self._folding.records(batch))
            else:
                self._tell(name, now_ms - source.lateness_s * 1000, now_ms)
        self._folding.flush()

    def finish(self) -> None:
        """Tell time up to the end of the newest signal's pane."""
        pane_ms = self._folding.assembly.city.order.pane_ms
        end = self._folding.reached_ms - self._folding.reached_ms % pane_ms + pane_ms
        for name in self._sources:
            self._tell(name, end, end)
        self._folding.flush()

    def _tell(self, name: str, watermark_ms: int, now_ms: int) -> None:
        envelope = heartbeat(self._sources[name].topic, PARTITION, self._next[name], watermark_ms, now_ms)
        self._folding.tell(envelope)
        self._keep(envelope)

    def _keep(self, envelope: Envelope) -> None:
        if self.log is not None:
            self.log(envelope)
