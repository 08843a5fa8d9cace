# SPDX-License-Identifier: Apache-2.0
"""The interval of a proportion, against SciPy and against its own definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.errors import ConfigError
from veilset.intervals import binomial_tail, clopper_pearson, wilson


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
