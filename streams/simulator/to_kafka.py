"""Records into the raw topics, as a source's connector would send them.

The key is the record id, so that all versions of a record share a partition (crc32, never `hash()`); the time stamp is
the arrival. At the end every partition is told the time by a control record: key `quanyu.tick`, value ASCII ms.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from zlib import crc32

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
        send(topic, emission.record, key, crc32(key) % partitions, last)
        counts[emission.source] += 1
    for source in counts:
        topic, partitions = topics[source]
        for partition in range(partitions):
            send(topic, b"%d" % last, TICK_KEY, partition, last)
    return counts


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
