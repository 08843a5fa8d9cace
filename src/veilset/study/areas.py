# SPDX-License-Identifier: Apache-2.0
"""Shares of objects that faces cover, and boxes as large as the paper's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from veilset.boxes import areas, check_boxes_xyxy, clip
from veilset.types import FloatBoxes
from veilset.unions import covered_shares


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
    box = check_boxes_xyxy(np.reshape(np.asarray(box_xyxy, dtype=np.float64), (1, 4)))
    if areas(box)[0] <= 0:
        return None
    return float(covered_shares(box, by_xyxy)[0])


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
