# SPDX-License-Identifier: Apache-2.0
"""Retrieval: against scikit-learn, and chance against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.attack.drawn_faces import drawn_faces
from veilset.attack.distances import Comparisons
from veilset.attack.resampling import draw_people
from veilset.attack.retrieval import average_precisions, expected_random_ap, measure_retrieval
from veilset.errors import DatasetError

DRAWS = draw_people(12, seed=1, n_draws=60)


@pytest.mark.parametrize("levels", [None, 2, 6])
def test_average_precision_is_scikit_learns(levels: int | None) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    distances, probes, gallery = drawn_faces(np.random.default_rng(1), n_levels=levels)
    found = average_precisions(Comparisons.of(distances, probes, gallery, 12))
    expected = [
        metrics.average_precision_score(gallery == who, -row)
        for who, row in zip(probes, distances, strict=True)
    ]
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_mean_is_over_people() -> None:
    distances, probes, gallery = drawn_faces(np.random.default_rng(2))
    found = measure_retrieval(distances, probes, gallery, DRAWS)
    by_person = [found.average_precisions[probes == who].mean() for who in range(12)]
    assert found.person_ap == pytest.approx(by_person)
    measured = found.mean_ap.measurement
    assert measured.value == pytest.approx(np.mean(by_person), abs=1e-12)
    assert measured.low < measured.value < measured.high
    assert measured.n == len(probes)


@pytest.mark.parametrize(("n_relevant", "n"), [(1, 1), (1, 7), (3, 7), (6, 7), (7, 7), (2, 40)])
def test_expected_precision_of_a_random_order(n_relevant: int, n: int) -> None:
    rng = np.random.default_rng(3)
    gallery = np.zeros(n, dtype=np.int64)
    gallery[:n_relevant] = 1
    shuffled = Comparisons.of(rng.random((6000, n)), np.ones(6000), gallery, 2)
    found = average_precisions(shuffled)
    error = found.std() / np.sqrt(6000)
    expected = expected_random_ap(n_relevant, n)
    assert expected == pytest.approx(found.mean(), abs=4 * error + 1e-12)


def test_one_distance_for_all_reaches_the_share_of_the_persons_photographs() -> None:
    distances, probes, gallery = drawn_faces(np.random.default_rng(4))
    gallery[:2] = 11
    found = measure_retrieval(np.full_like(distances, 2.0), probes, gallery, DRAWS)
    value = found.mean_ap.measurement.value
    assert value == pytest.approx(found.chance_tied, abs=1e-15)
    shares = np.bincount(gallery, minlength=12) / len(gallery)
    assert value == pytest.approx(shares.mean(), abs=1e-15)
    assert found.chance_tied < found.chance
    assert found.mean_ap.measurement.low < value < found.mean_ap.measurement.high


def test_noise_is_at_chance_within_the_interval() -> None:
    rng = np.random.default_rng(5)
    _, probes, gallery = drawn_faces(rng, n_people=40)
    draws = draw_people(40, seed=1, n_draws=200)
    noise = rng.random((len(probes), len(gallery)))
    found = measure_retrieval(noise, probes, gallery, draws)
    assert found.mean_ap.measurement.low < found.chance < found.mean_ap.measurement.high


def test_who_knows_everybody_reaches_1() -> None:
    faces = drawn_faces(np.random.default_rng(6), noise=1e-6)
    found = measure_retrieval(*faces, DRAWS).mean_ap.measurement
    assert found.value == found.high == 1
    assert found.low < 1


def test_people_whom_the_gallery_lacks_are_told_in_numbers() -> None:
    with pytest.raises(DatasetError, match="1 of 2 probes show 1 people"):
        measure_retrieval(np.ones((2, 1)), [0, 1], [0], DRAWS)


@given(seed=st.integers(0, 2**32 - 1), levels=st.sampled_from([None, 2, 6]))
def test_order_and_scale_do_not_matter(seed: int, levels: int | None) -> None:
    rng = np.random.default_rng(seed)
    distances, probes, gallery = drawn_faces(rng, n_levels=levels)
    first = average_precisions(Comparisons.of(distances, probes, gallery, 12))
    columns = rng.permutation(len(gallery))
    moved = np.expm1(distances[:, columns])
    second = average_precisions(Comparisons.of(moved, probes, gallery[columns], 12))
    assert second == pytest.approx(first, abs=1e-12)
    assert (first > 0).all()
    assert (first <= 1).all()
