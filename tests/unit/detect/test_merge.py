# SPDX-License-Identifier: Apache-2.0
"""Several looks become one list: worked examples."""

from __future__ import annotations

import numpy as np
import pytest

from veilset.detect.candidates import Candidates
from veilset.detect.merge import merge


def seen(*rows: tuple[float, float, float, float, float]) -> Candidates:
    """Candidates from rows ``x0 y0 x1 y1 score``; the points are the corners of the box."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return Candidates(table[:, :4], table[:, 4], table[:, :4].reshape(-1, 2, 2))


def test_nothing_seen_gives_nothing() -> None:
    assert len(merge([])) == 0
    empty = merge([seen(), seen()])
    assert empty.boxes_xyxy.shape == (0, 4)
    assert empty.landmarks_xy.shape == (0, 2, 2)


def test_scores_of_looks_add_up_as_independent_evidence() -> None:
    face = (10.0, 10.0, 50.0, 50.0)
    merged = merge([seen((*face, 0.5)), seen((*face, 0.4)), seen((*face, 0.2))])
    assert len(merged) == 1
    assert merged.scores[0] == pytest.approx(1 - 0.5 * 0.6 * 0.8)
    np.testing.assert_allclose(merged.boxes_xyxy, [face])


def test_box_is_the_mean_weighted_by_score() -> None:
    merged = merge([seen((0, 0, 40, 40, 0.75)), seen((4, 0, 44, 40, 0.25))])
    np.testing.assert_allclose(merged.boxes_xyxy, [[1, 0, 41, 40]])


def test_a_look_that_showed_the_face_small_says_less_about_its_box() -> None:
    looks = [seen((0, 0, 24, 24, 0.5)), seen((6, 0, 30, 24, 0.5))]
    # At a quarter of the scale the box is of 6 px, a quarter of what counts in full.
    merged = merge(looks, [1.0, 0.25])
    np.testing.assert_allclose(merged.boxes_xyxy, [[1.2, 0, 25.2, 24]])


def test_landmarks_are_those_of_the_strongest_look() -> None:
    strong, weak = seen((0, 0, 40, 40, 0.9)), seen((2, 2, 42, 42, 0.5))
    np.testing.assert_array_equal(merge([weak, strong]).landmarks_xy, strong.landmarks_xy)


def test_neighbours_that_one_look_tells_apart_stay_apart() -> None:
    crowd = seen((0, 0, 20, 20, 0.9), (11, 0, 31, 20, 0.8))
    merged = merge([crowd, crowd])
    assert len(merged) == 2
    np.testing.assert_allclose(sorted(merged.boxes_xyxy[:, 0]), [0, 11])


def test_another_box_of_the_same_look_adds_no_evidence() -> None:
    merged = merge([seen((0, 0, 20, 20, 0.5), (1, 0, 21, 20, 0.4))])
    assert merged.scores.tolist() == [0.5]


def test_boxes_without_area_are_kept_once() -> None:
    merged = merge([seen((5, 5, 5, 5, 0.5)), seen((8, 5, 8, 5, 0.0))])
    assert sorted(merged.scores.tolist()) == [0.0, 0.5]
