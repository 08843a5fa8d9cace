# SPDX-License-Identifier: Apache-2.0
"""PPAS (our reconstruction): what it promises, and nothing it does not."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilset.errors import ConfigError
from veilset.synthesize.closeness import (
    BOUND_COVERS,
    earth_movers_distance,
    randomised_response_bound,
    two_levels,
)
from veilset.synthesize.ppas import (
    METHOD_NAME,
    PpasSettings,
    Selection,
    flip_cheapest,
    ppas_our_reconstruction,
)


def distance(levels: np.ndarray, p: np.ndarray) -> float:
    return earth_movers_distance(np.bincount(levels, minlength=len(p)) / len(levels), p)


def least_distance(n: int, p: np.ndarray) -> float:
    """Try all counts that n faces can have."""
    counts = itertools.product(range(n + 1), repeat=len(p) - 1)
    return min(
        earth_movers_distance(np.array([*each, n - sum(each)]) / n, p)
        for each in counts
        if sum(each) <= n
    )


@st.composite
def groups_of_faces(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Levels, reference, costs and t of one attribute of one group."""
    m = draw(st.integers(2, 4))
    weights = np.array(draw(st.lists(st.integers(0, 9), min_size=m, max_size=m)))
    p = weights / weights.sum() if weights.sum() else np.full(m, 1 / m)
    levels = np.array(draw(st.lists(st.integers(0, m - 1), min_size=1, max_size=9)))
    costs = np.array(draw(st.lists(st.integers(0, 5), min_size=len(levels), max_size=len(levels))))
    return levels, p, costs.astype(float), draw(st.sampled_from([0.0, 0.05, 0.1, 0.3, 1.0]))


@given(groups_of_faces())
@settings(max_examples=300, deadline=None)
def test_flips_reach_t_or_the_least_distance_there_is(
    group: tuple[np.ndarray, np.ndarray, np.ndarray, float],
) -> None:
    levels, p, costs, t = group
    found = flip_cheapest(levels, p, costs, t)
    assert distance(found, p) <= max(t, least_distance(len(levels), p)) + 1e-9
    if distance(levels, p) <= t:
        np.testing.assert_array_equal(found, levels)


@given(
    n=st.integers(1, 60),
    n_present=st.integers(0, 60),
    p=st.floats(0.02, 0.98),
    t=st.floats(0, 0.5),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_of_two_levels_exactly_the_cheapest_that_are_too_many_flip(
    n: int, n_present: int, p: float, t: float, seed: int
) -> None:
    levels = (np.arange(n) < n_present).astype(np.int64)
    costs = np.random.default_rng(seed).permutation(n).astype(float)
    found = flip_cheapest(levels, np.array([1 - p, p]), costs, t)
    q = levels.mean()
    flipped = np.flatnonzero(found != levels)
    wanted = max(0, math.ceil(n * (abs(q - p) - t) - 1e-9))
    # Where t is less than half a face, one flip fewer may be nearer.
    assert len(flipped) == wanted or (len(flipped) == wanted - 1 and t < 0.5 / n)
    over = np.flatnonzero(levels == (1 if q > p else 0))
    cheapest = over[np.argsort(costs[over])][: len(flipped)]
    assert set(flipped) == set(cheapest)


def table(seed: int, n: int = 90, k: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (
        rng.random((n, k)) < rng.random(k),
        rng.integers(0, 4, n),
        np.abs(rng.normal(size=(n, k))),
    )


def run(drawn: int, chosen: PpasSettings) -> tuple[np.ndarray, np.ndarray, Selection]:
    values, groups, margins = table(drawn)
    reference, editable = two_levels(np.full(6, 0.4)), np.arange(6) != 2
    found = ppas_our_reconstruction(
        values, reference, editable, chosen, groups=groups, margins=margins
    )
    return values.astype(np.int64), groups, found


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_t_holds_wherever_it_is_not_said_to_be_unmet(seed: int, epsilon: float) -> None:
    values, groups, found = run(seed, PpasSettings(t=0.12, epsilon=epsilon, seed=seed))
    unmet = {(each.group, each.attribute): each.distance for each in found.unmet}
    largest = 0.0
    for group, k in itertools.product(np.unique(groups), range(6)):
        p = np.array([0.6, 0.4])
        apart = distance(found.values[groups == group, k], p)
        if k == 2:
            continue
        largest = max(largest, apart)
        assert (apart > 0.12 + 1e-9) == ((group, k) in unmet)
        if epsilon == 0 and (group, k) in unmet:
            assert apart == pytest.approx(least_distance(int((groups == group).sum()), p))
    assert found.distance_after == pytest.approx(largest)
    np.testing.assert_array_equal(found.values[:, 2], values[:, 2])
    assert found.n_edits == (found.values != values).sum()


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_without_draws_only_the_flips_change_anything(seed: int) -> None:
    values, groups, found = run(seed, PpasSettings(t=0.12, epsilon=0.0))
    _, _, margins = table(seed)
    for group, k in itertools.product(np.unique(groups), (0, 1, 3, 4, 5)):
        rows = groups == group
        wanted = flip_cheapest(values[rows, k], np.array([0.6, 0.4]), margins[rows, k], 0.12)
        np.testing.assert_array_equal(found.values[rows, k], wanted)
    assert found.bound == math.inf
    assert found.n_rounds == 1


def test_the_draws_of_one_round_are_randomised_response() -> None:
    n, p, epsilon = 40_000, 0.3, 0.5
    values = (np.arange(n) < n * p).astype(np.int64)[:, None]  # no flip is needed
    chosen = PpasSettings(t=0.05, epsilon=epsilon, n_rounds=1, seed=5)
    found = ppas_our_reconstruction(values, two_levels([p]), [True], chosen)
    kept = found.values[values == 1].mean()
    turned = found.values[values == 0].mean()
    # Five standard deviations of shares of 12,000 and 28,000 draws.
    assert kept == pytest.approx(1 - epsilon + epsilon * p, abs=0.023)
    assert turned == pytest.approx(epsilon * p, abs=0.011)
    worst = max(kept / turned, (1 - turned) / (1 - kept))
    assert found.bound == pytest.approx(math.log(worst), abs=0.15)


def test_the_report_says_what_the_bound_covers() -> None:
    _, _, found = run(1, PpasSettings(epsilon=0.2))
    one = randomised_response_bound([0.6, 0.4], 0.2)
    assert found.bound == pytest.approx(5 * one)
    assert found.bound_covers == BOUND_COVERS
    assert "nor the image" in found.bound_covers
    assert METHOD_NAME == "PPAS (our reconstruction)"
    assert METHOD_NAME in (ppas_our_reconstruction.__doc__ or "")


def test_the_same_seed_gives_the_same_selection_and_another_another() -> None:
    chosen = [PpasSettings(epsilon=0.5, seed=seed) for seed in (7, 7, 8)]
    first, again, other = (run(3, each)[2].values for each in chosen)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_other_editable_attributes_do_not_change_the_draws_of_one() -> None:
    values, groups, _ = table(4)
    reference = two_levels(np.full(6, 0.4))
    few, many = (
        ppas_our_reconstruction(
            values, reference, np.arange(6) >= first, PpasSettings(), groups=groups
        ).values[:, 4]
        for first in (4, 0)
    )
    np.testing.assert_array_equal(few, many)


def test_attributes_are_drawn_independently_of_each_other() -> None:
    values = np.zeros((4000, 2), np.int64)
    found = ppas_our_reconstruction(
        values, two_levels([0.5, 0.5]), [True, True], PpasSettings(t=1.0, epsilon=1.0)
    )
    alike = np.asarray(np.corrcoef(found.values.T))[0, 1]
    assert abs(alike) < 5 / np.sqrt(4000)


def test_ages_in_bins_move_by_neighbours() -> None:
    ages, p = np.zeros((100, 1), np.int64), np.array([0.25, 0.25, 0.25, 0.25])
    chosen = PpasSettings(t=0.1, epsilon=0.0)
    found = ppas_our_reconstruction(ages, [p], [True], chosen)
    assert found.distance_before == 0.5
    assert found.distance_after <= 0.1
    # Each move of one level takes 1 / 300 off the distance: no move is wasted.
    assert found.values.sum() == 120


def test_nothing_editable_changes_nothing() -> None:
    values, _, _ = table(0)
    found = ppas_our_reconstruction(
        values, two_levels(np.full(6, 0.5)), np.zeros(6, bool), PpasSettings()
    )
    assert (found.n_edits, found.distance_after, found.bound, found.unmet) == (0, 0.0, 0, ())


@pytest.mark.parametrize(
    "options", [{"t": -0.1}, {"t": math.nan}, {"epsilon": 1.5}, {"n_rounds": 0}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"PPAS \(our reconstruction\)"):
        PpasSettings(**options)  # type: ignore[arg-type]  # wrong on purpose


def test_what_does_not_go_together_is_refused() -> None:
    half, one = two_levels([0.5]), PpasSettings()
    with pytest.raises(ConfigError, match="do not go together"):
        ppas_our_reconstruction([[1]], half, [True, True], one)
    with pytest.raises(ConfigError, match="are no levels"):
        ppas_our_reconstruction([[0.7]], half, [True], one)
    with pytest.raises(ConfigError, match="no level of"):
        ppas_our_reconstruction([[2]], half, [True], one)
    with pytest.raises(ConfigError, match="at least one face"):
        ppas_our_reconstruction(np.zeros((0, 1), int), half, [True], one)
    with pytest.raises(ConfigError, match="Margins"):
        ppas_our_reconstruction([[1]], half, [True], one, margins=[[-1]])
    with pytest.raises(ConfigError, match="Groups"):
        ppas_our_reconstruction([[1]], half, [True], one, groups=[0.5])
