"""Replay: the same two stages over files or topic ranges, as fast as they go, into a run of its own.

Feeds are read together, the one that is furthest behind in event time first, so that catching up turns no on-time
signal into a late one. An origin that has been read to its end no longer holds the watermark; when all have, time is
told up to the end of the last signal's pane and no further: what comes after it is not known.
"""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any

import msgspec
from msgspec import Struct

from schemas import ENDED_MS, Envelope, QuanyuError, RawBatch, Rejected, TooMuchBadData, UsageError
from streams.assemble import Assembly, origin
from streams.pipeline import CityState, heartbeat
from streams.runner import BadShare, Writer

#: watermark of an origin that has been read to its end
DONE_MS = ENDED_MS
#: event time reached before anything was read
NOTHING_MS = -(2**62)
#: records of one envelope: fixed, so that the log, and with it the result, does not depend on the size of a step
SLICE = 500
#: how a replay writes to ClickHouse: nobody waits for a single row, and an insert costs some 20 ms however small it is
BULK_ROWS, BULK_S = 20_000, 30.0


class Told(Struct, frozen=True):
    """A control record of a partition: its writer has reached `at_ms`."""

    topic: str
    partition: int
    at_ms: int


@dataclass
class Feed:
    """Something to read: batches of one or more origins of one source, in order.

    `ends`: origin -> offset of its last record, where it is known beforehand (a topic range); a file ends when it ends.
    """

    source: str
    topic: str
    partitions: Sequence[int]
    items: Iterator[RawBatch | Told]
    ends: Mapping[int, int] = field(default_factory=dict)
    reached_ms: int = NOTHING_MS

    @property
    def origins(self) -> list[str]:
        """Names of its origins."""
        return [origin(self.topic, p) for p in self.partitions]


class Summary(Struct):
    """What a run gives; the keys other programs rely on. read = signals + rejected + duplicates + revisions."""

    run: str = ""
    read: int = 0
    signals: int = 0
    rejected: dict[str, int] = {}
    duplicates: int = 0
    revisions: int = 0
    late: int = 0
    beyond_horizon: int = 0
    unlocated: int = 0
    incidents: int = 0
    hotspots: int = 0
    repeat_clusters: int = 0
    alerts: int = 0
    seconds: float = 0.0
    events_per_second: float = 0.0
    peak_rss_mb: float = 0.0
    result_hash: str = ""
    database: str = ""
    versions: dict[str, str] = {}


#: called after each step: (records read, event time reached in ms, summary so far)
Progress = Callable[[int, int, Summary], None]


class Folding:
    """One run of both stages into a writer: the part that replay, demo and benchmarks share."""

    def __init__(self, assembly: Assembly, writer: Writer, now: Callable[[], int], batch: int = 5000) -> None:
        self.assembly = assembly
        self.state: CityState = assembly.city.start()
        self.summary = Summary(versions=_named(assembly))
        self.reached_ms = NOTHING_MS
        self._writer, self._now, self._batch = writer, now, batch
        self._log: list[Envelope] = []
        self._rejected: list[Rejected] = []
        self._signals = 0
        intake = assembly.settings.intake
        self._share = BadShare(intake.max_bad_share, intake.bad_window)

    def records(self, batch: RawBatch) -> Envelope:
        """Take raw records through the intake stage and put them on the log; returns their envelope.

        The log is folded when `batch` signals have come together, and by `flush`. Raises TooMuchBadData.
        """
        now = self._now()
        try:
            envelope, rejected = self.assembly.intake.step(batch, now)
        except UsageError as error:  # a header without a column that the mapping reads
            raise UsageError(f"{batch.topic}: {error.en}", f"{batch.topic}：{error.zh}") from error
        self._note(batch, envelope, rejected)
        self._rejected += rejected
        self.tell(envelope)
        try:
            self._share.add(len(batch.values), len(rejected))
        except TooMuchBadData:
            self.flush()  # the dead letters are what explains it
            raise
        return envelope

    def tell(self, envelope: Envelope) -> None:
        """Put an envelope (a heartbeat, too) on the log."""
        self._log.append(envelope)
        self._signals += len(envelope.located)
        if self._signals >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Fold what is on the log."""
        log, self._log, self._signals = self._log, [], 0
        if log:
            rejected, self._rejected = self._rejected, []
            self.envelopes(log, rejected)

    def envelopes(self, envelopes: Sequence[Envelope], rejected: list[Rejected] | None = None) -> None:
        """Take a piece of the log through the city stage."""
        rows = self.assembly.city.step(self.state, envelopes, self._now())
        if rejected:
            rows = msgspec.structs.replace(rows, rejected=rejected)
        if len(rows):
            self._writer.write(rows)
        counts = self.state.order.counts
        s = self.summary
        s.signals, s.duplicates, s.revisions = counts.signals, counts.duplicates, counts.revisions
        s.late, s.beyond_horizon, s.unlocated = counts.late, counts.beyond_horizon, counts.unlocated
        s.incidents, s.hotspots = self.state.incidents.total, self.state.hotspots.total
        s.repeat_clusters, s.alerts = self.state.repeats.total, self.state.decide.total

    def finish(self) -> None:
        """All has been read: fold the rest, judge the share of bad records."""
        self.flush()
        self._share.finish()

    def _note(self, batch: RawBatch, envelope: Envelope, rejected: list[Rejected]) -> None:
        self.summary.read += len(batch.values)
        for bad in rejected:
            self.summary.rejected[bad.reason] = self.summary.rejected.get(bad.reason, 0) + 1
        if envelope.located:
            self.reached_ms = max(self.reached_ms, max(x.signal.occurred_at_ms for x in envelope.located))


def replay(feeds: Sequence[Feed], folding: Folding, progress: Progress | None = None) -> Summary:
    """Read all feeds to their ends. The writer is left open. Raises TooMuchBadData, UsageError (nothing to read).

    A damaged file ends at its damage: its error is raised when everything that could be read has been folded.
    """
    began = time.perf_counter()
    running = list(feeds)
    open_origins = {name: None for feed in feeds for name in feed.origins if name in folding.state.order.origins}
    next_offset: dict[str, int] = {}
    damage: list[QuanyuError] = []

    def done(topic: str, partition: int) -> None:
        name = origin(topic, partition)
        if name in open_origins and len(open_origins) > 1:
            del open_origins[name]
            folding.tell(heartbeat(topic, partition, next_offset.get(name, 0), DONE_MS))

    while running:
        feed = min(running, key=lambda f: f.reached_ms)
        item = _next(feed, damage)
        if item is None:
            running.remove(feed)
            for partition in feed.partitions:
                done(feed.topic, partition)
            continue
        name = origin(item.topic, item.partition)
        if isinstance(item, Told):
            feed.reached_ms = max(feed.reached_ms, item.at_ms)
            folding.tell(heartbeat(item.topic, item.partition, next_offset.get(name, 0), item.at_ms))
            continue
        envelope = folding.records(item)
        next_offset[name] = envelope.last_offset + 1
        if envelope.located:
            # the median: a wrong clock must not make a feed look as if it were ahead
            middle = median_low([x.signal.received_at_ms for x in envelope.located])
            feed.reached_ms = max(feed.reached_ms, middle)
        if progress is not None:
            progress(folding.summary.read, folding.reached_ms, folding.summary)
        if item.partition in feed.ends and envelope.last_offset >= feed.ends[item.partition]:
            done(item.topic, item.partition)
    if not folding.summary.read and not damage:
        names = ", ".join(feed.topic for feed in feeds)
        raise UsageError(f"nothing to replay: {names} holds no records", f"没有可回放的内容：{names} 中没有记录")
    _end(folding, next(iter(open_origins)), next_offset)
    folding.finish()
    summary = folding.summary
    summary.seconds = time.perf_counter() - began
    if damage:
        raise damage[0]
    return summary


def _next(feed: Feed, damage: list[QuanyuError]) -> RawBatch | Told | None:
    """What comes next of the feed; None at its end, or where it is damaged."""
    try:
        return next(feed.items, None)
    except QuanyuError as error:
        if type(error) is not QuanyuError:  # usage, a broker that is gone: nothing to be saved by going on
            raise
        damage.append(error)
        return None


def _end(folding: Folding, holder: str, next_offset: Mapping[str, int]) -> None:
    """Tell time up to the end of the pane of the newest signal."""
    if folding.reached_ms == NOTHING_MS:
        return
    pane_ms = folding.assembly.city.order.pane_ms
    end = folding.reached_ms - folding.reached_ms % pane_ms + pane_ms
    topic, _, partition = holder.rpartition("/")
    folding.tell(heartbeat(topic, int(partition), next_offset.get(holder, 0), end))


def replay_log(log: Iterator[Sequence[Envelope]], folding: Folding) -> Summary:
    """Fold a log as it is (signals.located): no tick is added, so the result is that of the log alone."""
    began = time.perf_counter()
    for envelopes in log:
        folding.summary.read += sum(len(e.located) for e in envelopes)
        folding.envelopes(envelopes)
    folding.summary.seconds = time.perf_counter() - began
    return folding.summary


def conclude(summary: Summary, run: str, database: str, digest: Mapping[str, str]) -> Summary:
    """Fill in what is known when everything is stored."""
    summary.run, summary.database = run, database
    summary.result_hash = hashlib.blake2b(msgspec.json.encode(sorted(digest.items())), digest_size=16).hexdigest()
    summary.events_per_second = round(summary.read / summary.seconds, 1) if summary.seconds else 0.0
    summary.seconds = round(summary.seconds, 3)
    summary.peak_rss_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return summary


def _named(assembly: Assembly) -> dict[str, Any]:
    return msgspec.structs.asdict(assembly.versions)
