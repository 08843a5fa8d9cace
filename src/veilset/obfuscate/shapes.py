# SPDX-License-Identifier: Apache-2.0
"""What is replaced where it is more than a box, and how its edge fades.

As in ``mask``, all is decided in whole numbers, so that bytes do not depend on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veilset.obfuscate.mask import OPAQUE, IntBox, mix, paste
from veilset.types import Image, Mask


@dataclass(frozen=True, slots=True)
class Shape:
    """Some pixels of an image.

    Attributes:
        window: The smallest box that holds them, with an area.
        inside: ``(h, w)`` bool, which of its pixels they are; None for all.
    """

    window: IntBox
    inside: Mask | None = field(default=None, repr=False)

    def mark(self, mask: Mask) -> None:
        """Set these pixels of a mask of the whole image."""
        self.view(mask)[self._chosen] = True

    def unmark(self, mask: Mask) -> None:
        """Clear these pixels of a mask of the whole image."""
        self.view(mask)[self._chosen] = False

    def fill(self, image: Image, rgb: tuple[int, int, int]) -> None:
        """Give these pixels of an image one colour."""
        self.view(image)[self._chosen] = rgb

    def view(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Give the pixels of the window, not a copy of them."""
        x0, y0, x1, y1 = self.window
        return pixels[y0:y1, x0:x1]

    @property
    def _chosen(self) -> Mask | slice:
        return slice(None) if self.inside is None else self.inside


def join(core: IntBox, mask: Mask, mask_window: IntBox) -> Shape:
    """Give a box and what of a mask lies beside it.

    Args:
        core: The box, with an area.
        mask: ``(h, w)`` bool.
        mask_window: Where the mask lies.

    Example:
        >>> shape = join((0, 0, 2, 1), np.array([[False], [True]]), (1, 0, 2, 2))
        >>> shape.inside.astype(int).tolist()
        [[1, 1], [0, 1]]
        >>> join((0, 0, 2, 1), np.array([[False], [False]]), (1, 0, 2, 2)).window
        (0, 0, 2, 1)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Shape(core)
    left, top = mask_window[:2]
    window = (
        min(core[0], left + int(columns[0])),
        min(core[1], top + int(rows[0])),
        max(core[2], left + int(columns[-1]) + 1),
        max(core[3], top + int(rows[-1]) + 1),
    )
    inside = np.zeros((window[3] - window[1], window[2] - window[0]), np.bool_)
    inside[core[1] - window[1] : core[3] - window[1], core[0] - window[0] : core[2] - window[0]] = (
        True
    )
    kept = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    y, x = top + int(rows[0]) - window[1], left + int(columns[0]) - window[0]
    inside[y : y + kept.shape[0], x : x + kept.shape[1]] |= kept
    return Shape(window) if inside.all() else Shape(window, inside)


def paste_shape(target: Image, content: Image, window: IntBox, shape: Shape, feather: int) -> None:
    """Write content over a window of the target: whole in the shape, fading out around it.

    Args:
        target: ``(H, W, 3)`` uint8, changed in place.
        content: Pixels of the window, uint8.
        window: The pixels that ``content`` covers; contains the shape.
        shape: The pixels that are replaced entirely.
        feather: Width of the fading edge in pixels.
    """
    if shape.inside is None:
        paste(target, content, window, shape.window, feather)
        return
    x0, y0, x1, y1 = window
    replaced = np.zeros((y1 - y0, x1 - x0), np.bool_)
    Shape(_moved(shape.window, -x0, -y0), shape.inside).mark(replaced)
    weight = np.repeat(fading(replaced, feather)[..., None], 3, axis=2)
    mix(target[y0:y1, x0:x1], content, weight)


def _moved(box: IntBox, x: int, y: int) -> IntBox:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def fading(replaced: Mask, feather: int) -> NDArray[np.uint16]:
    """Weights around a shape: ``OPAQUE`` on it, falling smoothly with the distance from it.

    Args:
        replaced: ``(h, w)`` bool, with at least one true pixel.
        feather: Distance in pixels from which on the weight is 0, less one.

    Returns:
        ``(h, w)`` uint16 from 0 to ``OPAQUE``; along a straight edge as ``mask.ramp``.

    Example:
        >>> fading(np.array([[True, False, False, False, False]]), 3).tolist()
        [[256, 216, 128, 40, 0]]
    """
    import cv2

    away = cv2.distanceTransform((~replaced).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # A squared distance is a whole number, whatever the last digits of its root are.
    squared = np.rint(away.astype(np.float64) ** 2).astype(np.int64)
    reach = feather + 1
    t = 1.0 - np.sqrt(np.arange(reach * reach + 1)) / reach
    levels = np.rint(OPAQUE * (t * t * (3.0 - 2.0 * t))).astype(np.uint16)
    weight: NDArray[np.uint16] = levels[np.minimum(squared, reach * reach)]
    return weight
