# SPDX-License-Identifier: Apache-2.0
"""Verification: estimates and draws against scikit-learn, and how often intervals hold."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.attack.drawn_faces import drawn_faces
from veilset.attack.resampling import Draws, Estimate, difference, draw_people
from veilset.attack.verification import Verification, measure_verification
from veilset.errors import ConfigError, DatasetError

metrics = pytest.importorskip("sklearn.metrics")

DRAWS = draw_people(12, seed=1, n_draws=60)
LEVELS = [None, 1, 2, 4, 30]

FloatVector = NDArray[np.float64]


def faces(
    seed: int, levels: int | None = None, n_people: int = 12, *, n_each: int = 3, noise: float = 0.8
) -> tuple[FloatVector, NDArray[np.int64], NDArray[np.int64]]:
    distances, probes, gallery = drawn_faces(
        np.random.default_rng(seed), n_people, n_each=n_each, noise=noise,
        n_levels=None if levels == 1 else levels,
    )  # fmt: skip
    return np.zeros_like(distances) if levels == 1 else distances, probes, gallery


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.measurement.value


def roc(
    distances: FloatVector, same: FloatVector, weights: FloatVector | None = None
) -> tuple[FloatVector, FloatVector]:
    far, tar, _ = metrics.roc_curve(
        same, -distances, sample_weight=weights, drop_intermediate=False
    )
    return far, tar


def equal_error(far: FloatVector, tar: FloatVector) -> float:
    optimize = pytest.importorskip("scipy.optimize")
    along = np.arange(len(far))
    excess = far + tar - 1
    where = optimize.brentq(lambda t: np.interp(t, along, excess), 0, len(far) - 1, xtol=1e-14)
    return float(np.interp(where, along, far))


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("seed", [1, 2])
def test_estimates_are_scikit_learns(seed: int, levels: int | None) -> None:
    distances, probes, gallery = faces(seed, levels)
    threshold = float(np.median(distances))
    found = measure_verification(distances, probes, gallery, DRAWS, threshold=threshold)
    same = (probes[:, None] == gallery).ravel()
    flat = distances.ravel()
    far, tar = roc(flat, same)
    assert value(found.auc) == pytest.approx(metrics.roc_auc_score(same, -flat), abs=1e-12)
    assert value(found.eer) == pytest.approx(equal_error(far, tar), abs=1e-9)
    for point in found.tar_at_far:
        if point.tar is not None:
            assert value(point.tar) == pytest.approx(tar[far <= point.far].max(), abs=1e-12)
            assert point.threshold is not None
            assert (flat[~same] <= point.threshold).mean() <= point.far
            assert (flat[same] <= point.threshold).mean() == value(point.tar)
    assert value(found.balanced_accuracy) == pytest.approx(
        metrics.balanced_accuracy_score(same, flat <= threshold), abs=1e-12
    )
    expected = [tar[far <= x].max() for x in found.roc.x]
    assert found.roc.y == pytest.approx(expected, abs=1e-12)
    assert (found.n_genuine, found.n_impostor) == (same.sum(), (~same).sum())
    assert found.auc.measurement.n == len(probes)


@pytest.mark.parametrize("levels", [1, 2, 4, 30])
def test_draws_are_scikit_learns_with_weights_where_distances_are_few(levels: int) -> None:
    distances, probes, gallery = faces(3, levels)
    found = measure_verification(distances, probes, gallery, DRAWS, threshold=1.0)
    same = (probes[:, None] == gallery).ravel()
    flat = distances.ravel()
    for b in range(0, DRAWS.n_draws, 10):
        w = DRAWS.multiplicities[b].astype(float)
        weights = np.where(
            same, np.repeat(w[probes], len(gallery)), np.outer(w[probes], w[gallery]).ravel()
        )
        kept = weights > 0
        far, tar = roc(flat[kept], same[kept], weights[kept])
        expected = metrics.roc_auc_score(same[kept], -flat[kept], sample_weight=weights[kept])
        assert found.auc.drawn[b] == pytest.approx(expected, abs=1e-12)
        assert found.eer.drawn[b] == pytest.approx(equal_error(far, tar), abs=1e-9)
        tenth = found.tar_at_far[0].tar
        assert tenth is not None
        # scikit-learn's sums of weights leave 1e-16 where 0.1 is met exactly.
        assert tenth.drawn[b] == pytest.approx(tar[far <= 0.1 + 1e-12].max(), abs=1e-12)
        assert found.balanced_accuracy is not None
        assert found.balanced_accuracy.drawn[b] == pytest.approx(
            metrics.balanced_accuracy_score(
                same[kept], flat[kept] <= 1, sample_weight=weights[kept]
            ),
            abs=1e-12,
        )


def test_the_grid_moves_draws_little() -> None:
    distances, probes, gallery = faces(4, n_people=40, n_each=4)
    draws = draw_people(40, seed=1, n_draws=100)
    coarse, fine = (
        measure_verification(distances, probes, gallery, draws, n_thresholds=n)
        for n in (256, 100_000)
    )
    for one, other in [(coarse.auc, fine.auc), (coarse.eer, fine.eer)]:
        assert value(one) == value(other)
        assert one.drawn == pytest.approx(other.drawn, abs=0.003)
    a, b = coarse.tar_at_far[1].tar, fine.tar_at_far[1].tar
    assert a is not None
    assert b is not None
    assert a.measurement.low == pytest.approx(b.measurement.low, abs=0.02)
    assert a.measurement.high == pytest.approx(b.measurement.high, abs=0.02)


def test_one_distance_for_all_is_chance() -> None:
    found = measure_verification(*faces(5, 1), DRAWS, threshold=0.5)
    assert value(found.auc) == value(found.eer) == value(found.balanced_accuracy) == 0.5
    assert [value(each.tar) for each in found.tar_at_far[:2]] == [0, 0]
    assert found.tar_at_far[0].threshold == -np.inf
    for each in (found.auc, found.eer, found.tar_at_far[0].tar):
        assert each is not None
        assert each.measurement.high > each.measurement.low


def test_noise_is_at_chance_within_the_interval() -> None:
    distances, probes, gallery = faces(6, n_people=40, n_each=4)
    noise = np.random.default_rng(1).random(distances.shape)
    draws = draw_people(40, seed=1, n_draws=200)
    found = measure_verification(noise, probes, gallery, draws, fars=(0.1,))
    for each, chance in [(found.auc, 0.5), (found.eer, 0.5), (found.tar_at_far[0].tar, 0.1)]:
        assert each is not None
        assert each.measurement.low < chance < each.measurement.high


def test_who_knows_everybody_reaches_1() -> None:
    found = measure_verification(*faces(7, noise=1e-6), DRAWS, threshold=1e-3)
    assert value(found.auc) == value(found.balanced_accuracy) == 1
    assert value(found.eer) == 0
    assert [value(each.tar) for each in found.tar_at_far[:2]] == [1, 1]
    assert found.auc.measurement.low < 1
    assert found.eer.measurement.high > 0


def test_a_far_below_one_pair_is_not_measured() -> None:
    distances, probes, gallery = faces(8)
    n = int((probes[:, None] != gallery).sum())
    fars = (1 / n, 0.99 / n)
    measured, not_measured = measure_verification(
        distances, probes, gallery, DRAWS, fars=fars
    ).tar_at_far
    assert measured.tar is not None
    assert measured.reason == ""
    assert (not_measured.tar, not_measured.threshold) == (None, None)
    assert f"below 1 of {n} impostor pairs" in not_measured.reason


def test_the_curve_has_a_band_around_it() -> None:
    curve = measure_verification(*faces(9), DRAWS).roc
    assert curve.x[-1] == curve.y[-1] == 1
    assert (np.diff(curve.x) > 0).all()
    assert (np.diff(curve.y) >= 0).all()
    assert (curve.low <= curve.y).all()
    assert (curve.y <= curve.high).all()
    assert (curve.high > curve.low).all()


def test_draws_without_both_kinds_of_pairs_say_nothing() -> None:
    draws = Draws(0, np.array([[2, 0]] + [[1, 1]] * 40))
    found = measure_verification([[0.1, 0.9], [0.8, 0.3]], [0, 1], [0, 1], draws)
    assert np.isnan(found.auc.drawn).tolist() == [True] + [False] * 40
    with pytest.raises(DatasetError, match="No draw"):
        measure_verification(
            [[0.1, 0.9], [0.8, 0.3]], [0, 1], [0, 1], Draws(0, np.array([[2, 0]] * 40))
        )


def test_what_cannot_be_measured_is_refused() -> None:
    for people in ([0, 0], [1, 1]):
        with pytest.raises(DatasetError, match="pairs of one person and of two"):
            measure_verification([[1.0, 2.0]], [0], people, DRAWS)
    distances, probes, gallery = faces(1)
    with pytest.raises(ConfigError, match="FAR"):
        measure_verification(distances, probes, gallery, DRAWS, fars=(0.0,))
    with pytest.raises(ConfigError, match="finite"):
        measure_verification(distances, probes, gallery, DRAWS, threshold=np.nan)


def test_intervals_hold_the_truth_and_those_of_independent_pairs_do_not() -> None:
    """The truth is that of 500 people; each trial has 40 of them."""
    rng, draws = np.random.default_rng(10), draw_people(40, seed=1, n_draws=200)
    distances, probes, gallery = drawn_faces(rng, 500, n_each=3)
    measure = partial(measure_verification, fars=(0.05,), n_thresholds=48)
    few = draw_people(500, seed=1, n_draws=40)
    truth = whole(measure(distances, probes, gallery, few))
    held, n_trials, naive = np.zeros(3), 100, 0
    for _ in range(n_trials):
        found = measure(*drawn_faces(rng, 40, n_each=3), draws)
        tar = found.tar_at_far[0].tar
        assert tar is not None
        for place, each in enumerate((found.auc, found.eer, tar)):
            held[place] += each.measurement.low <= truth[place] <= each.measurement.high
        # As if genuine pairs were independent of each other.
        half = 1.96 * np.sqrt(value(tar) * (1 - value(tar)) / found.n_genuine)
        naive += abs(value(tar) - truth[2]) <= half
    assert (held / n_trials >= 0.91).all(), held
    assert naive / n_trials < 0.85


def whole(found: Verification) -> tuple[float, float, float]:
    return value(found.auc), value(found.eer), value(found.tar_at_far[0].tar)


def test_settings_are_compared_on_the_same_draws() -> None:
    distances, probes, gallery = faces(11, n_people=40)
    draws = draw_people(40, seed=1, n_draws=200)
    worse = distances + np.random.default_rng(2).normal(0, 0.5, size=distances.shape)
    a, b = (measure_verification(each, probes, gallery, draws).auc for each in (distances, worse))
    found = difference("AUC lost", a, b)
    assert found.low > 0
    first, second = (each.measurement.high - each.measurement.low for each in (a, b))
    assert found.high - found.low < np.hypot(first, second)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), levels=st.sampled_from(LEVELS))
def test_order_names_and_scale_do_not_matter(seed: int, levels: int | None) -> None:
    rng = np.random.default_rng(seed)
    distances, probes, gallery = faces(seed, levels, n_people=6)
    draws = draw_people(6, seed=1, n_draws=40)
    first = measure_verification(distances, probes, gallery, draws, fars=(0.1,))
    rows, columns = (rng.permutation(n) for n in distances.shape)
    moved = np.arctan(distances[rows][:, columns] - 1)
    second = measure_verification(moved, probes[rows], gallery[columns], draws, fars=(0.1,))
    assert whole(second) == pytest.approx(whole(first), abs=1e-12)
    assert second.auc.drawn == pytest.approx(first.auc.drawn, abs=1e-12, nan_ok=True)
