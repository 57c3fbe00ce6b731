"""Dead letters sent again: which of them the mappings of today let pass, and which are in the stream already.

Rules
* A letter is judged by the intake room as it would have been when it came: its broker time, not today's, bounds times.
* What is stored already is not sent: the same or a higher revision; of a source that counts none, the same content, or
  anything that came later (sent again, an older record would override it).
* What is sent goes to the partition that it came from, with its key and broker time, in its order, and says in a header
  where it was read. A letter is marked when the broker has it; killed between the two, the next redrive sends it once
  more, and the `order` room drops it: same id and revision, or same content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from schemas import UNDECLARED, RawBatch, Rejected, Signal
from streams.kafka import Send
from streams.letters import position
from streams.rooms.intake import Intake
from streams.settings import Source
from streams.windows import HOUR_MS

#: header of a record that was sent again: topic/partition/offset of the refused one
HEADER = "quanyu-redriven-from"


class Known(Protocol):
    """The stored version of a signal, as far as it matters here; `sinks.clickhouse.dead_letters.Stored` is one."""

    @property
    def revision(self) -> int: ...
    @property
    def received_at_ms(self) -> int: ...
    @property
    def occurred_at_ms(self) -> int: ...
    @property
    def category(self) -> str: ...
    @property
    def category_code(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def severity(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def address(self) -> str: ...


class Judged(Struct, frozen=True):
    """Letters of one look, in their order: they pass (with the signal they give), are stored already, or still fail."""

    passing: list[tuple[Rejected, Signal]] = []
    present: list[Rejected] = []
    failing: list[tuple[Rejected, str]] = []


class Report(Struct):
    """What a redrive did, or would do. letters = sent + present + the sum of still_failing.

    `late`: of those sent, about how many are older than their source's horizon; they enter no count until the nightly
    reconcile. `present` were stored already and are not sent. With `dry_run` nothing was sent, and nothing marked.
    """

    letters: int = 0
    sent: int = 0
    late: int = 0
    present: int = 0
    still_failing: dict[str, int] = {}
    dry_run: bool = False


#: signals of letters -> the stored versions by id
Look = Callable[[Sequence[Signal]], Mapping[str, Known]]


def judge(
    intake: Intake, sources: Mapping[str, Source], letters: Sequence[Rejected], now_ms: int, look: Look
) -> Judged:
    """Pass the letters through the room. Those of a source that is configured no more fail as `unknown_source`."""
    verdicts: dict[int, Signal | str] = {}
    for source in dict.fromkeys(letter.source for letter in letters):
        places = [i for i, letter in enumerate(letters) if letter.source == source]
        if source in sources and sources[source].topic:
            verdicts |= _verdicts(intake, source, places, letters, now_ms)
        else:
            verdicts |= dict.fromkeys(places, "unknown_source")
    known = look([v for v in verdicts.values() if isinstance(v, Signal)])
    out = Judged([], [], [])
    for i, letter in enumerate(letters):
        verdict = verdicts[i]
        if isinstance(verdict, str):
            out.failing.append((letter, verdict))
        elif verdict.id in known and present(verdict, known[verdict.id]):
            out.present.append(letter)
        else:
            out.passing.append((letter, verdict))
    return out


def _verdicts(
    intake: Intake, source: str, places: list[int], letters: Sequence[Rejected], now_ms: int
) -> dict[int, Signal | str]:
    """The signal of each letter of one source, or why it fails; by its place among the letters."""
    mine = [letters[i] for i in places]
    batch = RawBatch(source, source, 0, [m.raw for m in mine], places, [m.received_at_ms for m in mine], now_ms)
    signals, found, rejected = intake.step(batch)
    return {**dict(zip(found, signals, strict=True)), **{r.offset: r.reason for r in rejected}}


def present(signal: Signal, known: Known) -> bool:
    """Whether what is stored has this signal in it already, or is newer."""
    if signal.revision != UNDECLARED:
        return known.revision >= signal.revision
    if known.received_at_ms != signal.received_at_ms:
        return known.received_at_ms > signal.received_at_ms
    return all(getattr(known, name) == getattr(signal, name) for name in CONTENT)


CONTENT = ("occurred_at_ms", "category", "category_code", "state", "severity", "text", "address")


def late(signal: Signal, sources: Mapping[str, Source], reached_ms: int) -> bool:
    """Whether the city, whose sources have reached `reached_ms`, will take the signal as beyond its horizon."""
    prompt = [max(s.lateness_s, 0) for s in sources.values() if s.topic and not s.tardy] or [0]
    watermark_ms = reached_ms - max(prompt) * 1000
    return signal.occurred_at_ms < watermark_ms - sources[signal.source].horizon_h * HOUR_MS


def send_again(send: Send, sources: Mapping[str, Source], letters: Iterable[Rejected]) -> None:
    """Send the bytes as they came, each to the partition that it came from (if the topic still has it)."""
    for letter in letters:
        source = sources[letter.source]
        send(
            source.topic,
            letter.raw,
            letter.key or None,
            letter.partition if letter.partition < source.partitions else None,
            letter.received_at_ms,
            [(HEADER, position(letter))],
        )
