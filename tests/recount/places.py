"""Keys of places for addresses as American sources write them: equal keys, same place.

A house number ("4507 brooklyn av ne", "024xx w devon av") or a crossing of two roads is a place by itself; any other
text only together with its coordinate, to 4 decimals.
"""

from __future__ import annotations

import math


def place_key(address: str, lon: float, lat: float) -> str:
    """The key; "" where the address is empty, or vague and without a coordinate."""
    text = " ".join(address.casefold().split())
    roads = crossing(text)
    if roads:
        return "crossing " + " and ".join(sorted(roads))
    if not text:
        return ""
    if numbered(text):
        return f"house {text}"
    return "" if math.isnan(lon) else f"spot {text} {round(lon, 4)} {round(lat, 4)}"


def numbered(text: str) -> bool:
    """Whether it begins with a house number, with a road's name behind it."""
    number, _, rest = text.partition(" ")
    digits = number.lstrip("0123456789")
    return number[:1].isdigit() and _suffix(digits) and any("a" <= c <= "z" for c in rest)


def _suffix(after: str) -> bool:
    """What may follow the digits of a number: xx (a block), one letter, -12 or /2."""
    after = after.lstrip("x")
    after = after[1:] if after[:1].isalpha() else after
    if not after:
        return True
    tail = after[1:].lstrip("0123456789")
    return after[0] in "-/" and after[1:2].isdigit() and (not tail or (len(tail) == 1 and tail.isalpha()))


def crossing(text: str) -> list[str]:
    """The two roads of a crossing, or []."""
    parts = [part.strip() for part in text.replace("&", "/").split("/")]
    if len(parts) != 2 or not all(parts) or any(numbered(part) for part in parts):
        return []
    return parts if all(any("a" <= c <= "z" for c in part) for part in parts) else []
