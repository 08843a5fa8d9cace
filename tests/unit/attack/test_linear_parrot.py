# SPDX-License-Identifier: Apache-2.0
"""Linear parrots against scikit-learn, and where there is next to nothing to learn from."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from veilset.attack import linear_parrot
from veilset.attack.linear_parrot import embedding_scores, pixel_scores

CODES = np.repeat(np.arange(5), 4)


class Within(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What scikit-learn asks for each class: here the covariance of all of them together."""

    def __init__(self, covariance: object) -> None:
        self.covariance = covariance

    def fit(self, _rows: object) -> Within:
        self.covariance_ = self.covariance
        return self


def reference(
    known: NDArray[np.float64], people: NDArray[np.int64], probes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the scores of scikit-learn's discriminant, with our estimate of the covariance."""
    means = np.stack([known[people == code].mean(axis=0) for code in np.unique(people)])
    rest = known - means[np.unique(people, return_inverse=True)[1]]
    covariance = ledoit_wolf(rest, assume_centered=True)[0]
    covariance += 1e-3 * known.var(axis=0).mean() * np.eye(known.shape[1])
    n = len(means)
    made = LinearDiscriminantAnalysis(
        solver="lsqr", priors=np.full(n, 1 / n), covariance_estimator=Within(covariance)
    )
    found: NDArray[np.float64] = made.fit(known, people).decision_function(probes)
    return found


def gaps(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give scores beside each other's mean: what is added to all alike decides nothing."""
    found: NDArray[np.float64] = scores - scores.mean(axis=1, keepdims=True)
    return found


def drawn_embeddings(seed: int, noise: float = 0.7) -> tuple[NDArray[np.float32], ...]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, 8))
    known, probes = (centres[CODES] + noise * rng.normal(size=(20, 8)) for _ in range(2))
    return known.astype(np.float32), probes.astype(np.float32)


def drawn_chips(seed: int, noise: float = 60.0) -> tuple[NDArray[np.uint8], ...]:
    rng = np.random.default_rng(seed)
    faces = rng.integers(40, 216, (5, 16, 16, 3))
    known, probes = (faces[CODES] + rng.normal(0, noise, (20, 16, 16, 3)) for _ in range(2))
    return known.clip(0, 255).astype(np.uint8), probes.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_embeddings_are_scored_as_by_scikit_learn(seed: int) -> None:
    known, probes = drawn_embeddings(seed)
    found = embedding_scores(known, CODES, probes, 5)
    scaler = StandardScaler().fit(known)
    expected = reference(scaler.transform(known), CODES, scaler.transform(probes))
    np.testing.assert_allclose(gaps(found), gaps(expected), rtol=2e-3, atol=2e-3)
    assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.parametrize("seed", range(3))
def test_pixels_are_scored_as_by_principal_components_and_scikit_learn(seed: int) -> None:
    known, probes = drawn_chips(seed)
    found = pixel_scores(known, CODES, probes, 5)
    both = np.concatenate([known, known[:, :, ::-1]]).reshape(40, -1) / 255
    reduced = make_pipeline(PCA(n_components=39, svd_solver="full"))
    codes = np.concatenate([CODES, CODES])
    expected = reference(
        reduced.fit_transform(both), codes, reduced.transform(probes.reshape(20, -1) / 255)
    )
    np.testing.assert_allclose(gaps(found), gaps(expected), rtol=2e-3, atol=2e-3)
    assert np.array_equal(np.argsort(found, axis=1), np.argsort(expected, axis=1))


def test_a_mirrored_face_is_known_too() -> None:
    known, probes = drawn_chips(3, noise=10.0)
    found = pixel_scores(known, CODES, probes[:, :, ::-1], 5)
    assert np.array_equal(found.argmax(axis=1), CODES)


def test_no_more_components_than_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_parrot, "MOST_COMPONENTS", 6)
    known, probes = drawn_chips(4)
    found = pixel_scores(known, CODES, probes, 5)
    both = np.concatenate([known, known[:, :, ::-1]]).reshape(40, -1) / 255
    reduced = PCA(n_components=6, svd_solver="full").fit(both)
    expected = reference(
        reduced.transform(both),
        np.concatenate([CODES, CODES]),
        reduced.transform(probes.reshape(20, -1) / 255),
    )
    np.testing.assert_allclose(gaps(found), gaps(expected), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("n_people", [2, 5])
def test_who_is_hidden_by_one_colour_is_as_likely_as_all(n_people: int) -> None:
    codes = np.repeat(np.arange(n_people), 3)
    chips = np.full((3 * n_people, 16, 16, 3), 124, np.uint8)
    faces = np.full((3 * n_people, 8), 0.3, np.float32)
    others = np.random.default_rng(5)
    for scores in (
        pixel_scores(chips, codes, chips, n_people),
        pixel_scores(chips, codes, others.integers(0, 256, chips.shape, dtype=np.uint8), n_people),
        embedding_scores(faces, codes, faces, n_people),
        embedding_scores(faces, codes, faces + 1, n_people),
    ):
        assert scores.shape == (3 * n_people, n_people)
        assert not np.ptp(scores, axis=1).any()


@pytest.mark.parametrize("n_people", [2, 5])
def test_one_photograph_of_each_is_enough(n_people: int) -> None:
    known, probes = drawn_embeddings(6, noise=0.1)
    first = np.arange(n_people) * 4
    codes = np.arange(n_people)
    found = embedding_scores(known[first], codes, probes[first], n_people)
    assert np.array_equal(found.argmax(axis=1), codes)
    chips, shown = drawn_chips(6, noise=10.0)
    seen = pixel_scores(chips[first], codes, shown[first], n_people)
    assert np.array_equal(seen.argmax(axis=1), codes)


def test_photographs_that_are_all_alike_still_tell_who_it_is() -> None:
    # A method that gives each person always the same face hides nobody.
    for side in (0, 1):
        known = np.repeat(drawn_embeddings(7)[side][::4], 2, axis=0)
        codes = np.repeat(np.arange(5), 2)
        assert np.array_equal(
            embedding_scores(known, codes, known[::2], 5).argmax(axis=1), np.arange(5)
        )
    flat = np.stack([np.full((16, 16, 3), level, np.uint8) for level in (60, 60, 61, 61)])
    found = pixel_scores(flat, np.array([0, 0, 1, 1]), flat, 2)
    assert found.argmax(axis=1).tolist() == [0, 0, 1, 1]


def test_who_is_not_in_the_gallery_is_least_likely_and_nothing_fails() -> None:
    known, probes = drawn_embeddings(8, noise=0.1)
    there = CODES != 2
    found = embedding_scores(known[there], CODES[there], probes, 6)
    assert found.shape == (20, 6)
    assert np.isfinite(found).all()
    assert set(found.argmin(axis=1)) <= {2, 5}
    assert np.array_equal(found[there].argmax(axis=1), CODES[there])


def test_who_has_more_photographs_is_not_likelier() -> None:
    rng = np.random.default_rng(9)
    codes = np.array([0] * 30 + [1] * 3)
    known = rng.normal(size=(33, 6)).astype(np.float32)
    known[codes == 1] += 0.5
    middle = (known[codes == 0].mean(axis=0) + known[codes == 1].mean(axis=0)) / 2
    found = embedding_scores(known, codes, middle[None].astype(np.float32), 2)
    assert abs(found[0, 0] - found[0, 1]) < 1e-3


def test_the_order_of_photographs_does_not_matter() -> None:
    known, probes = drawn_embeddings(10)
    order = np.random.default_rng(1).permutation(20)
    one, other = (
        embedding_scores(known[rows], CODES[rows], probes, 5) for rows in (np.arange(20), order)
    )
    np.testing.assert_allclose(gaps(one), gaps(other), rtol=1e-4, atol=1e-4)
