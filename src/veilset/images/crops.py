# SPDX-License-Identifier: Apache-2.0
"""Rectangles cut out of images and resized, and what of them is hidden."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from veilset.errors import ConfigError
from veilset.types import BoxXyxy, Image, Mask

Level = TypeVar("Level", bound=np.generic)

_FAR = 4
"""A crop that ends so many times the image's longer side away is a mistake."""


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


def crop_start_side(crop_xyxy: BoxXyxy) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the corner and the sides of a crop, each ``(2,)``, x first.

    Raises:
        ConfigError: If the crop has no area.
    """
    start, stop = np.array(crop_xyxy[:2], np.float64), np.array(crop_xyxy[2:], np.float64)
    side = stop - start
    if not (np.isfinite(side).all() and (side > 0).all()):
        raise ConfigError(f"The crop {crop_xyxy} has no area. Give x0 y0 x1 y1, x0 < x1, y0 < y1.")
    return start, side
