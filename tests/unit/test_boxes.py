# SPDX-License-Identifier: Apache-2.0
"""Boxes: hand-made cases; the properties are in ``tests/property/test_boxes.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from veilset import boxes
from veilset.errors import BoxError
from veilset.types import Region


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ([1, 2, 3, 4], "shape"),
        ([[1, 2, 3]], "shape"),
        ([[0, 0, np.nan, 1]], "not finite"),
        ([[0, 0, np.inf, 1]], "not finite"),
        ([[5, 0, 4, 1]], "Box 0 is turned inside out"),
        ([[0, 0, 1, 1], [0, 5, 4, 1]], "Box 1 is turned inside out"),
    ],
)
def test_bad_boxes_are_refused_with_what_is_wrong(bad: Any, says: str) -> None:
    with pytest.raises(BoxError, match=says):
        boxes.check_boxes_xyxy(bad)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0.2, 1.0, 3.1, 9.0], [0, 1, 4, 6]),  # over the lower border
        ([-5, -5, -1, -1], [0, 0, 0, 0]),  # outside: kept, without area
        ([9, 0, 12, 3], [8, 0, 8, 3]),  # outside on the right
        ([3, 2, 3, 2], [3, 2, 4, 3]),  # a point is the pixel it lies in
        ([3, 2, 3, 4.5], [3, 2, 4, 5]),  # a line is the pixels it touches
        ([0, 0, 8, 6], [0, 0, 8, 6]),  # the whole image
        ([2.0, 2.0, 3.0, 3.0], [2, 2, 3, 3]),  # exactly one pixel
    ],
)
def test_outer_pixels(box: list[float], expected: list[int]) -> None:
    assert boxes.outer_pixels([box], size_wh=(8, 6)).tolist() == [expected]


def test_no_boxes_give_no_boxes() -> None:
    assert boxes.outer_pixels([], (4, 4)).shape == (0, 4)
    assert boxes.clip([], (4, 4)).shape == (0, 4)
    assert boxes.enlarge([], 0.5).shape == (0, 4)
    assert boxes.iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert boxes.nms([], [], 0.5).shape == (0,)
    assert not boxes.union_mask([], (4, 3)).any()
    assert boxes.region_boxes([]).shape == (0, 4)


def test_nms_needs_a_score_for_each_box() -> None:
    with pytest.raises(BoxError, match="1 boxes came with 2 scores"):
        boxes.nms([[0, 0, 1, 1]], [0.1, 0.2], 0.5)


@pytest.mark.parametrize("by", [-0.1, float("nan"), float("inf")])
def test_enlarge_refuses(by: float) -> None:
    with pytest.raises(BoxError, match="at least 0"):
        boxes.enlarge([[0, 0, 1, 1]], by)


def test_a_region_refuses_a_bad_box() -> None:
    with pytest.raises(BoxError, match="inside out"):
        Region((4, 0, 1, 1))
    with pytest.raises(BoxError, match="not finite"):
        Region((0, 0, float("nan"), 1))


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_a_region_refuses_a_score_that_no_threshold_can_judge(score: float) -> None:
    with pytest.raises(BoxError, match=r"not finite, .* leave out"):
        Region((0, 0, 1, 1), score=score)
