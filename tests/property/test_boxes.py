# SPDX-License-Identifier: Apache-2.0
"""Geometry that holds for every box."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from veilset import boxes

Size = tuple[int, int]
Box = tuple[float, float, float, float]

coordinates = st.floats(-50, 150, allow_nan=False).map(lambda v: round(v, 3))
sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))


@st.composite
def any_boxes(draw: st.DrawFn, max_size: int = 8) -> list[Box]:
    found = []
    for _ in range(draw(st.integers(0, max_size))):
        x0, x1 = sorted((draw(coordinates), draw(coordinates)))
        y0, y1 = sorted((draw(coordinates), draw(coordinates)))
        found.append((x0, y0, x1, y1))
    return found


@given(any_boxes(), sizes)
def test_outer_pixels_cover_the_clipped_box_and_stay_inside(found: list[Box], size: Size) -> None:
    outer = boxes.outer_pixels(found, size)
    clipped = boxes.clip(found, size)
    assert len(outer) == len(found)
    assert (outer[:, :2] <= clipped[:, :2]).all()
    assert (outer[:, 2:] >= clipped[:, 2:]).all()
    assert (outer >= 0).all()
    assert (outer <= [*size, *size]).all()


@given(any_boxes(), sizes)
def test_outer_pixels_are_tight(found: list[Box], size: Size) -> None:
    outer = boxes.outer_pixels(found, size).astype(float)
    clipped = boxes.clip(found, size)
    assert (clipped[:, :2] - outer[:, :2] < 1).all()
    assert (outer[:, 2:] - clipped[:, 2:] <= 1).all()


@given(any_boxes(), sizes)
def test_union_mask_is_every_touched_pixel(found: list[Box], size: Size) -> None:
    mask = boxes.union_mask(found, size)
    expected = np.zeros((size[1], size[0]), bool)
    for x0, y0, x1, y1 in boxes.outer_pixels(found, size):
        for y in range(y0, y1):
            for x in range(x0, x1):
                expected[y, x] = True
    assert (mask == expected).all()


@given(any_boxes(), any_boxes())
def test_iou_is_symmetric_and_in_range(a: list[Box], b: list[Box]) -> None:
    table = boxes.iou(a, b)
    assert ((table >= 0) & (table <= 1 + 1e-12)).all()
    assert np.allclose(table, boxes.iou(b, a).T)


@given(any_boxes(), st.randoms(use_true_random=False), st.floats(0.05, 0.95))
def test_nms_leaves_no_overlap_and_loses_nothing_apart(
    found: list[Box], random: object, threshold: float
) -> None:
    scores = np.linspace(1, 0, len(found))
    kept = boxes.nms(found, scores, threshold)
    chosen = np.asarray(found, float).reshape(-1, 4)[kept]
    table = boxes.iou(chosen, chosen)
    np.fill_diagonal(table, 0)
    assert (table <= threshold).all()
    dropped = [i for i in range(len(found)) if i not in set(kept.tolist())]
    if dropped:
        overlap = boxes.iou(np.asarray(found, float)[dropped], chosen)
        assert (overlap.max(axis=1) > threshold).all()


@given(any_boxes(), st.floats(0, 3))
def test_enlarging_keeps_the_centre_and_scales_the_sides(found: list[Box], by: float) -> None:
    before, after = boxes.check_boxes_xyxy(found), boxes.enlarge(found, by)
    assert np.allclose(before[:, :2] + before[:, 2:], after[:, :2] + after[:, 2:], atol=1e-6)
    sides = before[:, 2:] - before[:, :2]
    assert np.allclose(after[:, 2:] - after[:, :2], sides * (1 + 2 * by), atol=1e-6)
