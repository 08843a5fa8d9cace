# SPDX-License-Identifier: Apache-2.0
"""Areas of unions of boxes: exact on the float coordinates, no raster in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.boxes import areas, check_boxes_xyxy, clip, intersections
from veilset.types import FloatBoxes

MIN_SIDE_PX = 0.01
"""A side shorter than this is taken as this long, so that a point or a line can be covered."""

_ROWS = 256
"""Boxes that are compared with all covers at once, which bounds the memory."""


def visible_boxes(boxes_xyxy: ArrayLike, size_wh: tuple[int, int]) -> FloatBoxes:
    """Cut boxes to the image and leave out those of which nothing is in it.

    A box without area, which would be covered by nothing and by anything, is widened to
    ``MIN_SIDE_PX`` about its middle first.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels.
        size_wh: Width and height of the image in pixels.

    Returns:
        ``(K, 4)`` float64 in the order given, each with an area, K at most N.

    Example:
        >>> visible_boxes([[-4, 0, 2, 3], [9, 9, 12, 12]], size_wh=(8, 8)).tolist()
        [[0.0, 0.0, 2.0, 3.0]]
    """
    inside = clip(_with_area(boxes_xyxy), size_wh)
    return inside[areas(inside) > 0]


def _with_area(boxes_xyxy: ArrayLike) -> FloatBoxes:
    boxes = check_boxes_xyxy(boxes_xyxy)
    short = np.maximum(MIN_SIDE_PX - (boxes[:, 2:] - boxes[:, :2]), 0.0) / 2
    return np.concatenate([boxes[:, :2] - short, boxes[:, 2:] + short], axis=1)


def covered_areas(boxes_xyxy: ArrayLike, covers_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Give the area of each box that lies under the union of other boxes.

    A box that one cover touches, or that one covers whole, is answered by that one; the
    others by a sweep. Memory is linear in the number of boxes, time at most quadratic.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels.
        covers_xyxy: ``(M, 4)``, pixels; they may overlap.

    Returns:
        ``(N,)`` square pixels, exact up to rounding.

    Example:
        >>> covered_areas([[0, 0, 4, 4]], [[0, 0, 2, 4], [1, 0, 3, 4]]).tolist()
        [12.0]
    """
    boxes, covers = check_boxes_xyxy(boxes_xyxy), check_boxes_xyxy(covers_xyxy)
    covered = np.zeros(len(boxes))
    is_hard = np.zeros(len(boxes), dtype=np.bool_)
    is_used = np.zeros(len(covers), dtype=np.bool_)
    for start in range(0, len(boxes), _ROWS):
        rows = slice(start, start + _ROWS)
        shared = intersections(boxes[rows], covers)
        covered[rows] = shared.max(axis=1, initial=0.0)
        touches = shared > 0
        is_hard[rows] = (touches.sum(axis=1) > 1) & (covered[rows] < areas(boxes[rows]))
        is_used |= touches[is_hard[rows]].any(axis=0)
    covered[is_hard] = _sweep(boxes[is_hard], covers[is_used])
    return covered


def _sweep(boxes: FloatBoxes, covers: FloatBoxes) -> NDArray[np.float64]:
    """Cut the plane into strips at every y of a side and add up what each strip holds.

    In a strip the union is a set of intervals on x, whose running length answers for all
    boxes at once.
    """
    covered = np.zeros(len(boxes))
    both = np.concatenate([boxes, covers])
    xs, columns = np.unique(both[:, 0::2], return_inverse=True)
    ys, rows = np.unique(both[:, 1::2], return_inverse=True)
    columns, rows = columns.reshape(-1, 2), rows.reshape(-1, 2)
    (box_x, cover_x), (box_y, cover_y) = (np.split(at, [len(boxes)]) for at in (columns, rows))
    widths = np.diff(xs)
    for row, height in enumerate(np.diff(ys)):
        is_cover = (cover_y[:, 0] <= row) & (row < cover_y[:, 1])
        is_box = (box_y[:, 0] <= row) & (row < box_y[:, 1])
        if not (is_cover.any() and is_box.any()):
            continue
        steps = np.bincount(cover_x[is_cover, 0], minlength=len(xs))
        steps -= np.bincount(cover_x[is_cover, 1], minlength=len(xs))
        lengths = np.where(np.cumsum(steps)[:-1] > 0, widths, 0.0)
        running = np.concatenate([[0.0], np.cumsum(lengths)])
        covered[is_box] += (running[box_x[is_box, 1]] - running[box_x[is_box, 0]]) * height
    return covered


def covered_shares(boxes_xyxy: ArrayLike, covers_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Give the share of each box that lies under the union of other boxes.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels; one without area has the share 0.
        covers_xyxy: ``(M, 4)``, pixels.

    Returns:
        ``(N,)`` in [0, 1].

    Example:
        >>> covered_shares([[0, 0, 4, 4]], [[0, 0, 4, 1], [0, 3, 4, 9]]).tolist()
        [0.5]
    """
    whole = areas(boxes_xyxy)
    shares = np.divide(
        covered_areas(boxes_xyxy, covers_xyxy), whole, out=np.zeros_like(whole), where=whole > 0
    )
    return np.asarray(np.clip(shares, 0.0, 1.0))


def union_area(boxes_xyxy: ArrayLike) -> float:
    """Give the area of the union of boxes in square pixels, 0 for none.

    Example:
        >>> union_area([[0, 0, 2, 2], [1, 1, 3, 3]])
        7.0
    """
    boxes = check_boxes_xyxy(boxes_xyxy)
    if not len(boxes):
        return 0.0
    hull = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    return float(covered_areas(hull[None], boxes)[0])


def union_iou(a_xyxy: ArrayLike, b_xyxy: ArrayLike) -> float:
    """Give the intersection over union of two unions of boxes, as if they were masks.

    Returns:
        In [0, 1]; 1 if both are empty.

    Example:
        >>> union_iou([[0, 0, 4, 4]], [[0, 0, 2, 4], [2, 0, 4, 2]])
        0.75
    """
    a, b = check_boxes_xyxy(a_xyxy), check_boxes_xyxy(b_xyxy)
    whole = union_area(np.concatenate([a, b]))
    if whole == 0.0:
        return 1.0
    return min(1.0, max(0.0, (union_area(a) + union_area(b) - whole) / whole))
