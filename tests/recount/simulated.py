"""The four sources' records as they lie on Kafka, read a second time: a frame of signals, and which records are bad.

Columns as in `sources`, and `source`, `related`, `counts` (not withdrawn, not invalid), `state`. Of several versions of
a record the highest revision stands.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd

from tests.recount.sources import ms

ZONE = "Asia/Shanghai"
DAY_MS = 86_400_000
MAX_BYTES = 1_000_000
MAPPINGS = Path(__file__).parents[2] / "schemas" / "sources"
LAYERS = ("unit", "street", "district")


class Record(NamedTuple):
    """A record on a raw topic."""

    source: str
    topic: str
    partition: int
    offset: int
    stamp_ms: int
    value: bytes


class Recount(NamedTuple):
    """What the records say."""

    frame: pd.DataFrame
    bad: dict[tuple[str, int, int], str]
    read: int
    duplicates: int
    revisions: int


class BadRecord(ValueError):
    """A record that must be refused; the text is the reason."""


def recount(records: Iterable[Record]) -> Recount:
    """Judge every record; the newest version of every good one."""
    codes = {name: _codes(name) for name in ("110", "12345", "grid", "sensor")}
    versions: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    bad: dict[tuple[str, int, int], str] = {}
    read = good = 0
    for record in records:
        read += 1
        try:
            said = _judged(record, codes[record.source])
        except BadRecord as error:
            bad[record.topic, record.partition, record.offset] = str(error)
            continue
        good += 1
        versions[said["id"]].setdefault(said["revision"], said)
    distinct = sum(map(len, versions.values()))
    frame = pd.DataFrame([found[max(found)] for found in versions.values()])
    frame["lon"], frame["lat"] = frame.lon.astype(float), frame.lat.astype(float)
    gcj = frame.index[frame.datum == "gcj02"]
    frame.loc[gcj, "lon"], frame.loc[gcj, "lat"] = _from_gcj02(frame.lon[gcj].to_numpy(), frame.lat[gcj].to_numpy())
    frame["place"] = list(map(place, frame.address, frame.lon, frame.lat))
    return Recount(frame, bad, read, good - distinct, distinct - len(versions))


def cells(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Codes of the simulated city's three layers; "" outside."""
    points = gpd.GeoDataFrame(frame[[]], geometry=gpd.points_from_xy(frame.lon, frame.lat), crs="EPSG:4326")
    points = points[frame.lon.notna()]
    out = {}
    for layer in LAYERS:
        areas = gpd.read_file(folder / f"{layer}.geojson")[["code", "geometry"]].set_crs(
            "EPSG:4326", allow_override=True
        )
        joined = gpd.sjoin(points, areas, predicate="intersects").sort_values("code")
        out[layer] = joined[~joined.index.duplicated()].code.reindex(frame.index).fillna("")
    return pd.DataFrame(out)


def place(address: str, lon: float, lat: float) -> str:
    """Key of a place: an address with a number of a house, block or room, or a crossing; else words and spot."""
    text = "".join(unicodedata.normalize("NFKC", address).lower().split())
    roads = re.split("[/&与和、]", re.sub("(?:交叉|交汇|交界)?(?:路口|口|处)$", "", text))
    numbered = [re.search(r"\d+(?:号|弄|幢|栋|座|室|单元|#)", road) for road in roads]
    if len(roads) == 2 and not any(numbered) and all(road[-1:] in set("路街道巷") for road in roads):
        return "crossing " + " ".join(sorted(roads))
    if any(numbered):
        return f"house {text}"
    return f"spot {text} {lon:.4f} {lat:.4f}" if text and not math.isnan(lon) else ""


def _codes(source: str) -> dict[str, str]:
    found: dict[str, str] = tomllib.loads((MAPPINGS / f"{source}.toml").read_text("utf-8"))["category"]["codes"]
    return found


def _judged(record: Record, codes: dict[str, str]) -> dict[str, Any]:
    if len(record.value) > MAX_BYTES:
        raise BadRecord("oversized_record")
    if not record.value.strip():
        raise BadRecord("empty_record")
    try:
        row = json.loads(record.value.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadRecord("not_utf8") from None
    except json.JSONDecodeError:
        raise BadRecord("not_json") from None
    if not isinstance(row, dict):
        raise BadRecord("not_an_object")
    said = READ[record.source](row)
    if not isinstance(said["address"], str):
        raise BadRecord("wrong_type")
    said["at_ms"] = _time(said["at_ms"])
    if said["at_ms"] < ms(datetime(1990, 1, 1, tzinfo=UTC)):
        raise BadRecord("time_too_old")
    if said["at_ms"] > record.stamp_ms + DAY_MS:
        raise BadRecord("time_in_future")
    said["lon"], said["lat"] = _point(said["lon"], said["lat"])
    code = said.pop("code")
    category = next((codes[code[:n]] for n in range(len(code), 0, -1) if code[:n] in codes), "unknown")
    related = f"{record.source}:{said['related']}" if said["related"] else ""
    identity = f"{record.source}:{said['id']}"
    return {**said, "source": record.source, "id": identity, "related": related, "category": category}


def _time(value: Any) -> int:
    if value is None:
        raise BadRecord("missing_field")
    if isinstance(value, int):
        return value * 1000
    for form in ("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"):
        try:
            return ms(datetime.strptime(value, form), ZONE)
        except ValueError:
            continue
        except OverflowError:
            raise BadRecord("time_too_old") from None
    raise BadRecord("bad_time")


def _point(x: Any, y: Any) -> tuple[float, float]:
    if x in (None, "") or y in (None, ""):
        return math.nan, math.nan
    lon, lat = float(x), float(y)
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise BadRecord("not_finite")
    if 73 <= lon <= 136 and 3 <= lat <= 54:
        return lon, lat
    raise BadRecord("coordinates_swapped" if 73 <= lat <= 136 and 3 <= lon <= 54 else "coordinates_out_of_range")


def _call(row: dict[str, Any]) -> dict[str, Any]:
    withdrawn, merged = row["cxbz"] == "1", row["hbzt"] == "1"
    return {
        "id": row["jjdbh"], "revision": _time(row["gxsj"]), "at_ms": row.get("bjsj"), "code": row["bjlbdm"],
        "address": row["sfdz"], "reporter": row["bjdh"], "lon": row["jd"], "lat": row["wd"], "datum": "gcj02",
        "related": row["hbjjdbh"] if merged and row["hbjjdbh"] else row["glzjjdbh"],
        "state": "withdrawn" if withdrawn else "merged" if merged else "",
        "counts": not withdrawn and row["sfwx"] != "1",
    }  # fmt: skip


def _ticket(row: dict[str, Any]) -> dict[str, Any]:
    at, related = row["location"] or {}, row["related"] or {}
    state = {"正常": "", "撤销": "withdrawn", "并案": "merged"}[row["status"]]
    return {
        "id": row["ticket_no"], "revision": row["version"], "at_ms": row.get("accept_time"),
        "code": row["category_code"], "address": row["address"], "reporter": row["caller"]["phone"],
        "lon": at.get("lng"), "lat": at.get("lat"), "datum": "wgs84", "related": related.get("ticket_no", ""),
        "state": state, "counts": state != "withdrawn",
    }  # fmt: skip


def _finding(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["taskcode"], "revision": row["rev"], "at_ms": row.get("event_time"),
        "code": row["type"] + row["main"] + row["sub"], "address": row["address"], "reporter": row["reporter_id"],
        "lon": row["x"], "lat": row["y"], "datum": "cgcs2000", "related": row["dup_of"],
        "state": "withdrawn" if row["deleted"] else "", "counts": not row["deleted"],
    }  # fmt: skip


def _reading(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["alertId"], "revision": row["seq"], "at_ms": row.get("raisedAt"), "code": row["deviceType"],
        "address": row["install"], "reporter": row["deviceId"], "lon": row["position"]["lon"],
        "lat": row["position"]["lat"], "datum": "wgs84", "related": "", "state": row["status"], "counts": True,
    }  # fmt: skip


READ = {"110": _call, "12345": _ticket, "grid": _finding, "sensor": _reading}


def _from_gcj02(x: Any, y: Any) -> tuple[Any, Any]:
    """WGS 84 of GCJ-02: the point whose shifted one it is, sought by going back the shift there a few times."""
    lon, lat = x.copy(), y.copy()
    for _ in range(6):
        dx, dy = _gcj02_shift(lon, lat)
        lon, lat = x - dx, y - dy
    return lon, lat


def _gcj02_shift(lon: Any, lat: Any) -> tuple[Any, Any]:
    """The published formula ("eviltransform"), term by term."""
    a, ee, pi = 6378245.0, 0.00669342162296594323, np.pi
    x, y = lon - 105.0, lat - 35.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * np.sqrt(np.abs(x))
    north += (20.0 * np.sin(6.0 * x * pi) + 20.0 * np.sin(2.0 * x * pi)) * 2.0 / 3.0
    north += (20.0 * np.sin(y * pi) + 40.0 * np.sin(y / 3.0 * pi)) * 2.0 / 3.0
    north += (160.0 * np.sin(y / 12.0 * pi) + 320.0 * np.sin(y * pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * np.sqrt(np.abs(x))
    east += (20.0 * np.sin(6.0 * x * pi) + 20.0 * np.sin(2.0 * x * pi)) * 2.0 / 3.0
    east += (20.0 * np.sin(x * pi) + 40.0 * np.sin(x / 3.0 * pi)) * 2.0 / 3.0
    east += (150.0 * np.sin(x / 12.0 * pi) + 300.0 * np.sin(x / 30.0 * pi)) * 2.0 / 3.0
    radians = lat / 180.0 * pi
    magic = 1 - ee * np.sin(radians) ** 2
    north = north * 180.0 / ((a * (1 - ee)) / (magic * np.sqrt(magic)) * pi)
    return east * 180.0 / (a / np.sqrt(magic) * np.cos(radians) * pi), north
