# SPDX-License-Identifier: Apache-2.0
"""The part of an image that the generator works on: a rectangle around the ellipse of the face.

The ellipse is made from the landmarks alone, so that where the crop lies tells nothing more than
they do.
"""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from veilset.errors import ConfigError
from veilset.images.crops import crop_start_side
from veilset.networks.face_ellipse import Ellipse
from veilset.networks.landmarks import Points, check_landmarks
from veilset.types import BoxXyxy

ASPECT = 612 / 500
"""Height of a crop by its width: that of the report's crops, and of CelebA's aligned faces."""

CONTEXT = 1.35
"""Height of a crop by that of the ellipse. Larger ones reach over the border of an aligned image of
CelebA: of 254, the middle one ends at 1.38."""


def face_crop(ellipse: Ellipse, *, context: float = CONTEXT, aspect: float = ASPECT) -> BoxXyxy:
    """Give the crop of a face.

    Args:
        ellipse: Of the face, as ``face_ellipse`` gives it.
        context: How much larger than the upright rectangle around the ellipse, at least 1.
        aspect: Height by width, above 0.

    Returns:
        Its middle is that of the ellipse; it may reach over the border of the image.

    Raises:
        ConfigError: If an argument cannot be used.

    Example:
        >>> face_crop(Ellipse((10.0, 20.0), (1 / 16, 0.0, 1 / 25)), context=2, aspect=1.25)
        (2.0, 10.0, 18.0, 30.0)
    """
    if not (1 <= context < math.inf and 0 < aspect < math.inf):
        raise ConfigError(
            f"A crop cannot have {context} of context and a height of {aspect} widths. Give a "
            "context from 1 on, and a height above 0."
        )
    x0, y0, x1, y1 = ellipse.bounds_xyxy()
    half_height = context * max(y1 - y0, (x1 - x0) * aspect) / 2
    half_width = half_height / aspect
    x, y = ellipse.centre_xy
    return x - half_width, y - half_height, x + half_width, y + half_height


def landmarks_in_crop(
    landmarks_xy: ArrayLike, crop_xyxy: BoxXyxy, size_hw: tuple[int, int]
) -> Points:
    """Give landmarks in pixels of a crop that was resized.

    Returns:
        ``(68, 2)``, continuous.

    Raises:
        ConfigError: If the landmarks or the crop cannot be used.
    """
    start, side = crop_start_side(crop_xyxy)
    placed: Points = (check_landmarks(landmarks_xy) - start) / side * (size_hw[1], size_hw[0])
    return placed
