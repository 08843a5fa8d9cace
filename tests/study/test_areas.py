# SPDX-License-Identifier: Apache-2.0
"""Areas of unions against pixels that are counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilset.boxes import union_mask
from veilset.study.areas import covered_share, enlarged_by_diagonal
from veilset.unions import union_area

_SIDE = st.integers(0, 12)
_BOX = st.tuples(_SIDE, _SIDE, _SIDE, _SIDE).map(
    lambda s: (min(s[0], s[2]), min(s[1], s[3]), max(s[0], s[2]) + 1, max(s[1], s[3]) + 1)
)


@given(st.lists(_BOX, max_size=8))
def test_a_union_of_whole_boxes_is_the_count_of_their_pixels(boxes):
    assert union_area(boxes) == union_mask(boxes, (14, 14)).sum()


@given(st.lists(_BOX, min_size=1, max_size=8), st.floats(0.1, 7))
def test_a_union_grows_with_the_square_of_the_scale(boxes, scale):
    scaled = np.asarray(boxes) * scale
    assert union_area(scaled) == pytest.approx(union_area(boxes) * scale**2)


@given(_BOX, st.lists(_BOX, max_size=6))
def test_the_covered_share_is_that_of_the_pixels_of_the_box(box, faces):
    x0, y0, x1, y1 = box
    inside = union_mask(faces, (14, 14))[y0:y1, x0:x1]
    assert covered_share(box, faces) == pytest.approx(inside.mean())


def test_boxes_without_area():
    assert union_area([]) == 0
    assert union_area([[3, 3, 3, 9]]) == 0
    assert covered_share([3, 3, 3, 9], [[0, 0, 9, 9]]) is None


def test_a_box_is_enlarged_by_its_own_diagonal_and_stays_in_the_image():
    boxes = [[10.0, 10.0, 40.0, 50.0], [0.0, 0.0, 6.0, 8.0]]
    assert enlarged_by_diagonal(boxes, (100, 52)).tolist() == [[5, 5, 45, 52], [0, 0, 7, 9]]
