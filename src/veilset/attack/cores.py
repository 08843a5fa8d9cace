# SPDX-License-Identifier: Apache-2.0
"""Which pixels a method worked on, and in which order: what an attacker reads in its source."""

from __future__ import annotations

from typing import TypeAlias

from veilset.types import IntBoxes

IntBox: TypeAlias = tuple[int, int, int, int]
"""``x0 y0 x1 y1`` in whole pixels, half-open."""

MIN_SIDE_PX = 4
"""In pictures with a shorter side the methods paint cores in one colour: nothing is left."""


def int_box(row: IntBoxes) -> IntBox:
    """Turn a row of boxes, ``(4,)``, into plain numbers.

    Example:
        >>> import numpy as np
        >>> int_box(np.array([1, 2, 3, 4]))
        (1, 2, 3, 4)
    """
    x0, y0, x1, y1 = (int(value) for value in row)
    return x0, y0, x1, y1


def largest_first(cores: IntBoxes) -> list[IntBox]:
    """Put cores into the order in which our methods work on them, each on what is there by then.

    Duplicates and empty cores are left out, as the methods do.

    Args:
        cores: ``(N, 4)``, pixels.

    Example:
        >>> import numpy as np
        >>> largest_first(np.array([[0, 0, 2, 2], [5, 5, 9, 9], [0, 0, 2, 2], [3, 3, 3, 9]]))
        [(5, 5, 9, 9), (0, 0, 2, 2)]
    """
    filled = {box for box in map(int_box, cores) if box[0] < box[2] and box[1] < box[3]}
    return sorted(filled, key=lambda box: (-(box[2] - box[0]) * (box[3] - box[1]), box))


def grown(box: IntBox, by_px: int, size_wh: tuple[int, int]) -> IntBox:
    """Push every side outward, cut to the picture.

    Example:
        >>> grown((1, 5, 6, 7), 2, (8, 8))
        (0, 3, 8, 8)
    """
    x0, y0, x1, y1 = box
    right, bottom = min(x1 + by_px, size_wh[0]), min(y1 + by_px, size_wh[1])
    return max(x0 - by_px, 0), max(y0 - by_px, 0), right, bottom


def within(box: IntBox, frame: IntBox) -> IntBox:
    """Give a box in the coordinates of a frame around it.

    Example:
        >>> within((5, 6, 7, 8), (4, 4, 9, 9))
        (1, 2, 3, 4)
    """
    left, top = frame[:2]
    return box[0] - left, box[1] - top, box[2] - left, box[3] - top


def pixels(box: IntBox) -> tuple[slice, slice]:
    """Give what selects a box in ``(h, w)``.

    Example:
        >>> import numpy as np
        >>> np.ones((9, 9))[pixels((1, 2, 3, 5))].shape
        (3, 2)
    """
    return slice(box[1], box[3]), slice(box[0], box[2])
