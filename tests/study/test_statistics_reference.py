# SPDX-License-Identifier: Apache-2.0
"""Means, tests and average precision against SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score

from veilset.errors import DatasetError
from veilset.study.precision import average_precision, average_precisions, rank_hits
from veilset.study.statistics import (
    Interval,
    benjamini_hochberg,
    detectable_mean,
    detectable_normal,
    mean_sem,
    pearson,
    t_interval,
    t_test,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("ddof", [1, 2])
@pytest.mark.parametrize("n", [3, 4, 30])
def test_the_standard_error_is_that_of_scipy(rng, n, ddof):
    values = rng.normal(size=n)
    assert mean_sem(values, ddof).sem == pytest.approx(stats.sem(values, ddof=ddof), rel=1e-12)


def test_the_published_standard_error_of_three_seeds_is_larger_by_the_root_of_two(rng):
    values = rng.normal(size=3)
    usual, published = mean_sem(values).sem, mean_sem(values, 2).sem
    assert usual is not None
    assert published == pytest.approx(usual * 2**0.5)


def test_too_few_values_have_no_standard_error():
    assert mean_sem([1.0, 2.0], ddof=2).sem is None
    assert mean_sem([4.0]).mean == 4.0
    with pytest.raises(ValueError, match="at least one"):
        mean_sem([])
    with pytest.raises(ValueError, match="finite"):
        mean_sem([1.0, np.nan])


@pytest.mark.parametrize("n", [2, 3, 12])
def test_the_t_interval_and_test_are_those_of_scipy(rng, n):
    a, b = rng.normal(size=n), rng.normal(0.4, size=n)
    found = t_interval(a - b)
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert t_test(a - b) == pytest.approx(expected.pvalue)


def test_differences_that_are_all_alike_have_no_interval_and_no_p():
    # 0.3 - 0.2 and 0.2 - 0.1 differ in their last digit.
    alike = [0.3 - 0.2, 0.2 - 0.1, 0.1]
    assert t_interval(alike) is None
    assert t_test(alike) is None
    assert t_test([0.1]) is None
    assert t_interval([0.1]) is None


@pytest.mark.parametrize(
    ("low", "high", "is_resolved"), [(1, 2, 1), (-2, -1, 1), (-1, 1, 0), (1, 1, 0)]
)
def test_an_interval_that_holds_zero_or_has_no_width_resolves_nothing(low, high, is_resolved):
    assert Interval(low, high).excludes_zero == bool(is_resolved)


@pytest.mark.parametrize("n", [3, 4, 40])
def test_correlations_are_those_of_scipy(rng, n):
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    found = pearson(x, y)
    expected = stats.pearsonr(x, y)
    assert (found.r, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.rank == pytest.approx(stats.spearmanr(x, y).statistic)
    if n > 3:
        interval = expected.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    else:
        assert found.low is None


def test_rounding_does_not_break_ties_of_ranks():
    alike = [0.3 - 0.2, 0.2 - 0.1, 0.1, 0.4, 0.5]
    assert pearson([1, 2, 3, 4, 5], alike).rank == pytest.approx(
        stats.spearmanr([1, 2, 3, 4, 5], [1, 1, 1, 4, 5]).statistic
    )


def test_pairs_of_which_one_is_not_known_are_left_out(rng):
    x, y = rng.normal(size=20), rng.normal(size=20)
    with_gaps = np.where(np.arange(20) < 5, np.nan, x)
    found = pearson(with_gaps, y)
    assert found.n == 15
    assert found.r == pytest.approx(stats.pearsonr(x[5:], y[5:]).statistic)


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [([1, 2], [3, 4], "fewer than 3"), ([1, 1, 1], [1, 2, 3], "does not vary")],
)
def test_a_correlation_that_is_not_defined_says_why(x, y, reason):
    found = pearson(x, y)
    assert found.r is None
    assert reason in found.reason


def test_the_published_p_belongs_to_the_published_r():
    # The paper, section 4: r = 0.28 over 1,000 categories, p = 6.31e-20 with r unrounded.
    p = stats.t.sf(0.2839 * np.sqrt(998 / (1 - 0.2839**2)), 998) * 2
    assert p == pytest.approx(6.31e-20, rel=0.05)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_false_discovery_rate_is_that_of_scipy(p_values):
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values))


def test_average_precision_is_that_of_scikit_learn(rng):
    for _ in range(500):
        n = int(rng.integers(1, 60))
        positive = rng.random(n) < rng.random()
        positive[rng.integers(n)] = True
        # Few distinct scores in half of the cases: ties.
        scores = np.round(rng.normal(size=n), int(rng.integers(0, 2)) * 4)
        assert average_precision(positive, scores) == pytest.approx(
            average_precision_score(positive, scores), abs=1e-12
        )


@given(st.lists(st.tuples(st.booleans(), st.floats(-9, 9, width=32)), min_size=1, max_size=40))
@settings(max_examples=100)
def test_average_precision_of_any_scores(pairs):
    positive = [True, *(is_positive for is_positive, _ in pairs)]
    scores = np.array([0.0, *(score for _, score in pairs)], dtype=np.float32)
    assert average_precision(positive, scores) == pytest.approx(
        average_precision_score(positive, scores), abs=1e-12
    )


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(DatasetError, match="not a number"):
        average_precision([True, False], [1.0, np.nan])


def test_a_class_without_images_has_no_average_precision():
    found = average_precisions([0, 0], [[1.0, 2.0], [2.0, 1.0]])
    assert found[0] == 1.0
    assert np.isnan(found[1])


def test_among_five_classes_or_fewer_there_is_no_top_five():
    first, among = rank_hits([1], [[0, 1, 2, 3, 4]], 5)
    assert among is None
    assert not first[0]


@pytest.mark.parametrize(("n", "spread"), [(2, 0.5), (3, 2.0), (8, 1.0)])
def test_a_detectable_mean_is_seen_four_times_of_five(rng, n, spread):
    # Differences of just this spread; then many trials in which such a mean is there.
    values = rng.normal(size=n)
    values = spread * (values - values.mean()) / values.std(ddof=1) + 7.0
    detectable = detectable_mean(values)
    assert detectable is not None
    trials = rng.normal(detectable, spread, size=(40_000, n))
    seen = (stats.ttest_1samp(trials, 0.0, axis=1).pvalue < 0.05).mean()
    assert seen == pytest.approx(0.8, abs=0.01)
    assert detectable_mean(values - 7.0) == pytest.approx(detectable)


def test_what_is_detectable_is_not_known_without_spread():
    assert detectable_mean([0.25]) is None
    assert detectable_mean([0.25, 0.25, 0.25]) is None
    assert detectable_normal(0.0) is None
