# SPDX-License-Identifier: Apache-2.0
"""Distances, bounds and information: SciPy's and scikit-learn's numbers, and enumerated cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from sklearn.metrics import mutual_info_score

from veilset.errors import ConfigError
from veilset.synthesize.closeness import (
    earth_movers_distance,
    mutual_information,
    randomised_response_bound,
    two_levels,
)


@st.composite
def distributions(draw: st.DrawFn, m: int) -> np.ndarray:
    weights = np.array(draw(st.lists(st.integers(1, 50), min_size=m, max_size=m)))
    shares: np.ndarray = weights / weights.sum()
    return shares


@given(st.data(), st.integers(2, 6))
def test_the_distance_is_scipy_s_over_the_width_of_the_levels(data: st.DataObject, m: int) -> None:
    q, p = data.draw(distributions(m)), data.draw(distributions(m))
    wanted = wasserstein_distance(np.arange(m), np.arange(m), q, p) / (m - 1)
    assert earth_movers_distance(q, p) == pytest.approx(wanted, abs=1e-12)


@given(st.floats(0, 1), st.floats(0, 1))
def test_of_two_levels_it_is_the_difference(q: float, p: float) -> None:
    (first,), (second,) = two_levels([q]), two_levels([p])
    assert earth_movers_distance(first, second) == pytest.approx(abs(q - p), abs=1e-12)


def randomised(p: np.ndarray, epsilon: float) -> np.ndarray:
    """Enumerate the draw: the probability of each output (column) of each value (row)."""
    table = np.zeros((len(p), len(p)))
    for value in range(len(p)):
        table[value, value] += 1 - epsilon
        for drawn, share in enumerate(p):
            table[value, drawn] += epsilon * share
    return table


@given(st.data(), st.integers(2, 4), st.floats(0.01, 1))
def test_the_bound_is_the_largest_ratio_of_the_enumerated_draw(
    data: st.DataObject, m: int, epsilon: float
) -> None:
    p = data.draw(distributions(m))
    table = randomised(p, epsilon)
    pairs = itertools.product(range(m), repeat=2)
    largest = max((table[a] / table[b]).max() for a, b in pairs)
    assert randomised_response_bound(p, epsilon) == pytest.approx(math.log(largest), abs=1e-9)


def test_the_bounds_of_two_attributes_add_up() -> None:
    p, q, epsilon = np.array([0.3, 0.7]), np.array([0.9, 0.1]), 0.4
    both = np.kron(randomised(p, epsilon), randomised(q, epsilon))
    largest = max((both[a] / both[b]).max() for a, b in itertools.product(range(4), repeat=2))
    total = randomised_response_bound(p, epsilon) + randomised_response_bound(q, epsilon)
    assert total == pytest.approx(math.log(largest))


def test_the_ends_of_the_bound() -> None:
    assert randomised_response_bound([0.2, 0.8], 1.0) == 0
    assert randomised_response_bound([0.0, 1.0], 0.5) == math.inf
    assert randomised_response_bound([0.5, 0.5], 0.0) == math.inf
    for p, epsilon in (([0.5, 0.5], 1.1), ([0.5, 0.6], 0.5), ([1.0], 0.5), ([-0.5, 1.5], 0.5)):
        with pytest.raises(ConfigError, match="Give"):
            randomised_response_bound(p, epsilon)


@given(st.integers(0, 10_000), st.integers(2, 4))
def test_information_is_that_of_scikit_learn(seed: int, m: int) -> None:
    old, new = np.random.default_rng(seed).integers(0, m, (2, 50))
    found = mutual_information(old, new, n_resamples=20)
    assert found.value == pytest.approx(mutual_info_score(old, new) / math.log(2), abs=1e-12)
    assert found.low <= found.value <= found.high
    assert found.n == 50


def test_what_is_kept_tells_all_and_what_is_drawn_next_to_nothing() -> None:
    old, new = np.random.default_rng(0).integers(0, 2, (2, 5000))
    assert mutual_information(old, old).value == pytest.approx(1, abs=0.01)
    drawn = mutual_information(old, new)
    assert drawn.value < 0.002
    assert drawn.high < 0.005


@pytest.mark.parametrize(
    "joint", [[0.25, 0.25, 0.25, 0.25], [0.3, 0.2, 0.2, 0.3], [0.5, 0, 0, 0.5]]
)
def test_the_interval_of_what_is_told_holds_it_as_often_as_it_says(joint: list[float]) -> None:
    random = np.random.default_rng(1)
    entropy = -sum(p * math.log2(p) for p in joint if p)
    inside = 0
    for _ in range(200):
        pairs = random.choice(4, size=100, p=joint)
        found = mutual_information(pairs // 2, pairs % 2, n_resamples=200)
        assert 0 <= found.low <= found.value <= found.high <= 1
        inside += found.low <= 2 - entropy <= found.high
    assert inside / 200 >= 0.93


def test_what_does_not_vary_may_do_so_in_other_faces() -> None:
    for old, new in (([0] * 20, [0] * 20), ([0, 1] * 10, [1] * 20)):
        found = mutual_information(old, new)
        assert (found.value, found.low) == (0, 0)
        # At most 16.8 % of all faces have what none of 20 has.
        assert found.high == pytest.approx(0.654, abs=0.001)


def test_values_of_other_faces_are_refused() -> None:
    for old, new in (([0], [0, 1]), ([], []), ([-1], [0]), ([[0]], [[0]])):
        with pytest.raises(ConfigError, match="same faces"):
            mutual_information(old, new)
