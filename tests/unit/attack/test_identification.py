# SPDX-License-Identifier: Apache-2.0
"""Identification: against counting by hand, against random orders, and at chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.attack.drawn_faces import drawn_faces
from veilset.attack.distances import Comparisons
from veilset.attack.identification import Identification, measure_identification, rank_people
from veilset.attack.resampling import draw_people
from veilset.errors import ConfigError, DatasetError

DRAWS = draw_people(12, seed=1, n_draws=60)


def measured(seed: int, noise: float) -> Identification:
    return measure_identification(*drawn_faces(np.random.default_rng(seed), noise=noise), DRAWS)


def test_hits_are_scikit_learns_top_k_accuracy() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    distances, probes, gallery = drawn_faces(np.random.default_rng(2))
    found = measure_identification(distances, probes, gallery, DRAWS)
    scores = -np.array([distances[:, gallery == who].min(axis=1) for who in range(12)]).T
    weights = 1 / np.bincount(probes)[probes]
    for k in (1, 5, 10):
        expected = metrics.top_k_accuracy_score(
            probes, scores, k=k, sample_weight=weights, labels=range(12)
        )
        assert found.hits[k].measurement.value == pytest.approx(expected, abs=1e-12)
        assert found.curve.y[k - 1] == found.hits[k].measurement.value
        assert np.nanmean(found.person_hits[k]) == pytest.approx(expected, abs=1e-12)
    assert found.hits[1].measurement.n == len(probes)
    assert (found.curve.x == np.arange(1, 13)).all()
    assert found.curve.y[-1] == 1


def test_ties_are_broken_at_random_in_expectation() -> None:
    rng = np.random.default_rng(3)
    distances, probes, gallery = drawn_faces(rng, n_levels=5)
    ranks = rank_people(Comparisons.of(distances, probes, gallery, 12))
    nearest = np.array([distances[:, gallery == who].min(axis=1) for who in range(12)]).T
    hits, total = np.zeros(len(probes)), np.zeros(len(probes))
    for _ in range(4000):
        order = np.lexsort((rng.random(nearest.shape), nearest), axis=1)
        rank = np.argmax(order == probes[:, None], axis=1) + 1
        hits += rank <= 2
        total += rank
    assert hits / 4000 == pytest.approx(ranks.hits(2), abs=0.04)
    assert total / 4000 == pytest.approx(ranks.expected, abs=0.25)


def test_one_distance_for_all_is_chance() -> None:
    distances, probes, gallery = drawn_faces(np.random.default_rng(4))
    found = measure_identification(np.full_like(distances, 0.3), probes, gallery, DRAWS)
    for k in (1, 5, 10):
        hits = found.hits[k].measurement
        assert hits.value == pytest.approx(found.chance[k], abs=1e-15)
        assert found.chance[k] == k / 12
        assert hits.low < hits.value < hits.high
    assert found.ranks.expected.tolist() == [6.5] * len(probes)


def test_always_naming_the_person_with_most_photographs_is_chance() -> None:
    probes = np.array([0] * 50 + list(range(1, 12)))
    gallery = np.array([0] * 50 + list(range(1, 12)))
    distances = np.tile(gallery.astype(float), (len(probes), 1))
    found = measure_identification(distances, probes, gallery, DRAWS)
    for k in (1, 5, 10):
        assert found.hits[k].measurement.value == pytest.approx(k / 12, abs=1e-15)


def test_who_knows_everybody_reaches_1() -> None:
    found = measured(5, noise=1e-6)
    assert [each.measurement.value for each in found.hits.values()] == [1, 1, 1]
    assert found.hits[1].measurement.low < 1
    assert (found.ranks.expected == 1).all()


def test_ranks_at_which_everything_is_a_hit_are_left_out() -> None:
    distances, probes, gallery = drawn_faces(np.random.default_rng(6), n_people=5)
    draws = draw_people(5, seed=1, n_draws=60)
    assert list(measure_identification(distances, probes, gallery, draws).hits) == [1]
    with pytest.raises(ConfigError, match="from 1 on"):
        measure_identification(distances, probes, gallery, draws, ranks=[0])


def test_the_curve_of_many_people_is_thinned_and_ends_at_all_of_them() -> None:
    distances, probes, gallery = drawn_faces(np.random.default_rng(6), n_people=90)
    draws = draw_people(90, seed=1, n_draws=60)
    curve = measure_identification(distances, probes, gallery, draws).curve
    assert len(curve.x) < 60
    assert (curve.x[0], curve.x[-1], curve.y[-1]) == (1, 90, 1)
    assert (np.diff(curve.x) > 0).all()
    assert (np.diff(curve.y) >= 0).all()
    assert (curve.low <= curve.y).all()
    assert (curve.y <= curve.high).all()


def test_people_whom_the_gallery_lacks_are_told_in_numbers() -> None:
    with pytest.raises(DatasetError, match="3 of 4 probes show 2 people who have no"):
        measure_identification(np.ones((4, 1)), [0, 1, 1, 2], [0], DRAWS)


@pytest.mark.parametrize(
    ("distances", "probes", "gallery", "error", "words"),
    [
        (np.ones((2, 3)), [0, 1], [0, 1], ConfigError, "do not fit 2 probes and 2"),
        (np.ones((0, 2)), [], [0, 1], DatasetError, "There are 0 probes"),
        ([[np.nan, 1.0]], [0], [0, 1], ConfigError, "finite"),
        ([[1.0, 1.0]], [0], [0, 12], ConfigError, "between 0 and 11"),
    ],
)
def test_what_does_not_fit_is_refused(
    distances: object, probes: object, gallery: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Comparisons.of(distances, probes, gallery, 12)  # type: ignore[arg-type]  # wrong on purpose


@given(seed=st.integers(0, 2**32 - 1), levels=st.sampled_from([None, 2, 6]))
def test_order_of_photographs_names_of_people_and_scale_do_not_matter(
    seed: int, levels: int | None
) -> None:
    rng = np.random.default_rng(seed)
    distances, probes, gallery = drawn_faces(rng, n_levels=levels)
    first = rank_people(Comparisons.of(distances, probes, gallery, 12))
    rows, columns, names = (rng.permutation(n) for n in (*distances.shape, 12))
    moved = np.arctan(distances[rows][:, columns] - 1)
    second = rank_people(Comparisons.of(moved, names[probes[rows]], names[gallery[columns]], 12))
    assert (second.expected == first.expected[rows]).all()
    assert (second.hits(3) == first.hits(3)[rows]).all()


@given(seed=st.integers(0, 2**32 - 1))
def test_probabilities_of_all_ranks_sum_to_the_expected_rank(seed: int) -> None:
    distances, probes, gallery = drawn_faces(np.random.default_rng(seed), n_levels=4)
    ranks = rank_people(Comparisons.of(distances, probes, gallery, 12))
    # The mean of a rank is the sum over k of the probability that it is above k.
    mean = sum(1 - ranks.hits(k) for k in range(12))
    assert mean == pytest.approx(ranks.expected, abs=1e-12)
