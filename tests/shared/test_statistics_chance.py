"""Distributions under chance against published critical values, straight from the functions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from streams.statistics.monte_carlo import permuted, simulate
from streams.statistics.permutation import counts_of, permutation_study, recent_cluster
from streams.statistics.scan import Study, ending_last
from streams.statistics.zones import chord_km, circles, on_sphere

pytestmark = pytest.mark.shared

REPLICATIONS = 9_999


@pytest.fixture
def fever(shared: Path) -> Study:
    folder = shared / "data/oracles/nyc_fever"
    with (folder / "NYCfevergeo.csv").open() as geo, (folder / "NYCfevercas.csv").open() as cas:
        places, cases = list(csv.DictReader(geo)), list(csv.DictReader(cas))
    number = {row["zip"]: k for k, row in enumerate(places)}
    day = np.array([int(row["date"].split("/")[2]) - 1 for row in cases])
    counts = counts_of(day, np.array([number[row["zip"]] for row in cases]), 24, len(places))
    points = on_sphere(*(np.array([float(row[name]) for row in places]) for name in ("long", "lat")))
    zones = circles(points, counts.sum(axis=0).astype(float), 0.5, chord_km(3))
    return permutation_study(counts, zones, ending_last(24, range(1, 8)))


def test_critical_values_of_fever(shared: Path, fever: Study) -> None:
    """A quantile's error: that of its rank. Ours of 9,999 must lie among the ranks that published ones can have."""
    answers = json.loads((shared / "data/oracles/expected.json").read_text())["nyc_fever_stp_2001_11_24"]
    maxima = simulate(fever, permuted(fever), REPLICATIONS, seed=11).maxima
    for share, llr in answers["critical_llr_satscan_99999"].items():
        p = float(share)
        if p >= 0.001:
            above = np.mean(maxima >= llr - 1e-6)
            assert abs(above - p) < 4 * np.sqrt(p * (1 - p) / REPLICATIONS) + 1e-4, share


def test_the_fast_test_agrees_with_the_whole_one(fever: Study) -> None:
    first = fever.clusters(1)[0]
    whole = simulate(fever, permuted(fever), REPLICATIONS, seed=5)
    zones = fever.zones
    # the study keeps the last seven days apart and all before them as one
    quick = recent_cluster(
        fever.counts.astype(np.int64), zones, zones.matrix(), range(1, 8), seed=5, replications=REPLICATIONS, alpha=1
    )
    assert (quick.llr, quick.observed, quick.duration) == (pytest.approx(first.llr), first.observed, 3)
    p = whole.p(first.llr)
    assert abs(quick.p - p) < 4 * np.sqrt(2 * p * (1 - p) / REPLICATIONS)
