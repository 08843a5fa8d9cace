# SPDX-License-Identifier: Apache-2.0
"""The values that the parts of review exchange. All are frozen; none knows a database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np

from veilset.errors import ReviewError
from veilset.types import BoxXyxy, FloatBoxes

MAX_REGIONS = 2_000
"""Most boxes on one image."""


class Role(StrEnum):
    """What somebody may do in a job."""

    WORKER = "worker"
    """Corrects batches, with gold among them."""
    EXPERT = "expert"
    """Looks at the audit sample, without gold: the reference for the quality report."""
    OWNER = "owner"
    """Sees everything of the job, settles disputes, invites."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A box as it stands on a reviewer's screen.

    Attributes:
        box_xyxy: Pixels of the oriented image, half-open.
        kind: One of the kinds of the job.
        source: Index of the region of the annotation set that the box was made from,
            moved and resized or not; None for one that was drawn.
    """

    box_xyxy: BoxXyxy
    kind: str = "face"
    source: int | None = None

    def to_row(self) -> list[Any]:
        """Give the box as ``[x0, y0, x1, y1, kind, source]``, the form of the database."""
        return [*self.box_xyxy, self.kind, self.source]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """Read what ``to_row`` gave."""
        x0, y0, x1, y1, kind, source = row
        return cls((x0, y0, x1, y1), kind, source)


Drawing = tuple[Drawn, ...]
"""All boxes of an image, as somebody left them."""


def drawing_to_json(drawing: Iterable[Drawn]) -> str:
    """Give a drawing as compact JSON.

    Example:
        >>> drawing_to_json([Drawn((0, 1, 2, 3))])
        '[[0,1,2,3,"face",null]]'
    """
    return json.dumps([drawn.to_row() for drawn in drawing], separators=(",", ":"))


def drawing_from_json(text: str) -> Drawing:
    """Read what ``drawing_to_json`` wrote."""
    return tuple(Drawn.from_row(row) for row in json.loads(text))


def boxes_of(drawing: Iterable[Drawn]) -> FloatBoxes:
    """Give the boxes of a drawing, ``(N, 4)`` float64.

    Example:
        >>> boxes_of([]).shape
        (0, 4)
    """
    return np.array([drawn.box_xyxy for drawn in drawing], dtype=np.float64).reshape(-1, 4)


def check_drawing(drawing: Drawing, size_wh: tuple[int, int], kinds: Sequence[str]) -> Drawing:
    """Check what came from outside and cut it to the image.

    Args:
        drawing: Boxes in any place.
        size_wh: Width and height of the image in pixels.
        kinds: Kinds that the job knows.

    Returns:
        The boxes, cut to the image, in the same order.

    Raises:
        ReviewError: If there are too many boxes, or one is not finite, is turned inside
            out, shows nothing of the image or has an unknown kind.
    """
    if len(drawing) > MAX_REGIONS:
        raise ReviewError(
            f"{len(drawing)} boxes were drawn on one image; {MAX_REGIONS} are allowed. "
            "Cover neighbouring regions with one box."
        )
    width, height = size_wh
    checked = []
    for place, drawn in enumerate(drawing, start=1):
        if drawn.kind not in kinds:
            raise ReviewError(
                f"Box {place} has the kind {drawn.kind!r}. This job knows: {', '.join(kinds)}."
            )
        x0, y0, x1, y1 = (float(value) for value in drawn.box_xyxy)
        is_box = np.isfinite(drawn.box_xyxy).all() and x0 < x1 and y0 < y1
        if not is_box or x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            raise ReviewError(
                f"Box {place} is {drawn.box_xyxy}. Expected x0 < x1 and y0 < y1, in pixels "
                f"of the image of {width} x {height}."
            )
        inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        checked.append(Drawn(inside, drawn.kind, drawn.source))
    return tuple(checked)


@dataclass(frozen=True, slots=True)
class GoldProblem:
    """What is wrong with an answer on a gold image.

    Attributes:
        what: ``missed`` (a true region is not covered), ``stray`` (a box that lies on no
            true region, or is far too large) or ``overlap`` (the unions differ too much).
        box_xyxy: The true region or the drawn box it speaks of.
    """

    what: str
    box_xyxy: BoxXyxy


@dataclass(frozen=True, slots=True)
class GoldVerdict:
    """How an answer on a gold image was judged.

    Attributes:
        is_passed: Whether it costs no life.
        problems: What is wrong; empty if passed.
        n_true: True regions of the image.
        n_found: True regions that were covered.
        n_drawn: Boxes that were drawn.
        n_right: Boxes that lie on true regions.
        union_iou: IoU of the two unions as masks, 1 if both are empty.
    """

    is_passed: bool
    problems: tuple[GoldProblem, ...]
    n_true: int
    n_found: int
    n_drawn: int
    n_right: int
    union_iou: float
