"""Gi*, Knox, EARS, CUSUM and ST-DBSCAN against esda, R spdep, R surveillance and R dbscan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streams.statistics.stdbscan import st_dbscan
from streams.statistics.surveillance import cusum, ears
from tests.analyst import stats, table, write

pytestmark = pytest.mark.shared

Rows = list[dict[str, str]]


def column(rows: Rows, name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def z_scores(*arguments: object) -> np.ndarray:
    return np.array([row["z"] for row in stats("gistar", *map(str, arguments))["zones"]])


# -- Gi* ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "neighbours", "value"),
    [
        ("columbus_spdep_gstar.csv", "gistar/columbus_queen.json", "CRIME"),
        ("sids79_spdep_gstar.csv", "sids/sids2_queen.json", "rate"),
    ],
)
def test_gi_star_of_neighbours(oracles: Path, tmp_path: Path, file: str, neighbours: str, value: str) -> None:
    rows = table(oracles / "gistar" / file)
    given = write(tmp_path / "v.csv", "zone,value", [(k, row[value]) for k, row in enumerate(rows)])
    z = z_scores(given, "--neighbors", oracles / neighbours)
    assert np.abs(z - column(rows, "Gstar_z")).max() < 1e-10


def test_gi_star_of_the_known_highest(oracles: Path, answers: dict[str, Any], tmp_path: Path) -> None:
    rows = table(oracles / "gistar/columbus_crime.csv")
    given = write(tmp_path / "v.csv", "zone,value", [(k, row["CRIME"]) for k, row in enumerate(rows)])
    z = z_scores(given, "--neighbors", oracles / "gistar/columbus_queen.json")
    assert sorted(z, reverse=True)[:5] == pytest.approx(answers["columbus_CRIME_queen_Gstar_top5"], abs=1e-8)


@pytest.mark.parametrize("distance", ["30", "60", "90", "120"])
def test_getis_and_ords_grid(oracles: Path, answers: dict[str, Any], tmp_path: Path, distance: str) -> None:
    rows = table(oracles / "gistar/getisord16x16_spdep.csv")
    given = write(
        tmp_path / "v.csv", "zone,value,x,y", [(k, row["val"], row["x"], row["y"]) for k, row in enumerate(rows)]
    )
    known = answers["getisord16x16_index120"]
    for statistic, option in (("G", "--no-star"), ("Gstar", "--star")):
        z = z_scores(given, "--distance", distance, option)
        assert np.abs(z - column(rows, statistic + distance)).max() < 1e-10
        # the published cell is in the eighth row and column of sixteen, from either side
        assert np.abs(z - known[statistic][distance]).min() < 1e-6


def test_the_six_points_of_esda(answers: dict[str, Any], tmp_path: Path) -> None:
    points = [(10, 10), (20, 10), (40, 10), (15, 20), (30, 20), (30, 30)]
    values = [2, 3, 3.2, 5, 8, 7]
    rows = [(k, value, *point) for k, (value, point) in enumerate(zip(values, points, strict=True))]
    given = write(tmp_path / "v.csv", "zone,value,x,y", rows)
    for statistic, option in (("G", "--no-star"), ("Gstar", "--star")):
        z = z_scores(given, "--distance", 15, option)
        assert z == pytest.approx(answers["esda_doc6"][statistic], abs=1e-7)


def test_the_lattice_of_esda(oracles: Path, tmp_path: Path) -> None:
    esda = json.loads((oracles / "gistar/esda_gistar.json").read_text(encoding="utf-8"))
    rows = [(k, value, k // 20, k % 20) for k, value in enumerate(esda["lattice20_x"])]
    given = write(tmp_path / "v.csv", "zone,value,x,y", rows)
    assert np.abs(z_scores(given, "--distance", 1.5) - esda["lattice20_Gstar_B"]).max() < 1e-10


# -- Knox --------------------------------------------------------------------------------------------------------------


def test_knox_of_meningococcal_disease(oracles: Path, answers: dict[str, Any], tmp_path: Path) -> None:
    want = answers["knox_imdepi_C_30d_50km"]
    rows = [(r["x"], r["y"], r["time"]) for r in table(oracles / "surveillance/imdepi_typeC.csv")]
    found = stats("knox", write(tmp_path / "events.csv", "x,y,t", rows), "--dist", 50, "--days", 30)
    assert found["observed"] == want["close_pairs"]
    assert found["expected"] == pytest.approx(want["expected"], abs=1e-10)
    assert found["poisson_p"] == pytest.approx(want["poisson_p"], abs=1e-9)
    assert 0.001 <= found["p"] <= 0.015


# -- for comparison ----------------------------------------------------------------------------------------------------


def test_ears_of_salmonella(oracles: Path) -> None:
    counts = column(table(oracles / "surveillance/salmonella_agona.csv"), "observed")
    published = table(oracles / "surveillance/ears_agona.csv")
    weeks = column(published, "week").astype(int) - 1
    for method in ("C1", "C2", "C3"):
        judged = ears(counts, method)
        assert np.abs(judged.bound[weeks] - column(published, f"{method}_ub")).max() < 1e-10
        assert judged.alarm[weeks].tolist() == [row[f"{method}_alarm"] == "1" for row in published]


def test_cusum_of_salmonella(oracles: Path) -> None:
    counts = column(table(oracles / "surveillance/salmonella_agona.csv"), "observed")
    published = table(oracles / "surveillance/cusum_agona.csv")
    judged = cusum(counts[208:], counts[:208].mean(), transform="anscombe")
    assert np.abs(judged.bound - column(published, "ub")).max() < 1e-10
    assert judged.alarm.tolist() == [row["alarm"] == "1" for row in published]


def test_st_dbscan(oracles: Path, answers: dict[str, Any]) -> None:
    rows = table(oracles / "dbscan/xyt.csv")
    x, y, t = (column(rows, name) for name in ("V1", "V2", "V3"))
    found = st_dbscan(np.column_stack((x, y)), t, 0.25, 0.5, answers["dbscan_st"]["minPts"])
    assert found.tolist() == column(table(oracles / "dbscan/r_stdbscan.csv"), "cluster").tolist()
    assert np.bincount(found).tolist() == [answers["dbscan_st"]["noise"], *answers["dbscan_st"]["sizes"]]
