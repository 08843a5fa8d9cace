# SPDX-License-Identifier: Apache-2.0
"""A crude proxy for skin tone: the individual typology angle of a face's pixels.

It measures the colour of pixels, not of skin: light, shadow, white balance, make-up, film and
a box that holds hair or background all move it by more than a class. It is no ethnicity. It
can show that a detector misses dark faces; it cannot say of one face what its skin is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import outer_pixels
from veilset.types import BoxXyxy, Image

CLASSES = (
    (55.0, "very light"),
    (41.0, "light"),
    (28.0, "intermediate"),
    (10.0, "tan"),
    (-30.0, "brown"),
    (-math.inf, "dark"),
)
"""Least angle in degrees of each class (Chardon et al. 1991; Del Bino and Bernerd 2013)."""

MIN_SIDE_PX = 16
"""Smaller faces have too few pixels in their middle."""


def typology_angle(image: Image, box_xyxy: BoxXyxy) -> float | None:
    """Give the individual typology angle, ``atan((L* - 50) / b*)``, of the middle of a face.

    Of the middle half of the box in both directions, the darkest and the lightest fifth of
    the pixels are left out (eyes, brows, glare); L* and b* are medians of the rest.

    Args:
        image: ``(H, W, 3)`` uint8 sRGB.
        box_xyxy: The face, pixels.

    Returns:
        Degrees in [-90, 90]; None for a face smaller than 16 pixels.
    """
    x0, y0, x1, y1 = box_xyxy
    if min(x1 - x0, y1 - y0) < MIN_SIDE_PX:
        return None
    width, height = x1 - x0, y1 - y0
    middle = (x0 + width / 4, y0 + height / 4, x1 - width / 4, y1 - height / 4)
    left, top, right, bottom = outer_pixels([middle], (image.shape[1], image.shape[0]))[0]
    if left >= right or top >= bottom:
        return None
    lightness, _, yellow = lab_of(image[top:bottom, left:right].reshape(-1, 3))
    low, high = np.quantile(lightness, [0.2, 0.8])
    kept = (lightness >= low) & (lightness <= high)
    angle = math.atan2(float(np.median(lightness[kept])) - 50, float(np.median(yellow[kept])))
    # A bluish face has b* below 0, where atan2 would go on past the right angle.
    return max(-90.0, min(90.0, math.degrees(angle)))


def class_of(angle: float) -> str:
    """Name the class of an angle in degrees.

    Example:
        >>> class_of(60), class_of(28), class_of(-80)
        ('very light', 'intermediate', 'dark')
    """
    return next(name for least, name in CLASSES if angle >= least)


def lab_of(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], ...]:
    """Give L*, a* and b* (CIE 1976, D65) of sRGB pixels (IEC 61966-2-1).

    Args:
        pixels: ``(N, 3)`` uint8.

    Returns:
        Three ``(N,)``: L* in [0, 100], a* and b*.
    """
    encoded = pixels.astype(np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ to_xyz.T / to_xyz.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])
