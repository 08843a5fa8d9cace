# SPDX-License-Identifier: Apache-2.0
"""Distances between sets of pictures, against their definitions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from veilset.errors import ConfigError
from veilset.synthesize import picture_distances
from veilset.synthesize.picture_distances import (
    N_GROUPS,
    T_95,
    frechet_distance,
    frechet_without,
    kernel_distance,
    kernel_without,
    measure_distance,
)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 30), st.integers(1, 12))
def test_frechet_is_the_formula(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, d)), rng.normal(1, 2, size=(n, d))
    cov_a, cov_b = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (a, b))
    # The trace of the root, by its eigenvalues: sqrtm cannot take the root of a singular product.
    root = np.sqrt(scipy.linalg.eigvals(cov_a @ cov_b).astype(complex)).real.sum()
    away = a.mean(axis=0) - b.mean(axis=0)
    wanted = away @ away + np.trace(cov_a + cov_b) - 2 * root
    # The root of an eigenvalue that is 0 is only good to half of the digits.
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


def test_equal_sets_have_no_distance() -> None:
    a = np.random.default_rng(5).normal(size=(5, 3))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert kernel_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shape", [(200, 12), (40, 30), (20, 50)])
def test_small_roots_give_what_large_ones_give(shape: tuple[int, int]) -> None:
    """The root of a covariance as all rows have it, N x D."""
    rng = np.random.default_rng(4)
    a, b = rng.gamma(2, size=shape), rng.gamma(3, size=shape)
    roots = [(each - each.mean(axis=0)) / np.sqrt(len(each) - 1) for each in (a, b)]
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    away = a.mean(axis=0) - b.mean(axis=0)
    wanted = away @ away + sum((root**2).sum() for root in roots) - 2 * shared
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-9)


def test_what_is_left_without_a_group_is_the_distance_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(picture_distances, "_ROWS", 7)
    rng = np.random.default_rng(6)
    a, b, groups = rng.gamma(2, size=(30, 6)), rng.gamma(3, size=(30, 6)), np.arange(30) % 4
    for distance, parts in ((frechet_distance, frechet_without), (kernel_distance, kernel_without)):
        without = parts(a, b, groups)
        assert without(None) == pytest.approx(distance(a, b), rel=1e-9)
        for group in range(4):
            left = groups != group
            assert without(group) == pytest.approx(distance(a[left], b[left]), rel=1e-9)


def test_the_kernel_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, kernel = [], picture_distances._kernel

    def counted(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        calls.append(len(a))
        return kernel(a, b)

    monkeypatch.setattr(picture_distances, "_kernel", counted)
    a = np.random.default_rng(8).normal(size=(60, 3))
    measure_distance("kernel", kernel_without, a, a + 1, list(range(60)))
    assert calls == [60] * 3


@pytest.mark.parametrize("distance", [frechet_without, kernel_without])
def test_the_interval_holds_the_mean_of_the_estimate_as_often_as_it_says(distance: Any) -> None:
    """At this number of faces: what it would be on average over such people."""
    rng, people = np.random.default_rng(2), np.repeat(np.arange(30), 2)
    found = []
    for _ in range(100):
        who = rng.normal(size=(30, 5))[people]
        a, b = (each + 0.7 * rng.normal(size=(60, 5)) for each in (who, who / 2 + 0.3))
        found.append(measure_distance("distance", distance, a, b, people.tolist()))
    mean = np.mean([each.value for each in found])
    assert 0.88 <= np.mean([each.low <= mean <= each.high for each in found]) <= 0.99
    # Neither end is the value: it may err either way.
    assert all(each.low < each.value < each.high for each in found)


def test_the_interval_is_over_people_and_told_apart_sets_stay_apart() -> None:
    rng = np.random.default_rng(7)
    a = rng.normal(size=(40, 5))
    people = np.repeat(np.arange(10), 4).tolist()
    far = measure_distance("far", kernel_without, a, a + 3, people)
    near = measure_distance("near", kernel_without, a, rng.normal(size=(40, 5)), people)
    assert far.n == near.n == 10
    assert far.low > near.high
    assert near.low <= near.value <= near.high
    same = measure_distance("same", frechet_without, a, a, people)
    assert same.low == 0
    for n, who in ((40, [0] * 40), (2, [0, 1])):
        alone = measure_distance("one", frechet_without, a[:n], a[:n] + 1, who)
        assert (alone.low, alone.high) == (-math.inf, math.inf)


def test_people_are_dealt_out_in_turn_and_quantiles_are_student_s() -> None:
    seen: list[np.ndarray] = []

    def distance(a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> Any:
        seen.append(groups)
        return frechet_without(a, b, groups)

    a = np.random.default_rng(9).normal(size=(100, 2))
    measure_distance("many", distance, a, a + 1, [-at for at in range(100)])
    np.testing.assert_array_equal(seen[0], np.arange(99, -1, -1) % N_GROUPS)
    np.testing.assert_allclose(T_95, scipy.stats.t.ppf(0.975, np.arange(1, N_GROUPS)), atol=6e-5)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be compared"):
        frechet_distance(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(ConfigError, match="at least 2"):
        kernel_distance(np.zeros((1, 2)), np.zeros((1, 2)))
