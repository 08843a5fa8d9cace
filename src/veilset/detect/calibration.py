# SPDX-License-Identifier: Apache-2.0
"""From what the looks saw together to a box and a score that mean something.

Fitted on 195 photographs of WIDER FACE with two numbers for the box and two for the score
of each effort; ``docs/detection.md`` has the figures and what was tried instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilset.types import FloatBoxes

VERSION = 2
"""Counts up whenever a number of this module or a plan of ``passes`` changes."""

_UNSEEN_PX, _SEEN_PX = 6.0, 12.0
"""A face of up to 6 px in a look cannot be seen there; from 12 px on it can."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look could see.

    Attributes:
        scale: Its pixels for a pixel of the image.
        largest_px: Longest side, in its own pixels, of a face that it is believed for.
        areas: ``(A, 4)``, pixels of the image: where the centre of a face must lie for the
            look to answer for it, in one of them at least. None if it answers everywhere.
    """

    scale: float
    largest_px: float = np.inf
    areas: FloatBoxes | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How merged candidates become boxes and scores.

    Attributes:
        silence: What a look says that could have seen the face and did not, in [0, 1]:
            with 0 nothing, with 1 as much against it as another look says for it.
        intercept: See ``probabilities``.
        slope: See ``probabilities``; above 0, so that the order of candidates stays.
        outward: Shares of width, height, width, height by which the left, upper, right
            and lower side move outward.
    """

    silence: float = 0.0
    intercept: float = 0.0
    slope: float = 1.0
    outward: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def boxes(self, boxes_xyxy: FloatBoxes) -> FloatBoxes:
        """Move the sides outward; not cut to any image.

        Example:
            >>> Calibration(outward=(0.1, 0.2, 0, 0)).boxes(np.array([[0.0, 0, 10, 10]])).tolist()
            [[-1.0, -2.0, 10.0, 10.0]]
        """
        sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)
        return np.asarray(boxes_xyxy + sides * self.outward * np.array([-1.0, -1.0, 1.0, 1.0]))

    def probabilities(
        self, scores: NDArray[np.float64], boxes_xyxy: FloatBoxes, looks: Sequence[Sight]
    ) -> NDArray[np.float64]:
        """Turn merged scores into the share of such boxes that are faces.

        ``e = -ln(1 - score)`` is the sum of the evidence of all looks. It is divided by
        ``n ** silence``, ``n`` being the number of looks that could have seen a face of
        this size, and ``logit(1 - exp(-e))`` is put on a line (Platt 1999).

        Args:
            scores: ``(N,)`` in [0, 1], as ``merge`` gives them.
            boxes_xyxy: ``(N, 4)``, pixels of the image.
            looks: What each look could see.

        Returns:
            ``(N,)`` in [0, 1]: the share that overlaps an annotated face with an IoU of
            at least 0.5, on photographs like those of the fit.

        Example:
            >>> box = np.array([[0.0, 0, 9, 9]])
            >>> Calibration().probabilities(np.array([0.25]), box, [Sight(1.0)])
            array([0.25])
        """
        evidence = -np.log1p(-np.minimum(scores, 1 - 1e-12))
        evidence = evidence / could_see(boxes_xyxy, looks) ** self.silence
        with np.errstate(divide="ignore"):  # no evidence at all: minus infinity, so 0
            line = self.intercept + self.slope * np.log(np.expm1(evidence))
        return np.asarray(1.0 / (1.0 + np.exp(-line)))


def could_see(boxes_xyxy: FloatBoxes, looks: Sequence[Sight]) -> NDArray[np.float64]:
    """Count the looks in which each face can be seen by its size and place, at least 1.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels of the image.
        looks: What each look could see.

    Returns:
        ``(N,)``; a look in which the face is of 6 to 12 px counts in part, one that was not
        shown the place of the face does not count.

    Example:
        >>> looks = [Sight(0.5), Sight(1.0, 30.0), Sight(2.0, 30.0)]
        >>> could_see(np.array([[0.0, 0, 8, 8], [0, 0, 40, 40]]), looks).round(1)
        array([1.4, 1. ])
    """
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 1e-3)
    n_looks = np.zeros(len(boxes_xyxy))
    for look in looks:
        shown_px = np.sqrt(np.prod(sides, axis=1)) * look.scale
        share = np.log(shown_px / _UNSEEN_PX) / np.log(_SEEN_PX / _UNSEEN_PX)
        is_whole = sides.max(axis=1) * look.scale <= look.largest_px
        n_looks += np.clip(share, 0.0, 1.0) * is_whole * _is_shown(boxes_xyxy, look)
    return np.maximum(n_looks, 1.0)


def _is_shown(boxes_xyxy: FloatBoxes, look: Sight) -> NDArray[np.bool_]:
    """Tell which centres lie where the look answers."""
    if look.areas is None:
        return np.ones(len(boxes_xyxy), dtype=np.bool_)
    centres = (boxes_xyxy[:, None, :2] + boxes_xyxy[:, None, 2:]) / 2
    inside = (centres >= look.areas[:, :2]) & (centres < look.areas[:, 2:])
    return np.asarray(np.any(np.all(inside, axis=2), axis=1))
