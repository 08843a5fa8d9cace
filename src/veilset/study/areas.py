# SPDX-License-Identifier: Apache-2.0
"""Exact areas of unions of boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from veilset.boxes import check_boxes_xyxy, clip
from veilset.types import FloatBoxes


def union_area(boxes_xyxy: ArrayLike) -> float:
    """Give the area that boxes cover together, square pixels; what two share counts once.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels; N may be 0.

    Example:
        >>> union_area([[0, 0, 2, 2], [1, 1, 3, 3]])
        7.0
    """
    boxes = check_boxes_xyxy(boxes_xyxy)
    if not len(boxes):
        return 0.0
    # The sides cut the plane into cells, each of which is covered wholly or not at all.
    xs, ys = np.unique(boxes[:, (0, 2)]), np.unique(boxes[:, (1, 3)])
    covered = np.zeros((len(ys) - 1, len(xs) - 1), dtype=np.bool_)
    columns = np.searchsorted(xs, boxes[:, (0, 2)])
    rows = np.searchsorted(ys, boxes[:, (1, 3)])
    for (x0, x1), (y0, y1) in zip(columns, rows, strict=True):
        covered[y0:y1, x0:x1] = True
    return float(np.diff(ys) @ covered @ np.diff(xs))


def covered_share(box_xyxy: ArrayLike, by_xyxy: ArrayLike) -> float | None:
    """Give the share of one box that others cover together.

    Args:
        box_xyxy: ``(4,)``, pixels.
        by_xyxy: ``(N, 4)``, pixels.

    Returns:
        In [0, 1]; None for a box without area.

    Example:
        >>> covered_share([0, 0, 4, 2], [[0, 0, 1, 2], [-3, 0, 2, 2]])
        0.5
    """
    x0, y0, x1, y1 = check_boxes_xyxy(np.reshape(np.asarray(box_xyxy, dtype=np.float64), (1, 4)))[0]
    area = (x1 - x0) * (y1 - y0)
    if area <= 0:
        return None
    inside = np.clip(check_boxes_xyxy(by_xyxy), [x0, y0, x0, y0], [x1, y1, x1, y1])
    return min(1.0, union_area(inside) / float(area))


def enlarged_by_diagonal(boxes_xyxy: ArrayLike, size_wh: tuple[int, int]) -> FloatBoxes:
    """Push every side outward by a tenth of the box's diagonal, and cut it to the image.

    So the paper of the face study enlarges boxes before it blurs (Yang et al. 2022, eq. 2;
    its released code takes the longer side for the diagonal).

    Args:
        boxes_xyxy: ``(N, 4)``, pixels.
        size_wh: Width and height of the image in pixels.

    Example:
        >>> enlarged_by_diagonal([[10, 10, 13, 14]], (13, 20)).tolist()
        [[9.5, 9.5, 13.0, 14.5]]
    """
    boxes = check_boxes_xyxy(boxes_xyxy)
    margin = np.hypot(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None] / 10
    return clip(np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1), size_wh)
