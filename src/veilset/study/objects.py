# SPDX-License-Identifier: Apache-2.0
"""Boxes of the object that an image is of, from the files of ILSVRC, COCO and Pascal VOC.

Only boxes of the image's own category count: a photograph of a harmonica may hold a box of a
guitar. The files of ILSVRC count pixels as Pascal VOC does, from 1 and with the last included.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from veilset.annotations.formats.coco_reader import read_coco
from veilset.annotations.formats.voc import read_voc
from veilset.boxes import check_boxes_xyxy
from veilset.errors import AnnotationError, BoxError
from veilset.types import FloatBoxes

if TYPE_CHECKING:
    from veilset.study.config import ObjectsSpec

_CSV_HEADER = ["ImageId", "PredictionString"]


def read_objects(
    spec: ObjectsSpec, image_ids: Sequence[str], categories: Sequence[str]
) -> dict[str, FloatBoxes]:
    """Give the boxes of the own category of every image that the files name.

    Args:
        spec: Which files, and how categories are called there.
        image_ids: Images of a split, POSIX paths.
        categories: ``(N,)``, the folder of each.

    Returns:
        ``(M, 4)`` pixels, half-open, by image; M may be 0. Images that are not named are left
        out.

    Raises:
        AnnotationError: If a file cannot be read or names none of the images, or two images
            have one name.
    """
    names = _names(spec.names)
    own: dict[str, tuple[str, str]] = {}
    for image_id, folder in zip(image_ids, categories, strict=True):
        stem = PurePosixPath(image_id).stem
        if stem in own:
            raise AnnotationError(
                f"{own[stem][0]!r} and {image_id!r} have the same name, by which files of objects "
                "tell images apart. Rename one, or leave data.objects out."
            )
        own[stem] = (image_id, names.get(folder, folder))
    found: dict[str, FloatBoxes] = {}
    for stem, boxes in _rows(spec):
        if stem in own:
            image_id, category = own[stem]
            found[image_id] = check_boxes_xyxy(boxes.get(category, []))
    if not found:
        raise AnnotationError(
            f"{spec.path} names none of the images, of which the first is "
            f"{next(iter(image_ids), '')!r}. Images are told by their names without suffix."
        )
    return found


Boxes = Mapping[str, Sequence[Sequence[float]]]


def _rows(spec: ObjectsSpec) -> Iterator[tuple[str, Boxes]]:
    """Go through the images of the files: name without suffix, and boxes by category."""
    if spec.format == "ilsvrc-csv":
        yield from _csv_rows(spec.path)
        return
    read = read_coco if spec.format == "coco" else read_voc
    for row in read(spec.path):
        boxes: dict[str, list[Sequence[float]]] = {}
        for region in row.regions:
            boxes.setdefault(region.kind, []).append(region.box_xyxy)
        yield PurePosixPath(row.image_id).stem, boxes


def _csv_rows(path: Path) -> Iterator[tuple[str, Boxes]]:
    """Read ``LOC_val_solution.csv``: an image, and ``n01440764 x0 y0 x1 y1`` for each box."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream)
            if next(lines, None) != _CSV_HEADER:
                raise AnnotationError(
                    f"{path}, line 1: expected {','.join(_CSV_HEADER)}. Give the file of boxes of "
                    "ILSVRC's localization task."
                )
            for line in lines:
                yield _csv_row(line, f"{path}, line {lines.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path} cannot be read ({error}). Check the path.") from error


def _csv_row(line: Sequence[str], where: str) -> tuple[str, Boxes]:
    words = line[1].split() if len(line) == 2 else ["?"]
    boxes: dict[str, list[list[float]]] = {}
    try:
        if len(words) % 5:
            raise ValueError("each box is a category and four numbers")
        for at in range(0, len(words), 5):
            x0, y0, x1, y1 = (float(word) for word in words[at + 1 : at + 5])
            boxes.setdefault(words[at], []).append([x0 - 1, y0 - 1, x1, y1])
        for each in boxes.values():
            check_boxes_xyxy(np.array(each))
    except (ValueError, BoxError) as error:
        raise AnnotationError(f"{where}: {error}. Get the file anew.") from error
    return line[0], boxes


def _names(path: Path | None) -> Mapping[str, str]:
    if path is None:
        return {}
    try:
        names = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} cannot be read ({error}). Check the path.") from error
    if not isinstance(names, dict) or not all(isinstance(each, str) for each in names.values()):
        raise AnnotationError(
            f"{path} is no map from folder names to the names of categories. Give it as JSON: "
            '{"n03494278": "harmonica"}.'
        )
    return names
