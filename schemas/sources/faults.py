"""Why a record is refused. `Refused` never leaves the intake room: there it becomes a `Rejected` door.

The reason codes, stable: empty_record oversized_record not_utf8 not_json not_csv not_an_object missing_field wrong_type
not_finite bad_time time_too_old time_in_future coordinates_out_of_range coordinates_swapped unknown_datum
"""

from __future__ import annotations

from typing import Any

from schemas.sources.privacy import mask_digits

REASONS = (
    "empty_record",
    "oversized_record",
    "not_utf8",
    "not_json",
    "not_csv",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "not_finite",
    "bad_time",
    "time_too_old",
    "time_in_future",
    "coordinates_out_of_range",
    "coordinates_swapped",
    "unknown_datum",
)
SHOWN = 120


class Refused(ValueError):
    """A reason code and a detail for a person: the field and its value, long numbers hidden, and cut."""

    def __init__(self, reason: str, where: str, value: Any = None, note: str = "") -> None:
        shown = "" if value is None else f": {mask_digits(repr(value))[:SHOWN]}"
        super().__init__(reason)
        self.reason = reason
        self.detail = f"{where}{shown}{f' ({note})' if note else ''}"

    def kept(self) -> Refused:
        """The same without its traceback, whose frames would keep the whole batch alive."""
        self.__traceback__ = self.__context__ = None
        return self


#: index of a record in its batch -> the first fault found in it
Faults = dict[int, Refused]
