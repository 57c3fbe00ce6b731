"""A key for the place an address names: equal keys, same place. First, honest version, without a parser.

* An address specific enough to be one place (a house number, building, room, block, or a crossing of two roads)
  gives "a:" and its normalised text; a crossing gives its two roads in order, whichever came first.
* One that is not (a road, a compound, a description) gives, with a coordinate, "p:text@lon,lat" to 4 decimals
  (about 10 m): the same words at the same spot.
* Anything else gives "": no key, never a guess.

Normalised: NFKC (full-width to half-width), case folded, white space removed but for one blank between Latin words,
where it tells "1 12th" from "11 2th".
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

#: addresses kept normalised; a city's repeat, and most of a day's are among the last so many
_REMEMBERED = 1 << 14

_BLANK = re.compile(r"(?<![0-9a-z]) | (?![0-9a-z])")
_NUMERAL = r"(?:\d+|[一二三四五六七八九十百]+)"
_CHINESE = re.compile(rf"{_NUMERAL}[a-z]?(?:-\d+)?(?:号(?!线)|弄|幢|栋|座|室|单元|#)|[a-z](?:幢|栋|座)")
#: "4507 brooklyn av ne", "024xx w lithuanian plaza ct", but not "12th av"
_NUMBER_FIRST = re.compile(r"\d+x*[a-z]?(?:[-/]\d+[a-z]?)? (?=.*[a-z])")
_BETWEEN = frozenset("/&与和、")
_CROSSING = re.compile(r"([^/&与和、]+)[/&与和、]([^/&与和、]+)")
_CORNER = re.compile(r"(?:交叉|交汇|交界)?(?:路口|口|处)$")
_ROAD = re.compile(r".*[路街道巷]$|.*[a-z].*")


def place_key(address: str, lon: float | None, lat: float | None) -> str:
    """Key of the place; `lon`, `lat` WGS 84 degrees or None. "" if nothing can be said."""
    text, specific = _reading(address)
    if specific:
        return f"a:{text}"
    if text and lon is not None and lat is not None:
        # + 0.0: no "-0.0000" beside "0.0000"
        return f"p:{text}@{round(lon, 4) + 0.0:.4f},{round(lat, 4) + 0.0:.4f}"
    return ""


def normalise(address: str) -> str:
    """The address as keys compare it."""
    words = unicodedata.normalize("NFKC", address).casefold().split()
    return words[0] if len(words) == 1 else _BLANK.sub("", " ".join(words))


@lru_cache(maxsize=_REMEMBERED)
def _reading(address: str) -> tuple[str, bool]:
    """Normalised text (of a crossing: roads in order) and whether it is one place."""
    text = normalise(address)
    roads = _crossing(text)
    if roads:
        return "&".join(roads), True
    return text, bool(_NUMBER_FIRST.match(text) or _CHINESE.search(text))


def _crossing(text: str) -> list[str]:
    """The two roads of a crossing, sorted; [] if it is none."""
    if _BETWEEN.isdisjoint(text):  # nearly all
        return []
    found = _CROSSING.fullmatch(_CORNER.sub("", text))
    if not found:
        return []
    roads = [road.strip() for road in found.groups()]
    if all(_ROAD.fullmatch(road) and not _NUMBER_FIRST.match(road) and not _CHINESE.search(road) for road in roads):
        return sorted(roads)
    return []
