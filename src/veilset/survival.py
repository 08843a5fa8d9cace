# SPDX-License-Identifier: Apache-2.0
"""How much of a region's identity-carrying detail is left in an output.

Independent of the methods: it looks at pixels only, as an attacker would who has both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import outer_pixels
from veilset.errors import BoxError
from veilset.types import BoxXyxy, Image

_WORK_PX = 96
"""Larger regions are reduced to this: no detail beyond 48 cycles a face tells who it is."""

_CUT = 0.06
"""Sigma of the filter that removes the coarse part, as a fraction of the longer side."""

_MIN_SIGMA_PX = 0.8
_NOISE = 1.0
"""Amplitude, in grey levels, below which detail drowns in rounding and compression."""

_TINY_PX = 8
_SMALL_PX = 24
_ALIKE = 0.9
_UNCHANGED_SHARE = 0.9
_FLAT = 2.0
"""Standard deviation of the luminance below which a region shows nothing to hide."""


def survival(original: Image, output: Image, box_xyxy: BoxXyxy) -> float:
    """Measure the share of a region's detail in the output that the original explains.

    Detail is luminance finer than about a sixth of the region's longer side. The result is
    the squared coherence of the two, over the whole region or over one of its quarters,
    whichever is more: contrast taken away does not lower it until the rest drowns in the
    rounding to 8 bits, since contrast can be put back. A region that comes back pixel for
    pixel counts as 1 even where it has no fine detail. Up to 24 px, where compression may
    take all fine detail, a region that is nine tenths alike as a whole counts as that much.
    With a side below 8 px there are too few pixels to tell detail from chance: for such
    regions these two are the only tests.

    It does not see detail that was moved (a swirl), nor colour without luminance.

    Args:
        original: ``(H, W, 3)`` uint8 RGB.
        output: The same picture after obfuscation, same shape.
        box_xyxy: The region, pixels, half-open; rounded outward and cut to the picture.

    Returns:
        From 0 (nothing is left, or there was nothing to hide) to 1 (untouched).

    Raises:
        BoxError: If the pictures differ in shape or the box is malformed.

    Example:
        >>> face = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        >>> survival(face, face, (4, 4, 36, 36))
        1.0
        >>> round(survival(face, np.full_like(face, 90), (4, 4, 36, 36)), 6)
        0.0
    """
    if original.shape != output.shape:
        raise BoxError(
            f"The original has shape {original.shape} and the output {output.shape}. "
            "Compare pictures of the same size."
        )
    height, width = original.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in outer_pixels([box_xyxy], (width, height))[0])
    if x0 >= x1 or y0 >= y1:
        return 0.0
    before, after = original[y0:y1, x0:x1], output[y0:y1, x0:x1]
    grey_before, grey_after = luminance(before), luminance(after)
    unchanged = float((before == after).all(axis=2).mean())
    is_flat = float(grey_before.std()) < _FLAT
    if unchanged >= _UNCHANGED_SHARE and not is_flat:
        return 1.0
    if max(x1 - x0, y1 - y0) <= _SMALL_PX and not is_flat:
        alike = likeness(grey_before, grey_after)
        if alike >= _ALIKE:
            return alike
    if min(x1 - x0, y1 - y0) < _TINY_PX:
        return 0.0
    detail_before, detail_after = detail(grey_before), detail(grey_after)
    return max(
        coherence(detail_before[part], detail_after[part]) for part in _parts(detail_before.shape)
    )


def luminance(pixels: Image) -> NDArray[np.float64]:
    """Give the luma of ITU-R BT.601 in grey levels, ``(h, w)``."""
    weights = np.array([0.299, 0.587, 0.114])
    return np.asarray(pixels @ weights)


def detail(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep what is finer than about a sixth of the longer side.

    Args:
        grey: ``(h, w)`` grey levels, at least one pixel.

    Returns:
        At most 96 x 96: larger pictures are reduced by averaging first.
    """
    for axis in (0, 1):
        grey = _reduced(grey, axis)
    sigma = max(_MIN_SIGMA_PX, _CUT * max(grey.shape))
    down, across = _gaussian(grey.shape[0], sigma), _gaussian(grey.shape[1], sigma)
    # Three times in a row: steep enough that the grid of a veil is not taken for detail.
    for _ in range(3):
        grey = grey - down @ grey @ across.T
    return grey


def coherence(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Give the squared coherence of two details, from 0 to 1, less what noise explains."""
    floor = _NOISE**2 * before.size
    shared = float((before * after).sum())
    power_before, power_after = float((before**2).sum()), float((after**2).sum())
    return min(1.0, shared**2 / ((power_before + floor) * (power_after + floor)))


def likeness(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Give the share of the original's variance, which must not be 0, that is left: up to 1."""
    return 1.0 - float(((after - before) ** 2).mean()) / float(before.var())


def _parts(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """The whole, and its quarters where these are large enough to say something."""
    parts = [(slice(None), slice(None))]
    if min(shape) >= 32:
        for rows in (slice(None, shape[0] // 2), slice(shape[0] // 2, None)):
            parts += [(rows, slice(None, shape[1] // 2)), (rows, slice(shape[1] // 2, None))]
    return parts


def _reduced(grey: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    side = grey.shape[axis]
    if side <= _WORK_PX:
        return grey
    edges = np.arange(_WORK_PX + 1) * side // _WORK_PX
    sums = np.add.reduceat(grey, edges[:-1], axis=axis)
    counts = np.diff(edges).reshape((-1, 1) if axis == 0 else (1, -1))
    return np.asarray(sums / counts)


def _gaussian(side: int, sigma: float) -> NDArray[np.float64]:
    """Matrix that filters along one axis; what lies beyond the border is left out."""
    at = np.arange(side)
    weights = np.exp(-((at[:, None] - at[None, :]) ** 2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
