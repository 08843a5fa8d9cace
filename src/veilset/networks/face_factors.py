# SPDX-License-Identifier: Apache-2.0
"""A face taken apart into what the generator gets of it, and nothing besides.

The surroundings (context) are the crop with the ellipse of the face filled, the landmarks are
one channel each. What lies under the ellipse reaches them in one way only: through the places
of the landmarks. It is filled *before* anything is resized, so that no filter can carry a hidden
pixel over the rim. The third factor, the attributes, is chosen.

The ellipse too is made from the landmarks, and from all 68, however coarse those are that the
generator learns: its five numbers show the pose and the proportions of the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError
from veilset.images.crops import crop_start_side, cut
from veilset.networks.coarse_landmarks import Detail, coarse_landmarks
from veilset.networks.face_ellipse import MARGIN, face_ellipse
from veilset.types import BoxXyxy, Image, Mask

SIZE_HW = (128, 64)
"""Height and width of what the report's network works on."""

SIGMA_PX = 1.0
"""Standard deviation of a landmark's Gaussian, in pixels of the network."""

FILL = 0
"""Value of hidden pixels, in each channel: black, as in the report."""

Planes = NDArray[np.float32]
"""``(C, H, W)`` float32 in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Factors:
    """What a generator gets of one face.

    Attributes:
        context: ``(3, H, W)`` float32 in [0, 1], RGB; 0 where it is hidden. At the rim of the
            hidden part pixels mix surroundings and fill.
        landmarks: ``(N, H, W)`` float32 in [0, 1], one channel a landmark.
        mask: ``(H_image, W_image)`` bool: what is hidden of the image, for putting a face back.
    """

    context: Planes
    landmarks: Planes
    mask: Mask


def face_factors(
    image: Image,
    landmarks_xy: ArrayLike,
    crop_xyxy: BoxXyxy,
    *,
    hidden: Mask | None = None,
    size_hw: tuple[int, int] = SIZE_HW,
    detail: Detail = Detail.FULL,
    cells: int = 16,
    margin: float = MARGIN,
    sigma_px: float = SIGMA_PX,
) -> Factors:
    """Take a face apart.

    Args:
        image: The whole image, ``(H, W, 3)`` uint8 RGB.
        landmarks_xy: ``(68, 2)`` in pixels of the image.
        crop_xyxy: The part of the image that the generator sees, in pixels; black where it
            reaches over the border.
        hidden: ``(H, W)`` bool: what must not be seen besides the ellipse, such as the box of
            the face, and other faces.
        size_hw: Height and width of the channels.
        detail: How much of the landmarks is shown.
        cells: As ``coarse_landmarks``.
        margin: As ``face_ellipse``.
        sigma_px: As ``landmark_channels``.

    Raises:
        ConfigError: If the image, the landmarks or the crop cannot be used.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ConfigError(
            f"An image of shape {image.shape} and type {image.dtype} cannot be taken apart. "
            "Give (H, W, 3) uint8."
        )
    size_wh = (image.shape[1], image.shape[0])
    mask = face_ellipse(landmarks_xy, margin=margin).mask(size_wh)
    if hidden is not None:
        mask |= hidden
    points = coarse_landmarks(landmarks_xy, crop_xyxy, detail, cells=cells)
    return Factors(
        context=_context(image, mask, crop_xyxy, size_hw),
        landmarks=landmark_channels(points, crop_xyxy, size_hw, sigma_px=sigma_px),
        mask=mask,
    )


def hide(image: Image, mask: Mask) -> Image:
    """Give a copy of an image with the masked pixels filled.

    Args:
        image: ``(H, W, 3)`` uint8.
        mask: ``(H, W)`` bool.

    Example:
        >>> hide(np.full((1, 2, 3), 7, np.uint8), np.array([[True, False]])).tolist()
        [[[0, 0, 0], [7, 7, 7]]]
    """
    hidden = image.copy()
    hidden[mask] = FILL
    return hidden


def landmark_channels(
    points_xy: ArrayLike,
    crop_xyxy: BoxXyxy,
    size_hw: tuple[int, int] = SIZE_HW,
    *,
    sigma_px: float = SIGMA_PX,
) -> Planes:
    """Draw each landmark into a channel of its own.

    Args:
        points_xy: ``(N, 2)`` in pixels of the image.
        crop_xyxy: The part of the image that the channels show, in its pixels.
        size_hw: Height and width of the channels.
        sigma_px: A landmark is ``exp(-d² / (2 sigma²))``, d being the distance of the middle of
            a pixel in pixels of the channels; with 0 it is the value 1 in the one pixel that
            holds it.

    Returns:
        ``(N, H, W)`` float32 in [0, 1]. With ``sigma_px`` 0 the channel of a landmark outside
        the crop is empty.

    Raises:
        ConfigError: If an argument cannot be used.

    Example:
        >>> landmark_channels([[2.5, 0.5]], (0, 0, 4, 2), (1, 2), sigma_px=0).tolist()
        [[[0.0, 1.0]]]
    """
    points = np.asarray(points_xy, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ConfigError(
            f"Landmarks of shape {points.shape} cannot be drawn. Give (N, 2), finite."
        )
    if not sigma_px >= 0:
        raise ConfigError(f"The sigma of landmarks is {sigma_px}. Give pixels from 0 on.")
    height, width = size_hw
    start, side = crop_start_side(crop_xyxy)
    placed = (points - start) / side * (width, height)
    # Both directions by themselves: a Gaussian is the product of the two.
    across = _profile(placed[:, 0], width, sigma_px)
    down = _profile(placed[:, 1], height, sigma_px)
    channels: Planes = (down[:, :, None] * across[:, None, :]).astype(np.float32)
    return channels


def _profile(places: NDArray[np.float64], n: int, sigma_px: float) -> NDArray[np.float64]:
    if sigma_px == 0:
        holds: NDArray[np.float64] = (np.floor(places)[:, None] == np.arange(n)).astype(np.float64)
        return holds
    distances = np.arange(n) + 0.5 - places[:, None]
    profile: NDArray[np.float64] = np.exp(-(distances**2) / (2 * sigma_px**2))
    return profile


def _context(image: Image, mask: Mask, crop_xyxy: BoxXyxy, size_hw: tuple[int, int]) -> Planes:
    """Fill what is hidden, then cut the crop out and resize it."""
    values = cut(hide(image, mask), crop_xyxy, size_hw).astype(np.float32) / np.float32(255)
    planes: Planes = np.moveaxis(values, 2, 0)
    return planes
