"""What the simulator takes from the shipped mappings: category codes with their paths, and each source's lateness."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

SOURCES = ("110", "12345", "grid", "sensor")

#: how often a first level occurs, relative to one another; others 1.0
_OFTEN: Mapping[str, float] = {
    "治安": 3.4, "刑事": 0.5, "交通": 6.0, "火警": 0.4, "纠纷": 4.4, "求助": 2.6, "群众服务": 1.8, "举报": 0.9,
    "城市管理": 3.0, "生态环境": 2.0, "住房建设": 2.0, "事件": 4.0,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Dictionary:
    """The finest categories of one source; `weights` sum to 1."""

    source: str
    codes: tuple[str, ...]
    paths: tuple[str, ...]
    weights: NDArray[np.float64]
    lateness_s: int

    def having(self, words: Iterable[str]) -> NDArray[np.int64]:
        """Indices of the categories whose path has one of the words in it."""
        wanted = tuple(words)
        return np.array([i for i, path in enumerate(self.paths) if any(w in path for w in wanted)], dtype=np.int64)


def dictionary(source: str) -> Dictionary:
    """Categories of a shipped mapping (a name of SOURCES) that have none below them."""
    mapping = tomllib.loads((files("schemas") / "sources" / f"{source}.toml").read_text(encoding="utf-8"))
    codes: dict[str, str] = mapping["category"]["codes"]
    above = {path.rpartition("/")[0] for path in codes.values()}
    leaves = {code: path for code, path in codes.items() if path not in above}
    return Dictionary(
        source,
        tuple(leaves),
        tuple(leaves.values()),
        _weights(tuple(leaves.values())),
        int(mapping["time"]["lateness_s"]),
    )


def _weights(paths: tuple[str, ...]) -> NDArray[np.float64]:
    """First levels by `_OFTEN`; inside one, the dictionary's first entries are the most frequent (Zipf, 0.7)."""
    tops = [path.partition("/")[0] for path in paths]
    rank = [tops[:i].count(top) for i, top in enumerate(tops)]
    weights = np.array([(1.0 + r) ** -0.7 for r in rank])
    for top in set(tops):
        inside = np.array([t == top for t in tops])
        weights[inside] *= _OFTEN.get(top, 1.0) / weights[inside].sum()
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares
