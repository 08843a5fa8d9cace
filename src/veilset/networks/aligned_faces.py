# SPDX-License-Identifier: Apache-2.0
"""Faces turned upright and cut out, as dlib (http://dlib.net) does it.

dlib's predictor finds the corners of the eyes and the bottom of the nose in a box of the
whole image; from these the face is turned and scaled. Nothing is cut out before: a tight
crop has lost the border that the predictor and the chip need.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from veilset.boxes import areas, clip
from veilset.errors import ConfigError
from veilset.networks.import_dlib import import_dlib
from veilset.networks.weights import Weights
from veilset.types import BoxXyxy, Image

PADDING = 0.2
"""Border around the landmarks, as a share of the chip: what dlib's networks were trained with."""

LEAST_VISIBLE = 0.5
"""Smallest share of a box inside the image for which there is a face to be cut out."""


class FaceCutter:
    """Cuts upright faces out of images. Safe to call from several threads.

    dlib's predictor may be used by several threads at once, says its documentation
    (``shape_predictor_abstract.h``).

    Args:
        landmarks: Predictor of five landmarks, dlib's own format.
        extra: The extra of Veilset that brings dlib, to be named where it is missing.

    Raises:
        MissingExtraError: If dlib is not installed.
        ConfigError: If dlib cannot use the file.
    """

    def __init__(self, landmarks: Weights, extra: str = "demographics") -> None:
        self._dlib = import_dlib("Turning faces upright", extra)
        # From the very bytes that were digested; dlib wants a file.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "landmarks.dat")
            file.write_bytes(landmarks.data)
            try:
                self._predict = self._dlib.shape_predictor(str(file))
            except RuntimeError as error:
                raise ConfigError(
                    f"dlib cannot use the file {landmarks.card.origin}. Install its package again."
                ) from error

    @property
    def version(self) -> str:
        """Version of dlib."""
        return str(self._dlib.__version__)

    def find(self, image: Image, box_xyxy: BoxXyxy) -> Any:
        """Find the landmarks of one face.

        Args:
            image: The whole image, ``(H, W, 3)`` uint8 RGB, contiguous.
            box_xyxy: Box of the face in pixels; it may reach over the border.

        Returns:
            dlib's ``full_object_detection``, for ``chips``.
        """
        left, top, right, bottom = inclusive(squared(box_xyxy))
        return self._predict(image, self._dlib.rectangle(left, top, right, bottom))

    def chips(
        self, image: Image, landmarks: Any, sides_px: Sequence[int], padding: float = PADDING
    ) -> list[Image]:
        """Cut one face out where its landmarks are, once for each size.

        Args:
            image: The image in which the landmarks were found, or another of its size.
            landmarks: As ``find`` gives them.
            sides_px: Sides of the square chips in pixels.
            padding: Border around the landmarks, as a share of the chip.

        Returns:
            Chips, ``(side, side, 3)`` uint8 RGB, in the order of ``sides_px``; black where they
            reach over the border of the image.
        """
        # dlib's function for many chips at once gives other pixels than this one.
        return [
            np.asarray(
                self._dlib.extract_image_chip(
                    image, self._dlib.get_face_chip_details(landmarks, side, padding)
                )
            )
            for side in sides_px
        ]

    def cut(self, image: Image, box_xyxy: BoxXyxy, sides_px: Sequence[int]) -> list[Image]:
        """Cut one face out, once for each size, each time from the image itself.

        Args:
            image, box_xyxy: As ``find``.
            sides_px: As ``chips``.

        Returns:
            As ``chips``.
        """
        return self.chips(image, self.find(image, box_xyxy), sides_px)


def squared(box_xyxy: BoxXyxy) -> BoxXyxy:
    """Give the square around the middle of a box, its side the mean of width and height.

    The predictor learned on the square boxes of dlib's detectors; other detectors and people
    draw higher ones (``docs/audit.md`` says what that changes).

    Example:
        >>> squared((10, 10, 30, 50))
        (5.0, 15.0, 35.0, 45.0)
    """
    x0, y0, x1, y1 = box_xyxy
    half = (x1 - x0 + y1 - y0) / 4
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half, y - half, x + half, y + half


def inclusive(box_xyxy: BoxXyxy) -> tuple[int, int, int, int]:
    """Give a box in whole pixels as dlib wants it: its last column and row belong to it.

    Example:
        >>> inclusive((4.6, 15.0, 35.2, 45.0))
        (5, 15, 34, 44)
    """
    left, top, right, bottom = (round(each) for each in box_xyxy)
    return left, top, right - 1, bottom - 1


def visible_side_px(box_xyxy: BoxXyxy, size_wh: tuple[int, int]) -> float:
    """Give the shorter side of the part of a box that lies inside the image, in pixels.

    Returns:
        0.0 where less than ``LEAST_VISIBLE`` of the box lies inside: half a face is none.

    Example:
        >>> visible_side_px((-10, 0, 30, 50), size_wh=(100, 100))
        30.0
        >>> visible_side_px((-30, 0, 10, 50), size_wh=(100, 100))
        0.0
    """
    ((x0, y0, x1, y1),) = inside = clip([box_xyxy], size_wh)
    ((whole,), (seen,)) = areas([box_xyxy]), areas(inside)
    return float(min(x1 - x0, y1 - y0)) if seen >= LEAST_VISIBLE * whole else 0.0
