"""A mapping compiled: a table of records -> Signals, column by column."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import repeat
from typing import cast

from schemas.signals import UNDECLARED, Signal
from schemas.sources.categories import UNKNOWN, UNKNOWN_CATEGORY, categories
from schemas.sources.cells import Table, label, paths_of, texts
from schemas.sources.faults import Faults, Refused
from schemas.sources.marks import marks, relations
from schemas.sources.memo import Memo
from schemas.sources.places import Places
from schemas.sources.privacy import KeyedHash, mask_all
from schemas.sources.spec import Mapping, Reporter
from schemas.sources.times import Times

#: an 18 digit number still fits 64 bits
_MAX_DIGITS = 19
_WHOLE_WANTED = "a whole number, not negative, is wanted"
_ID_BYTES = 12
_UNIT = "\x1f"

#: the oldest time, and the newest one of each row
Limits = tuple[int, Sequence[int]]


class Adapter:
    """One source's mapping, compiled once. Keeps nothing between calls but memories of pure functions."""

    def __init__(self, mapping: Mapping, source: str, caller_key: bytes) -> None:
        self.mapping = mapping
        self.source = source
        self._times = Times(mapping.time.zone, mapping.time.formats)
        self._occurred = texts(mapping.time.occurred)
        self._reported = None if mapping.time.reported is None else texts(mapping.time.reported)
        self._id_spec = mapping.id
        self._id = texts(mapping.id)
        self._id_parts = [texts(path) for path in mapping.id.hash or paths_of(mapping.id)]
        self._revision = None if mapping.revision is None else texts(mapping.revision)
        self._whole: Memo[str, int | None] = Memo(_whole_number)
        self._category = categories(mapping.category)
        self._text = texts(mapping.text)
        self._address = texts(mapping.place.address)
        self._places = Places(mapping.place)
        reporter = (
            mapping.reporter if isinstance(mapping.reporter, Reporter) else Reporter(from_=mapping.reporter or "")
        )
        self._reporter = texts(reporter)
        self._hash = KeyedHash(caller_key, reporter.none)
        self._marks = marks(mapping)
        self._relations = relations(mapping.relations, source)

    def signals(self, table: Table, received_ms: Sequence[int], limits: Limits, faults: Faults) -> list[Signal]:
        """A signal a row, in order. A row with a fault (noted under its index) has a signal of no meaning.

        `received_ms` may be empty (a file: the time of report stands for it).
        """
        n = table.n
        if not n:
            return []
        ids = self._ids(table, faults)
        time = self.mapping.time
        occurred = self._moments(self._occurred(table), label(time.occurred), limits, faults)
        if None in occurred:
            _note_missing(occurred, label(time.occurred), faults)
        reported = occurred
        if self._reported is not None:
            reported = self._moments(self._reported(table), label(time.reported), limits, faults)
            if None in reported:
                reported = [a if b is None else b for a, b in zip(occurred, reported, strict=True)]
        revisions = self._revisions(table, limits, faults)
        paths, codes = zip(*self._category(table), strict=True)
        datums, states, severities, flags = zip(*self._marks(table), strict=True)
        xs, ys = self._places.read(table, faults)
        if "" in datums:
            datums = self._places.datums(datums, xs, table, faults)
        if UNKNOWN in paths:
            flags = tuple(
                tuple(sorted({*some, UNKNOWN_CATEGORY})) if path == UNKNOWN else some
                for path, some in zip(paths, flags, strict=True)
            )
        hashed = self._hash
        kinds, related = zip(*self._relations(table), strict=True)
        return list(
            map(
                Signal,
                ids,
                repeat(self.source, n),
                revisions,
                occurred,
                reported,
                received_ms or reported,
                paths,
                codes,
                mask_all(self._text(table)),
                xs,
                ys,
                datums,
                mask_all(self._address(table)),
                [hashed[who] for who in self._reporter(table)],
                kinds,
                related,
                states,
                severities,
                flags,
            )
        )

    def _ids(self, table: Table, faults: Faults) -> list[str]:
        parts = [part(table) for part in self._id_parts]
        source = self.source
        if self._id_spec.hash:
            return [f"{source}:{_digest(row)}" for row in zip(*parts, strict=True)]
        for part, path in zip(parts, paths_of(self._id_spec), strict=True):
            if "" in part:
                _note_missing([text or None for text in part], path, faults)
        ids = self._id(table)
        if "" in ids:
            _note_missing([text or None for text in ids], label(self._id_spec), faults)
        return [f"{source}:{text}" for text in ids]

    def _revisions(self, table: Table, limits: Limits, faults: Faults) -> list[int]:
        spec = self.mapping.revision
        if spec is None or self._revision is None:
            return [UNDECLARED] * table.n
        column = self._revision(table)
        if spec.as_ == "time":
            found = self._moments(column, label(spec), limits, faults)
            return [UNDECLARED if at is None else at for at in found] if None in found else cast("list[int]", found)
        whole = self._whole
        numbers = [whole[text] for text in column]
        for index, number in enumerate(numbers) if None in numbers else ():
            if number is None:
                faults.setdefault(index, Refused("wrong_type", label(spec), column[index], _WHOLE_WANTED))
        return cast("list[int]", numbers)

    def _moments(self, column: list[str], where: str, limits: Limits, faults: Faults) -> list[int | None]:
        found = self._times.column(column, where, faults)
        earliest, latest = limits
        if None not in found:
            times = cast("list[int]", found)
            if earliest <= min(times) and max(times) <= min(latest):
                return found
        for index, (at, newest) in enumerate(zip(found, latest, strict=True)):
            if at is not None and not earliest <= at <= newest:
                reason = "time_too_old" if at < earliest else "time_in_future"
                faults.setdefault(index, Refused(reason, where, column[index]))
        return found


def _note_missing(column: Sequence[object], where: str, faults: Faults) -> None:
    for index, value in enumerate(column):
        if value is None:
            faults.setdefault(index, Refused("missing_field", where))


def _whole_number(text: str) -> int | None:
    """UNDECLARED of a blank, None of what is none."""
    if not text:
        return UNDECLARED
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS else None


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b(_UNIT.join(parts).encode(), digest_size=_ID_BYTES).hexdigest()
