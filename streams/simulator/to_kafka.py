"""Records into the raw topics, as a source's connector would send them.

The key is the record id, so that all versions of a record share a partition (crc32, never `hash()`); the time stamp is
the arrival. At the end every partition is told the time by a control record: key `quanyu.tick`, value ASCII ms.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heappop, heappush
from zlib import crc32

from msgspec.structs import replace

from schemas import UsageError
from streams.kafka import Send
from streams.kafka_range import TICK_KEY
from streams.settings import Settings
from streams.simulator.simulation import Emission


def produce(emissions: Iterable[Emission], settings: Settings, send: Send) -> Counter[str]:
    """Send every record to its topic, then a tick to every partition; gives the number of records by source.

    `send` is that of `streams.kafka.producing`. Raises UsageError when a source has no topic.
    """
    topics = {name: (source.topic, source.partitions) for name, source in settings.sources.items() if source.topic}
    counts: Counter[str] = Counter()
    last = 0
    for emission in emissions:
        topic, partitions = _topic(topics, emission.source)
        key = emission.id.encode()
        last = emission.arrival_ms
        send(topic, emission.record, key, _partition(emission, partitions), last)
        counts[emission.source] += 1
    for source in counts:
        topic, partitions = topics[source]
        for partition in range(partitions):
            send(topic, b"%d" % last, TICK_KEY, partition, last)
    return counts


def behind(
    emissions: Iterable[Emission], settings: Settings, late_ms: Mapping[tuple[str, int], int]
) -> Iterator[Emission]:
    """The same emissions in order of arrival, with those of some (source, partition) coming so much later."""
    counts = {name: source.partitions for name, source in settings.sources.items()}
    waiting: list[tuple[int, int, Emission]] = []
    for number, emission in enumerate(emissions):
        while waiting and waiting[0][0] <= emission.arrival_ms:
            yield heappop(waiting)[2]
        delay = late_ms.get((emission.source, _partition(emission, counts.get(emission.source, 1))))
        if delay is None:
            yield emission
        else:
            later = emission.arrival_ms + delay
            heappush(waiting, (later, number, replace(emission, arrival_ms=later)))
    while waiting:
        yield heappop(waiting)[2]


def _partition(emission: Emission, partitions: int) -> int:
    return crc32(emission.id.encode()) % partitions


def _topic(topics: Mapping[str, tuple[str, int]], source: str) -> tuple[str, int]:
    if source not in topics:
        raise UsageError(
            f"sources.{source}.topic is not set: the simulator sends to it; set it in quanyu.toml",
            f"sources.{source}.topic 未设置：模拟器要写入该主题；请在 quanyu.toml 中设置",
        )
    return topics[source]


def paced(
    emissions: Iterable[Emission],
    speed: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Emission]:
    """The same emissions, no earlier than `speed` times real time lets them arrive. `clock` and `sleep` in seconds."""
    begun: tuple[float, int] | None = None
    for emission in emissions:
        if begun is None:
            begun = clock(), emission.arrival_ms
        ahead = (emission.arrival_ms - begun[1]) / 1000 / speed - (clock() - begun[0])
        if ahead > 0:
            sleep(ahead)
        yield emission
