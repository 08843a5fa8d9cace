# SPDX-License-Identifier: Apache-2.0
"""The detectors of another kind on photographs: what they find is there.

Each runs where its package is installed: dlib is a test dependency, the weights of MMOD
and of NudeNet are not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.real.test_centerface import marked_faces, opened
from veilset.boxes import iou, region_boxes
from veilset.errors import MissingExtraError
from veilset.plugins import make_detector
from veilset.protocols import Detector, DetectorSettings

pytestmark = [pytest.mark.real, pytest.mark.slow]

LEAK_SCORE = 0.6


def made(name: str, effort: str = "balanced") -> Detector:
    try:
        return make_detector(name, DetectorSettings(effort=effort, threshold=LEAK_SCORE))
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["dlib-hog", "nudenet"])
def test_sure_boxes_are_faces_that_people_marked(name: str, real_data: Path) -> None:
    detector, folder = made(name), real_data / "wider_val_subset"
    n_boxes = n_right = 0
    # HOG takes four times as long.
    step = 10 if name == "dlib-hog" else 5
    for photo, faces in list(marked_faces(folder).items())[::step]:
        (regions,) = detector.detect([opened(folder / "images" / photo)])
        best = iou(region_boxes(regions), faces).max(axis=1, initial=0.0)
        n_boxes += len(regions)
        n_right += int((best >= 0.3).sum())
    # Faces below 16 px are not in the list, so a right box may count as wrong.
    assert n_boxes >= 30
    assert n_right >= 0.9 * n_boxes


@pytest.mark.parametrize(
    ("name", "least_share"), [("dlib-hog", 0.95), ("nudenet", 0.8), ("dlib-mmod", 0.95)]
)
def test_portraits_are_seen(name: str, least_share: float, real_data: Path) -> None:
    # MMOD takes seconds for a photograph.
    effort, step = ("fast", 40) if name == "dlib-mmod" else ("balanced", 12)
    detector = made(name, effort)
    photos = sorted((real_data / "lfw" / "images").rglob("*.jpg"))[::step]
    assert len(photos) > 10
    seen = []
    for photo in photos:
        (regions,) = detector.detect([opened(photo)])
        # The pictures are centred on the face that they are of.
        seen.append(
            any(
                x0 < 125 < x1 and y0 < 125 < y1
                for x0, y0, x1, y1 in (region.box_xyxy for region in regions)
            )
        )
    assert np.mean(seen) >= least_share


@pytest.mark.parametrize("name", ["dlib-hog", "nudenet"])
def test_animals_are_not_called_sure_faces_often(name: str, real_data: Path) -> None:
    detector = made(name)
    folders = sorted((real_data / "imagenet_sample").glob("n0[12]*"))[::4]
    photos = [photo for folder in folders for photo in sorted(folder.iterdir())]
    assert len(photos) > 25
    n_boxes = sum(len(detector.detect([opened(photo)])[0]) for photo in photos)
    # People are in some of them too.
    assert n_boxes <= 0.15 * len(photos)
