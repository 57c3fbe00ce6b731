"""Times as sources write them -> milliseconds UTC.

A wall time that a change of clocks makes ambiguous is read as the first of the two. English month names and AM/PM
(also 上午/下午) whatever the machine's locale, which is why `strptime` is not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from schemas.sources.faults import Faults, Refused
from schemas.sources.memo import Memo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "b": r"(?P<b>[A-Za-z]{3})[a-z]*",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<I>\d{1,2})",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})",
    "f": r"(?P<f>\d{1,6})",
    "p": r"(?P<p>[AaPp][Mm]|上午|下午)",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2})",
    "%": "%",
}
#: ":00".. ":59" -> ms; the seconds of a time whose minute is remembered
_SECONDS = {f":{second:02}": second * 1000 for second in range(60)} | {"": 0}
_SIXTY, _NOON = 60, 12
_MINUTE = len("2026-03-02 08:05")
_TAIL = re.compile(r"(:(?P<second>[0-5]\d)([.,](?P<fraction>\d{1,6}))?)?(?P<offset>Z|[+-]\d{2}:\d{2})?", re.ASCII)
_YEAR_ZERO = re.compile(r"\D*0{4}(\D|$)")
_EPOCH_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,9})?", re.ASCII)

Parser = Callable[[str], int | None]


class Times:
    """Parser of one source's times: `formats` in order, `zone` for those without an offset."""

    def __init__(self, zone: str, formats: list[str]) -> None:
        tz = ZoneInfo(zone)
        self._parsers = [_parser(form, tz) for form in formats]
        self._iso_first = formats[0] == "iso"
        #: 2026-03-02 08:05, perhaps with an offset -> ms; what follows the minute -> ms and offset
        self._minutes: Memo[str, int] = Memo(self._minute)
        self._tails: Memo[str, tuple[int, str]] = Memo(_tail)

    def parse(self, text: str) -> int:
        """Milliseconds UTC. Raises Refused (bad_time, time_too_old for a year 0)."""
        for parser in self._parsers:
            found = parser(text)
            if found is not None:
                return found
        if text.lower() in {"nan", "inf", "-inf", "infinity", "-infinity"}:
            raise Refused("not_finite", "time", text)
        raise Refused("time_too_old" if _YEAR_ZERO.match(text) else "bad_time", "time", text)

    def column(self, texts: list[str], where: str, faults: Faults) -> list[int | None]:
        """`parse` of each; None for a blank or a faulty one, whose fault is noted under its index."""
        minutes, tails = self._minutes, self._tails
        if self._iso_first:
            try:
                return [minutes[text[:_MINUTE]] + _SECONDS[text[_MINUTE:]] for text in texts]
            except KeyError:
                pass
            try:
                return [minutes[text[:_MINUTE] + (tail := tails[text[_MINUTE:]])[1]] + tail[0] for text in texts]
            except KeyError:
                pass
        found: list[int | None] = []
        for index, text in enumerate(texts):
            try:
                found.append(self._one(text))
            except Refused as fault:
                faults.setdefault(index, Refused(fault.reason, where, text))
                found.append(None)
        return found

    def _one(self, text: str) -> int | None:
        if not text:
            return None
        if self._iso_first and text[4:5] == text[7:8] == "-":
            try:
                tail, offset = self._tails[text[_MINUTE:]]
                return self._minutes[text[:_MINUTE] + offset] + tail
            except KeyError:
                pass
        return self.parse(text)

    def _minute(self, minute: str) -> int:
        """Of 2026-03-02 08:05 and such with an offset; KeyError for any other text."""
        if len(minute) >= _MINUTE and minute[4] == minute[7] == "-" and minute[13] == ":":
            found = self._parsers[0](minute)
            if found is not None:
                return found
        raise KeyError(minute)


def _tail(text: str) -> tuple[int, str]:
    """Of :01.250+08:00 the milliseconds and the offset; KeyError for what is no such tail."""
    match = _TAIL.fullmatch(text)
    if match is None:
        raise KeyError(text)
    fraction = int((match["fraction"] or "0").ljust(3, "0")[:3])
    return int(match["second"] or 0) * 1000 + fraction, match["offset"] or ""


def unknown_directives(form: str) -> list[str]:
    """Directives of a format that are not understood."""
    return [f"%{letter}" for letter in re.findall(r"%(.?)", form) if letter not in _DIRECTIVES]


def _parser(form: str, zone: ZoneInfo) -> Parser:
    if form == "iso":
        return lambda text: _iso(text, zone)
    if form in ("epoch_s", "epoch_ms"):
        unit = 1000 if form == "epoch_s" else 1
        return lambda text: _epoch(text, unit)
    pattern = "".join(
        _DIRECTIVES[piece[1]] if piece[0] == "%" else r"\s+" if piece.isspace() else re.escape(piece)
        for piece in re.findall(r"%.|\s+|[^%\s]+", form)
    )
    return _Written(re.compile(pattern, re.ASCII), zone).parse


class _Written:
    """Parser of one % format. The start of each hour is worked out once; within it minutes and seconds are added."""

    def __init__(self, pattern: re.Pattern[str], zone: ZoneInfo) -> None:
        names = sorted(pattern.groupindex, key=pattern.groupindex.__getitem__)
        self._match = pattern.fullmatch
        self._zone = zone
        self._names = [name for name in names if name not in "MSf"]
        self._hour_places = [names.index(name) for name in self._names]
        self._fine = [(names.index(name), name) for name in names if name in "MSf"]
        self._hours: Memo[tuple[str, ...], tuple[int, datetime | None] | None] = Memo(self._hour)

    def parse(self, text: str) -> int | None:
        match = self._match(text)
        if match is None:
            return None
        parts = match.groups()
        hour = self._hours[tuple([parts[place] for place in self._hour_places])]
        if hour is None:
            return None
        start, changing = hour
        within = 0
        for place, name in self._fine:
            part = parts[place]
            if name == "f":
                within += int(part.ljust(6, "0")[:3])
            elif (value := int(part)) < _SIXTY:
                within += value * (60_000 if name == "M" else 1000)
            else:
                return None
        if changing is not None:
            return _ms(changing + within * _MS, self._zone)
        return start + within

    def _hour(self, key: tuple[str, ...]) -> tuple[int, datetime | None] | None:
        """Its start; and its wall time if the clocks change within it, which then has to be asked every time."""
        part = dict(zip(self._names, key, strict=True))
        try:
            year = int(part["Y"]) if "Y" in part else 2000 + int(part.get("y", 0))
            month = _MONTHS.index(part["b"].lower()) + 1 if "b" in part else int(part.get("m", 1))
            hour = int(part.get("H", part.get("I", 0)))
            if "p" in part:
                if not 1 <= hour <= _NOON:
                    return None
                hour = hour % _NOON + (_NOON if part["p"].lower() in ("pm", "下午") else 0)
            wall = datetime(year, month, int(part.get("d", 1)), hour)
            if "z" in part:
                return _ms(wall.replace(tzinfo=_offset(part["z"])), self._zone), None
            start = _ms(wall, self._zone)
            steady = _ms(wall.replace(minute=59), self._zone) - start == 59 * 60_000
            return start, None if steady else wall
        except ValueError:
            return None


def _ms(moment: datetime, zone: ZoneInfo) -> int:
    return ((moment if moment.tzinfo else moment.replace(tzinfo=zone)) - EPOCH) // _MS


def _iso(text: str, zone: ZoneInfo) -> int | None:
    if len(text) < len("2026-03-02") or not text.isascii():  # a bare number is no date
        return None
    try:
        return _ms(datetime.fromisoformat(text), zone) if "-" in text else None
    except ValueError:
        return None


def _epoch(text: str, unit: int) -> int | None:
    if not _EPOCH_NUMBER.fullmatch(text):
        return None
    return int(text) * unit if "." not in text else round(float(text) * unit)


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
