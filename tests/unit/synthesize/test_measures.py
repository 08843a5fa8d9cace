# SPDX-License-Identifier: Apache-2.0
"""Measures of attributes: scikit-learn's numbers, and intervals that hold what they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score

from veilset.errors import DatasetError
from veilset.intervals import wilson
from veilset.synthesize.measures import (
    AttributeMeasures,
    average_precision,
    mean_accuracy,
    measure_attributes,
    measure_share,
)
from veilset.types import Measurement


def told(seed: int, n: int = 60, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Give truth and scores that know something of it, with ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, k)) < np.linspace(0.1, 0.7, k)
    return truth, np.round(rng.normal(size=(n, k)) + 1.5 * (truth - 0.5), 1)


def of_one(truth: np.ndarray, scores: np.ndarray, **options: object) -> AttributeMeasures:
    (found,) = measure_attributes(["a"], truth[:, None], scores[:, None], **options)  # type: ignore[arg-type]  # options of several types
    return found


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_values_are_those_of_scikit_learn(seed: int) -> None:
    truth, scores = told(seed)
    found = measure_attributes(["a", "b", "c", "d"], truth, scores, n_resamples=20)
    for k, each in enumerate(found):
        said = scores[:, k] > 0
        assert each.accuracy.value == pytest.approx(accuracy_score(truth[:, k], said))
        if each.balanced is None or each.average_precision is None:
            assert each.n_present in (0, each.n_images)
            continue
        wanted = balanced_accuracy_score(truth[:, k], said)
        assert each.balanced.value == pytest.approx(wanted)
        wanted = average_precision_score(truth[:, k], scores[:, k])
        assert each.average_precision.value == pytest.approx(wanted)
    wanted = np.mean([each.accuracy.value for each in found])
    assert mean_accuracy(truth, scores).value == pytest.approx(wanted)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_number_lies_in_its_interval_between_0_and_1(seed: int, is_grouped: bool) -> None:
    truth, scores = told(seed, n=20)
    people = np.random.default_rng(seed).integers(0, 6, 20) if is_grouped else None
    found = measure_attributes(list("abcd"), truth, scores, people=people, n_resamples=50)
    numbers: list[Measurement] = [mean_accuracy(truth, scores, people=people)]
    for each in found:
        both = [each.balanced, each.average_precision]
        numbers += [each.accuracy, each.majority, *filter(None, both)]
    for number in numbers:
        assert 0 <= number.low <= number.value <= number.high <= 1
        assert number.n == (20 if people is None else len(set(people)))


def test_resampled_precision_is_that_of_images_drawn_one_by_one() -> None:
    truth, scores = told(5, n=40, k=1)
    people = np.repeat(np.arange(8), 5)
    found = of_one(truth[:, 0], scores[:, 0], people=people, n_resamples=400, seed=3)
    rng = np.random.default_rng(3)
    counts = rng.multinomial(8, np.full(8, 1 / 8), size=400)
    wanted = []
    for row in counts:
        rows = np.repeat(np.arange(40), row[people])
        if truth[rows, 0].any():
            wanted.append(average_precision_score(truth[rows, 0], scores[rows, 0]))
    low, high = np.quantile(wanted, (0.025, 0.975))
    assert found.average_precision is not None
    assert found.average_precision.low == pytest.approx(low)
    assert found.average_precision.high == pytest.approx(high)


def test_the_commonest_answer_is_that_of_training_where_it_is_given() -> None:
    truth, scores = np.array([True] * 7 + [False] * 3), np.arange(10.0)
    assert of_one(truth, scores).majority.value == 0.7
    assert of_one(truth, scores, common=[False]).majority.value == 0.3


def test_rare_attributes_do_not_look_well_told() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros(2000, np.bool_)
    truth[:40] = True
    found = of_one(truth, rng.normal(-9, 1, 2000))
    assert found.balanced is not None
    assert found.average_precision is not None
    assert found.accuracy.value == found.majority.value == 0.98
    assert found.balanced.value == 0.5
    # Scores that know nothing have the share of those present.
    assert found.average_precision.low < 0.02 < 0.03 < found.average_precision.high + 0.02


def test_independent_images_have_wilson_s_interval_and_people_a_wider_one() -> None:
    right = np.array([True] * 45 + [False] * 15)
    scores = np.where(right, 1.0, -1.0)
    alone = of_one(np.ones(60, np.bool_), scores).accuracy
    assert (alone.low, alone.high) == pytest.approx(wilson(45, 60))
    # All images of a person are alike: as good as one image of each of 12.
    people = np.repeat(np.arange(12), 5)
    grouped = of_one(np.ones(60, np.bool_), scores, people=people).accuracy
    assert (grouped.value, grouped.n) == (0.75, 12)
    twelve = wilson(9, 12)
    assert grouped.high - grouped.low == pytest.approx(twelve[1] - twelve[0], rel=0.1)


def test_nothing_seen_of_how_people_differ_is_no_certainty() -> None:
    truth, people = np.ones(100, np.bool_), np.repeat(np.arange(4), 25)
    found = of_one(truth, np.ones(100), people=people).accuracy
    assert (found.low, found.high) == pytest.approx(wilson(4, 4))
    one = of_one(np.arange(10) < 5, np.arange(10.0), people=np.zeros(10, int))
    assert one.average_precision is not None
    assert (one.average_precision.low, one.average_precision.high) == (0.0, 1.0)


def test_a_share_of_all_or_nobody_has_the_interval_of_as_many_people() -> None:
    people = np.repeat(np.arange(28), 9)
    everyone = measure_share(np.ones(252), people, "found")
    assert (everyone.value, everyone.n) == (1, 28)
    assert (everyone.low, everyone.high) == pytest.approx(wilson(28, 28))
    nobody = measure_share(np.zeros(252), people, "found")
    assert (nobody.low, nobody.high) == pytest.approx(wilson(0, 28))
    with pytest.raises(DatasetError, match="have no share"):
        measure_share([], [], "found")


def test_the_interval_of_balanced_accuracy_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held, trials = 0, 400
    for _ in range(trials):
        truth = np.arange(120) < 30
        right = rng.random(120) < np.where(truth, 0.7, 0.9)
        found = of_one(truth, np.where(right == truth, 1.0, -1.0), n_resamples=2).balanced
        assert found is not None
        held += found.low <= 0.8 <= found.high
    assert 0.92 <= held / trials <= 0.98


def test_what_cannot_be_measured_is_refused() -> None:
    truth, scores = told(0)
    with pytest.raises(DatasetError, match="do not go with 3"):
        measure_attributes(["a", "b", "c"], truth, scores)
    with pytest.raises(DatasetError, match="nothing to measure"):
        measure_attributes(["a"], np.zeros((0, 1), bool), np.zeros((0, 1)))
    with pytest.raises(DatasetError, match="not a finite number"):
        measure_attributes(["a"], truth[:, :1], np.full((60, 1), np.nan))
    with pytest.raises(DatasetError, match="People of shape"):
        mean_accuracy(truth, scores, people=[1, 2])
    with pytest.raises(DatasetError, match="Common answers"):
        measure_attributes(list("abcd"), truth, scores, common=[True])
    assert average_precision([False], [1.0]) is None
    for score in (np.nan, np.inf):
        with pytest.raises(DatasetError, match="not a finite number"):
            average_precision([True], [score])
