# SPDX-License-Identifier: Apache-2.0
"""Where a method works: cores, feathers, their order, and the mixing at the edge.

Everything is decided in whole pixels by integer arithmetic, so that bytes do not
depend on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import enlarge, outer_pixels, region_boxes
from veilset.errors import ConfigError
from veilset.types import Image, IntBoxes, Region

MIN_SIDE_PX = 4
"""Shortest side of a core. A mean over fewer than 4 x 4 pixels would hand too much of a
tiny region through: the mean of a 1-px region over itself is that pixel."""

OPAQUE = 256
"""Mask weight of the core. Weights are whole numbers from 0 to this."""

IntBox = tuple[int, int, int, int]


def check_image(image: Image) -> None:
    """Refuse what is not ``(H, W, 3)`` uint8 with at least one pixel.

    Raises:
        ConfigError: If the array has another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ConfigError(
            f"The image is an array of shape {image.shape} and type {image.dtype}. "
            "Give RGB pixels as uint8 of shape (height, width, 3)."
        )


def check_fraction(method: str, name: str, value: float, high: float) -> None:
    """Refuse a parameter outside ``[0, high]``.

    Raises:
        ConfigError: If the value is outside or not a number.
    """
    if not 0 <= value <= high:
        raise ConfigError(
            f"Parameter {name!r} of the method {method!r} is {value}. "
            f"Give a number from 0 to {high:g}."
        )


def core_boxes(
    regions: Sequence[Region],
    size_wh: tuple[int, int],
    enlarge_by: float,
    min_side_px: int = 1,
) -> IntBoxes:
    """Give the pixels to hide for each region: enlarged, rounded outward, cut to the image.

    Args:
        regions: Row ``i`` of the result speaks of region ``i``.
        size_wh: Width and height of the image in pixels.
        enlarge_by: Fraction of the region's width and height added on every side.
        min_side_px: Cores shorter than this are grown to it, inward of the image's border.

    Returns:
        ``(N, 4)`` int64, half-open. A region that touches no pixel has a core without area.

    Example:
        >>> core_boxes([Region((10, 10, 20, 20))], (64, 64), 0.1).tolist()
        [[9, 9, 21, 21]]
        >>> core_boxes([Region((0, 0, 1, 1))], (64, 64), 0.1, min_side_px=4).tolist()
        [[0, 0, 4, 4]]
    """
    boxes = region_boxes(regions)
    cores = outer_pixels(enlarge(boxes, enlarge_by), size_wh)
    limit = np.array(size_wh)
    low, high = cores[:, :2], cores[:, 2:]
    missing = np.clip(np.minimum(min_side_px, limit) - (high - low), 0, None)
    low = np.clip(low - (missing + 1) // 2, 0, None)
    high = np.maximum(high, np.minimum(low + min_side_px, limit))
    low = np.minimum(low, np.clip(high - min_side_px, 0, None))
    cores = np.concatenate([low, high], axis=1)
    touched = outer_pixels(boxes, size_wh)
    is_empty = (touched[:, :2] >= touched[:, 2:]).any(axis=1)
    # Its enlargement may reach into the image, but there is nothing of it to hide.
    cores[is_empty] = touched[is_empty]
    return cores


def feather_px(cores: IntBoxes, fraction: float) -> NDArray[np.int64]:
    """Give the width of the feather around each core, ``(N,)`` pixels.

    It is a fraction of the core's longer side, rounded up; 0 around an empty core.

    Example:
        >>> feather_px(np.array([[0, 0, 30, 41]]), 0.1).tolist()
        [5]
    """
    sides = cores[:, 2:] - cores[:, :2]
    width: NDArray[np.int64] = np.ceil(sides.max(axis=1, initial=0) * fraction).astype(np.int64)
    width[(sides <= 0).any(axis=1)] = 0
    return width


def grown(cores: IntBoxes, by_px: NDArray[np.int64], size_wh: tuple[int, int]) -> IntBoxes:
    """Push every side outward by whole pixels, cut to the image.

    Example:
        >>> grown(np.array([[1, 5, 6, 7]]), np.array([2]), (8, 8)).tolist()
        [[0, 3, 8, 8]]
    """
    width, height = size_wh
    margin = by_px[:, None]
    wide = np.concatenate([cores[:, :2] - margin, cores[:, 2:] + margin], axis=1)
    result: IntBoxes = np.clip(wide, 0, [width, height, width, height])
    return result


def largest_first(cores: IntBoxes) -> list[IntBox]:
    """Put cores into the one order in which they are worked on, whatever order they came in.

    Duplicates and empty cores are left out. The largest comes first: a region that lies
    in a larger one is then worked on after, never before, the stronger removal of detail.

    Example:
        >>> largest_first(np.array([[0, 0, 2, 2], [5, 5, 9, 9], [0, 0, 2, 2], [3, 3, 3, 9]]))
        [(5, 5, 9, 9), (0, 0, 2, 2)]
    """
    unique = {(int(a), int(b), int(c), int(d)) for a, b, c, d in cores}
    filled = [box for box in unique if box[0] < box[2] and box[1] < box[3]]
    return sorted(filled, key=lambda b: (-(b[2] - b[0]) * (b[3] - b[1]), b))


def ramp(start: int, low: int, high: int, stop: int, feather: int) -> NDArray[np.uint16]:
    """Weights along one axis: ``OPAQUE`` on ``[low, high)``, falling smoothly outside.

    Args:
        start: First pixel of the axis to give, at most ``low``.
        low: First pixel of the core.
        high: End of the core.
        stop: End of the axis to give, at least ``high``.
        feather: Number of pixels on either side with a weight above 0, at most.

    Returns:
        ``(stop - start,)`` uint16 from 0 to ``OPAQUE``.

    Example:
        >>> ramp(0, 3, 5, 9, feather=3).tolist()
        [40, 128, 216, 256, 256, 216, 128, 40, 0]
    """
    at = np.arange(start, stop)
    outside = np.maximum(np.maximum(low - at, at - high + 1), 0)
    t = np.clip(1.0 - outside / (feather + 1), 0.0, 1.0)
    # Smoothstep: no crease where the feather begins, none where it ends.
    return np.rint(OPAQUE * (t * t * (3.0 - 2.0 * t))).astype(np.uint16)


def paste(target: Image, content: Image, window: IntBox, core: IntBox, feather: int) -> None:
    """Write content over a window of the target: whole in the core, fading out around it.

    Args:
        target: ``(H, W, 3)`` uint8, changed in place.
        content: Pixels of the window, uint8.
        window: The pixels that ``content`` covers; contains the core.
        core: The pixels that are replaced entirely.
        feather: Width of the fading edge in pixels.
    """
    x0, y0, x1, y1 = window
    cx0, cy0, cx1, cy1 = core
    target[cy0:cy1, cx0:cx1] = content[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0]
    # Weights come as (h, w, 3): NumPy is several times slower where it has to spread them.
    across = np.repeat(ramp(x0, cx0, cx1, x1, feather), 3).astype(np.uint32)
    down = ramp(y0, cy0, cy1, y1, feather).astype(np.uint32)
    # Only the four strips around the core are mixed: the core is a plain copy.
    strips = ((x0, y0, x1, cy0), (x0, cy1, x1, y1), (x0, cy0, cx0, cy1), (cx1, cy0, x1, cy1))
    for sx0, sy0, sx1, sy1 in strips:
        if sx0 < sx1 and sy0 < sy1:
            rows, columns = slice(sy0 - y0, sy1 - y0), slice(sx0 - x0, sx1 - x0)
            flat = (down[rows, None] * across[None, columns.start * 3 : columns.stop * 3]) >> 8
            weight = flat.astype(np.uint16).reshape(sy1 - sy0, sx1 - sx0, 3)
            mix(target[sy0:sy1, sx0:sx1], content[rows, columns], weight)


def mix(target: Image, content: Image, weight: NDArray[np.uint16]) -> None:
    """Blend content into the target in place, rounded to the nearest value.

    Args:
        target: ``(h, w, 3)`` uint8, changed in place.
        content: ``(h, w, 3)`` uint8, or one colour ``(3,)``.
        weight: ``(h, w, 3)`` uint16 from 0 (target stays) to ``OPAQUE`` (content).
    """
    mixed = content * weight
    # At most 255 * 256 + 128: uint16 holds it.
    mixed += target * (OPAQUE - weight)
    mixed += OPAQUE // 2
    mixed >>= 8
    target[...] = mixed
