"""How surprising a count is: log-likelihood ratios and the negative-binomial score. All vectorised, element by element.

Only excess counts: where there are no more cases than expected the ratio is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

#: below it the incomplete beta function runs out of exponents
_FAR = 1e-290
_TERMS = 10_000


def poisson_llr(cases: ArrayLike, expected: ArrayLike, total: float) -> Floats:
    """Kulldorff's Poisson ratio, conditional on the total (1997; 2001 in space-time; 2005 for permutations).

    c log(c / e) + (C - c) log((C - c) / (C - e)) for c > e. `expected` adds up to `total` over everything. Infinite
    where there are cases and none are expected.
    """
    c, e = np.asarray(cases, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    outside = special.xlogy(total - c, total - c) - special.xlogy(total - c, np.maximum(total - e, 0))
    return _excess(c, e, special.xlogy(c, c) - special.xlogy(c, e) + outside)


def expectation_poisson_llr(cases: ArrayLike, expected: ArrayLike) -> Floats:
    """Expectation-based Poisson ratio (Neill 2009): c log(c / e) + e - c for c > e. Nothing is conditioned on."""
    c, e = np.asarray(cases, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    return _excess(c, e, special.xlogy(c, c) - special.xlogy(c, e) + e - c)


def _excess(c: Floats, e: Floats, ratio: Floats) -> Floats:
    found: Floats = np.where(c > e, np.maximum(ratio, 0), 0.0)
    return found


def negative_binomial_score(cases: ArrayLike, mean: ArrayLike, size: ArrayLike) -> Floats:
    """-log10 P(NB >= cases), for a negative binomial with this mean and size (variance mean + mean^2 / size).

    The score of the hot-spot room: `size` carries the uncertainty of the baseline and the unrest of days,
    1 / (1 / a + 1 / k); infinite size is Poisson. 0 for no cases; infinite where there are cases of mean 0. Broadcasts.
    """
    arrays = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (cases, mean, size)))
    c, m, n = (array.ravel() for array in arrays)
    wide = np.isfinite(n)
    finite, some = np.where(wide, n, 1.0), np.maximum(c, 1)
    share = m / (m + finite)
    tail = np.where(wide, special.betainc(some, finite, share), special.gammainc(some, m))
    score = np.full(len(c), np.inf)
    np.log10(tail, out=score, where=tail > 0)
    score = np.abs(score)
    for at in np.flatnonzero((tail < _FAR) & (m > 0) & (c > 0)):
        score[at] = _far_tail(float(c[at]), float(m[at]), float(n[at]))
    return np.where(c > 0, score, 0.0).reshape(arrays[0].shape)


def _far_tail(c: float, mean: float, size: float) -> float:
    """The same where the probability is too small for a float: log of the first term and the series after it."""
    if np.isfinite(size):
        share = mean / (mean + size)
        log_first = special.gammaln(c + size) - special.gammaln(size) - special.gammaln(c + 1)
        log_first += c * np.log(share) + size * np.log1p(-share)
    else:
        log_first = c * np.log(mean) - mean - special.gammaln(c + 1)
    term = total = 1.0
    for k in range(_TERMS):
        term *= share * (c + k + size) / (c + k + 1) if np.isfinite(size) else mean / (c + k + 1)
        total += term
        if term < 1e-16 * total:
            break
    return float(-(log_first + np.log(total)) / np.log(10))
