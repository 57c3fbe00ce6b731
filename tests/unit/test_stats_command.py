"""`quanyu stats ...` as an analyst runs it; its numbers against published ones are in tests/shared.

Eight zones in a row, ten days, two cases a zone and day; zone c has twelve on the last two days.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from math import erfc, sqrt
from pathlib import Path

import pytest

from tests.analyst import run, stats, write

DAYS = [f"2026-03-{day:02d}" for day in range(1, 11)]
ZONES = "abcdefgh"
HEADER = "zone,time,count,expected,x,y"


def rows() -> list[tuple[object, ...]]:
    return [
        (zone, day, 12 if zone == "c" and day >= "2026-03-09" else 2, 2, x * 1.1**x, 0)
        for x, zone in enumerate(ZONES)
        for day in DAYS
    ]


@pytest.fixture
def city(tmp_path: Path) -> Path:
    return write(tmp_path / "city.csv", HEADER, rows())


@pytest.mark.parametrize("kind", ["poisson", "eb-poisson", "permutation"])
def test_scan_finds_the_burst(city: Path, kind: str) -> None:
    found = stats("scan", city, "--kind", kind)
    first = found["clusters"][0]
    assert first["zones"] == ["c"]
    assert first["window"] == {"from": "2026-03-09", "to": "2026-03-10", "periods": 2}
    assert (first["observed"], first["p"], first["recurrence_interval"]) == (24, 0.001, 1000)
    assert first["ratio"] == pytest.approx(24 / first["expected"])
    assert (found["cases"], found["places"], found["periods"]["count"]) == (180, 8, 10)
    assert found["monte_carlo"] == {"replications": 999, "seed": 1, "stopped": False}


def test_scan_options(city: Path) -> None:
    once = stats("scan", city, "--monte-carlo", 99, "--seed", 7)
    assert stats("scan", city, "--monte-carlo", 99, "--seed", 7) == once
    bare = stats("scan", city, "--monte-carlo", 0, "--windows", "1,4", "--top", 3)
    assert bare["clusters"][0]["p"] is None
    assert {c["window"]["periods"] for c in bare["top"]} <= {1, 4} and len(bare["top"]) == 3
    short = stats("scan", city, "--monte-carlo", 0, "--windows", "1,4", "--max-duration", 3, "--top", 99)
    assert {c["window"]["periods"] for c in short["top"]} == {1}
    anywhere = stats("scan", city, "--windows", "any", "--max-duration", 2, "--monte-carlo", 9)
    assert anywhere["clusters"][0]["window"]["periods"] == 2
    assert "recurrence_interval" not in anywhere["clusters"][0]
    whole = stats("scan", city, "--windows", "whole", "--monte-carlo", 9)
    assert whole["clusters"][0]["window"] == {"from": DAYS[0], "to": DAYS[-1], "periods": 10}
    stopped = stats("scan", city, "--windows", "1", "--sequential", 5, "--gumbel", "--min-cases", 13, "--max-share", 1)
    assert stopped["clusters"] == [] or stopped["clusters"][0]["observed"] >= 13
    nearby = stats("scan", city, "--nearest", 2, "--monte-carlo", 0)
    assert nearby["candidate_zones"] == 16


def test_a_lost_test_stops(tmp_path: Path) -> None:
    calm = write(tmp_path / "calm.csv", HEADER, [(z, 1, 2 + (z == "a"), 2, x, 0) for x, z in enumerate(ZONES)])
    found = stats("scan", calm, "--sequential", 10)
    assert found["monte_carlo"]["stopped"] and found["monte_carlo"]["replications"] < 999
    assert found["clusters"][0]["p"] > 0.01


def test_missing_periods_and_rows_count_zero(tmp_path: Path) -> None:
    """Days 3 to 8 have no rows of anybody; what was expected of a zone stays so."""
    some = [row for row in rows() if not "2026-03-03" <= str(row[1]) <= "2026-03-08"]
    sparse = stats("scan", write(tmp_path / "s.csv", HEADER, some), "--kind", "eb-poisson", "--windows", "whole")
    zeros = [(z, d, 0 if "2026-03-03" <= str(d) <= "2026-03-08" else c, *more) for z, d, c, *more in rows()]
    full = stats("scan", write(tmp_path / "f.csv", HEADER, zeros), "--kind", "eb-poisson", "--windows", "whole")
    assert {**sparse, "file": ""} == {**full, "file": ""}
    assert sparse["periods"]["count"] == 10
    late = [
        (z, d, c, 5 if z == "a" and d == DAYS[-1] else e, x, y)
        for z, d, c, e, x, y in rows()
        if z != "a" or d > DAYS[4]
    ]
    found = stats("scan", write(tmp_path / "l.csv", HEADER, late), "--kind", "eb-poisson", "--top", 999)
    (a,) = [c for c in found["top"] if c["zones"] == ["a"] and c["window"]["periods"] == 10]
    assert (a["observed"], a["expected"]) == (10, 23)


def test_times_as_numbers_and_with_slashes(city: Path, tmp_path: Path) -> None:
    want = stats("scan", city)["clusters"]
    for write_day, first, last in (
        (lambda d: int(d[-2:]) + 1995, 2004, 2005),
        (lambda d: d.replace("-", "/"), *DAYS[-2:]),
    ):
        other = write(tmp_path / "o.csv", HEADER, [(z, write_day(d), *more) for z, d, *more in map(_text, rows())])
        found = stats("scan", other)["clusters"]
        assert found[0]["window"] == {"from": first, "to": last, "periods": 2}
        assert [c["llr"] for c in found] == [c["llr"] for c in want]


def test_a_study_period_is_longer_than_its_rows(city: Path, tmp_path: Path) -> None:
    found = stats("permutation", city, "--since", "2026-02-27", "--until", "2026-03-11")
    assert found["periods"] == {"count": 13, "from": "2026-02-27", "to": "2026-03-11"}
    assert found["clusters"][0]["window"] == {"from": "2026-03-09", "to": "2026-03-11", "periods": 3}
    years = write(tmp_path / "y.csv", HEADER, [(z, 1990, *more) for z, d, *more in rows() if d == DAYS[-1]])
    assert stats("scan", years, "--until", 1992)["periods"]["count"] == 3


def _text(row: tuple[object, ...]) -> tuple[str, str, object, object, object, object]:
    return str(row[0]), str(row[1]), *row[2:]  # type: ignore[return-value]


def test_rows_add_up_and_each_row_is_a_case(city: Path, tmp_path: Path) -> None:
    cases = [(z, d, x, y) for z, d, count, _, x, y in rows() for _ in range(int(str(count)))]
    listed = stats("permutation", write(tmp_path / "cases.csv", "zone,time,x,y", cases))
    counted = stats("permutation", city)
    assert {**listed, "file": ""} == {**counted, "file": ""}


def test_population_shares_out_the_cases(tmp_path: Path) -> None:
    people = write(tmp_path / "p.csv", "zone,count,population,x,y", [("a", 9, 100, 0, 0), ("b", 1, 100, 1, 0)])
    found = stats("scan", people)["clusters"][0]
    assert (found["zones"], found["expected"], found["window"]["from"]) == (["a"], 5, None)
    assert stats("scan", people, "--kind", "eb-poisson")["clusters"][0]["expected"] == 5


def test_each_period_expects_as_much(tmp_path: Path) -> None:
    grown = [("a", 1, 2, 10), ("b", 1, 2, 10), ("a", 2, 4, 40), ("b", 2, 2, 40)]
    file, zones = write(tmp_path / "g.csv", "zone,time,count,population", grown), tmp_path / "zones.txt"
    zones.write_text("a\n")
    for kind, expected in (("pb-poisson", 2.5), ("poisson", 4.0)):
        found = stats("scan", file, "--kind", kind, "--zones", zones, "--windows", 1, "--top", 1)["top"][0]
        assert found["expected"] == pytest.approx(expected)


def test_zones_of_a_file_and_of_neighbours(city: Path, tmp_path: Path) -> None:
    zones, near = tmp_path / "zones.txt", tmp_path / "near.json"
    zones.write_text("a b\n\nc d\na,c\n", encoding="utf-8")
    found = stats("scan", city, "--zones", zones, "--monte-carlo", 0)
    assert (found["candidate_zones"], found["clusters"][0]["zones"], found["clusters"][0]["candidate"]) == (
        3,
        ["c", "d"],
        2,
    )
    near.write_text(json.dumps({z: [n for n in ZONES if abs(ord(n) - ord(z)) == 1] for z in ZONES}))
    found = stats("scan", city, "--neighbors", near, "--rings", 1, "--monte-carlo", 0)
    assert found["candidate_zones"] == 16 and found["clusters"][0]["zones"] == ["c"]


def test_one_zone_and_no_cases(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", HEADER, [("a", d, 9 if d == DAYS[-1] else 1, 2, 0, 0) for d in DAYS])
    assert stats("scan", one)["clusters"][0]["observed"] == 9
    none = write(tmp_path / "none.csv", HEADER, [(z, 1, 0, 2, x, 0) for x, z in enumerate(ZONES)])
    for kind in ("poisson", "eb-poisson", "permutation"):
        result = stats("scan", none, "--kind", kind)
        assert result["clusters"] == [] and result["monte_carlo"]["replications"] == 0
    assert "nowhere more than expected" in run("scan", none).stdout
    assert "every single zone has more than --max-share" in run("scan", none, "--max-share", 0.01).stdout


def test_degrees_are_kilometres_apart(tmp_path: Path) -> None:
    """0.01 degree of longitude at 60 degrees north is 556 m."""
    rows = [("a", 5, 1, 10.0, 60.0), ("b", 5, 1, 10.01, 60.0), ("c", 0, 1, 10.03, 60.0)]
    file = write(tmp_path / "d.csv", "zone,count,population,x,y", rows)
    for radius, zones in ((0.55, {"a"}), (0.56, {"a", "b"})):
        found = stats("scan", file, "--lonlat", "--max-share", 1, "--max-radius", radius, "--monte-carlo", 0)
        assert set(found["clusters"][0]["zones"]) == zones


def test_kilometres_are_along_the_ground(tmp_path: Path) -> None:
    """A quarter of the equator is 10,007 km along the ground, and 9,010 straight through it."""
    places = [("a", 9, 1, 0, 0), ("b", 9, 1, 90, 0), ("c", 1, 9, 180, 0)]
    people = write(tmp_path / "p.csv", "zone,count,population,x,y", places)
    values = write(tmp_path / "v.csv", "zone,value,x,y", [(z, n, x, y) for z, n, _, x, y in places])
    events = write(tmp_path / "e.csv", "x,y,t", [(x, y, 0) for *_, x, y in places])
    for km, near in ((9_500, False), (10_100, True)):
        scan = stats("scan", people, "--lonlat", "--max-share", 1, "--max-radius", km, "--monte-carlo", 0)
        assert set(scan["clusters"][0]["zones"]) == ({"a", "b"} if near else {"a"})
        gi = stats("gistar", values, "--lonlat", "--distance", km)
        assert [row["neighbours"] for row in gi["zones"]] == ([1, 2, 1] if near else [0, 0, 0])
        assert stats("knox", events, "--lonlat", "--dist", km, "--days", 1)["near_pairs"] == (2 if near else 0)


def test_zipped_with_a_mark_and_capital_columns(city: Path, tmp_path: Path) -> None:
    text = city.read_text().replace(HEADER, HEADER.upper().replace(",", " , "))
    zipped = tmp_path / "city.csv.gz"
    zipped.write_bytes(gzip.compress(("\ufeff" + text).encode()))
    assert stats("scan", zipped)["clusters"] == stats("scan", city)["clusters"]


@pytest.mark.parametrize(("lang", "word"), [("en", "observed"), ("zh", "实际")])
def test_tables_for_people(city: Path, tmp_path: Path, lang: str, word: str) -> None:
    told = run("scan", city, "--gumbel", lang=lang)
    assert told.exit_code == 0 and word in told.stdout and "2026-03-09" in told.stdout
    timeless = write(tmp_path / "t.csv", "zone,count,expected,x,y", [("a", 9, 5, 0, 0), ("b", 1, 5, 1, 0)])
    assert word in run("scan", timeless, "--top", 2, lang=lang).stdout
    values = write(tmp_path / "v.csv", "zone,value,x,y", [(k, k, k, 0) for k in range(30)])
    shown = run("gistar", values, "--distance", 1, lang=lang).stdout
    assert "Gi*" in shown and ("not an alarm" in shown.replace("\n", " ") or "不作报警" in shown.replace("\n", ""))
    events = write(tmp_path / "e.csv", "x,y,t", [(k % 3, 0, k) for k in range(9)])
    assert word in run("knox", events, "--dist", 1, "--days", 2, lang=lang).stdout


def test_gistar_by_neighbours_weights_and_distance(tmp_path: Path) -> None:
    values = write(tmp_path / "v.csv", "zone,value,x,y", [(z, k**2, k, 0) for k, z in enumerate(ZONES)])
    near, weighted = tmp_path / "n.json", tmp_path / "w.json"
    graph = {z: [n for n in ZONES if abs(ord(n) - ord(z)) == 1] for z in ZONES}
    near.write_text(json.dumps(graph))
    weighted.write_text(json.dumps({z: dict.fromkeys(others, 1.0) for z, others in graph.items()}))
    z: Callable[..., list[float]] = lambda *options: [r["z"] for r in stats("gistar", values, *options)["zones"]]  # noqa: E731
    assert z("--neighbors", near) == z("--neighbors", weighted) == z("--distance", 1)
    for row in stats("gistar", values, "--neighbors", near)["zones"]:
        assert row["p"] == pytest.approx(erfc(abs(row["z"]) / sqrt(2)))
    assert z("--neighbors", near)[-2] == max(z("--neighbors", near)) > 1.5
    assert z("--neighbors", near, "--no-star") != z("--neighbors", near)
    weighted.write_text(json.dumps({z: dict.fromkeys(others, 2.0) | {z: 2.0} for z, others in graph.items()}))
    assert z("--neighbors", weighted) == pytest.approx(z("--neighbors", near))
    assert z("--neighbors", weighted, "--by-row") == pytest.approx(z("--neighbors", near))
    near.write_text("{}")
    alone = stats("gistar", values, "--neighbors", near, "--no-star")
    assert alone["islands"] == 8 and alone["zones"][0]["z"] is alone["zones"][0]["p"] is None


def test_knox_with_dates_and_degrees(tmp_path: Path) -> None:
    """100 m and two hours apart, over midnight and with an offset; the third a day later."""
    times = ["2026-03-01T23:00:00Z", "2026-03-02T09:00:00+08:00", "2026-03-03"]
    rows = [(121.47 + k * 0.001, 31.23, t) for k, t in enumerate(times)]
    events = write(tmp_path / "e.csv", "x,y,t", rows)
    found = stats("knox", events, "--dist", 0.1, "--days", 0.1, "--lonlat")
    assert (found["near_pairs"], found["soon_pairs"], found["observed"]) == (2, 1, 1)
    assert stats("knox", events, "--dist", 0.1, "--days", 2, "--lonlat", "--monte-carlo", 0)["p"] is None
