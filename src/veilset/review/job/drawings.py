# SPDX-License-Identifier: Apache-2.0
"""What people changed: a drawing beside the one that they were shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from veilset.boxes import clip, iou, outer_pixels
from veilset.errors import ReviewError
from veilset.review.values import MAX_REGIONS, Drawing, Drawn, boxes_of
from veilset.types import BoxXyxy, Region

SAME_PX = 0.01
"""A box whose sides lie this near to those that were shown was left as it is."""

_SAME_PLACE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Changes:
    """What a drawing does to the one that was shown.

    Attributes:
        n_before: Boxes that were shown.
        n_added: Boxes in places where none was.
        n_deleted: Boxes that are gone.
        n_moved: Boxes that lie elsewhere, have another size or another kind.
    """

    n_before: int
    n_added: int
    n_deleted: int
    n_moved: int


def compare(shown: Drawing, drawn: Drawing) -> Changes:
    """Count what somebody changed.

    A box that was deleted and drawn again at the same place (IoU of at least 0.5) counts
    as moved: nobody found anything there.

    Example:
        >>> shown = (Drawn((0, 0, 9, 9), source=0), Drawn((50, 50, 60, 60), source=1))
        >>> compare(shown, (Drawn((0, 0, 9, 8), source=0), Drawn((20, 20, 30, 30))))
        Changes(n_before=2, n_added=1, n_deleted=1, n_moved=1)
    """
    kept = {each.source: each for each in drawn if each.source is not None}
    deleted = [each for each in shown if each.source not in kept]
    added = [each for each in drawn if each.source is None]
    n_moved = sum(
        not is_untouched(each, kept[each.source]) for each in shown if each.source in kept
    )
    n_again = len(_pairs(added, deleted))
    return Changes(len(shown), len(added) - n_again, len(deleted) - n_again, n_moved + n_again)


def is_untouched(shown: Drawn, drawn: Drawn) -> bool:
    """Whether a box that was shown is still as it was."""
    is_there = all(
        abs(before - after) <= SAME_PX
        for before, after in zip(shown.box_xyxy, drawn.box_xyxy, strict=True)
    )
    return is_there and shown.kind == drawn.kind


def name_sources(truth: Drawing, proposals: Drawing) -> Drawing:
    """Say of each true box which proposal it is, so that what is known of that one is kept.

    Args:
        truth: Boxes without sources.
        proposals: Boxes with sources.

    Returns:
        The true boxes in the same order; each proposal belongs to one of them at most, the
        nearest first, from an IoU of 0.5 on.
    """
    pairs = _pairs(truth, proposals)
    return tuple(
        replace(each, source=proposals[pairs[place]].source if place in pairs else None)
        for place, each in enumerate(truth)
    )


def check_sources(drawing: Drawing, shown: Drawing) -> None:
    """Refuse boxes that were made from one that was not shown, or two from the same.

    Raises:
        ReviewError: If there is one.
    """
    left = {each.source for each in shown}
    for place, each in enumerate(drawing, start=1):
        if each.source is None:
            continue
        if each.source not in left:
            raise ReviewError(
                f"Box {place} says that it was made from region {each.source}, which was not "
                "shown, or which another box was made from. Give null for a new box."
            )
        left.remove(each.source)


def as_shown(regions: Sequence[Region], size_wh: tuple[int, int]) -> Drawing:
    """Give the regions of an annotation set as they can be shown and sent back.

    Args:
        regions: In the order of the annotation set: the index is the source.
        size_wh: Width and height of the image in pixels.

    Returns:
        Boxes inside the image, cut to it, none without area: such a region hides the pixel
        that it lies in. What shows nothing of the image is left out.

    Raises:
        ReviewError: If there are more than can be reviewed.
    """
    if len(regions) > MAX_REGIONS:
        raise ReviewError(f"It has {len(regions)} regions; {MAX_REGIONS} can be reviewed.")
    if not regions:
        return ()
    boxes = [region.box_xyxy for region in regions]
    cut = clip(boxes, size_wh)
    whole = outer_pixels(boxes, size_wh).astype(np.float64)
    has_area = (cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1])
    chosen = np.where(has_area[:, None], cut, whole)
    return tuple(
        Drawn(_tuple(box), region.kind, source)
        for source, (region, box) in enumerate(zip(regions, chosen.tolist(), strict=True))
        if box[0] < box[2] and box[1] < box[3]
    )


def _tuple(box: Sequence[float]) -> BoxXyxy:
    x0, y0, x1, y1 = box
    return x0, y0, x1, y1


def _pairs(some: Sequence[Drawn], others: Sequence[Drawn]) -> dict[int, int]:
    """Pair boxes of the same place one to one, the nearest first: places in the sequences."""
    if not some or not others:
        return {}
    overlap = iou(boxes_of(some), boxes_of(others))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    order = np.argsort(-overlap, axis=None, kind="stable")
    for row, column in zip(*np.unravel_index(order, overlap.shape), strict=True):
        if overlap[row, column] < _SAME_PLACE_IOU:
            break
        if int(row) not in pairs and int(column) not in taken:
            pairs[int(row)] = int(column)
            taken.add(int(column))
    return pairs
