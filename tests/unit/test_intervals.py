# SPDX-License-Identifier: Apache-2.0
"""The interval of a proportion, against SciPy and against its own definition."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.errors import ConfigError
from veilset.intervals import (
    Z_95,
    binomial_tail,
    bounded_mean,
    clopper_pearson,
    clustered_rate,
    gamma_share,
    holm,
    poisson_interval,
    wilson,
)


@pytest.mark.parametrize(
    ("k", "n"), [(0, 1), (1, 1), (0, 20), (3, 20), (20, 20), (1, 5000), (777, 20000), (9, 10)]
)
def test_interval_is_scipys(k: int, n: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(k, n).proportion_ci(method="exact")
    assert clopper_pearson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    score = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((score.low, score.high), abs=1e-12)


@given(n=st.integers(1, 60), p=st.floats(0.001, 0.999), data=st.data())
def test_tail_is_the_sum_of_its_terms(n: int, p: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    terms = (math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
    assert binomial_tail(k, n, p) == pytest.approx(math.fsum(terms), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_proportion_is_refused(k: int, n: int) -> None:
    with pytest.raises(ConfigError, match="no proportion"):
        clopper_pearson(k, n)
    with pytest.raises(ConfigError, match="no proportion"):
        wilson(k, n)


@pytest.mark.parametrize("k", [0, 1, 2, 10, 59, 1000, 250_000, 0.3, 7.5])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_counts_have_garwoods_interval(k: float, confidence: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    tail = (1 - confidence) / 2
    low = stats.chi2.ppf(tail, 2 * k) / 2 if k else 0.0
    high = stats.chi2.ppf(1 - tail, 2 * k + 2) / 2
    assert poisson_interval(k, confidence) == pytest.approx((low, high), rel=1e-9)


@given(shape=st.floats(0.01, 500), x=st.floats(0.0, 1000))
def test_gamma_share_is_scipys(shape: float, x: float) -> None:
    special = pytest.importorskip("scipy.special")
    assert gamma_share(shape, x) == pytest.approx(special.gammainc(shape, x), abs=1e-11)


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 20), (20, 20), (400, 1000)])
def test_mean_of_zeros_and_ones_has_the_interval_of_agresti_and_coull(k: int, n: int) -> None:
    added = Z_95**2
    p = (k + added / 2) / (n + added)
    half = Z_95 * math.sqrt(p * (1 - p) / (n + added))
    expected = (max(0.0, p - half), min(1.0, p + half))
    assert bounded_mean([1.0] * k + [0.0] * (n - k)) == pytest.approx(expected)


def coverage(hits: Iterable[bool]) -> float:
    every = list(hits)
    return sum(every) / len(every)


@pytest.mark.parametrize(("a", "b"), [(8, 2), (0.4, 0.2), (30, 1)])
@pytest.mark.parametrize("n", [10, 100])
def test_bounded_mean_covers(a: float, b: float, n: int) -> None:
    rng = np.random.default_rng(3)
    mean = a / (a + b)
    ends = (bounded_mean(rng.beta(a, b, n).tolist()) for _ in range(1000))
    # 0.93 is 0.95 less three standard errors of 1,000 trials.
    assert coverage(low <= mean <= high for low, high in ends) > 0.93


@pytest.mark.parametrize("mean", [0.05, 0.5, 3.0])
def test_clustered_rate_covers_where_garwoods_own_interval_does_not(mean: float) -> None:
    rng = np.random.default_rng(5)
    drawn = rng.negative_binomial(0.5, 0.5 / (0.5 + mean), size=(1000, 400))
    ends = [clustered_rate(counts.tolist(), 400) for counts in drawn]
    assert coverage(low <= mean <= high for low, high in ends) > 0.91
    plain = [poisson_interval(int(counts.sum())) for counts in drawn]
    naive = coverage(low <= mean * 400 <= high for low, high in plain)
    assert naive < coverage(low <= mean <= high for low, high in ends)


def test_what_is_no_count_or_mean_is_refused() -> None:
    for k in (-1, math.inf, math.nan):
        with pytest.raises(ConfigError, match="no count"):
            poisson_interval(k)
    for values in ([], [0.5, 1.5], [math.nan]):
        with pytest.raises(ConfigError, match="mean"):
            bounded_mean(values)
    for counts, exposure in (([], 1.0), ([-1], 1.0), ([1], 0.0)):
        with pytest.raises(ConfigError, match="rate"):
            clustered_rate(counts, exposure)


def test_holm_by_hand() -> None:
    # Sorted: .01 x 4, .02 x 3, .03 x 2, .5 x 1, never falling.
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_that_of_the_definition(p_values: list[float]) -> None:
    found, m = holm(p_values), len(p_values)
    order = np.argsort(p_values, kind="stable")
    for rank, i in enumerate(order):
        steps = [(m - k) * p_values[order[k]] for k in range(rank + 1)]
        assert found[i] == pytest.approx(min(1.0, max(steps)))
