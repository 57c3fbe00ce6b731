"""The wall's queries, each a file `NAME.sql` beside this one, over the documented views.

Parameters are bound (`{from_ms:Int64}`), times are epoch milliseconds both ways: no datetime crosses the wire, so no
zone can be mistaken. `{database:Identifier}` names the live database or a run's.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def load(name: str) -> str:
    """Text of the query `name`. KeyError if there is none."""
    if name not in names():
        raise KeyError(name)
    return (resources.files(__name__) / f"{name}.sql").read_text(encoding="utf-8")


@cache
def names() -> tuple[str, ...]:
    """Names of all queries."""
    files = (item.name for item in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".sql") for name in files if name.endswith(".sql")))
