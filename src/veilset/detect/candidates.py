# SPDX-License-Identifier: Apache-2.0
"""What a network sees in one look, and the seam between networks and passes.

A network looks once, at the size it is given. Several looks (scales, tiles, flips) and
what to believe of them are the business of ``veilset.detect.passes``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from veilset.errors import BoxError, PluginError
from veilset.types import FloatBoxes, Image, ModelCard

MAX_CANDIDATES = 4_000
"""Most positions of one image that are looked at before suppression, strongest first.

A network fires at a few positions for each face, so this is room for hundreds of faces;
noise, which can fire everywhere, is cut there so that its cost stays bounded."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a network saw in one image, strongest first.

    Attributes:
        boxes_xyxy: ``(N, 4)`` float64, pixels of the image given, NOT cut to it.
        scores: ``(N,)`` float64 in [0, 1].
        landmarks_xy: ``(N, P, 2)`` float64, pixels; P is 5 (eyes, nose, corners of the
            mouth, left in the picture first) or 0 if the network gives none.
    """

    boxes_xyxy: FloatBoxes
    scores: NDArray[np.float64]
    landmarks_xy: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes_xyxy.shape != (n, 4) or self.landmarks_xy.shape[::2] != (n, 2):
            raise BoxError(
                f"Candidates of {n} scores came with boxes {self.boxes_xyxy.shape} and "
                f"landmarks {self.landmarks_xy.shape}. Expected ({n}, 4) and ({n}, P, 2)."
            )

    def __len__(self) -> int:
        return len(self.scores)

    def pick(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Candidates:
        """Give the candidates of some rows, in that order."""
        return Candidates(self.boxes_xyxy[rows], self.scores[rows], self.landmarks_xy[rows])

    @classmethod
    def none(cls, n_landmarks: int = 5) -> Candidates:
        """Give no candidates."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros((0, n_landmarks, 2)))


class Network(Protocol):
    """A face network that looks once at an image. Safe to call from several threads."""

    @property
    def card(self) -> ModelCard:
        """Where the weights come from."""

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """What decides the numbers, resolved (runtime, its version, precision, padding)."""

    @property
    def stride(self) -> int:
        """Images are padded right and bottom with zeros to a multiple of this, in pixels."""

    @property
    def batch_size(self) -> int:
        """How many images a call likes to get."""

    def look(self, images: Sequence[Image], *, floor: float) -> list[Candidates]:
        """Give every candidate with a score of at least ``floor``, for each image.

        Doubles within the image are suppressed. The result for an image depends neither
        on the others of the call nor on other threads.
        """


def strongest(
    scores: NDArray[np.floating], floor: float, most: int = MAX_CANDIDATES
) -> NDArray[np.int64]:
    """Give the positions that score at least ``floor``, by falling score, ``(K,)``.

    Equal scores keep their order. At most ``most`` are given; the log says if that cut any.

    Args:
        scores: ``(N,)``, any float.
        floor: Lowest score that counts.
        most: Bound on K.

    Raises:
        PluginError: If a score is NaN: nothing found in it would look like no face.

    Example:
        >>> strongest(np.array([0.1, 0.9, 0.3, 0.9]), 0.3).tolist()
        [1, 3, 2]
    """
    if np.isnan(scores).any():
        raise PluginError(
            "The network gave scores that are not a number, so nothing can be said about the "
            "image. The weights are damaged, or do not bear this precision: try the other one."
        )
    rows = np.flatnonzero(scores >= floor)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    if len(rows) > most:
        # With the low floor of several looks this is common in crowds, and harmless.
        _log.debug(
            "An image fired at %d positions; only the strongest %d were looked at.",
            len(rows),
            most,
        )
        rows = rows[:most]
    return rows


def suppress(found: Candidates, iou_threshold: float) -> Candidates:
    """Drop every candidate that overlaps a stronger kept one by more than the threshold.

    Args:
        found: Candidates by falling score, as ``strongest`` orders them.
        iou_threshold: A box is dropped if its IoU with a kept one is above this.
    """
    return found.pick(survivors(found, iou_threshold))


def survivors(found: Candidates, iou_threshold: float) -> NDArray[np.int64]:
    """Give the rows that ``suppress`` keeps, ``(K,)``, in their order.

    The greedy suppression of ``veilset.boxes.nms``, without its checks in the inner loop.

    Args:
        found: Candidates by falling score, as ``strongest`` orders them.
        iou_threshold: A box is dropped if its IoU with a kept one is above this.
    """
    x0, y0, x1, y1 = found.boxes_xyxy.T
    area = (x1 - x0) * (y1 - y0)
    alive = np.ones(len(found), dtype=np.bool_)
    for row in range(len(found)):
        if not alive[row]:
            continue
        rest = slice(row + 1, None)
        width = np.minimum(x1[row], x1[rest]) - np.maximum(x0[row], x0[rest])
        height = np.minimum(y1[row], y1[rest]) - np.maximum(y0[row], y0[rest])
        shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
        # Multiplied out, so that two boxes without area need no division by zero.
        alive[rest] &= shared <= iou_threshold * (area[row] + area[rest] - shared)
    return np.flatnonzero(alive)


def pad(image: Image, multiple: int) -> Image:
    """Pad an image right and bottom with zeros to a multiple, as ``(1, H, W, 3)``.

    The size depends on the image alone, so that its result does too. An image that fits
    already is not copied.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        multiple: In pixels, for both sides.

    Example:
        >>> pad(np.ones((3, 5, 3), np.uint8), 4).shape
        (1, 4, 8, 3)
    """
    height, width = image.shape[:2]
    tall, wide = -(-height // multiple) * multiple, -(-width // multiple) * multiple
    if (tall, wide) == (height, width):
        return np.ascontiguousarray(image)[None]
    padded = np.empty((1, tall, wide, 3), dtype=np.uint8)
    padded[0, :height, :width] = image
    padded[0, :height, width:] = 0
    padded[0, height:] = 0
    return padded


def by_shape(images: Sequence[Image], multiple: int) -> dict[tuple[int, int], list[int]]:
    """Group images by their padded size: places in the sequence by ``(height, width)``.

    Example:
        >>> sizes = [(3, 5, 3), (9, 9, 3), (4, 8, 3)]
        >>> by_shape([np.zeros(size, np.uint8) for size in sizes], 4)
        {(4, 8): [0, 2], (12, 12): [1]}
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for place, image in enumerate(images):
        height, width = image.shape[:2]
        key = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        groups.setdefault(key, []).append(place)
    return groups
