# SPDX-License-Identifier: Apache-2.0
"""What transfer is measured by: average precision of attributes, and of detected objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import iou
from veilset.errors import DatasetError
from veilset.study.precision import average_precision
from veilset.study.transfer.data.voc import CATEGORIES, Scene
from veilset.types import FloatBoxes

MIN_IOU = 0.5
"""A detection that overlaps an object this much has found it (VOC development kit)."""

_RECALLS = np.arange(11) / 10


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """What a detector says about one picture.

    Attributes:
        image_id: Name of the picture.
        boxes_xyxy: ``(N, 4)``, pixels of the picture, half-open.
        categories: ``(N,)`` int64, positions in ``voc.CATEGORIES``.
        scores: ``(N,)`` in [0, 1].
    """

    image_id: str
    boxes_xyxy: FloatBoxes
    categories: NDArray[np.int64]
    scores: NDArray[np.float64]


def attribute_precision(
    marks: NDArray[np.bool_], scores: NDArray[np.float32]
) -> tuple[float, tuple[float | None, ...]]:
    """Give the mean average precision over attributes.

    Args:
        marks: ``(N, A)``, which pictures have which attributes.
        scores: ``(N, A)``, logits.

    Returns:
        The mean, in [0, 1], over the attributes that some picture has; and each one's, None
        for one that none has.

    Raises:
        DatasetError: If no picture has any attribute, or a score is not a number.

    Example:
        >>> attribute_precision(np.array([[True], [False]]), np.array([[0.2], [0.9]], "f4"))
        (0.5, (0.5,))
    """
    each = tuple(average_precision(marks[:, a], scores[:, a]) for a in range(marks.shape[1]))
    return _mean_of_known(each, "attribute"), each


def voc07_precisions(
    scenes: Sequence[Scene], found: Sequence[FoundObjects]
) -> tuple[float, tuple[float | None, ...]]:
    """Give the mean average precision of VOC 2007: 11 points, IoU of at least 0.5.

    Args:
        scenes: The pictures and what is in them.
        found: One row for each of them, in the same order.

    Returns:
        The mean, in [0, 1], over the categories that occur; and that of each category of
        ``voc.CATEGORIES``, None for one without an object that counts.

    Raises:
        DatasetError: If the rows speak of other pictures, or no picture holds an object.
    """
    if [scene.image_id for scene in scenes] != [row.image_id for row in found]:
        raise DatasetError(
            "The detections are not those of the test pictures, one row each in their order. "
            "Delete them, and run veilset study transfer again."
        )
    each = tuple(_voc07_precision(scenes, found, category) for category in range(len(CATEGORIES)))
    return _mean_of_known(each, "category"), each


def _mean_of_known(values: Sequence[float | None], what: str) -> float:
    known = [value for value in values if value is not None]
    if not known:
        raise DatasetError(f"No {what} occurs in the test pictures. Give more of the data set.")
    return float(np.mean(known))


def _voc07_precision(
    scenes: Sequence[Scene], found: Sequence[FoundObjects], category: int
) -> float | None:
    n_objects = sum(
        int(((scene.categories == category) & ~scene.difficult).sum()) for scene in scenes
    )
    if not n_objects:
        return None
    scores: list[NDArray[np.float64]] = []
    verdicts: list[NDArray[np.int8]] = []
    for scene, row in zip(scenes, found, strict=True):
        mine = row.categories == category
        order = np.argsort(-row.scores[mine], kind="stable")
        scores.append(row.scores[mine][order])
        verdicts.append(_verdicts(scene, row.boxes_xyxy[mine][order], category))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    ranked = np.concatenate(verdicts)[order]
    hits, misses = np.cumsum(ranked > 0), np.cumsum(ranked < 0)
    recall = hits / n_objects
    precision = hits / np.maximum(hits + misses, 1)
    return float(np.mean([precision[recall >= level].max(initial=0.0) for level in _RECALLS]))


def _verdicts(scene: Scene, boxes_xyxy: FloatBoxes, category: int) -> NDArray[np.int8]:
    """Say of detections of one picture, strongest first: 1 right, -1 wrong, 0 ignored."""
    of_category = scene.categories == category
    objects, difficult = scene.boxes_xyxy[of_category], scene.difficult[of_category]
    verdicts = np.full(len(boxes_xyxy), -1, dtype=np.int8)
    if not len(objects) or not len(boxes_xyxy):
        return verdicts
    overlaps = iou(boxes_xyxy, objects)
    taken = np.zeros(len(objects), dtype=np.bool_)
    # A detection belongs to the object it overlaps most, even if that one is taken
    # (VOCevaldet.m); an evaluator of COCO would give it the next best.
    for position, best in enumerate(overlaps.argmax(axis=1)):
        if overlaps[position, best] < MIN_IOU:
            continue
        if difficult[best]:
            verdicts[position] = 0
        elif not taken[best]:
            taken[best] = True
            verdicts[position] = 1
    return verdicts
