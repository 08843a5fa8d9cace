# SPDX-License-Identifier: Apache-2.0
"""The face annotations of ImageNet as they were released: one JSON list, an entry an image.

    {"url": "train/n01440764/n01440764_10026.JPEG",
     "bboxes": [{"x0": 1.5, "y0": 2, "x1": 30, "y1": 41.5}]}

``url`` is the path below the folder that holds ``train`` and ``val``. Coordinates are
those of Pillow: they speak of the corners between pixels, so that a box from 0 to 4 covers
the pixels 0 to 3, half-open as ours. (Pillow's ``rectangle``, with which the released blur
was drawn, fills the pixel at the end too; what was drawn there is one pixel wider.)

An entry without boxes is "looked, found none"; an image without an entry ``not_looked``,
and so left out of a file that is written. There is no place for size, kind, score, origin
and attributes: regions come back as imported faces, and other kinds are refused in
writing. The detector behind the released file gives at most 100 faces of an image: where
there are as many, there may be more. A box whose corners are the wrong way round, which
the released code passes over, is put right and kept: ``drawn_as`` says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from veilset.annotations.formats.json_items import iterate_items
from veilset.annotations.formats.shapes import DRAWN_AS, checked_name, finite
from veilset.annotations.formats.written import Exported, face_only, json_text, replacing
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status

CAP = 100
"""Faces that the detector gives of an image at most."""

_SIDES = ("x0", "y0", "x1", "y1")
_TURNED = {DRAWN_AS: "box inside out"}


def read_ilsvrc(path: str | Path, *, prefix: str = "") -> Iterator[Annotations]:
    """Go through the entries of a file, in its order.

    Args:
        path: The file, JSON.
        prefix: Removed from the names of images that begin with it, such as ``train/``.

    Yields:
        One row for each entry, ``looked``; width and height are 0, the file does not say.

    Raises:
        AnnotationError: If the file cannot be read, or something in it cannot be used;
            the message says in which entry.
    """
    path = Path(path)
    for place, entry in iterate_items(path):
        try:
            url, boxes = entry["url"], entry["bboxes"]
            if not isinstance(url, str) or not isinstance(boxes, list):
                raise TypeError("url is a text and bboxes a list")
        except (KeyError, TypeError) as error:
            raise AnnotationError(
                f"{path}, entry {place}: it is not of the form "
                f'{{"url": ..., "bboxes": [...]}} ({type(error).__name__}: {error}). '
                "Check the file."
            ) from error
        where = f"{path}, entry {place}"
        regions = [_region(box, f"{where}, box {number}") for number, box in enumerate(boxes, 1)]
        name = checked_name(url.removeprefix(prefix), where)
        yield Annotations(name, Status.LOOKED, tuple(regions))


def _region(box: Any, where: str) -> Region:
    if not isinstance(box, dict) or not box.keys() >= set(_SIDES):
        raise AnnotationError(f"{where}: it is not of the form {{x0, y0, x1, y1}}. Check the file.")
    x0, y0, x1, y1 = (finite(box[side], where, side) for side in _SIDES)
    if x0 <= x1 and y0 <= y1:
        return Region((x0, y0, x1, y1), origin=Origin.IMPORTED)
    right_way = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    return Region(right_way, origin=Origin.IMPORTED, attributes=_TURNED)


def write_ilsvrc(
    path: str | Path, rows: Iterable[Annotations], *, labels: Mapping[str, str] | None = None
) -> Exported:
    """Write annotations as the released file; it appears whole or not at all.

    Args:
        path: File to write, JSON.
        rows: In any order.
        labels: What kinds are called; what is not a ``face`` then is refused.

    Raises:
        AnnotationError: If a region is no face, or the file cannot be written.
    """
    counts: Counter[str] = Counter()
    with replacing(Path(path)) as stream:
        stream.write("[")
        for row in rows:
            counts["rows"] += 1
            if row.status is not Status.LOOKED:
                continue
            boxes = []
            for region in row.regions:
                face_only(row, region, labels or {}, "ilsvrc")
                boxes.append(dict(zip(_SIDES, map(float, region.box_xyxy), strict=True)))
            stream.write(",\n" if counts["images"] else "\n")
            stream.write(json_text({"url": row.image_id, "bboxes": boxes}, row))
            counts["images"] += 1
            counts["regions"] += len(boxes)
        stream.write("\n]\n")
    return Exported(counts["images"], counts["regions"], counts["rows"] - counts["images"])
