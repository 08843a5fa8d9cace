# SPDX-License-Identifier: Apache-2.0
"""A picture searched in overlapping quarters: which they are, and how their finds are joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from veilset.boxes import intersections, iou
from veilset.types import Region

Frame = tuple[int, int, int, int]
"""``(x0, y0, x1, y1)``, whole pixels of the image, half-open."""

SHARE = 0.625
"""Share of each side that a quarter covers: neighbours overlap by a quarter of the side."""

SAME_FACE_IOU = 0.45
"""From this overlap on, boxes of different looks are taken for the same face."""

CUT_FACE_INSIDE = 0.7
"""A box at a border of a part is a piece of a face that lies this much of it in another box."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in one part.

    Attributes:
        regions: In pixels of the image, not cut to it.
        frame_xyxy: The part.
    """

    regions: tuple[Region, ...]
    frame_xyxy: Frame


def quarters(frame: Frame) -> Iterator[Frame]:
    """Give the four quarters of a part, row by row; together they cover it.

    Example:
        >>> list(quarters((0, 0, 16, 8)))
        [(0, 0, 10, 5), (6, 0, 16, 5), (0, 3, 10, 8), (6, 3, 16, 8)]
    """
    x0, y0, x1, y1 = frame
    wide, tall = max(1, round((x1 - x0) * SHARE)), max(1, round((y1 - y0) * SHARE))
    for top in (y0, y1 - tall):
        for left in (x0, x1 - wide):
            yield left, top, left + wide, top + tall


def merged(looks: Sequence[Look], size_wh: tuple[int, int]) -> list[Region]:
    """Join what the parts gave: whole faces first, then pieces at borders nobody else has.

    One look comes back as it is. The order of the looks does not matter.

    Args:
        looks: Parts of one image, the whole image among them.
        size_wh: Width and height of the image in pixels.
    """
    found = [(_is_cut(region, look, size_wh), region) for look in looks for region in look.regions]
    found.sort(key=lambda each: (each[0], -(each[1].score or 0.0), each[1].box_xyxy))
    if len(looks) == 1:
        return [region for _, region in found]
    kept: list[Region] = []
    for is_cut, region in found:
        if not _is_double(region, kept, is_cut=is_cut):
            kept.append(region)
    return kept


def _is_double(region: Region, kept: Sequence[Region], *, is_cut: bool) -> bool:
    if not kept:
        return False
    others = [other.box_xyxy for other in kept]
    if (iou([region.box_xyxy], others) > SAME_FACE_IOU).any():
        return True
    x0, y0, x1, y1 = region.box_xyxy
    inside = float(intersections([region.box_xyxy], others).max())
    return is_cut and inside > CUT_FACE_INSIDE * (x1 - x0) * (y1 - y0)


def _is_cut(region: Region, look: Look, size_wh: tuple[int, int]) -> bool:
    """Whether a region lies at a border of a part that is not a border of the image."""
    borders = (0, 0, *size_wh)
    signs = (1, 1, -1, -1)
    return any(
        edge != border and sign * (side - edge) < 2
        for side, edge, border, sign in zip(
            region.box_xyxy, look.frame_xyxy, borders, signs, strict=True
        )
    )
