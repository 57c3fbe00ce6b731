"""JSON text of vendors' records, by columns: lists go in, and C makes structs and bytes of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from geo.crs import from_wgs84
from streams.simulator import clock, names
from streams.simulator.vendors import Call, Caller, Finding, Location, Number, Position, Reading, Related, Ticket
from streams.simulator.world import World
from streams.simulator.written import CLEARED, MERGED, WITHDRAWN, Written

_encode = msgspec.json.Encoder().encode

_METRICS = {
    "烟感": ("smoke", "%/m", 0.2),
    "井盖": ("tilt", "°", 15.0),
    "水位": ("level", "m", 1.2),
    "燃气": ("ch4", "%LEL", 10.0),
    "噪声": ("noise", "dB", 70.0),
}
_UNITS = {
    "城市管理": "城管局", "生态环境": "生态环境局", "交通运输": "交通运输局", "住房建设": "住建局",
    "市政公用": "水务集团", "市场监管": "市场监管局", "民生保障": "人社局", "公共安全": "应急管理局",
}  # fmt: skip


def calls(world: World, w: Written) -> list[bytes]:
    """110: GCJ-02; some coordinates are missing (null or ""), some are numeric strings."""
    n, style = len(w), w.style
    codes, paths = world.dictionaries["110"].codes, world.dictionaries["110"].paths
    category = w.reports.category.tolist()
    gx, gy = from_wgs84(w.lon, w.lat, "gcj02")
    columns = (
        w.ids,
        clock.dashed(w.made),
        clock.dashed(w.reports.occurred),
        clock.dashed(w.reported),
        [codes[i] for i in category],
        _mostly(style % 8 > 0, [paths[i] for i in category]),
        w.text,
        w.address,
        _numbers(gx, w),
        _numbers(gy, w),
        ["GCJ02"] * n,
        [str(phone) for phone in w.reports.person.tolist()],
        (1 + np.searchsorted((30, 150, 750), style % 1000, side="right")).tolist(),
        w.linked,
        [("", "1", "2", "3", "4")[i] for i in w.reports.relation.tolist()],
        _flag(style // 1000 % 100 == 0),
        _flag(w.reports.invalid == 1),
        _flag(w.state == MERGED),
        _mostly(w.state == MERGED, w.parents),
        _flag(w.state == WITHDRAWN),
        *(_flag(_rare(w, odds)) for odds in (2000, 1500, 300, 60)),
    )
    return list(map(_encode, map(Call, *columns)))


def tickets(world: World, w: Written) -> list[bytes]:
    """12345: two spellings of times; mostly no coordinate and a place named in the text."""
    style = w.style.tolist()
    dictionary = world.dictionaries["12345"]
    category = w.reports.category.tolist()
    levels = [path.split("/") for path in dictionary.paths]
    spaced, slashed = clock.dashed(w.reports.occurred), clock.slashed(w.reports.occurred)
    places = zip(w.pointed.tolist(), np.round(w.lon, 6).tolist(), np.round(w.lat, 6).tolist(), strict=True)
    how = zip(w.linked, w.parents, w.reports.relation.tolist(), w.state.tolist(), strict=True)
    columns = (
        w.ids,
        w.version.tolist(),
        [("热线", "热线", "热线", "微信", "网站")[s % 5] for s in style],
        [slashed[i] if s % 7 < 3 else spaced[i] for i, s in enumerate(style)],
        [Caller(str(p), names.SURNAMES[p % 20] + "*") for p in w.reports.person.tolist()],
        w.title,
        w.text,
        [levels[i] for i in category],
        [dictionary.codes[i] for i in category],
        w.address,
        [Location(x, y) if pointed else None for pointed, x, y in places],
        [_UNITS.get(levels[i][0], "市政府办公室") for i in category],
        ["特急" if s % 100 == 0 else "紧急" if s % 100 < 8 else "普通" for s in style],
        [_related(*row) for row in how],
        [("正常", "撤销", "并案", "正常")[i] for i in w.state.tolist()],
    )
    return list(map(_encode, map(Ticket, *columns)))


def findings(world: World, w: Written) -> list[bytes]:
    """Grid reports: CGCS2000, epoch seconds, the grid's own code."""
    codes = [(c[:2], c[2:4], c[4:6]) for c in world.dictionaries["grid"].codes]
    category = [codes[i] for i in w.reports.category.tolist()]
    x, y = from_wgs84(w.lon, w.lat, "cgcs2000")
    linked = [
        p if merged else named
        for p, named, merged in zip(w.parents, w.linked, (w.state == MERGED).tolist(), strict=True)
    ]
    columns = (
        w.ids,
        w.version.tolist(),
        [f"WG{worker:04d}" for worker in w.reports.person.tolist()],
        (w.reports.occurred // 1000).tolist(),
        (w.reported // 1000).tolist(),
        [c[0] for c in category],
        [c[1] for c in category],
        [c[2] for c in category],
        [world.city.codes[i] for i in w.reports.cell.tolist()],
        np.round(x, 6).tolist(),
        np.round(y, 6).tolist(),
        w.text,
        w.address,
        [[f"{task}_{k}.jpg" for k in range(s % 3)] for task, s in zip(w.ids, w.style.tolist(), strict=True)],
        linked,
        (w.state == WITHDRAWN).tolist(),
    )
    return list(map(_encode, map(Finding, *columns)))


def readings(world: World, w: Written) -> list[bytes]:
    """Sensor alerts: raised above the threshold, cleared below it."""
    codes = world.dictionaries["sensor"].codes
    kinds = [codes[i] for i in w.reports.category.tolist()]
    metrics = [_METRICS[kind] for kind in kinds]
    cleared = w.state == CLEARED
    factor = np.where(cleared, 0.5 + w.style % 40 / 100, 1.05 + w.style % 90 / 100)
    columns = (
        w.ids,
        w.version.tolist(),
        [f"D{device:06d}" for device in w.reports.person.tolist()],
        kinds,
        [m[0] for m in metrics],
        np.round(np.array([m[2] for m in metrics]) * factor, 3).tolist(),
        [m[1] for m in metrics],
        [m[2] for m in metrics],
        np.where(cleared, "cleared", "raised").tolist(),
        clock.iso(w.reports.occurred),
        clock.iso_millis(w.made),
        list(map(Position, np.round(w.lon, 6).tolist(), np.round(w.lat, 6).tolist())),
        w.address,
    )
    return list(map(_encode, map(Reading, *columns)))


RENDER: dict[str, Callable[[World, Written], list[bytes]]] = {
    "110": calls,
    "12345": tickets,
    "grid": findings,
    "sensor": readings,
}


def _related(linked: str, parent: str, relation: int, state: int) -> Related | None:
    if state == MERGED:
        return Related(parent, "并案")
    return Related(linked, ("", "重复", "催办", "重复", "重复")[relation]) if linked else None


def _numbers(values: NDArray[np.float64], w: Written) -> list[Number]:
    """Six decimals; where there is no point null or "", and one of sixteen as a string."""
    rows = zip(np.round(values, 6).tolist(), w.pointed.tolist(), (w.style & 15).tolist(), strict=True)
    return [(str(v) if s == 15 else v) if pointed else ("" if s & 1 else None) for v, pointed, s in rows]


def _flag(on: NDArray[np.bool_]) -> list[str]:
    return ["1" if bit else "0" for bit in on.tolist()]


def _mostly(on: NDArray[np.bool_], values: list[str]) -> list[str]:
    """The values where `on`, "" elsewhere."""
    return [value if bit else "" for bit, value in zip(on.tolist(), values, strict=True)]


def _rare(w: Written, odds: int) -> NDArray[np.bool_]:
    """One valid call of `odds`, others for each `odds`."""
    rare: NDArray[np.bool_] = ((w.style * 2_654_435_761 >> 16) % odds == 1) & (w.reports.invalid == 0)
    return rare
