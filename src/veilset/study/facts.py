# SPDX-License-Identifier: Apache-2.0
"""What is known of the images of a study: how much of each is obfuscated, and how much of its
object faces cover.

One definition for every setting, from the annotation set, so that settings can be compared: the
share of an image that its regions cover, each enlarged on every side by a tenth of its own
diagonal and cut to the image (Yang et al. 2022, eq. 2), whatever a method really changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from veilset.boxes import clip, region_boxes
from veilset.errors import AnnotationError
from veilset.study.areas import covered_share, enlarged_by_diagonal
from veilset.types import Annotations, FloatBoxes, Status
from veilset.unions import union_area

BoolVector = NDArray[np.bool_]
IntVector = NDArray[np.int64]
FloatVector = NDArray[np.float64]

FACE = "face"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of the images of one split, ``(N,)`` each, in the order of their list.

    Attributes:
        status: ``looked``, ``not_looked`` or ``could_not_look``.
        n_faces: Faces that count; 0 where nobody looked.
        obfuscated_share: Share of the image that is obfuscated, in [0, 1]; NaN where nobody
            looked.
        largest_px: Longer side of the largest face, pixels; 0 without faces.
        smallest_relative: Longer side of the smallest face over that of the largest, in
            (0, 1]; NaN without faces.
        object_covered: Share of the image's own objects that faces cover, mean over them, in
            [0, 1]; NaN without objects, or where nobody looked.
        n_objects: Boxes of the image's own category.
    """

    status: tuple[str, ...]
    n_faces: IntVector
    obfuscated_share: FloatVector
    largest_px: FloatVector
    smallest_relative: FloatVector
    object_covered: FloatVector
    n_objects: IntVector

    def part(self, start: int, stop: int) -> ImageFacts:
        """Give the facts of the images from ``start`` up to ``stop``."""
        each = (getattr(self, field.name)[start:stop] for field in fields(self))
        return ImageFacts(*each)

    @property
    def is_looked(self) -> BoolVector:
        """Which images were searched."""
        return np.array([each == Status.LOOKED for each in self.status], dtype=np.bool_)

    @property
    def with_faces(self) -> BoolVector:
        """Which images were searched and have a face."""
        return np.asarray(self.is_looked & (self.n_faces > 0))

    @property
    def without_faces(self) -> BoolVector:
        """Which images were searched and have none."""
        return np.asarray(self.is_looked & (self.n_faces == 0))


def collect_facts(
    image_ids: Sequence[str],
    rows: Iterable[tuple[str, Annotations]],
    *,
    min_score: float = 0.0,
    objects: Mapping[str, FloatBoxes] | None = None,
) -> ImageFacts:
    """Gather the facts of images from what is known about them.

    Args:
        image_ids: The images, in order.
        rows: The name of an image and what is known about it, in any order; other images are
            passed over. Images without a row were not looked at.
        min_score: Regions of a detector below it do not count.
        objects: Boxes of the objects of an image's own category, pixels, by image.

    Raises:
        AnnotationError: If the size of an image with regions is not known.
    """
    n = len(image_ids)
    status = [Status.NOT_LOOKED.value] * n
    counts, measures = np.zeros((2, n), dtype=np.int64), np.full((4, n), np.nan)
    measures[1] = 0.0
    places = {image_id: at for at, image_id in enumerate(image_ids)}
    for image_id, row in rows:
        at = places.get(image_id)
        if at is None:
            continue
        status[at] = row.status.value
        if row.status is Status.LOOKED:
            boxes = (objects or {}).get(image_id, np.zeros((0, 4)))
            counts[:, at], measures[:, at] = _facts_of(row, min_score, boxes)
    share, largest, smallest, covered = measures
    return ImageFacts(tuple(status), counts[0], share, largest, smallest, covered, counts[1])


def _facts_of(
    row: Annotations, min_score: float, objects: FloatBoxes
) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """Give (faces, objects) and (share, largest, smallest over largest, covered) of an image."""
    regions = [region for region in row.regions if region.passes(min_score)]
    size_wh = (row.width, row.height)
    if regions and not all(size_wh):
        raise AnnotationError(
            f"The annotation set does not say how large {row.image_id!r} is. Import it again, "
            "with its photographs."
        )
    share = 0.0
    if regions:
        enlarged = enlarged_by_diagonal(region_boxes(regions), size_wh)
        share = union_area(enlarged) / (row.width * row.height)
    faces = region_boxes([region for region in regions if region.kind == FACE])
    sides = _longer_sides(faces)
    covered = [
        each
        for each in (covered_share(box, faces) for box in _cut(objects, size_wh))
        if each is not None
    ]
    return (len(faces), len(covered)), (
        share,
        max(sides, default=0.0),
        min(sides) / max(sides) if sides and max(sides) > 0 else np.nan,
        float(np.mean(covered)) if covered else np.nan,
    )


def _longer_sides(boxes: FloatBoxes) -> list[float]:
    return [float(max(x1 - x0, y1 - y0)) for x0, y0, x1, y1 in boxes]


def _cut(boxes: FloatBoxes, size_wh: tuple[int, int]) -> Iterator[FloatBoxes]:
    # Of an image without regions the size need not be known; nothing is covered there.
    yield from clip(boxes, size_wh) if all(size_wh) else boxes
