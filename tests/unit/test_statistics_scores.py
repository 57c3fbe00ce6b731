"""Scores against their definitions, summed in exact fractions or plain logarithms."""

from __future__ import annotations

from fractions import Fraction
from math import comb, exp, factorial, inf, lgamma, log, log10

import numpy as np
import pytest

from streams.statistics.scores import expectation_poisson_llr, negative_binomial_score, poisson_llr


def test_poisson_ratio_by_hand() -> None:
    # 10 of 100 cases where 5 were expected: 10 log 2 + 90 log (90 / 95)
    assert float(poisson_llr(10, 5.0, 100)) == pytest.approx(10 * log(2) + 90 * log(90 / 95), abs=1e-12)
    assert float(expectation_poisson_llr(10, 5.0)) == pytest.approx(10 * log(2) - 5, abs=1e-12)


def test_no_excess_is_no_surprise() -> None:
    assert poisson_llr([0, 3, 5], [1.0, 5.0, 5.0], 10).tolist() == [0, 0, 0]
    assert expectation_poisson_llr([0, 3, 5], [1.0, 5.0, 5.0]).tolist() == [0, 0, 0]


def test_edges_of_the_poisson_ratio() -> None:
    assert float(poisson_llr(10, 2.0, 10)) == pytest.approx(10 * log(5))  # all cases inside
    assert float(poisson_llr(1, 0.0, 10)) == inf
    assert float(expectation_poisson_llr(1, 0.0)) == inf
    assert poisson_llr([[1, 2]], [[0.5], [1.0]], 4).shape == (2, 2)


def exact_score(cases: int, mean: Fraction, size: int) -> float:
    """-log10 P(NB >= cases) for a whole size, by fractions."""
    stop = Fraction(size) / (size + mean)
    below = sum(Fraction(comb(k + size - 1, k)) * stop**size * (1 - stop) ** k for k in range(cases))
    tail = 1 - below
    return -(log10(tail.numerator) - log10(tail.denominator))


@pytest.mark.parametrize(("cases", "mean", "size"), [(1, "1/2", 3), (3, "1/10", 5), (12, "3", 2), (40, "2", 7)])
def test_negative_binomial_score_is_exact(cases: int, mean: str, size: int) -> None:
    assert float(negative_binomial_score(cases, float(Fraction(mean)), size)) == pytest.approx(
        exact_score(cases, Fraction(mean), size), rel=1e-9
    )


def test_negative_binomial_score_without_overdispersion_is_poisson() -> None:
    tail = 1 - sum(exp(-2.5) * 2.5**k / factorial(k) for k in range(9))
    assert float(negative_binomial_score(9, 2.5, inf)) == pytest.approx(-log10(tail), rel=1e-9)
    assert float(negative_binomial_score(9, 2.5, 1e9)) == pytest.approx(-log10(tail), rel=1e-6)


def test_negative_binomial_score_beyond_what_a_float_holds() -> None:
    first = lgamma(3005) - lgamma(5) - lgamma(3001) + 3000 * log(0.1 / 5.1) + 5 * log(5 / 5.1)
    ratio = 0.1 / 5.1 * 3005 / 3001
    assert float(negative_binomial_score(3000, 0.1, 5)) == pytest.approx(-(first - log(1 - ratio)) / log(10), rel=1e-6)
    poisson = 400 * log(0.1) - 0.1 - lgamma(401)
    assert float(negative_binomial_score(400, 0.1, inf)) == pytest.approx(-poisson / log(10), rel=1e-5)


def test_negative_binomial_score_of_many_at_once() -> None:
    cases, mean = np.array([[0], [1], [5]]), np.array([0.0, 0.5, 3.0])
    found = negative_binomial_score(cases, mean, 4.0)
    assert found.shape == (3, 3)
    assert found[0].tolist() == [0, 0, 0]
    assert found[1, 0] == found[2, 0] == inf
    for i, c in enumerate((1, 5), 1):
        for j, m in enumerate((0.5, 3.0), 1):
            assert found[i, j] == float(negative_binomial_score(c, m, 4.0))
    assert (np.diff(found[:, 1:], axis=0) > 0).all() and found[2, 1] > found[2, 2]
