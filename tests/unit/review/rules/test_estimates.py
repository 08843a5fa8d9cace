# SPDX-License-Identifier: Apache-2.0
"""Estimates about workers and about what is left, and the rule of when to stop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from veilset.errors import ConfigError
from veilset.intervals import clopper_pearson, wilson
from veilset.review.rules.estimates import (
    Reviewed,
    StopRule,
    advise,
    found_per_minute,
    gold_quality,
    like_the_next,
    missed_face_estimate,
    missed_per_image,
)
from veilset.review.rules.recapture import added_sightings, recapture_among
from veilset.review.settings import JobSettings
from veilset.review.values import Drawing, Drawn, GoldVerdict
from veilset.types import Measurement


def test_gold_adds_up_over_images() -> None:
    quality = gold_quality(
        [GoldVerdict(False, (), 10, 8, 9, 8, 0.7), GoldVerdict(True, (), 2, 2, 3, 3, 1.0)]
    )
    assert quality.recall is not None
    assert quality.precision is not None
    assert (quality.recall.value, quality.recall.n) == (10 / 12, 12)
    assert (quality.recall.low, quality.recall.high) == wilson(10, 12)
    assert (quality.precision.value, quality.precision.n) == (11 / 12, 12)


def test_gold_without_faces_says_nothing_of_recall() -> None:
    quality = gold_quality([GoldVerdict(False, (), 0, 0, 1, 0, 0.0)])
    assert quality.recall is None
    assert quality.precision is not None
    assert quality.precision.value == 0
    assert gold_quality([]).precision is None


def test_audit_sample_has_the_exact_interval() -> None:
    found = missed_face_estimate(3, 500)
    assert (found.low, found.high) == clopper_pearson(3, 500)
    with pytest.raises(ConfigError):
        missed_face_estimate(1, 0)


def test_a_crowd_that_was_missed_widens_the_interval() -> None:
    spread = missed_per_image([1] * 20 + [0] * 180)
    crowd = missed_per_image([20] + [0] * 199)
    assert spread.value == crowd.value == 0.1
    assert crowd.high > 2 * spread.high


def covers(found: Measurement, truth: int) -> bool:
    return found.low <= truth <= found.high


@pytest.mark.parametrize(("truth", "p", "n"), [(200, 0.5, 2), (200, 0.5, 3), (500, 0.4, 5)])
def test_interval_of_many_people_covers_where_all_are_alike(truth: int, p: float, n: int) -> None:
    rng = np.random.default_rng(2)
    hits, values = 0, []
    for _ in range(1000):
        votes = rng.binomial(n, p, truth)
        sightings = {k: int((votes == k).sum()) for k in range(1, n + 1)}
        found = recapture_among(sightings, n)
        hits += covers(found, truth)
        values.append(found.value)
    assert hits > 915
    assert np.mean(values) == pytest.approx(truth, rel=0.03)


def test_many_people_give_a_lower_bound_where_some_faces_are_hard() -> None:
    rng = np.random.default_rng(4)
    chance = np.repeat([0.9, 0.2], 200)
    votes = rng.binomial(3, chance)
    found = recapture_among({k: int((votes == k).sum()) for k in (1, 2, 3)}, 3)
    assert (votes > 0).sum() < found.value < 400


@pytest.mark.parametrize("sightings", [{}, {3: 10}, {2: 5, 3: 5}, {1: 1, 3: 9}])
def test_everything_seen_by_all_still_has_an_upper_end(sightings: dict[int, int]) -> None:
    found = recapture_among(sightings, 3)
    assert found.value == found.n == found.low < found.high


@pytest.mark.parametrize(("sightings", "n"), [({1: 1}, 1), ({0: 3}, 2), ({3: 1}, 2), ({1: -1}, 2)])
def test_sightings_that_cannot_be_are_refused(sightings: dict[int, int], n: int) -> None:
    with pytest.raises(ConfigError, match="people"):
        recapture_among(sightings, n)


def test_two_people_are_estimated_as_chapman_does() -> None:
    both = recapture_among({1: 90, 2: 300}, 2)
    chapman = (345 + 1) * (345 + 1) / (300 + 1) - 1
    assert both.value == pytest.approx(chapman, abs=0.2)


def test_proposals_do_not_count_as_found() -> None:
    shown = Drawn((0, 0, 10, 10), source=0)
    added = Drawn((50, 0, 60, 10))
    images: list[list[Drawing]] = [
        [(shown, added), (shown,)],
        [(shown,), (shown, added), (added,)],
        [(added,)],
    ]
    assert added_sightings(images, JobSettings()) == {2: {1: 1}, 3: {2: 1}}


def test_pace_is_garwoods_where_finds_are_single() -> None:
    chi2 = pytest.importorskip("scipy.stats").chi2
    done = [Reviewed(0.5, int(place < 9), 0.5) for place in range(200)]
    found = found_per_minute(done)
    assert found is not None
    assert found.value == pytest.approx(0.09)
    assert found.low == pytest.approx(chi2.ppf(0.025, 18) / 200)
    assert found.high == pytest.approx(chi2.ppf(0.975, 20) / 200)
    assert found_per_minute([Reviewed(0.5, 0, 0.0)]) is None
    assert found_per_minute([]) is None


def test_the_next_images_are_judged_by_their_like() -> None:
    done = [Reviewed(0.9, 5, 1.0)] * 50 + [Reviewed(0.1, 0, 1.0)] * 50
    assert {each.priority for each in like_the_next(done, [0.05, 0.1, 0.2], 50)} == {0.1}
    assert like_the_next(done, []) == []


def test_the_rule_goes_on_while_finds_are_likely() -> None:
    many = [Reviewed(0.9, 2, 0.2)] * 100
    advice = advise(many, [0.9] * 1000)
    assert not advice.is_done
    assert advice.sentence.startswith("Go on: in 100 images")
    assert advice.missed_left is not None
    assert advice.missed_left.value == 2000
    assert advice.expected_per_minute is not None
    assert advice.expected_per_minute.value == pytest.approx(10)


@pytest.mark.parametrize(("n", "is_done"), [(737, False), (738, True)])
def test_nothing_found_is_enough_after_738_images(n: int, is_done: bool) -> None:
    # Garwood's upper end of 0 is ln(40) = 3.689; 3.689 / 738 = 0.004999.
    assert math.log(40) / 738 < 0.005 < math.log(40) / 737
    assert advise([Reviewed(0.1, 0, 0.01)] * n, [0.1]).is_done is is_done


def test_a_slow_pace_is_a_reason_too() -> None:
    slow = [Reviewed(0.1, int(place == 0), 2.0) for place in range(100)]
    assert not advise(slow, [0.1], StopRule(found_per_minute=0.02)).is_done
    advice = advise(slow, [0.1], StopRule(found_per_minute=0.03))
    assert advice.is_done
    assert advice.sentence.startswith(
        "Stop: in 100 images like the open ones people found 1 missed region, "
    )


def test_nothing_open_and_nothing_known() -> None:
    assert advise([], []).is_done
    advice = advise([], [0.5])
    assert not advice.is_done
    assert advice.expected_per_minute is None
