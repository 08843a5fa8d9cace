# SPDX-License-Identifier: Apache-2.0
"""Distances between sets of pictures, against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from veilset.errors import ConfigError
from veilset.synthesize.picture_distances import (
    frechet_distance,
    kernel_distance,
    measure_distance,
)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 30), st.integers(1, 12))
def test_frechet_is_the_formula(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, d)), rng.normal(1, 2, size=(n, d))
    cov_a, cov_b = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (a, b))
    root = scipy.linalg.sqrtm((cov_a @ cov_b).astype(complex)).real
    away = a.mean(axis=0) - b.mean(axis=0)
    wanted = away @ away + np.trace(cov_a + cov_b - 2 * root)
    # The root of a singular product is only good to half of the digits.
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_kernel_distance_is_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(6, 4)), rng.normal(0.5, 1, size=(6, 4))

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / 4 + 1) ** 3

    pairs = list(itertools.permutations(range(6), 2))
    wanted = sum(
        kernel(a[i], a[j]) + kernel(b[i], b[j]) - 2 * kernel(a[i], b[j]) for i, j in pairs
    ) / len(pairs)
    assert kernel_distance(a, b) == pytest.approx(wanted)


def test_equal_sets_have_no_distance_and_repeated_rows_count_as_often() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert kernel_distance(a, a) == pytest.approx(0, abs=1e-9)
    twice = np.array([2.0, 1, 1, 1, 1])
    rows = [0, 0, 1, 2, 3, 4]
    assert frechet_distance(a, b, twice) == pytest.approx(frechet_distance(a[rows], b[rows]))


def test_the_interval_is_over_people_and_told_apart_sets_stay_apart() -> None:
    rng = np.random.default_rng(7)
    a = rng.normal(size=(40, 5))
    people = np.repeat(np.arange(10), 4).tolist()
    far = measure_distance("far", kernel_distance, a, a + 3, people)
    near = measure_distance("near", kernel_distance, a, rng.normal(size=(40, 5)), people)
    assert far.n == near.n == 10
    assert far.low > near.high
    assert near.low <= near.value <= near.high
    alone = measure_distance("one", frechet_distance, a, a + 1, [0] * 40)
    assert (alone.low, alone.high) == (-math.inf, math.inf)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be compared"):
        frechet_distance(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(ConfigError, match="at least 2"):
        kernel_distance(np.zeros((1, 2)), np.zeros((1, 2)))
