"""A city's state as chunks and a manifest, and back: what lets a restart, or another worker, go on where one stopped.

Pure: no Kafka, no clock. `streams.state_topic` carries it.

1. A snapshot belongs to one offset of the log: the state after everything before it. Folding on from there gives the
   rows that the fold without a stop gives.
2. `freeze` copies what the fold changes in place and shares the rest, so that the fold stops for the copy alone; the
   copy is encoded while it goes on.
3. A chunk is named by its content: what did not change since the last snapshot keeps its name, and is not sent again.
   Large tables are cut by their keys, so that a new entry changes one chunk.
4. What another version of the code wrote is read field by field: a field it did not know takes its default. What does
   not fit, or was counted under other rules (`rules_of`), is refused with the command that makes the state anew.

    state --freeze--> copy --chunks--> [name, bytes] ...  Manifest          --restore--> state
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from schemas import Member, UsageError, Versions
from streams.pipeline import CityState
from streams.rooms.panes import Day, Mark
from streams.settings import Settings

#: to be raised when a state written before cannot be continued though its fields fit
FORM = 1
#: entries of a table from which on it is cut by its keys, into chunks of about a quarter as many
LARGE = 4096
#: bytes of a chunk before compression beyond which a smaller table is cut too
CHUNK_BYTES = 500_000
#: a field below this shares a chunk with the others of its room
SMALL_BYTES = 5_000

_encode = msgspec.msgpack.Encoder().encode
_Copier = Callable[[Any], Any]


class Manifest(Struct, frozen=True):
    """What a snapshot is made of. `parts`: "room.field" -> names of its chunks."""

    form: int
    rules: str
    versions: Versions
    next_offset: int
    watermark_ms: int
    made_at_ms: int
    bytes: int
    parts: dict[str, list[str]]

    @property
    def names(self) -> set[str]:
        """Names of all its chunks."""
        return {name for names in self.parts.values() for name in names}


#: `panes.State.days` as tables that can be cut: who was where, and the numbers of the cells. A member that `incidents`
#: knows too is its signal's id.
Presences = dict[tuple[int, str, str], str | Member | dict[Mark, int]]
Numbers = dict[tuple[int, str, str], int]


def rules_of(settings: Settings, layers: tuple[str, ...], versions: Versions) -> str:
    """Digest of what the numbers in a state were counted under: a state of other rules cannot be continued."""
    rules = (settings.city.timezone, settings.panes, settings.incidents, layers, versions.grids)
    return hashlib.blake2b(msgspec.json.encode(rules, order="deterministic"), digest_size=8).hexdigest()


def freeze(state: CityState) -> CityState:
    """A copy that the fold no longer changes."""
    return cast("CityState", _copier(CityState)(state))  # type: ignore[misc]


def chunks(frozen: CityState, large: int = LARGE) -> Iterator[tuple[str, str, bytes]]:
    """(part, name, bytes) of each chunk, room by room; what is small of a room lies in one chunk, the part "room"."""
    for room in CityState.__struct_fields__:
        state = getattr(frozen, room)
        fields = {name: getattr(state, name) for name in state.__struct_fields__}
        if room == "panes":
            fields |= _flat_days(frozen)
        small: dict[str, msgspec.Raw] = {}
        for name, value in fields.items():
            pieces = list(_pieces(value, large))
            if len(pieces) == 1 and len(pieces[0]) < SMALL_BYTES:
                small[name] = msgspec.Raw(pieces[0])
                continue
            for piece in pieces:
                yield f"{room}.{name}", chunk_name(piece), piece
        piece = _encode(small)
        yield room, chunk_name(piece), piece


def chunk_name(piece: bytes) -> str:
    """Content hash of a chunk."""
    return hashlib.blake2b(piece, digest_size=12).hexdigest()


def restore(manifest: Manifest, chunk: Callable[[str], bytes], rules: str, start: CityState) -> CityState:
    """The state of a snapshot. `chunk`: name -> bytes; `start`: the empty state of this configuration.

    Raises UsageError when it cannot be continued by this code or configuration.
    """
    check(manifest, rules)
    try:
        rooms = {}
        for room in CityState.__struct_fields__:
            empty = getattr(start, room)
            parts = {
                p: [chunk(name) for name in names] for p, names in manifest.parts.items() if p.split(".")[0] == room
            }
            rooms[room] = _decoded(parts, room, type(empty))
        panes = rooms["panes"]
        numbers = panes.pop("presences"), panes.pop("numbers")
        panes["days"] = _days(panes["days"], *numbers, rooms["incidents"]["members"])
    except (msgspec.DecodeError, KeyError) as error:
        raise _refused(f"{type(error).__name__}: {error}", manifest) from error
    state = CityState(**{room: msgspec.structs.replace(getattr(start, room), **kept) for room, kept in rooms.items()})
    known = state.order.origins
    state.order.origins = {origin: known.get(origin, at) for origin, at in start.order.origins.items()}
    return state


def check(manifest: Manifest, rules: str) -> None:
    """Raise UsageError if the snapshot cannot be continued by this version of the code under these rules."""
    if manifest.form != FORM:
        raise _refused(f"form {manifest.form} where this version reads {FORM}", manifest)
    if manifest.rules != rules:
        raise _refused("it was counted under other grids, panes, incident rules or another time zone", manifest)


def _refused(why: str, manifest: Manifest) -> UsageError:
    code = manifest.versions.code or "?"
    return UsageError(
        f"the saved state (version {code}, offset {manifest.next_offset}) cannot be continued: {why}; "
        f"run `quanyu state rebuild` to make it anew from the log",
        f"保存的状态（版本 {code}，偏移量 {manifest.next_offset}）无法继续使用：{why}；"
        f"请运行 `quanyu state rebuild`，由日志重新生成",
    )


# -- copying -------------------------------------------------------------------------------------------------------


@cache
def _copier(kind: Any) -> _Copier | None:
    """How to copy a value of this type; None: it is never changed in place, share it."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _either(_copiers(args))
    if origin is dict:
        if get_origin(args[1]) in (Union, UnionType) and (found := _copiers(get_args(args[1]))):
            return _mixed(found)
        inner = _copier(args[1])
        return dict.copy if inner is None else _table(inner)
    if origin is list:
        inner = _copier(args[0])
        return list.copy if inner is None else (lambda items: list(map(inner, items)))
    if origin is set:
        return set.copy
    if isinstance(kind, type) and issubclass(kind, Struct) and not kind.__struct_config__.frozen:
        fields = [(name, c) for name, hint in get_type_hints(kind).items() if (c := _copier(hint)) is not None]
        return _struct(kind, fields)
    return None


def _copiers(kinds: tuple[Any, ...]) -> dict[Any, _Copier]:
    """Type -> how to copy it, of those of a union that are changed in place."""
    return {get_origin(kind) or kind: inner for kind in kinds if (inner := _copier(kind)) is not None}


def _table(inner: _Copier) -> _Copier:
    return lambda table: dict(zip(table, map(inner, table.values()), strict=True))


def _mixed(found: Mapping[Any, _Copier]) -> _Copier:
    """A table most of whose values are shared."""

    def copied(table: Any) -> Any:
        twin = table.copy()
        twin.update([(key, found[type(value)](value)) for key, value in table.items() if type(value) in found])
        return twin

    return copied


def _struct(kind: Any, fields: list[tuple[str, _Copier]]) -> _Copier:
    twin_of = kind.__copy__

    def copied(value: Any) -> Any:
        twin = twin_of(value)
        for name, inner in fields:
            if (part := getattr(value, name)) is not None:
                setattr(twin, name, inner(part))
        return twin

    return copied


def _either(found: Mapping[Any, _Copier]) -> _Copier | None:
    if not found:
        return None

    def copied(value: Any) -> Any:
        inner = found.get(type(value))
        return value if inner is None else inner(value)

    return copied


# -- cutting -------------------------------------------------------------------------------------------------------


def _pieces(value: Any, large: int) -> Iterator[bytes]:
    """A field as one chunk, or as several: a table by its keys, a list in runs."""
    if isinstance(value, dict) and len(value) > large:
        yield from _by_key(value, 4 * len(value) // large)
    elif isinstance(value, list | set) and len(value) > large:
        items = list(value)
        yield from (_encode(items[at : at + large]) for at in range(0, len(items), large))
    else:
        piece = _encode(value)
        if len(piece) > CHUNK_BYTES and isinstance(value, dict) and len(value) > 1:
            yield from _by_key(value, len(piece) // CHUNK_BYTES + 1)
        else:
            yield piece


def _by_key(table: dict[Any, Any], cuts: int) -> Iterator[bytes]:
    """Entries of equal low bits of the key's check sum lie together; their number is a power of two, to stay the same
    while the table grows a little."""
    mask = (1 << (cuts - 1).bit_length()) - 1
    buckets: list[dict[Any, Any]] = [{} for _ in range(mask + 1)]
    numbers = isinstance(next(iter(table)), int)
    for key, value in table.items():
        buckets[(key if numbers else zlib.crc32(_encode(key))) & mask][key] = value
    return (_encode(bucket) for bucket in buckets)


def _flat_days(frozen: CityState) -> dict[str, Any]:
    members = frozen.incidents.members
    presences: Presences = {}
    numbers: Numbers = {}
    for start, day in frozen.panes.days.items():
        for kind in ("incidents", "reporters"):
            for key, there in getattr(day, kind).items():
                if isinstance(there, Member) and members.get(there.located.signal.id) is there:
                    there = there.located.signal.id
                presences[start, kind, key] = there
        for cell, number in day.cells.items():
            numbers[start, *cell] = number
    return {"days": list(frozen.panes.days), "presences": presences, "numbers": numbers}


def _days(starts: list[int], presences: Presences, numbers: Numbers, members: Mapping[str, Member]) -> dict[int, Day]:
    days = {start: Day() for start in starts}
    for (start, kind, key), there in presences.items():
        getattr(days[start], kind)[key] = members[there] if isinstance(there, str) else there
    for (start, *cell), number in numbers.items():
        days[start].cells[cell[0], cell[1]] = number
    return days


def _fields(room: str, kind: type) -> dict[str, Any]:
    """Name -> type of what is kept of a room."""
    hints = get_type_hints(kind)
    return hints | {"days": list[int], "presences": Presences, "numbers": Numbers} if room == "panes" else hints


def _decoded(parts: Mapping[str, list[bytes]], room: str, kind: type) -> dict[str, Any]:
    """Fields of one room; those that this version does not know are left out."""
    found: dict[str, list[bytes]] = {}
    for part, pieces in parts.items():
        name = part.partition(".")
        if name[0] == room and name[2]:
            found[name[2]] = pieces
        elif part == room:
            found |= {k: [bytes(v)] for k, v in msgspec.msgpack.decode(pieces[0], type=dict[str, msgspec.Raw]).items()}
    return {name: _joined(found[name], hint) for name, hint in _fields(room, kind).items() if name in found}


def _joined(pieces: list[bytes], kind: Any) -> Any:
    decode = msgspec.msgpack.Decoder(kind).decode
    whole = decode(pieces[0])
    for piece in pieces[1:]:
        more = decode(piece)
        whole.extend(more) if isinstance(whole, list) else whole.update(more)
    return whole
