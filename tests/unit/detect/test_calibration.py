# SPDX-License-Identifier: Apache-2.0
"""From merged evidence to scores and boxes."""

from __future__ import annotations

import numpy as np
import pytest

from veilset.detect.calibration import Calibration, Sight, could_see
from veilset.detect.passes import PLANS

FACE = np.array([[0.0, 0.0, 40.0, 40.0]])


def seen(*scales: float) -> list[Sight]:
    """Looks that are believed for faces of any size."""
    return [Sight(scale) for scale in scales]


def test_without_numbers_scores_stay_as_they_are() -> None:
    scores = np.linspace(0.01, 0.99, 9)
    boxes = np.tile(FACE, (9, 1))
    np.testing.assert_allclose(Calibration().probabilities(scores, boxes, seen(1.0)), scores)


def test_the_ends_of_the_scale_stay_numbers() -> None:
    scores = Calibration(0.5, 1.0, 2.0).probabilities(
        np.array([0.0, 1.0]), np.tile(FACE, (2, 1)), seen(1.0, 2.0)
    )
    assert scores[0] == 0.0
    assert 0.999 < scores[1] <= 1.0


def test_evidence_is_shared_among_the_looks_that_could_see() -> None:
    # Two looks, one of them silent: exp(-e) with e = -ln(1 - 0.75) / 2.
    (mean,) = Calibration(silence=1.0).probabilities(np.array([0.75]), FACE, seen(1.0, 2.0))
    assert mean == pytest.approx(0.5)


def test_a_look_that_is_blind_to_the_size_takes_nothing_away() -> None:
    tiny = np.array([[0.0, 0.0, 6.0, 6.0]])
    (score,) = Calibration(silence=1.0).probabilities(np.array([0.75]), tiny, seen(0.5, 1.0, 2.0))
    assert score == pytest.approx(0.75)


def test_a_look_that_is_not_believed_for_large_faces_takes_nothing_away() -> None:
    looks = [Sight(1.0, 100.0), Sight(2.0, 60.0)]
    (score,) = Calibration(silence=1.0).probabilities(np.array([0.75]), FACE, looks)
    assert score == pytest.approx(0.75)


def test_a_look_that_was_not_shown_the_place_takes_nothing_away() -> None:
    near = np.array([[0.0, 0.0, 50.0, 50.0]])
    far = np.array([[900.0, 0.0, 950.0, 50.0], [90.0, 90.0, 120.0, 120.0]])
    half_open = np.array([[-np.inf, -np.inf, 20.0, 99.0], [0.0, 0.0, 19.0, 20.0]])
    scores = [
        Calibration(silence=1.0).probabilities(
            np.array([0.75]), FACE, [Sight(1.0), Sight(2.0, areas=areas)]
        )[0]
        for areas in (near, far, np.concatenate([far, near]), half_open)
    ]
    assert scores == pytest.approx([0.5, 0.75, 0.5, 0.75])


def test_a_face_seen_by_no_look_counts_as_seen_by_one() -> None:
    assert could_see(
        np.array([[0.0, 0.0, 2.0, 2.0], [3.0, 3.0, 3.0, 9.0]]), seen(1.0)
    ).tolist() == [
        1,
        1,
    ]


@pytest.mark.parametrize("effort", PLANS)
def test_scores_of_each_effort_rise_with_the_evidence(effort: str) -> None:
    plan = PLANS[effort]
    sights = [Sight(view.scale, view.largest_px) for view in plan.always + plan.near_hints]
    scores = np.linspace(0, 1, 101)
    given = plan.calibration.probabilities(scores, np.tile(FACE, (101, 1)), sights)
    assert (np.diff(given) > 0).all()
    assert 0 < plan.threshold < 1


def test_boxes_move_outward_only() -> None:
    for plan in PLANS.values():
        (box,) = plan.calibration.boxes(FACE)
        assert (box[:2] <= FACE[0, :2]).all()
        assert (box[2:] >= FACE[0, 2:]).all()
