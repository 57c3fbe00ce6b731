"""replay: feeds read together in the order of their times, ended origins let go, damage told when all is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import structs

from schemas import QuanyuError, RawBatch, Rejected, TooMuchBadData, Unreachable, UsageError
from sinks.memory import MemorySink
from streams.replay import DONE_MS, Feed, Folding, Summary, Told, conclude, replay
from streams.settings import Intake, Settings
from streams.simulator.simulation import Emission
from streams.windows import HOUR_MS, MINUTE_MS
from tests.shells import NOW_MS, START_MS, facts, feeds, folded, raw, records, wired

TOPIC = "raw.110"
DAY = Settings()


def calls(n: int = 40) -> list[Emission]:
    """The first good reports of source 110."""
    return [e for e in records(name="quiet") if e.source == "110" and e.kind == "report"][:n]


def feed(items: Iterator[RawBatch | Told] | Sequence[RawBatch | Told], partitions: Sequence[int] = (0,)) -> Feed:
    return Feed("110", TOPIC, partitions, iter(items))


def other(emissions: Sequence[Emission]) -> Feed:
    """Another file of the same source."""
    return Feed("110", "file:other", (0,), iter([raw("110", "file:other", 0, 0, emissions)]))


def run(sources: Sequence[Feed], sink: MemorySink, settings: Settings = DAY) -> Summary:
    origins = {origin: f.source for f in sources for origin in f.origins}
    return folded(wired(settings, origins), sink, lambda folding: replay(sources, folding))


def test_time_is_told_to_the_end_of_the_last_signals_pane() -> None:
    sink = MemorySink()
    run([feed([raw("110", TOPIC, 0, 0, calls())])], sink)
    newest = max(m.located.signal.occurred_at_ms for m in sink.members.values())
    end = newest - newest % (15 * MINUTE_MS) + 15 * MINUTE_MS
    quarters = [p for p in sink.panes.values() if p.minutes == 15]
    assert all(p.state == "final" for p in quarters)
    assert max(p.start_ms for p in quarters) + 15 * MINUTE_MS == end
    days = {p.state for p in sink.panes.values() if p.minutes == 1440}
    assert days == {"provisional"}  # what comes after is not known


def test_an_origin_that_has_ended_holds_nothing_back_and_no_signal_is_late() -> None:
    early, late = calls(40)[:20], calls(40)[20:]
    sink = MemorySink()
    summary = run(
        [
            feed([raw("110", TOPIC, 0, 0, early)]),
            other(late),
        ],
        sink,
    )
    assert (summary.signals, summary.late) == (40, 0)
    alone = MemorySink()
    run([feed([raw("110", TOPIC, 0, 0, [*early, *late])])], alone)
    assert facts(sink) == facts(alone)


def test_a_partition_that_ends_before_the_others_is_let_go() -> None:
    early, late = calls(40)[:20], calls(40)[20:]
    batches = [raw("110", TOPIC, 0, 0, early), *(raw("110", TOPIC, 1, n, [e]) for n, e in enumerate(late))]
    sink = MemorySink()
    source = Feed("110", TOPIC, (0, 1), iter(batches), {0: 19, 1: 19})
    assembly = wired(DAY, dict.fromkeys(source.origins, "110"))
    reached: list[int] = []

    def walk(folding: Folding) -> None:
        replay([source], folding, lambda *_: reached.append(folding.state.order.watermark_ms))
        assert folding.state.order.origins[f"{TOPIC}/0"] == DONE_MS

    folded(assembly, sink, walk)
    # the watermark followed the partition that went on, long before the end
    assert START_MS < reached[12] < reached[18]
    assert len(sink.members) == 40


def test_the_feed_that_is_furthest_behind_is_read_first() -> None:
    everything = records(name="quiet")
    sources = feeds(everything, DAY, 1, 10)
    order: list[tuple[str, int]] = []

    def watched(source: Feed) -> Iterator[RawBatch | Told]:
        for item in source.items:
            assert isinstance(item, RawBatch)
            order.append((source.source, item.received_at_ms[0]))
            yield item

    summary = run(
        [Feed(source.source, source.topic, source.partitions, watched(source)) for source in sources], MemorySink()
    )
    assert summary.read == len(everything)
    assert {name for name, _ in order[4:30]} >= {"110", "grid"}
    # no batch starts much later than one that was read after it: at most the length of a batch apart
    slowest = max(e.arrival_ms - s.arrival_ms for src in DAY.sources for s, e in spans(everything, src, 10))
    assert all(later - sooner >= -slowest for (_, sooner), (_, later) in pairwise(order[4:]))


def spans(emissions: Sequence[Emission], source: str, size: int) -> list[tuple[Emission, Emission]]:
    """First record of each batch and of the next."""
    mine = [e for e in emissions if e.source == source]
    starts = [*mine[::size], mine[-1]]
    return list(pairwise(starts))


def test_told_time_moves_the_watermark() -> None:
    told = START_MS + 20 * HOUR_MS
    source = feed([raw("110", TOPIC, 0, 0, calls(5)), Told(TOPIC, 0, told)])
    assembly = wired(DAY, {f"{TOPIC}/0": "110"})

    def walk(folding: Folding) -> None:
        replay([source], folding)
        assert folding.state.order.watermark_ms == told

    folded(assembly, MemorySink(), walk)


def test_of_a_damaged_file_everything_before_the_damage_is_folded_and_other_files_are_read_to_their_ends() -> None:
    one, two = calls(40)[:20], calls(40)[20:]

    def damaged() -> Iterator[RawBatch | Told]:
        yield raw("110", TOPIC, 0, 0, one)
        raise QuanyuError("damaged gzip", "gzip 已损坏")

    sink, whole = MemorySink(), MemorySink()
    sources = [feed(damaged()), other(two)]
    origins = {origin: f.source for f in sources for origin in f.origins}

    def walk(folding: Folding) -> None:
        with pytest.raises(QuanyuError, match="damaged gzip"):
            replay(sources, folding)

    folded(wired(DAY, origins), sink, walk)
    run([feed([raw("110", TOPIC, 0, 0, one)]), other(two)], whole)
    assert sink.digest() == whole.digest()
    assert len(sink.members) == 40


def test_a_server_that_goes_while_reading_ends_the_run_at_once() -> None:
    def gone() -> Iterator[RawBatch | Told]:
        yield raw("110", TOPIC, 0, 0, calls(3))
        raise Unreachable("broker gone")

    with pytest.raises(Unreachable, match="broker gone"):
        run([feed(gone())], MemorySink())


def test_nothing_to_read_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"nothing to replay: raw\.110"):
        run([feed([])], MemorySink())


def test_a_header_without_a_column_names_its_file() -> None:
    batch = RawBatch("110", "file:calls.csv", 0, [b"1"], [0], [], NOW_MS)
    mapping = Path(__file__).parents[2] / "examples" / "seattle_fire911.toml"
    csv = structs.replace(DAY, sources={"110": structs.replace(DAY.sources["110"], mapping=str(mapping))})
    with pytest.raises(UsageError, match=r"file:calls\.csv: no column"):
        run([Feed("110", "file:calls.csv", (0,), iter([structs.replace(batch, header=("id",))]))], MemorySink(), csv)


def test_too_much_bad_data_is_raised_when_the_dead_letters_are_with_the_writer() -> None:
    good = calls(30)
    bad = [structs.replace(e, record=b"{") for e in good]
    settings = structs.replace(DAY, intake=Intake(max_bad_share=0.5, bad_window=20))
    sink = MemorySink()
    batches = [raw("110", TOPIC, 0, 0, good), raw("110", TOPIC, 0, 30, bad), raw("110", TOPIC, 0, 60, good)]

    def walk(folding: Folding) -> None:
        with pytest.raises(TooMuchBadData, match="30 of 30"):
            replay([feed(batches)], folding)

    summary = folded(wired(settings, {f"{TOPIC}/0": "110"}), sink, walk)
    assert sorted(r.offset for r in sink.rejected.values()) == list(range(30, 60))
    assert {r.reason for r in sink.rejected.values()} == {"not_json"} == set(summary.rejected)
    assert all(isinstance(r, Rejected) for r in sink.rejected.values())
    assert summary.read == 60


def test_a_run_of_nothing_but_bad_records_ends_with_too_much_bad_data() -> None:
    bad = [structs.replace(e, record=b"") for e in calls(3)]
    with pytest.raises(TooMuchBadData, match="3 of 3"):
        run([feed([raw("110", TOPIC, 0, 0, bad)])], MemorySink())


def test_the_conclusion_hashes_what_was_stored_and_nothing_else() -> None:
    one = conclude(Summary(read=10, seconds=2.0), "a", "run_a", {"signals": "1", "rejected": "2"})
    two = conclude(Summary(read=10, seconds=4.0), "b", "run_b", {"rejected": "2", "signals": "1"})
    assert one.result_hash == two.result_hash
    assert (one.events_per_second, two.events_per_second) == (5.0, 2.5)
    assert conclude(Summary(), "c", "", {"signals": "3"}).result_hash != one.result_hash
    assert one.peak_rss_mb > 10
