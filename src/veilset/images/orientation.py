# SPDX-License-Identifier: Apache-2.0
"""Apply an orientation to pixels, and map boxes back to the stored pixels.

Orientation numbers and their meaning: Exif 2.32 (CIPA DC-008), tag 0x0112.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from veilset.types import IntBoxes

_Pixel = TypeVar("_Pixel", bound=np.generic)


def oriented_size(stored_wh: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Give width and height as seen; 5..8 turn the picture on its side.

    Example:
        >>> oriented_size((4, 3), 6)
        (3, 4)
    """
    width, height = stored_wh
    return (height, width) if orientation >= 5 else (width, height)


def orient(stored: NDArray[_Pixel], orientation: int) -> NDArray[_Pixel]:
    """Turn stored pixels ``(H, W, ...)`` into the picture as seen. Gives a view.

    Example:
        >>> orient(np.array([[1, 2, 3]]), 6).tolist()
        [[1], [2], [3]]
    """
    if orientation >= 5:
        stored = stored.swapaxes(0, 1)
    flip_x, flip_y = _FLIPS[orientation]
    return stored[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


# After the transposition of 5..8: mirror left-right, mirror top-bottom.
_FLIPS = {
    1: (False, False),
    2: (True, False),
    3: (True, True),
    4: (False, True),
    5: (False, False),
    6: (True, False),
    7: (True, True),
    8: (False, True),
}


def unorient(seen: NDArray[_Pixel], orientation: int) -> NDArray[_Pixel]:
    """Turn the picture as seen back into stored order. Gives a view; undoes ``orient``.

    Example:
        >>> a = np.arange(6).reshape(2, 3)
        >>> all(np.array_equal(unorient(orient(a, o), o), a) for o in range(1, 9))
        True
    """
    flip_x, flip_y = _FLIPS[orientation]
    seen = seen[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return seen.swapaxes(0, 1) if orientation >= 5 else seen


def stored_boxes(boxes_xyxy: IntBoxes, seen_wh: tuple[int, int], orientation: int) -> IntBoxes:
    """Map boxes on the picture as seen to the same pixels in stored order.

    Args:
        boxes_xyxy: ``(N, 4)``, whole pixels, half-open.
        seen_wh: Width and height as seen.
        orientation: 1..8.

    Example:
        >>> stored_boxes(np.array([[0, 0, 1, 2]]), (3, 4), 6).tolist()
        [[0, 2, 2, 3]]
    """
    x0, y0, x1, y1 = np.asarray(boxes_xyxy, dtype=np.int64).reshape(-1, 4).T
    width, height = seen_wh
    flip_x, flip_y = _FLIPS[orientation]
    if flip_x:
        x0, x1 = width - x1, width - x0
    if flip_y:
        y0, y1 = height - y1, height - y0
    columns = [y0, x0, y1, x1] if orientation >= 5 else [x0, y0, x1, y1]
    return np.stack(columns, axis=1)
