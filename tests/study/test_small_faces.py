# SPDX-License-Identifier: Apache-2.0
"""Small faces beside a large one: a planted effect is found, and its absence not invented."""

from __future__ import annotations

import numpy as np
import pytest

from veilset.study.small_faces import ONE, SMALL, Contrast, contrast, explained, group_of

N, SEEDS = 4000, 3
STRATA = np.arange(N) % 5
GROUP = np.random.default_rng(1).choice(["none", ONE, "alike", SMALL], size=N)


def _settings(seed: int, loss_of_small: float):
    """Right under the published blur, under one for each face, and under a full cover."""
    rng = np.random.default_rng(seed)
    ease = np.clip(rng.normal(0.6, 0.2, size=N), 0, 1)
    chance = rng.random((SEEDS, N))
    faces, small = GROUP != "none", GROUP == SMALL
    released = chance < ease
    per_face = chance < ease - loss_of_small * small
    cover = chance < ease - 0.02 * faces - loss_of_small * small
    return released, per_face, cover


def _contrasts(released: np.ndarray, per_face: np.ndarray) -> tuple[Contrast | None, ...]:
    difference = released.astype(float) - per_face
    small, one = GROUP == SMALL, GROUP == ONE
    rng = np.random.default_rng(0)
    return (
        contrast(difference, STRATA, small, n_resamples=1000, rng=rng),
        contrast(difference, STRATA, small, minus=one, n_resamples=1000, rng=rng),
    )


def test_a_planted_effect_is_found_where_it_was_planted():
    released, per_face, cover = _settings(2, 0.08)
    in_group, beyond_one = _contrasts(released, per_face)
    assert in_group is not None
    assert beyond_one is not None
    assert in_group.value == pytest.approx(0.08, abs=0.03)
    assert in_group.verdict == beyond_one.verdict == "more"
    groups = {SMALL: GROUP == SMALL, "faces": GROUP != "none"}
    found = explained(
        released, per_face, cover, STRATA, groups, n_resamples=1000, rng=np.random.default_rng(0)
    )
    assert found is not None
    assert found.share is not None
    assert found.interval is not None
    # A third of the images with faces lose 8 points more; all of them lose 2 more.
    assert found.interval.low < (0.08 / 3) / (0.08 / 3 + 0.02) < found.interval.high
    assert found.share == pytest.approx(
        (released.astype(float) - per_face)[:, GROUP == SMALL].sum()
        / (released.astype(float) - cover)[:, GROUP != "none"].sum()
    )


def test_without_an_effect_there_is_no_answer_but_the_least_that_would_have_shown():
    rng = np.random.default_rng(3)
    ease = np.clip(rng.normal(0.6, 0.2, size=N), 0, 1)
    released, per_face, cover = (rng.random((SEEDS, N)) < ease for _ in range(3))
    for found in _contrasts(released, per_face):
        assert found is not None
        assert found.verdict == "cannot tell"
        assert found.detectable is not None
        assert 0.01 < found.detectable < 0.1
    groups = {SMALL: GROUP == SMALL, "faces": GROUP != "none"}
    share = explained(
        released, per_face, cover, STRATA, groups, n_resamples=1000, rng=np.random.default_rng(0)
    )
    assert share is not None
    assert share.share is None
    assert not share.whole_interval.excludes_zero


def test_the_least_that_would_have_shown_is_that_of_the_closed_form():
    rng = np.random.default_rng(5)
    difference = rng.choice([-1.0, 0.0, 1.0], size=(1, N))
    everything = np.ones(N, dtype=bool)
    found = contrast(difference, np.zeros(N, int), everything, n_resamples=20_000, rng=rng)
    assert found is not None
    assert found.detectable == pytest.approx(2.8 * difference.std() / N**0.5, rel=0.03)
    assert found.over_trainings is None
    assert found.verdict == "cannot tell"


def test_seeds_that_agree_and_images_that_cannot_vary_tell_nothing():
    difference = np.zeros((2, N))
    difference[0, :400] = difference[1, 400:800] = 1
    everything = np.ones(N, dtype=bool)
    rng = np.random.default_rng(0)
    found = contrast(difference, STRATA, everything, n_resamples=500, rng=rng)
    assert found is not None
    assert found.over_images.excludes_zero
    assert (found.over_trainings, found.verdict) == (None, "cannot tell")
    # One image of each class: every draw is the same.
    one, groups = np.ones((2, 4)), {SMALL: np.ones(4, bool), "faces": np.ones(4, bool)}
    share = explained(one, one, 0 * one, range(4), groups, n_resamples=100, rng=rng)
    assert share is not None
    assert (share.whole, share.share, share.interval) == (1.0, None, None)


def test_a_group_without_images_gives_nothing():
    nobody = np.zeros(N, dtype=bool)
    difference = np.zeros((SEEDS, N))
    rng = np.random.default_rng(0)
    assert contrast(difference, STRATA, nobody, n_resamples=1000, rng=rng) is None
    assert contrast(difference, STRATA, ~nobody, minus=nobody, n_resamples=1000, rng=rng) is None


@pytest.mark.parametrize(
    ("n_faces", "relative", "cut", "group"),
    [(2, 0.3, 0.25, "alike"), (2, 0.3, 0.5, SMALL), (1, 1.0, 0.5, ONE), (0, None, 0.5, "none")],
)
def test_groups_by_both_cuts(n_faces, relative, cut, group):
    assert group_of(n_faces, relative, cut) == group
