"""Envelopes on the wire: MessagePack, none larger than a broker likes to carry.

A large envelope is cut into several of the same origin whose offset ranges follow one another without a hole, so that
the city stage may be cut off between any two of them; the tick goes with the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import msgspec

from schemas import Envelope

#: a message of the log is at most about so large, bytes before compression
MAX_BYTES = 1_000_000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


def messages(envelope: Envelope, max_bytes: int = MAX_BYTES) -> list[bytes]:
    """Messages of one envelope, in order. A single signal is never cut, however large it is."""
    whole = _encode(envelope)
    n = len(envelope.located)
    pieces = min(n, -(-len(whole) // max_bytes))
    if pieces <= 1:
        return [whole]
    cuts = [n * i // pieces for i in range(pieces + 1)]
    change = partial(msgspec.structs.replace, envelope)
    out: list[bytes] = []
    first = envelope.first_offset
    for start, end in pairwise(cuts):
        last_one = end == n
        last = envelope.last_offset if last_one else envelope.offsets[end] - 1
        piece = change(
            first_offset=first,
            last_offset=last,
            located=envelope.located[start:end],
            offsets=envelope.offsets[start:end],
            watermark_ms=envelope.watermark_ms if last_one else 0,
            rejected=[offset for offset in envelope.rejected if first <= offset <= last],
        )
        out += messages(piece, max_bytes)
        first = last + 1
    return out


def steps(values: Sequence[bytes], signals: int) -> Iterator[list[Envelope]]:
    """Decoded envelopes, in pieces of about so many signals: what one step may hold without stopping other work."""
    part: list[Envelope] = []
    held = 0
    for value in values:
        envelope = _decode(value)
        part.append(envelope)
        held += len(envelope.located)
        if held >= signals:
            yield part
            part, held = [], 0
    if part:
        yield part
