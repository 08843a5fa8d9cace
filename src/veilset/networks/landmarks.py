# SPDX-License-Identifier: Apache-2.0
"""The 68 landmarks of a face, by dlib's predictor.

The numbering is that of iBUG 300-W, from 0: jaw 0-16 from the left in the picture to the
right, brows 17-26, bridge and bottom of the nose 27-35, eyes 36-47, mouth 48-67.

Places are continuous: pixel ``i`` reaches from ``i`` to ``i + 1``, its middle is ``i + 0.5``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError
from veilset.networks.aligned_faces import FaceCutter
from veilset.networks.weights import packaged_weights
from veilset.types import BoxXyxy, Image, ModelCard

Points = NDArray[np.float64]
"""``(N, 2)``, ``x y`` in pixels, continuous."""

LANDMARKS_CARD = ModelCard(
    name="dlib: 68 landmarks",
    origin=(
        "davisking/dlib-models, as packaged in face_recognition_models 0.3.0 "
        "(models/shape_predictor_68_face_landmarks.dat)"
    ),
    licence="CC0-1.0, trained on iBUG 300-W, which excludes commercial use",
    commercial_ok=False,
    sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    note=(
        "The author gave the file into the public domain, but was asked by a maker of iBUG 300-W, "
        "its training data, to say that it cannot be used in a commercial product: their licence "
        "excludes commercial use. Ask Imperial College London first (README of dlib-models)."
    ),
)

N_LANDMARKS = 68
JAW, BROWS, NOSE = slice(0, 17), slice(17, 27), slice(27, 36)
CHIN, NOSE_BOTTOM = 8, 33
EYE_LEFT, EYE_RIGHT = slice(36, 42), slice(42, 48)
NOSE_TIP, MOUTH_LEFT, MOUTH_RIGHT = 30, 48, 54

SHIFT_DOWN = 0.04
"""dlib's detectors draw their boxes so much lower, as a share of the side, than CenterFace."""


class LandmarkFinder:
    """Finds the landmarks of faces whose boxes are known. Safe to call from several threads.

    Args:
        extra: The extra of Veilset that brings dlib, to be named where it is missing.

    Raises:
        MissingExtraError: If dlib or the package ``face_recognition_models`` is not installed.
        PluginError: If that package brings another file.
    """

    card = LANDMARKS_CARD

    def __init__(self, extra: str = "synthesize") -> None:
        path = "face_recognition_models/models/shape_predictor_68_face_landmarks.dat"
        weights = packaged_weights("face_recognition_models", path, LANDMARKS_CARD)
        self._faces = FaceCutter(weights, extra)

    def find(self, image: Image, box_xyxy: BoxXyxy) -> Points:
        """Find the landmarks of one face.

        The predictor learned on the boxes of dlib's HOG detector. A box is made square and moved
        down a little first: from CenterFace's boxes the landmarks are then, on average over 24
        portraits, 0.010 of the distance of the eyes away from those found in a HOG box.

        Args:
            image: The whole image, ``(H, W, 3)`` uint8 RGB.
            box_xyxy: Box of the face in pixels, as CenterFace or a person draws it; it may
                reach over the border.

        Returns:
            ``(68, 2)``. The predictor gives them for any box, with a face in it or not, and
            outside the image too.
        """
        x0, y0, x1, y1 = box_xyxy
        down = SHIFT_DOWN * (x1 - x0 + y1 - y0) / 2
        found = self._faces.find(np.ascontiguousarray(image), (x0, y0 + down, x1, y1 + down))
        # dlib names pixels: the landmark lies in the middle of one.
        return np.array([(part.x + 0.5, part.y + 0.5) for part in found.parts()])


def five_landmarks(landmarks_xy: Points) -> Points:
    """Give the middles of the eyes, the tip of the nose and the corners of the mouth.

    Args:
        landmarks_xy: ``(68, 2)``.

    Returns:
        ``(5, 2)``: left eye in the picture, right eye, nose, mouth left, mouth right.

    Example:
        >>> five_landmarks(np.stack([np.arange(68.0), np.zeros(68)], axis=1))[:, 0].tolist()
        [38.5, 44.5, 30.0, 48.0, 54.0]
    """
    eyes = [landmarks_xy[eye].mean(axis=0) for eye in (EYE_LEFT, EYE_RIGHT)]
    return np.concatenate([eyes, landmarks_xy[[NOSE_TIP, MOUTH_LEFT, MOUTH_RIGHT]]])


def check_landmarks(landmarks_xy: ArrayLike) -> Points:
    """Give 68 landmarks as an array of their own.

    Raises:
        ConfigError: If they are not ``(68, 2)`` or not finite.
    """
    points = np.array(landmarks_xy, dtype=np.float64)
    if points.shape != (N_LANDMARKS, 2) or not np.isfinite(points).all():
        raise ConfigError(
            f"Landmarks of shape {points.shape} cannot be used. Give 68 points x y, all finite, "
            "numbered as in iBUG 300-W."
        )
    return points
