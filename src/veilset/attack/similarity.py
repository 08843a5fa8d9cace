# SPDX-License-Identifier: Apache-2.0
"""How alike two pictures are, pixel by pixel: PSNR and SSIM, of all of them or of one box.

Neither says whether a person is recognised: a face shifted by two pixels scores low on both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import outer_pixels
from veilset.errors import BoxError, MissingExtraError
from veilset.types import BoxXyxy, Image

WINDOW_PX = 11
"""Side of SSIM's Gaussian window of sigma 1.5."""

_PEAK = 255.0
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2


def psnr(clear: Image, other: Image, box_xyxy: BoxXyxy | None = None) -> float:
    """Give the peak signal-to-noise ratio over all pixels and channels.

    ``10 log10(255**2 / mean squared difference)``; higher is more alike.

    Args:
        clear: ``(H, W, 3)`` uint8.
        other: The same shape.
        box_xyxy: The region to compare, rounded outward and cut to the picture; None for all.

    Returns:
        Decibels, from 0; infinite where all pixels are equal. Whoever averages has to say
        what becomes of those.

    Raises:
        BoxError: If the pictures differ in shape, are not RGB uint8, or nothing of the box is in
            them.

    Example:
        >>> grey = np.full((4, 4, 3), 100, dtype=np.uint8)
        >>> round(psnr(grey, grey + np.uint8(1)), 2), psnr(grey, grey)
        (48.13, inf)
    """
    a, b = _compared(clear, other, box_xyxy)
    error = float(np.mean((a - b) ** 2))
    return math.inf if error == 0 else 10 * math.log10(_PEAK**2 / error)


def ssim(clear: Image, other: Image, box_xyxy: BoxXyxy | None = None) -> float:
    """Give the structural similarity, mean of the three channels.

    Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
    2004: Gaussian windows of sigma 1.5 and 11 x 11 px, K1 = 0.01, K2 = 0.03, population
    variances, the mean over all windows that lie inside. Computed by scikit-image, of the
    pixels of the box alone.

    A box with a side below 11 px holds no such window: all of its pixels are then taken as one
    window, each with the same weight.

    Args:
        clear: ``(H, W, 3)`` uint8.
        other: The same shape.
        box_xyxy: As for ``psnr``.

    Returns:
        From -1 to 1, which is equal; higher is more alike.

    Raises:
        BoxError: As ``psnr``.
        MissingExtraError: If scikit-image is not installed.

    Example:
        >>> face = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        >>> ssim(face, face), round(ssim(face, 255 - face), 2)
        (1.0, -0.96)
    """
    a, b = _compared(clear, other, box_xyxy)
    if min(a.shape[:2]) < WINDOW_PX:
        return _one_window(a, b)
    value = _structural_similarity()(
        a, b, data_range=_PEAK, channel_axis=2,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    return float(value)


def _compared(
    clear: Image, other: Image, box_xyxy: BoxXyxy | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cut the box out of both."""
    is_rgb = clear.ndim == 3 and clear.shape[2] == 3 and clear.dtype == other.dtype == np.uint8
    if not is_rgb or clear.shape != other.shape:
        raise BoxError(
            f"The pictures are {clear.shape} {clear.dtype} and {other.shape} {other.dtype}. "
            "Compare RGB pictures of one size, uint8 of shape (height, width, 3)."
        )
    height, width = clear.shape[:2]
    box = (0.0, 0.0, width, height) if box_xyxy is None else box_xyxy
    x0, y0, x1, y1 = (int(value) for value in outer_pixels([box], (width, height))[0])
    if x0 >= x1 or y0 >= y1:
        raise BoxError(f"Box {box} has no pixel in a picture of {width} x {height}. Leave it out.")
    part = np.s_[y0:y1, x0:x1]
    return clear[part].astype(np.float64), other[part].astype(np.float64)


def _one_window(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """SSIM of one window with equal weights; a mean over the channels."""
    mean_a, mean_b = a.mean(axis=(0, 1)), b.mean(axis=(0, 1))
    together = ((a - mean_a) * (b - mean_b)).mean(axis=(0, 1))
    light = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    shape = (2 * together + _C2) / (a.var(axis=(0, 1)) + b.var(axis=(0, 1)) + _C2)
    return float((light * shape).mean())


def _structural_similarity() -> Any:
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise MissingExtraError(
            "scikit-image is not installed. Install it with: pip install 'veilset[attack]'"
        ) from error
    return structural_similarity
