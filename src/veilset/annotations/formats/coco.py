# SPDX-License-Identifier: Apache-2.0
"""COCO's JSON for detection (https://cocodataset.org/#format-data).

================== =================================================================
COCO               here
================== =================================================================
``images``         Looked at, with or without annotations: an image that has none is
                   "looked, found none". One that is not in the list is ``not_looked``, and
                   left out of a file that is written: to any tool it would be an image
                   without objects. A file without ``annotations`` is refused, since nobody
                   looked.
``bbox``           x, y, width, height in pixels, from the upper left corner of the image.
``category_id``    The kind, by the name of the category.
``iscrowd``        An attribute, true where it is 1.
``segmentation``   An attribute, its JSON as text: kept and not looked into. The box counts.
``attributes``     Attributes, as CVAT writes them; so are other texts and numbers of an
                   annotation. Lists, such as ``keypoints``, are passed over.
``score``          The region's score, if it is in [0, 1]; such a region is ``detected``,
                   others ``imported``.
``veilset``        Origin and landmarks, where we wrote the file.
================== =================================================================

The width and height of an image are 0 in a file that is written if nobody knows them.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from veilset.annotations.formats.coco_reader import ISCROWD, OURS, SEGMENTATION
from veilset.annotations.formats.written import Exported, json_text, replacing, scratch
from veilset.errors import AnnotationError
from veilset.types import Annotations, Region, Status


def write_coco(
    path: str | Path, rows: Iterable[Annotations], *, labels: Mapping[str, str] | None = None
) -> Exported:
    """Write annotations as COCO's JSON; the file appears whole or not at all.

    Args:
        path: File to write.
        rows: In any order. Images, annotations and categories are numbered as they come,
            from 1.
        labels: What kinds are called there; a kind that is not named keeps its name.

    Raises:
        AnnotationError: If an attribute ``iscrowd`` or ``segmentation`` is not as this format
            has it, or the file cannot be written.
    """
    path = Path(path)
    counts: Counter[str] = Counter()
    categories: dict[str, int] = {}
    # Both lists grow at once: the annotations wait in a file of their own.
    with replacing(path) as target, scratch(path.parent) as waiting:
        target.write('{"info": {"description": "veilset"}, "licenses": [],\n"images": [')
        for row in rows:
            counts["rows"] += 1
            if row.status is not Status.LOOKED:
                continue
            target.write(",\n" if counts["images"] else "\n")
            counts["images"] += 1
            image = {"id": counts["images"], "file_name": row.image_id}
            target.write(json_text(image | {"width": row.width, "height": row.height}, row))
            for region in row.regions:
                waiting.write(",\n" if counts["regions"] else "\n")
                counts["regions"] += 1
                label = (labels or {}).get(region.kind, region.kind)
                item: dict[str, Any] = {
                    "id": counts["regions"],
                    "image_id": counts["images"],
                    "category_id": categories.setdefault(label, len(categories) + 1),
                }
                waiting.write(json_text(item | _annotation(row, region), row))
        waiting.seek(0)
        target.write('\n],\n"annotations": [')
        shutil.copyfileobj(waiting, target)
        named = [{"id": number, "name": name} for name, number in categories.items()]
        target.write(f'\n],\n"categories": {json.dumps(named)}\n}}\n')
    return Exported(counts["images"], counts["regions"], counts["rows"] - counts["images"])


def _annotation(row: Annotations, region: Region) -> dict[str, Any]:
    x0, y0, x1, y1 = map(float, region.box_xyxy)
    attributes = dict(region.attributes)
    crowd = attributes.pop(ISCROWD, False)
    drawn = attributes.pop(SEGMENTATION, "[]")
    try:
        segmentation = json.loads(drawn) if isinstance(drawn, str) else None
    except ValueError:
        segmentation = None
    if not isinstance(crowd, bool) or not isinstance(segmentation, list | dict):
        raise AnnotationError(
            f"The image {row.image_id!r} has a region whose attribute {ISCROWD!r} or "
            f"{SEGMENTATION!r} is not as COCO has it. Rename that attribute."
        )
    item = {
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": int(crowd),
        "segmentation": segmentation,
        "attributes": attributes,
        OURS: {
            "origin": region.origin.value,
            "landmarks_xy": [list(point) for point in region.landmarks_xy],
        },
    }
    return item if region.score is None else item | {"score": float(region.score)}
