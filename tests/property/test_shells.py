"""The shells decide nothing: what is stored follows from the log, and the facts in it from the raw records alone."""

from __future__ import annotations

import random

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from sinks.clickhouse import Client, open_sink
from sinks.memory import MemorySink
from streams.replay import replay, replay_log
from streams.simulator.simulation import Emission
from streams.windows import HOUR_MS, MINUTE_MS
from tests.clickhouse import ZONE, Where, fresh_database
from tests.shells import EAGER, cut, facts, feeds, folded, lived, records, wired

#: nothing is forgotten, so that a set of records has one truth
LASTING = structs.replace(EAGER, sources={name: structs.replace(s, horizon_h=400) for name, s in EAGER.sources.items()})


def of_the_log(sink: MemorySink) -> dict[str, str]:
    """Digests of what follows from the city's log; dead letters are no part of it."""
    return {table: digest for table, digest in sink.digest().items() if table != "rejected"}


def test_the_city_is_worth_the_tests() -> None:
    log, sink, summary = lived()
    assert len(log) > 150
    assert all(count > 0 for table, count in sink.counts().items() if table != "late_signals"), sink.counts()
    assert summary.read == summary.signals + summary.duplicates + summary.revisions + sum(summary.rejected.values())
    assert summary.duplicates > 10
    assert summary.revisions > 50
    assert any(i.state == "merged" for i in sink.incidents.values())


@given(st.integers(1, 4), st.sampled_from([1, 2, 7, 50, 10_000]), st.sampled_from([10 * MINUTE_MS, HOUR_MS]))
@settings(max_examples=6, deadline=None, phases=(Phase.generate,))
def test_a_log_gives_the_same_in_demo_in_replay_and_step_by_step(seed: int, size: int, step_ms: int) -> None:
    log, lived_in, told = lived(seed, step_ms)
    replayed = MemorySink()
    summary = folded(wired(), replayed, lambda folding: replay_log(cut(log, size), folding))
    stepped, city = MemorySink(), wired().city
    state = city.start()
    for envelope in log:
        stepped.write(city.step(state, [envelope], 0))
    digests = [of_the_log(sink) for sink in (lived_in, replayed, stepped)]
    assert digests[0] == digests[1] == digests[2]
    for key in ("signals", "duplicates", "revisions", "late", "unlocated", "incidents", "hotspots", "alerts"):
        assert getattr(summary, key) == getattr(told, key), key


def test_a_log_gives_the_same_tables_in_clickhouse(chdb: Client, chdb_url: str) -> None:
    log, _, _ = lived()
    digests = []
    for size, batch_rows in ((1, 500), (40, 10_000)):
        sink = open_sink(Where(chdb_url, batch_rows=batch_rows), wired().grids.layers, ZONE, fresh_database())
        folded(wired(), sink, lambda folding, size=size: replay_log(cut(log, size), folding))  # type: ignore[misc]
        digests.append(sink.digest())
        sink.close()
    assert digests[0] == digests[1]


@given(
    seed=st.integers(1, 2),
    chance=st.integers(0, 2**32),
    partitions=st.integers(1, 4),
    size=st.sampled_from([13, 100, 5000]),
    tick_ms=st.sampled_from([0, 5 * MINUTE_MS, HOUR_MS]),
)
@settings(max_examples=6, deadline=None, phases=(Phase.generate,))
def test_the_same_records_through_another_log_give_the_same_facts(
    seed: int, chance: int, partitions: int, size: int, tick_ms: int
) -> None:
    drawn = records(seed)
    assert the_facts(drawn, 1, 1000, 0) == the_facts(slipped(drawn, chance), partitions, size, tick_ms)


def slipped(emissions: tuple[Emission, ...], chance: int) -> tuple[Emission, ...]:
    """Up to 40 minutes later, all records of one id alike: a partition keeps their order."""
    dice = random.Random(chance)
    by = {name: dice.randrange(40) * MINUTE_MS for name in sorted({e.id for e in emissions})}
    return tuple(sorted(emissions, key=lambda e: e.arrival_ms + by[e.id]))


def the_facts(emissions: tuple[Emission, ...], partitions: int, size: int, tick_ms: int) -> dict[str, object]:
    sources = feeds(emissions, LASTING, partitions, size, tick_ms)
    origins = {origin: feed.source for feed in sources for origin in feed.origins}
    sink = MemorySink()
    summary = folded(wired(LASTING, origins), sink, lambda folding: replay(sources, folding))
    assert summary.read == len(emissions)
    assert summary.read == summary.signals + summary.duplicates + summary.revisions + len(sink.rejected)
    return facts(sink)
