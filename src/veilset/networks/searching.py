# SPDX-License-Identifier: Apache-2.0
"""Search every rendering of an image: what a detector finds in any of them is in the image."""

from __future__ import annotations

from collections.abc import Sequence

from veilset.boxes import iou
from veilset.errors import BrokenPluginError
from veilset.protocols import Detector
from veilset.types import Image, Region

SAME_IOU = 0.5
"""Regions of two renderings are one if their kind is the same and their boxes overlap so much."""


def search_renderings(
    detector: Detector, images: Sequence[Sequence[Image]]
) -> list[tuple[Region, ...]]:
    """Find the regions of images, each in all of its renderings.

    Args:
        detector: What looks at them, all in one call.
        images: The renderings of each image, as ``decode_renderings`` gives them.

    Returns:
        For each image its regions, strongest first.

    Raises:
        BrokenPluginError: If it does not give one answer to each picture: then nobody knows
            which belongs to which.
        Exception: Whatever the detector raises.
    """
    pictures = [each for renderings in images for each in renderings]
    found = list(detector.detect(pictures))
    if len(found) != len(pictures):
        raise BrokenPluginError(
            f"The detector {detector.card.name!r} gave {len(found)} answers to {len(pictures)} "
            "pictures, so that nobody knows which belongs to which. Use another detector. "
            "Tell its author."
        )
    answers = iter(found)
    return [join_regions([next(answers) for _ in renderings]) for renderings in images]


def join_regions(found: Sequence[tuple[Region, ...]]) -> tuple[Region, ...]:
    """Put together what was found in the renderings of one image.

    Args:
        found: The regions of each rendering.

    Returns:
        Of one rendering its regions as they are. Of several, all of them but those that another
        rendering shows as well, with at least that score; strongest first.

    Example:
        >>> here, there = Region((0, 0, 8, 8), score=0.6), Region((20, 20, 28, 28), score=0.9)
        >>> again = Region((1, 0, 8, 8), score=0.7)
        >>> [each.score for each in join_regions([(here,), (again, there)])]
        [0.9, 0.7]
    """
    if len(found) == 1:
        return found[0]
    every = [(each, number) for number, regions in enumerate(found) for each in regions]
    every.sort(key=lambda each: -(1.0 if each[0].score is None else each[0].score))
    joined: list[tuple[Region, int]] = []
    for region, number in every:
        if not _is_among(region, [other for other, its in joined if its != number]):
            joined.append((region, number))
    return tuple(region for region, _ in joined)


def _is_among(region: Region, others: Sequence[Region]) -> bool:
    boxes = [each.box_xyxy for each in others if each.kind == region.kind]
    return bool(boxes) and bool(iou([region.box_xyxy], boxes).max() >= SAME_IOU)
