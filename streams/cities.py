"""Several cities on the workers of one group: a configuration each, what they share and what is each one's own.

They share the brokers, the group and five topics, of which each has a partition (`kafka.partition`): the log is a total
order a city. Their raw topics, databases and grids are their own. Every worker of the group serves all of them, because
any partition may be given to any worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from schemas import UsageError
from streams.settings import Settings


def check_together(cities: Sequence[Settings]) -> None:
    """Raise UsageError for cities that cannot be served by one worker, or if some of the group's are missing."""
    first = cities[0]
    for city in cities[1:]:
        for name in ("kafka", "live", "metrics", "log"):
            ours, theirs = _shared(first, name), _shared(city, name)
            if other := [key for key in ours if ours[key] != theirs[key]]:
                keys = ", ".join(f"{name}.{key}" for key in other)
                raise UsageError(
                    f"{first.city.name} and {city.city.name} are configured with different {keys}: cities on one "
                    f"worker share these",
                    f"{first.city.name} 与 {city.city.name} 的 {keys} 不同：同一进程服务的城市必须一致",
                )
    for key, values in _own(cities).items():
        if twice := [value for value, count in Counter(values).items() if count > 1]:
            raise UsageError(
                f"{key}: two cities have {', '.join(twice)}; each needs its own",
                f"{key}：两个城市都是 {'、'.join(twice)}；每个城市必须不同",
            )
    if missing := sorted(set(range(first.kafka.partitions)) - {city.kafka.partition for city in cities}):
        listed = ", ".join(map(str, missing))
        raise UsageError(
            f"kafka.partitions = {first.kafka.partitions}, but no --config has kafka.partition {listed}: a worker "
            f"serves all cities of its group, each with a --config",
            f"kafka.partitions = {first.kafka.partitions}，但没有 --config 的 kafka.partition 为 {listed}："
            f"同组的每个进程须服务全部城市，每个城市一个 --config",
        )


def _shared(settings: Settings, section: str) -> dict[str, object]:
    """What all cities of a worker have in common."""
    tree = msgspec.structs.asdict(getattr(settings, section))
    for key in ("partition", "retention_days", "replication"):
        tree.pop(key, None)
    return tree


def _own(cities: Sequence[Settings]) -> dict[str, list[str]]:
    """What no two cities may share: key -> the cities' values."""
    return {
        "city.name": [city.city.name for city in cities],
        "kafka.partition": [str(city.kafka.partition) for city in cities],
        "clickhouse.database": [f"{city.clickhouse.database} at {city.clickhouse.url}" for city in cities],
        "sources.*.topic": [source.topic for city in cities for source in city.sources.values() if source.topic],
    }
