"""A bounded memory of a pure function: what it returns never depends on what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(dict[K, V], Generic[K, V]):
    """`memo[key]` is `function(key)`. Forgets everything when `limit` entries are reached, so memory stays bounded."""

    def __init__(self, function: Callable[[K], V], limit: int = 8_192) -> None:
        super().__init__()
        self._function = function
        self._limit = limit

    def __missing__(self, key: K) -> V:
        value = self._function(key)
        if len(self) >= self._limit:
            self.clear()
        self[key] = value
        return value
