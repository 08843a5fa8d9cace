# SPDX-License-Identifier: Apache-2.0
"""The ellipse that hides a face, around its landmarks.

The report fits an ellipse on the landmarks of the forehead, the chin, the cheeks and the nose.
A least-squares fit, as ``cv2.fitEllipse`` makes it, leaves some of them outside, and fails on a
profile, where they nearly lie on a line. Here it is the smallest ellipse that holds all landmarks
and the forehead (Löwner and John; found by Khachiyan's algorithm), so that no landmark can be
outside, whatever the pose is.

dlib's 68 landmarks end at the brows. The forehead is extrapolated by the rule of equal thirds of
a face (hairline to brows, brows to bottom of the nose, bottom of the nose to chin): each of the
ten points of the brows is repeated one third higher, where "up" runs from the chin to the middle
of the brows, and a third is the longer of the other two. That covers bald and high foreheads
roughly, never exactly: the margin does the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError
from veilset.networks.landmarks import BROWS, CHIN, NOSE_BOTTOM, Points, check_landmarks
from veilset.types import BoxXyxy, Mask

MARGIN = 0.06
"""Share of the axes that is added: the landmarks of the jaw lie on its edge, not beyond it."""

_LEAST_AXIS = 0.25
"""Shortest axis as a share of the longest; a seen profile is wider than its landmarks."""


@dataclass(frozen=True, slots=True)
class Ellipse:
    """All points ``p`` with ``(p - centre)^T form (p - centre) <= 1``.

    Attributes:
        centre_xy: In pixels, continuous.
        form: ``(xx, xy, yy)`` of the symmetric positive definite form, in 1 / pixels².
    """

    centre_xy: tuple[float, float]
    form: tuple[float, float, float]

    def level(self, points_xy: ArrayLike) -> NDArray[np.float64]:
        """Give the value of the form at some places: at most 1 inside.

        Args:
            points_xy: ``(..., 2)``.

        Returns:
            ``(...)``, at least 0; 0 at the centre.
        """
        dx, dy = np.moveaxis(np.asarray(points_xy, np.float64) - self.centre_xy, -1, 0)
        return self._at(dx, dy)

    def moved(self, x: float, y: float) -> Ellipse:
        """Give it so many pixels to the right and down."""
        return Ellipse((self.centre_xy[0] + x, self.centre_xy[1] + y), self.form)

    def bounds_xyxy(self) -> BoxXyxy:
        """Give the upright rectangle around it.

        Example:
            >>> Ellipse((2.0, 3.0), (1.0, 0.0, 0.25)).bounds_xyxy()
            (1.0, 1.0, 3.0, 5.0)
        """
        xx, xy, yy = self.form
        # The farthest that (p^T form p <= 1) reaches along an axis.
        across, down = (math.sqrt(each / (xx * yy - xy * xy)) for each in (yy, xx))
        x, y = self.centre_xy
        return x - across, y - down, x + across, y + down

    def mask(self, size_wh: tuple[int, int]) -> Mask:
        """Give the pixels that the ellipse touches, if only with a corner: rounded outward.

        A pixel is a square. Where the form is smallest over it decides: at the centre of the
        ellipse, or else on one of the four sides. So no part of the ellipse is left out.

        Args:
            size_wh: Width and height of the image in pixels.

        Returns:
            ``(H, W)`` bool.

        Example:
            >>> disc = Ellipse((2.0, 2.0), (1.0, 0.0, 1.0))
            >>> disc.mask((5, 4)).astype(int).tolist()
            [[0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 1, 1, 0, 0]]
        """
        xx, xy, yy = self.form
        mask = np.zeros((size_wh[1], size_wh[0]), dtype=np.bool_)
        x0, y0, x1, y1 = self._window(size_wh)
        if x0 >= x1 or y0 >= y1:
            return mask
        x = np.arange(x0, x1 + 1.0) - self.centre_xy[0]
        y = (np.arange(y0, y1 + 1.0) - self.centre_xy[1])[:, None]
        # On the line x the form is least at y = -xy / yy * x: that place, kept within the side.
        upright = self._at(x, np.clip(-xy / yy * x, y[:-1], y[1:]))
        level = self._at(np.clip(-xy / xx * y, x[:-1], x[1:]), y)
        least = np.minimum(
            np.minimum(upright[:, :-1], upright[:, 1:]), np.minimum(level[:-1], level[1:])
        )
        # The ellipse may be smaller than the pixel that it lies in.
        holds_centre = (x[:-1] <= 0) & (x[1:] > 0) & (y[:-1] <= 0) & (y[1:] > 0)
        # Sides that only just touch differ by rounding; one pixel too many is on the safe side.
        mask[y0:y1, x0:x1] = (least <= 1 + 1e-9) | holds_centre
        return mask

    def _window(self, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
        """Give the pixels around the ellipse, half-open, with one to spare, in the image."""
        x0, y0, x1, y1 = self.bounds_xyxy()
        low = np.clip(np.floor((x0 - 1, y0 - 1)), 0, size_wh)
        high = np.clip(np.ceil((x1 + 1, y1 + 1)), 0, size_wh)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _at(self, dx: NDArray[np.float64], dy: NDArray[np.float64]) -> NDArray[np.float64]:
        xx, xy, yy = self.form
        value: NDArray[np.float64] = xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy
        return value


def face_ellipse(landmarks_xy: ArrayLike, *, margin: float = MARGIN) -> Ellipse:
    """Give the ellipse that hides a face.

    Args:
        landmarks_xy: ``(68, 2)`` in pixels.
        margin: Share of both axes that is added, at least 0.

    Returns:
        It holds all landmarks, and the forehead that is extrapolated from them.

    Raises:
        ConfigError: If the landmarks cannot be used: not finite, all in one place.
    """
    points = check_landmarks(landmarks_xy)
    if not margin >= 0:
        raise ConfigError(f"The margin of the ellipse is {margin}. Give a number from 0 on.")
    outline = np.concatenate([points, forehead(points)])
    return _smallest(outline, 1 + margin)


def forehead(landmarks_xy: ArrayLike) -> Points:
    """Extrapolate ten points of the forehead, one above each point of the brows.

    Args:
        landmarks_xy: ``(68, 2)`` in pixels.

    Returns:
        ``(10, 2)``.
    """
    points = check_landmarks(landmarks_xy)
    middle = points[BROWS].mean(axis=0)
    up = middle - points[CHIN]
    length = float(np.hypot(*up))
    if length == 0:
        return points[BROWS]
    up /= length
    middle_third = float((middle - points[NOSE_BOTTOM]) @ up)
    # Seen from above or below one of the two is foreshortened more than the forehead is.
    third = max(middle_third, length - middle_third)
    above: Points = points[BROWS] + third * up
    return above


def _smallest(points: Points, factor: float) -> Ellipse:
    """Find the smallest ellipse around points, and enlarge its axes.

    Khachiyan's algorithm: a weight for each point, moved towards the one farthest out
    (Todd and Yildirim 2007, Discrete Applied Mathematics 155, 1731-1744, algorithm 3.1).
    """
    n = len(points)
    lifted = np.concatenate([points - points.mean(axis=0), np.ones((n, 1))], axis=1)
    scale = float(np.abs(lifted[:, :2]).max())
    if scale == 0:
        raise ConfigError("All landmarks lie in one place, so there is no face. Give its own box.")
    lifted[:, :2] /= scale
    # A line of points has no ellipse around it; a hair of width lets the search go on.
    ridge = np.diag([1e-6, 1e-6, 0.0])
    weights = np.full(n, 1 / n)
    for _ in range(300):
        spread = lifted.T @ (weights[:, None] * lifted) + ridge
        distances = np.einsum("ni,ij,nj->n", lifted, np.linalg.inv(spread), lifted)
        farthest = int(np.argmax(distances))
        excess = distances[farthest] - 3
        if excess < 1e-3:
            break
        step = excess / (3 * (distances[farthest] - 1))
        weights *= 1 - step
        weights[farthest] += step
    flat = lifted[:, :2]
    middle = weights @ flat
    spread = flat.T @ (weights[:, None] * flat) - np.outer(middle, middle)
    lengths, axes = np.linalg.eigh(spread)
    lengths = np.maximum(lengths, _LEAST_AXIS**2 * lengths.max())
    form = axes @ np.diag(1 / lengths) @ axes.T
    # The search ends near the smallest ellipse: enlarged until it holds the farthest point.
    reach = np.einsum("ni,ij,nj->n", flat - middle, form, flat - middle).max()
    form = form / (reach * factor**2 * scale**2)
    centre = points.mean(axis=0) + middle * scale
    return Ellipse(
        (float(centre[0]), float(centre[1])),
        (float(form[0, 0]), float(form[0, 1]), float(form[1, 1])),
    )
