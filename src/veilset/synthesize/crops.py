# SPDX-License-Identifier: Apache-2.0
"""The part of an image that the generator works on: a rectangle around the ellipse of the face.

The ellipse is made from the landmarks alone, so that where the crop lies tells nothing more than
they do.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PillowImage

from veilset.errors import ConfigError
from veilset.networks.landmarks import Points, check_landmarks
from veilset.synthesize.ellipse import Ellipse
from veilset.synthesize.landmarks import crop_start_side
from veilset.types import BoxXyxy, Image, Mask

Level = TypeVar("Level", bound=np.generic)

ASPECT = 612 / 500
"""Height of a crop by its width: that of the report's crops, and of CelebA's aligned faces."""

CONTEXT = 1.35
"""Height of a crop by that of the ellipse. Larger ones reach over the border of an aligned image of
CelebA: of 254, the middle one ends at 1.38."""

_FAR = 4
"""A crop that ends so many times the image's longer side away is a mistake."""


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
    xx, xy, yy = ellipse.form
    # The farthest that (p^T form p <= 1) reaches along an axis.
    across, down = (math.sqrt(each / (xx * yy - xy * xy)) for each in (yy, xx))
    half_height = context * max(down, across * aspect)
    half_width = half_height / aspect
    x, y = ellipse.centre_xy
    return x - half_width, y - half_height, x + half_width, y + half_height


def cut(image: Image, crop_xyxy: BoxXyxy, size_hw: tuple[int, int]) -> Image:
    """Cut a crop out and resize it: linear, averaging where it shrinks.

    No pixel outside the crop, rounded outward, has a part in it.

    Args:
        image: ``(H, W, 3)`` uint8.
        crop_xyxy: In pixels, continuous; black where it reaches over the border.
        size_hw: Height and width of what is given.

    Returns:
        ``(*size_hw, 3)`` uint8.

    Raises:
        ConfigError: If the crop has no area or lies far beyond the image.

    Example:
        >>> cut(np.full((1, 1, 3), 9, np.uint8), (0, 0, 2, 1), (1, 2))[..., 0].tolist()
        [[9, 0]]
    """
    part, box = _part(image, crop_xyxy)
    size_wh = (size_hw[1], size_hw[0])
    linear = PillowImage.Resampling.BILINEAR
    return np.array(PillowImage.fromarray(part).resize(size_wh, linear, box=box))


def cut_mask(mask: Mask, crop_xyxy: BoxXyxy, size_hw: tuple[int, int]) -> Mask:
    """Say which pixels of what ``cut`` gives have a masked pixel in them, with any weight.

    Args:
        mask: ``(H, W)`` bool.
        crop_xyxy, size_hw: As ``cut``.

    Returns:
        ``size_hw`` bool.

    Raises:
        ConfigError: As ``cut``.

    Example:
        >>> cut_mask(np.array([[False, True]]), (0, 0, 2, 1), (1, 1)).tolist()
        [[True]]
    """
    part, box = _part(mask, crop_xyxy)
    # As floats: a weight below half a level would be rounded away.
    shares = PillowImage.fromarray(part.astype(np.float32))
    size_wh = (size_hw[1], size_hw[0])
    resized = np.asarray(shares.resize(size_wh, PillowImage.Resampling.BILINEAR, box=box))
    touched: Mask = resized > 0
    return touched


def _part(pixels: NDArray[Level], crop_xyxy: BoxXyxy) -> tuple[NDArray[Level], BoxXyxy]:
    """Give the pixels that a crop touches, zeros beyond the border, and the crop in them."""
    height, width = pixels.shape[:2]
    start, side = crop_start_side(crop_xyxy)
    if (np.abs([*start, *(start + side)]) > _FAR * max(width, height)).any():
        raise ConfigError(
            f"The crop {crop_xyxy} reaches far beyond the image of {width}x{height} pixels. "
            "Give a crop that is mostly inside."
        )
    left, top = np.floor(start).astype(int).tolist()
    right, bottom = np.ceil(start + side).astype(int).tolist()
    part = np.zeros((bottom - top, right - left, *pixels.shape[2:]), pixels.dtype)
    x0, x1 = (min(max(each, 0), width) for each in (left, right))
    y0, y1 = (min(max(each, 0), height) for each in (top, bottom))
    part[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0:y1, x0:x1]
    x, y = float(start[0]) - left, float(start[1]) - top
    return part, (x, y, x + float(side[0]), y + float(side[1]))


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
