# SPDX-License-Identifier: Apache-2.0
"""Paired drops: closed forms, and how often the intervals hold what they should."""

from __future__ import annotations

import numpy as np
import pytest

from veilset.study.paired import paired_drop, percentiles, resampled_means


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_resampled_means_have_the_mean_and_variance_of_the_closed_form():
    rng = _rng(3)
    strata = np.repeat([0, 1, 2], [200, 50, 30])
    values = rng.choice([-1.0, -1 / 3, 0.0, 1 / 3, 1.0], size=280) + strata
    drawn = resampled_means(values, strata, n_resamples=40_000, rng=rng)
    # Within a class of n, the sum of n draws has variance n times that of one, ddof 0.
    variance = sum((strata == k).sum() * values[strata == k].var() for k in range(3)) / 280**2
    assert drawn.mean() == pytest.approx(values.mean(), abs=4 * np.sqrt(variance / 40_000))
    assert drawn.var() == pytest.approx(variance, rel=0.03)


def test_the_middle_of_draws_is_that_of_numpy():
    drawn = _rng(2).normal(size=999)
    found = percentiles(drawn)
    assert (found.low, found.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]))


def test_quantities_of_one_draw_stay_together():
    values = _rng().choice([0.0, 1.0], size=90)
    both = np.stack([values, 2 * values + 1], axis=1)
    drawn = resampled_means(both, np.zeros(90, dtype=int), n_resamples=500, rng=_rng())
    assert drawn.shape == (500, 2)
    assert drawn[:, 1] == pytest.approx(2 * drawn[:, 0] + 1)
    assert drawn[:, 0].std() > 0


def test_a_drop_is_what_one_would_count():
    a = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
    b = np.array([[1, 0, 0, 0], [1, 1, 0, 1]])
    found = paired_drop(a, b, [0, 0, 1, 1], n_resamples=1000, rng=_rng())
    assert found is not None
    assert found.drop == pytest.approx((0.5 - 0.25) / 2)
    assert (found.n_seeds, found.n_images) == (2, 4)
    assert not found.is_resolved


def test_the_same_generator_gives_the_same_interval_and_nothing_gives_nothing():
    a, b = _rng(1).random((2, 3, 60)) > 0.5
    strata = np.arange(60) % 5
    one, two = (paired_drop(a, b, strata, n_resamples=1000, rng=_rng(7)) for _ in range(2))
    assert one == two
    assert paired_drop(a[:0], b[:0], strata, n_resamples=1000, rng=_rng()) is None
    assert paired_drop(a[:, :0], b[:, :0], [], n_resamples=1000, rng=_rng()) is None


def test_seeds_that_agree_by_coincidence_resolve_nothing():
    # Two trainings are wrong on as many images, and on others.
    a, b = np.ones((2, 400)), np.ones((2, 400))
    b[0, :12] = b[1, 50:62] = 0
    found = paired_drop(a, b, np.arange(400) % 10, n_resamples=500, rng=_rng(1))
    assert found is not None
    assert found.drop == pytest.approx(0.03)
    assert found.over_images is not None
    assert found.over_images.excludes_zero
    assert (found.over_trainings, found.p, found.is_resolved) == (None, None, False)


def test_images_that_cannot_be_drawn_otherwise_resolve_nothing():
    # Of each class there is one image.
    a, b = np.ones((3, 4)), np.array([[0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1]])
    found = paired_drop(a, b, range(4), n_resamples=100, rng=_rng())
    assert found is not None
    assert found.over_trainings is not None
    assert found.over_images is not None
    assert found.over_images.low == found.over_images.high == pytest.approx(1 / 3)
    assert not found.over_images.excludes_zero
    assert not found.is_resolved


def test_a_drop_that_is_the_same_in_every_training_is_not_resolved():
    # All images of one class fail, in every training.
    a, b = np.ones((3, 20)), np.tile([0.0] * 5 + [1.0] * 15, (3, 1))
    found = paired_drop(a, b, [0] * 5 + [1] * 15, n_resamples=1000, rng=_rng())
    assert found is not None
    assert found.drop == 0.25
    assert found.p is None
    assert not found.is_resolved


def test_what_each_interval_covers():
    """With drops that vary from training to training the images alone promise too much."""
    n_trials, n_images, n_seeds, truth = 250, 600, 3, 0.03
    rng = _rng(11)
    held = {"trainings": 0, "images": 0}
    for _ in range(n_trials):
        seed_effect = rng.normal(truth, 0.03, size=(n_seeds, 1))
        chance = rng.random((n_seeds, n_images))
        # The images are themselves a sample: fresh ones in every trial.
        ease = rng.normal(0.7, 0.1, size=n_images)
        a, b = chance < ease, chance < ease - seed_effect
        found = paired_drop(a, b, np.arange(n_images) % 4, n_resamples=300, rng=rng)
        assert found is not None
        assert found.over_trainings is not None
        assert found.over_images is not None
        held["trainings"] += found.over_trainings.low <= truth <= found.over_trainings.high
        held["images"] += found.over_images.low <= truth <= found.over_images.high
    assert held["trainings"] / n_trials >= 0.92
    assert held["images"] / n_trials < 0.80


def test_the_interval_over_images_holds_the_truth_where_only_images_vary():
    n_trials, n_images, truth = 250, 400, 0.05
    rng = _rng(12)
    held = 0
    for _ in range(n_trials):
        e = rng.choice([1.0, 0.0, -1.0], p=[0.15, 0.75, 0.10], size=n_images)
        drawn = resampled_means(e, np.arange(n_images) % 4, n_resamples=300, rng=rng)
        interval = percentiles(drawn)
        held += interval.low <= truth <= interval.high
    assert held / n_trials >= 0.92
