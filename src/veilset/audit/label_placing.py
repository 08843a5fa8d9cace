# SPDX-License-Identifier: Apache-2.0
"""Where labels go: beside the box they speak of, off all other boxes and labels, in the picture.

Pure arithmetic on boxes; what is written, and how, is decided in ``label_drawing``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from veilset.types import FloatBoxes

_N_DIRECTIONS = 16
_GAP_PX = 1
_RINGS = (0.6, 1.6, 3.0, 5.0)
"""How far away from its box a small label may go, in its own heights."""

_ON_LABEL, _ON_OWN, _FAR = 4.0, 0.2, 0.02
"""What a label costs for each pixel that it lies on another label, on its own box, and how much
of its own size for each ring that it is farther away; a pixel on another box costs 1."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a label goes.

    Attributes:
        left: Pixels from the left.
        top: Pixels from the top.
        n_covered: Pixels of other boxes and labels that lie under it.
        is_apart: Whether it stands away from its box, so that a line has to lead there.
    """

    left: int
    top: int
    n_covered: float
    is_apart: bool


class Placer:
    """Finds room for one label after the other.

    Args:
        boxes_xyxy: ``(N, 4)``, pixels: what the labels speak of and have to leave free.
        size_wh: Width and height of the picture in pixels; no label leaves it.
    """

    def __init__(self, boxes_xyxy: FloatBoxes, size_wh: tuple[int, int]) -> None:
        self._boxes = boxes_xyxy
        self._size_wh = size_wh
        self._taken = np.zeros((len(boxes_xyxy), 4))
        self._n_taken = 0

    def find(self, index: int, label_wh: tuple[int, int], *, may_move: bool = False) -> Place:
        """Give the best place for the label of a box.

        Args:
            index: Which box it speaks of.
            label_wh: Width and height of the label in pixels.
            may_move: Whether it may stand away from its box where there is no room beside it.
        """
        corners, rings = self._candidates(self._boxes[index], label_wh, may_move=may_move)
        width, height = label_wh
        spare = np.array(self._size_wh) - label_wh
        corners = np.clip(np.rint(corners), 0, np.maximum(spare, 0))
        places = np.concatenate([corners, corners + np.array(label_wh)], axis=1)
        on_own = _overlaps(places, self._boxes[index : index + 1])
        on_boxes = _overlaps(places, np.delete(self._boxes, index, axis=0))
        on_labels = _overlaps(places, self._taken[: self._n_taken])
        cost = on_boxes + _ON_LABEL * on_labels + _ON_OWN * on_own + _FAR * width * height * rings
        # The first of equals: the order of the candidates is the order of preference.
        best = int(np.argmin(cost))
        left, top = (int(each) for each in corners[best])
        covered = float(on_boxes[best] + on_labels[best])
        return Place(left, top, covered, bool(rings[best] > 0))

    def take(self, place: Place, label_wh: tuple[int, int]) -> None:
        """Keep the room of a label free from all that follow."""
        if self._n_taken == len(self._taken):
            self._taken = np.concatenate([self._taken, np.zeros((len(self._taken) + 1, 4))])
        right, bottom = place.left + label_wh[0], place.top + label_wh[1]
        self._taken[self._n_taken] = (place.left, place.top, right, bottom)
        self._n_taken += 1

    def _candidates(
        self, box: FloatBoxes, label_wh: tuple[int, int], *, may_move: bool
    ) -> tuple[FloatBoxes, FloatBoxes]:
        """Give upper left corners ``(K, 2)``, the likeliest first, and how far each is away."""
        x0, y0, x1, y1 = (float(each) for each in box)
        width, height = label_wh
        above, below = y0 - _GAP_PX - height, y1 + _GAP_PX
        before, after = x0 - _GAP_PX - width, x1 + _GAP_PX
        beside = [
            (x0, above), (x0, below), (x1 - width, above), (x1 - width, below),
            ((x0 + x1 - width) / 2, above), ((x0 + x1 - width) / 2, below),
            (after, y0), (before, y0), (after, y1 - height), (before, y1 - height),
        ]  # fmt: skip
        rings = [0.0] * len(beside)
        if may_move:
            middle_x, middle_y = (x0 + x1 - width) / 2, (y0 + y1 - height) / 2
            for ring, distance in enumerate(_RINGS, start=1):
                reach_x = (x1 - x0 + width) / 2 + _GAP_PX + distance * height
                reach_y = (y1 - y0 + height) / 2 + _GAP_PX + distance * height
                for i in range(_N_DIRECTIONS):
                    angle = 2 * math.pi * i / _N_DIRECTIONS
                    beside.append(
                        (middle_x + reach_x * math.cos(angle), middle_y + reach_y * math.sin(angle))
                    )
                    rings.append(float(ring))
        return np.array(beside), np.array(rings)


def _overlaps(places: FloatBoxes, boxes: FloatBoxes) -> FloatBoxes:
    """Give the pixels that each place ``(K, 4)`` shares with all of the boxes ``(M, 4)``."""
    # Most boxes of a crowd are nowhere near.
    hull = np.concatenate([places[:, :2].min(axis=0), places[:, 2:].max(axis=0)])
    is_near = (boxes[:, :2] < hull[2:]).all(axis=1) & (boxes[:, 2:] > hull[:2]).all(axis=1)
    near = boxes[is_near]
    low = np.maximum(places[:, None, :2], near[None, :, :2])
    high = np.minimum(places[:, None, 2:], near[None, :, 2:])
    sides = np.maximum(high - low, 0.0)
    shared: FloatBoxes = (sides[..., 0] * sides[..., 1]).sum(axis=1)
    return shared
