# SPDX-License-Identifier: Apache-2.0
"""Coarser sets of the 68 landmarks of a face: what a generator may learn of them."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from veilset.errors import ConfigError
from veilset.images.crops import crop_start_side
from veilset.networks.landmarks import N_LANDMARKS, Points, check_landmarks, five_landmarks
from veilset.types import BoxXyxy


class Detail(StrEnum):
    """How much of the landmarks a generator learns; they show the pose, and some of who it is."""

    FULL = "full"
    """All 68."""
    GRID = "grid"
    """All 68, each moved to the middle of a cell of a coarse grid over the crop."""
    FIVE = "five"
    """The middles of the eyes, the tip of the nose and the corners of the mouth."""

    @property
    def n_points(self) -> int:
        """Number of landmarks, and so of their channels."""
        return 5 if self is Detail.FIVE else N_LANDMARKS


def coarse_landmarks(
    landmarks_xy: ArrayLike, crop_xyxy: BoxXyxy, detail: Detail, *, cells: int = 16
) -> Points:
    """Give what a generator may learn of the landmarks.

    Args:
        landmarks_xy: ``(68, 2)`` in pixels of the image.
        crop_xyxy: The part of the image that the generator works on; the grid divides it.
        detail: How much.
        cells: Cells of the grid on each side, at least 2; used by ``Detail.GRID`` only. Of
            16 cells each is about as wide as an eye, where the face fills half of the crop.

    Returns:
        ``(68, 2)``, or ``(5, 2)``: left eye in the picture, right eye, nose, mouth left, right.

    Raises:
        ConfigError: If the landmarks, the crop or the grid cannot be used.

    Example:
        >>> points = np.tile([[3.2, 9.9]], (68, 1))
        >>> coarse_landmarks(points, (0, 0, 16, 16), Detail.GRID, cells=4)[0].tolist()
        [2.0, 10.0]
        >>> coarse_landmarks(points, (0, 0, 16, 16), Detail.FIVE).shape
        (5, 2)
    """
    points = check_landmarks(landmarks_xy)
    if detail is Detail.FULL:
        return points
    if detail is Detail.FIVE:
        return five_landmarks(points)
    if cells < 2:
        raise ConfigError(f"A grid of {cells} cells shows no landmark. Give at least 2 cells.")
    start, side = crop_start_side(crop_xyxy)
    cell = side / cells
    return start + (np.floor((points - start) / cell) + 0.5) * cell
