"""Scan statistics against published runs of SaTScan, R scanstatistics and R SpatialEpi, through the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.analyst import stats, table, write

pytestmark = pytest.mark.shared

WITHIN = 1e-6


def words(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def ratios(result: dict[str, Any]) -> list[float]:
    return [cluster["llr"] for cluster in result["clusters"]]


# -- purely spatial ----------------------------------------------------------------------------------------------------


@pytest.fixture
def new_york(oracles: Path, tmp_path: Path) -> Path:
    cases, people, places = (words(oracles / f"ny_leukemia/satscan_ny_{n}.txt") for n in ("cases", "pop", "coords"))
    count, population = {row[0]: row[1] for row in cases}, {row[0]: row[2] for row in people}
    rows = [(zone, count[zone], population[zone], x, y) for zone, y, x in places]
    return write(tmp_path / "ny.csv", "zone,count,population,x,y", rows)


def test_new_york_up_to_half_of_the_people(new_york: Path, answers: dict[str, Any]) -> None:
    want = answers["ny_leukemia_satscan96_cartesian"]
    found = stats("scan", new_york, "--gumbel")
    first = found["clusters"][0]
    assert first["llr"] == pytest.approx(want["max50"]["llr"], abs=WITHIN)
    assert (first["observed"], len(first["zones"])) == (want["max50"]["cases"], want["max50"]["n_loc"])
    assert first["expected"] == pytest.approx(want["max50"]["expected"], abs=0.005)
    assert first["p"] == pytest.approx(0.001, abs=1e-9)
    assert 0.00005 < first["p_gumbel"] < 0.0005
    known = [cluster["llr"] for cluster in want["secondary"]]
    assert ratios(found)[1:4] == pytest.approx(known, abs=WITHIN)
    assert sorted(map(int, found["clusters"][1]["zones"])) == sorted(want["secondary"][0]["ids"])


def test_new_york_up_to_a_tenth(new_york: Path, answers: dict[str, Any]) -> None:
    want = answers["ny_leukemia_satscan96_cartesian"]["max10"]
    found = stats("scan", new_york, "--max-share", 0.1, "--monte-carlo", 0)
    assert found["clusters"][0]["observed"] == want["cases"]
    published = [want["llr"], 9.019716, 6.114140, 4.651839, 4.169203, 3.363518, 3.209485]
    assert ratios(found)[:7] == pytest.approx(published, abs=WITHIN)


def test_new_york_in_degrees(new_york: Path) -> None:
    found = stats("scan", new_york, "--lonlat", "--monte-carlo", 0)
    assert ratios(found)[:4] == pytest.approx([14.780276, 8.287056, 7.199672, 4.651839], abs=WITHIN)


def test_new_york_of_another_packet(oracles: Path, answers: dict[str, Any], tmp_path: Path) -> None:
    rows = [(r["id"], r["cases"], r["pop"], r["X"], r["Y"]) for r in table(oracles / "ny_leukemia/spdata_nydata.csv")]
    file = write(tmp_path / "ny.csv", "zone,count,population,x,y", rows)
    for share, want in answers["ny_leukemia_spdata_xy"].items():
        found = stats("scan", file, "--max-share", int(share[3:]) / 100, "--monte-carlo", 0)
        assert ratios(found)[0] == pytest.approx(want, abs=1e-7)


def test_sids(oracles: Path, answers: dict[str, Any], tmp_path: Path) -> None:
    want = answers["sids_1974_84"]
    rows = [(r["name"], r["cases"], r["births"], r["x"], r["y"]) for r in table(oracles / "sids/sids_input.csv")]
    found = stats("scan", write(tmp_path / "sids.csv", "zone,count,population,x,y", rows))
    first = found["clusters"][0]
    assert sorted(first["zones"]) == want["mlc"]
    assert (first["observed"], round(first["expected"], 3)) == (want["cases"], want["expected"])
    assert ratios(found)[:4] == pytest.approx([want["llr"], *want["secondary"]], abs=WITHIN)


# -- space-time --------------------------------------------------------------------------------------------------------


def new_mexico(oracles: Path, tmp_path: Path, column: str, of: str) -> Path:
    counts, other = (table(oracles / f"nm_brain/{name}_1986_1989.csv") for name in ("counts", of))
    rows = [
        (zone, now[""], now[county], then[county])
        for now, then in zip(counts, other, strict=True)
        for zone, county in enumerate(list(now)[1:], 1)
    ]
    return write(tmp_path / "nm.csv", f"zone,time,count,{column}", rows)


@pytest.mark.parametrize(
    ("kind", "column", "of", "p"),
    [("eb-poisson", "expected", "baselines", 0.005), ("pb-poisson", "population", "population", 0.02)],
)
def test_all_windows_of_new_mexico(oracles: Path, tmp_path: Path, kind: str, column: str, of: str, p: float) -> None:
    published = table(oracles / f"nm_brain/{kind.replace('-', '_')}_all_windows.csv")
    want = {(int(row["zone"]), int(row["duration"])): float(row["score"]) for row in published}
    file = new_mexico(oracles, tmp_path, column, of)
    found = stats("scan", file, "--kind", kind, "--zones", oracles / "nm_brain/zones.txt", "--top", len(want))
    got = {(window["candidate"], window["window"]["periods"]): window["llr"] for window in found["top"]}
    assert len(got) == 1660 and set(got) == set(want)
    assert max(abs(got[window] - want[window]) for window in want) < 1e-11
    assert abs(found["clusters"][0]["p"] - p) < 4 * np.sqrt(2 * p * (1 - p) / 999)


def test_clusters_of_new_mexico(oracles: Path, answers: dict[str, Any], tmp_path: Path) -> None:
    want = answers["nm_brain_eb_poisson_1986_89"]
    file = new_mexico(oracles, tmp_path, "expected", "baselines")
    first, second = stats(
        "scan", file, "--kind", "eb-poisson", "--zones", oracles / "nm_brain/zones.txt", "--clusters", 2
    )["clusters"]
    assert (first["zones"], first["window"]) == (["15", "26"], {"from": 1986, "to": 1989, "periods": 4})
    assert first["llr"] == pytest.approx(want["score"], abs=1e-11)
    assert first["ratio"] == pytest.approx(want["rr"], abs=1e-11)
    assert (second["candidate"], second["window"]["periods"]) == (want["second"]["zone_no"], want["second"]["duration"])
    assert second["llr"] == pytest.approx(want["second"]["score"], abs=1e-9)


# -- permutation -------------------------------------------------------------------------------------------------------


@pytest.fixture
def fever(oracles: Path, tmp_path: Path) -> Path:
    """Rows of no case make places known that had none."""
    where = {row["zip"]: (row["long"], row["lat"]) for row in table(oracles / "nyc_fever/NYCfevergeo.csv")}
    cases = table(oracles / "nyc_fever/NYCfevercas.csv")
    rows: list[tuple[object, ...]] = [(row["zip"], row["date"], row["cases"], *where[row["zip"]]) for row in cases]
    rows += [(zone, "2001-11-24", 0, *place) for zone, place in where.items()]
    return write(tmp_path / "fever.csv", "zone,time,count,x,y", rows)


FEVER = ("--lonlat", "--max-radius", 3, "--max-duration", 7)


def test_fever_in_new_york(fever: Path, answers: dict[str, Any]) -> None:
    want = answers["nyc_fever_stp_2001_11_24"]
    found = stats("permutation", fever, *FEVER, "--clusters", 3, "--seed", 3)
    first, second, third = found["clusters"]
    assert sorted(map(int, first["zones"])) == sorted(want["zips"])
    assert first["window"] == {"from": "2001-11-22", "to": "2001-11-24", "periods": want["days"]}
    assert (first["observed"], round(first["expected"], 2)) == (want["cases"], want["expected"])
    published = [want["llr"], want["second"]["llr"], want["third"]["llr"]]
    assert [first["llr"], second["llr"], third["llr"]] == pytest.approx(published, abs=WITHIN)
    assert "11372" in second["zones"] and "10472" in third["zones"]
    assert first["p"] == pytest.approx(want["satscan_p"], abs=0.06)
    assert first["recurrence_interval"] == pytest.approx(1 / first["p"])
    assert stats("scan", fever, "--kind", "permutation", *FEVER, "--clusters", 3, "--seed", 3) == found | {
        "kind": "permutation"
    }


def satscan(oracles: Path, tmp_path: Path, name: str) -> Path:
    where = {zone: place for zone, *place in words(oracles / f"satscan_stp/{name}.geo")}
    cases = [(zone, time, count, *where[zone]) for zone, count, time in words(oracles / f"satscan_stp/{name}.cas")]
    return write(tmp_path / f"{name}.csv", "zone,time,count,x,y", cases)


STUDY = ("--since", 0, "--until", 1000, "--max-duration", 500)


@pytest.mark.parametrize(("name", "more"), [("test1", ()), ("test3", ("--max-radius", 50))])
def test_permutation_runs_of_satscan(
    oracles: Path, answers: dict[str, Any], tmp_path: Path, name: str, more: tuple[object, ...]
) -> None:
    want = answers[f"satscan944_stp_{name}"]
    first = want.get("a", want)
    file = satscan(oracles, tmp_path, f"satscan_{name}")
    found = stats("permutation", file, *STUDY, "--split-ties", "--monte-carlo", 0, *map(str, more))
    top = found["clusters"][0]
    assert top["llr"] == pytest.approx(first["llr"], abs=WITHIN)
    assert (sorted(map(int, top["zones"])), top["observed"]) == (sorted(first["ids"]), first["cases"])
    assert [top["window"]["from"], top["window"]["to"]] == first["t"]
    if "b" in want:
        assert found["clusters"][1]["llr"] == pytest.approx(want["b"]["llr"], abs=WITHIN)
        assert found["clusters"][1]["zones"] == list(map(str, want["b"]["ids"]))


def test_a_zone_of_satscan_has_its_ratio_when_it_is_given(
    oracles: Path, answers: dict[str, Any], tmp_path: Path
) -> None:
    want = answers["satscan944_stp_test1"]["a"]
    file, zones = satscan(oracles, tmp_path, "satscan_test1"), tmp_path / "zones.txt"
    zones.write_text(" ".join(map(str, want["ids"])), encoding="utf-8")
    found = stats("permutation", file, *STUDY, "--zones", zones, "--windows", 8, "--monte-carlo", 0)
    assert found["clusters"][0]["llr"] == pytest.approx(want["llr"], abs=WITHIN)
