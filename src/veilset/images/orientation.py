# SPDX-License-Identifier: Apache-2.0
"""EXIF orientation: find it, apply it to pixels, map boxes back to the stored pixels.

Orientation numbers and their meaning: Exif 2.32 (CIPA DC-008), tag 0x0112.
"""

from __future__ import annotations

import struct
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from veilset.types import IntBoxes

_TAG = 0x0112
_SHORT, _LONG = 3, 4
_Pixel = TypeVar("_Pixel", bound=np.generic)


def exif_orientation(tiff: bytes) -> int:
    """Find the orientation in an EXIF block, 1..8; 1 if absent or senseless.

    Args:
        tiff: The block from its ``II`` or ``MM`` on; a leading ``Exif\\0\\0`` is skipped.

    Example:
        >>> exif_orientation(b"MM\\0*\\0\\0\\0\\x08\\0\\1\\1\\x12\\0\\3\\0\\0\\0\\1\\0\\6\\0\\0")
        6
    """
    tiff = tiff.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for at in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, n_values = struct.unpack_from(order + "HHI", tiff, at)
        # Other types are senseless, and the metadata cleaner drops them: what is applied
        # here has to be what the published file still says.
        if tag == _TAG and kind in (_SHORT, _LONG) and n_values == 1:
            value = struct.unpack_from(order + ("I" if kind == _LONG else "H"), tiff, at + 8)[0]
            return value if 1 <= value <= 8 else 1
    return 1


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
