# SPDX-License-Identifier: Apache-2.0
"""The bootstrap over people: closed forms, widths, and how often its intervals hold the truth."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from veilset.attack.resampling import (
    Draws,
    Estimate,
    difference,
    draw_people,
    drawn_means,
    effective_trials,
    hull,
    macro_average,
    paired_difference,
    person_means,
)
from veilset.errors import ConfigError, DatasetError
from veilset.intervals import clopper_pearson
from veilset.types import Measurement

hit_rate = partial(macro_average, of_hits=True)


def holds(found: Measurement, truth: float) -> bool:
    return found.low <= truth <= found.high


def width(found: Estimate) -> float:
    return found.measurement.high - found.measurement.low


def test_draws_are_those_of_their_seed_and_as_large_as_the_people() -> None:
    one, two, other = (draw_people(7, seed=seed, n_draws=50) for seed in (1, 1, 2))
    assert (one.multiplicities == two.multiplicities).all()
    assert (one.multiplicities != other.multiplicities).any()
    assert (one.multiplicities.sum(axis=1) == 7).all()
    assert one.key == two.key != other.key


@pytest.mark.parametrize(("n_people", "n_draws"), [(1, 1000), (10, 39)])
def test_too_few_people_or_draws_are_refused(n_people: int, n_draws: int) -> None:
    with pytest.raises(ConfigError, match="no interval"):
        draw_people(n_people, seed=1, n_draws=n_draws)


def test_drawn_means_have_the_mean_and_variance_of_the_closed_form() -> None:
    rng = np.random.default_rng(5)
    means = rng.random(50)
    drawn = drawn_means(means, draw_people(50, seed=3, n_draws=20_000))
    variance = means.var() / 50
    assert drawn.mean() == pytest.approx(means.mean(), abs=4 * np.sqrt(variance / 20_000))
    assert drawn.var() == pytest.approx(variance, rel=0.04)


def test_a_person_counts_once_however_many_photographs_there_are() -> None:
    people = [0] * 97 + [1, 2, 3]
    found = hit_rate("hits", [1] * 97 + [0, 0, 0], people, draw_people(4, seed=1))
    assert found.measurement.value == 0.25
    assert found.measurement.n == 100


def test_people_without_a_photograph_are_left_out_and_draws_of_them_alone_say_nothing() -> None:
    draws = Draws(0, np.array([[2, 0], [1, 1], [0, 2]]))
    assert drawn_means(person_means([1, 0], [0, 0], 2), draws).tolist()[:2] == [0.5, 0.5]
    assert np.isnan(drawn_means(person_means([1, 0], [0, 0], 2), draws)[2])
    found = hit_rate("hits", [1, 0], [0, 0], draw_people(2, seed=1))
    assert found.measurement.value == 0.5
    assert np.isnan(found.drawn).any()
    with pytest.raises(DatasetError, match="Nobody was measured"):
        hit_rate("hits", [], [], draws)


@pytest.mark.parametrize(("hit", "k"), [(0.0, 0), (1.0, 60)])
def test_where_all_draws_agree_the_interval_is_that_of_clopper_and_pearson(
    hit: float, k: int
) -> None:
    people = np.repeat(np.arange(20), 3)
    found = hit_rate("hits", [hit] * 60, people, draw_people(20, seed=1)).measurement
    assert (found.low, found.high) == clopper_pearson(k, 60)


def test_unequal_people_count_as_fewer_trials() -> None:
    assert effective_trials([0.5] * 60) == pytest.approx(60)
    assert effective_trials([1, 0, 0]) == 1
    # 2.5 hits of 4.9 trials: 2 or 3 of 4, whichever is farther out.
    low, high = hull(0.5, np.full(40, 0.5), 4.9, of_hits=True)
    assert (low, high) == (clopper_pearson(2, 4)[0], clopper_pearson(2, 4)[1])
    low, high = hull(0.6, np.full(40, 0.6), 4.9, of_hits=True)
    assert (low, high) == (clopper_pearson(2, 4)[0], clopper_pearson(3, 4)[1])


def test_other_means_have_a_width_too_where_all_draws_agree_and_else_that_of_the_draws() -> None:
    for mean in (0.0, 0.5, 1.0):
        low, high = hull(mean, np.full(40, mean), 100, of_hits=False)
        assert 0 <= low <= mean <= high <= 1
        assert 0.01 < high - low < 0.06
    spread = np.linspace(0.3, 0.7, 41)
    ends = np.quantile(spread, (0.025, 0.975))
    assert hull(0.5, spread, 100, of_hits=False) == pytest.approx(ends)


def test_a_hull_needs_a_draw_that_says_something() -> None:
    with pytest.raises(DatasetError, match="No draw"):
        hull(0.5, np.full(40, np.nan), 10, of_hits=True)


def test_intervals_hold_the_truth_though_photographs_of_a_person_are_alike() -> None:
    """Hits come in clumps: counting photographs alone would promise too much."""
    rng, draws = np.random.default_rng(8), draw_people(60, seed=2, n_draws=300)
    people = np.repeat(np.arange(60), rng.integers(2, 12, size=60))
    held = {"people": 0, "photographs": 0}
    n_trials = 300
    for _ in range(n_trials):
        ease = rng.beta(0.8, 1.2, size=60)
        hits = rng.random(len(people)) < ease[people]
        found = hit_rate("hits", hits, people, draws).measurement
        held["people"] += holds(found, 0.4)
        low, high = clopper_pearson(int(hits.sum()), len(hits))
        held["photographs"] += low <= 0.4 <= high
    assert held["people"] / n_trials >= 0.92
    assert held["photographs"] / n_trials < 0.80


def two_settings(rng: np.random.Generator, draws: Draws) -> tuple[Estimate, Estimate]:
    """What is hard about a person is hard in both; the second loses 0.1."""
    people = np.repeat(np.arange(draws.n_people), 6)
    ease = rng.uniform(0.2, 0.9, size=draws.n_people)[people]
    first, second = (
        hit_rate("hits", rng.random(len(people)) < p, people, draws) for p in (ease, ease - 0.1)
    )
    return first, second


def test_a_difference_holds_the_truth_and_is_narrower_than_without_pairing() -> None:
    rng, draws = np.random.default_rng(9), draw_people(80, seed=2, n_draws=300)
    held, widths, loose = 0, [], []
    for _ in range(200):
        a, b = two_settings(rng, draws)
        found = difference("loss", a, b)
        held += holds(found, 0.1)
        widths.append(found.high - found.low)
        loose.append(np.hypot(width(a), width(b)))
    assert held / 200 >= 0.92
    assert np.mean(widths) < 0.9 * np.mean(loose)


def test_a_difference_of_nothing_has_a_width() -> None:
    draws, people = draw_people(20, seed=1), np.repeat(np.arange(20), 3)
    a, b = (hit_rate("hits", [0.0] * 60, people, draws) for _ in range(2))
    found = difference("loss", a, b)
    assert (found.low, found.value) == (-found.high, 0.0)
    assert found.high == pytest.approx(clopper_pearson(0, 60)[1])


def test_a_difference_needs_the_same_draws() -> None:
    people = np.arange(20)
    a, b = (hit_rate("", [1.0] * 20, people, draw_people(20, seed=s)) for s in (1, 2))
    with pytest.raises(ConfigError, match="same draws"):
        difference("loss", a, b)


def test_paired_people_who_were_measured_once_do_not_count() -> None:
    draws = draw_people(4, seed=1)
    found = paired_difference("loss", [1, 0.5, 1, np.nan], [0, 0.5, np.nan, 1], draws)
    assert (found.value, found.n) == (0.5, 2)
    assert -1 <= found.low < 0.5 < found.high <= 1
    with pytest.raises(DatasetError, match="both sides"):
        paired_difference("loss", [1, np.nan], [np.nan, 1], draw_people(2, seed=1))


def test_paired_differences_hold_the_truth_and_never_are_empty() -> None:
    rng, draws = np.random.default_rng(10), draw_people(60, seed=2, n_draws=300)
    held = 0
    for _ in range(200):
        a = rng.beta(3, 2, size=60)
        held += holds(paired_difference("loss", a, a * rng.uniform(0.4, 1, size=60), draws), 0.18)
    assert held / 200 >= 0.92
    same = paired_difference("loss", np.ones(60), np.ones(60), draws)
    assert same.low < same.value == 0 < same.high
