# SPDX-License-Identifier: Apache-2.0
"""Pascal VOC 2007 and 2012 for detection (Everingham et al., 2010).

Trained on ``trainval`` of both years, tested on ``test`` of 2007. Lists lie in
``ImageSets/Main``, a file for each picture in ``Annotations``, pictures in ``JPEGImages``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veilset.annotations.formats.voc import read_voc
from veilset.boxes import areas, clip, region_boxes
from veilset.errors import DatasetError
from veilset.study.transfer.data.text_files import (
    check_count,
    check_pictures,
    find_file,
    read_lines,
)
from veilset.types import FloatBoxes

CATEGORIES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip

# The test annotations of 2007 were published, those of 2012 never.
TRAIN_PARTS = (("VOC2007", "trainval", 5011), ("VOC2012", "trainval", 11_540))
TEST_PARTS = (("VOC2007", "test", 4952),)


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture and what is in it.

    Attributes:
        image_id: POSIX path of the picture below the folder of the data set.
        size_wh: Width and height in pixels.
        boxes_xyxy: ``(N, 4)`` in pixels, half-open, inside the picture.
        categories: ``(N,)`` int64, positions in ``CATEGORIES``.
        difficult: ``(N,)``, objects that neither count as found nor as missed.
    """

    image_id: str
    size_wh: tuple[int, int]
    boxes_xyxy: FloatBoxes
    categories: NDArray[np.int64]
    difficult: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class VocDetection:
    """The data set: ``folder`` is the one that holds ``VOC2007``."""

    folder: Path
    train: tuple[Scene, ...]
    test: tuple[Scene, ...]


def read_voc_detection(root: Path, *, sample: bool = False) -> VocDetection:
    """Read VOC 2007 and 2012.

    Args:
        root: The folder that holds ``VOC2007`` and ``VOC2012``, or the one above it.
        sample: Whether other numbers of pictures than the official are allowed.

    Raises:
        DatasetError: If a list, a picture or an annotation is missing or cannot be used.
    """
    folder = find_file(root, ("VOC2007", "VOCdevkit/VOC2007"), "VOC").parent
    parts = (TRAIN_PARTS, TEST_PARTS)
    train, test = (
        tuple(scene for part in each for scene in _scenes(folder, *part, sample=sample))
        for each in parts
    )
    both = sorted({scene.image_id for scene in train} & {scene.image_id for scene in test})
    if both:
        raise DatasetError(
            f"VOC: {both[0]!r} is in trainval and in test. Download the lists again."
        )
    return VocDetection(folder, train, test)


def _scenes(folder: Path, year: str, part: str, published: int, *, sample: bool) -> list[Scene]:
    path = find_file(folder, (f"{year}/ImageSets/Main/{part}.txt",), "VOC")
    names = read_lines(path)
    if len(set(names)) != len(names):
        raise DatasetError(f"{path} names a picture twice. Download it again.")
    check_count(len(names), published, f"VOC, {path}: pictures", sample=sample)
    pictures = tuple(f"{year}/JPEGImages/{name}.jpg" for name in names)
    check_pictures(folder, pictures, "VOC")
    return [
        _scene(find_file(folder, (f"{year}/Annotations/{name}.xml",), "VOC"), picture)
        for name, picture in zip(names, pictures, strict=True)
    ]


def _scene(file: Path, picture: str) -> Scene:
    (row,) = read_voc(file)
    size_wh = (row.width, row.height)
    if not all(size_wh):
        raise DatasetError(f"{file} does not say how large its picture is. Download it again.")
    # The parts of a person (head, hands, feet) are regions of their own: no objects of VOC.
    objects = [region for region in row.regions if "part_of" not in region.attributes]
    unknown = sorted({region.kind for region in objects} - set(CATEGORIES))
    if unknown:
        raise DatasetError(
            f"{file} holds a {unknown[0]!r}, none of the 20 categories of VOC. Download it again."
        )
    boxes = clip(region_boxes(objects), size_wh)
    if len(boxes) and areas(boxes).min() <= 0:
        raise DatasetError(f"{file}: a box has no area inside the picture. Download it again.")
    return Scene(
        picture,
        size_wh,
        boxes,
        np.array([CATEGORIES.index(region.kind) for region in objects], dtype=np.int64),
        np.array([bool(region.attributes.get("difficult")) for region in objects], dtype=np.bool_),
    )
