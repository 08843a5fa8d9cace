# SPDX-License-Identifier: Apache-2.0
"""Small annotation sets for the tests of the audit, written as every stage writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image as PilImage

from veilset.annotations.store import write_annotations
from veilset.protocols import Shard, ShardReport
from veilset.runs import Run
from veilset.types import Annotations, BoxXyxy, ImageRecord, Origin, Region, Status


def face(
    box: BoxXyxy = (10, 10, 30, 40),
    score: float | None = 0.9,
    origin: Origin = Origin.DETECTED,
    kind: str = "face",
    **attributes: str | float,
) -> Region:
    """Give one region."""
    return Region(box, kind, score, origin, attributes=attributes)


def looked(image_id: str, *regions: Region, width: int = 100, height: int = 80) -> Annotations:
    """Give an image that was searched."""
    return Annotations(image_id, Status.LOOKED, regions, width, height)


def not_looked(image_id: str) -> Annotations:
    """Give an image that nobody searched."""
    return Annotations(image_id, Status.NOT_LOOKED)


def failed(image_id: str, reason: str = "truncated") -> Annotations:
    """Give an image that could not be searched."""
    return Annotations(image_id, Status.COULD_NOT_LOOK, reason=reason, message="Copy it again.")


def write_set(
    folder: Path, rows: Iterable[Annotations], shard_size: int = 4, *, finish: bool = True
) -> Path:
    """Write an annotation set in the order of a data set; give its folder."""
    ordered = sorted(rows, key=lambda row: ImageRecord(row.image_id).order_key)
    parts = [ordered[i : i + shard_size] for i in range(0, len(ordered), shard_size)]
    shards = [
        Shard(i, tuple(ImageRecord(row.image_id) for row in part)) for i, part in enumerate(parts)
    ]
    with Run.open(folder, "detect", {}, {"root": "/somewhere/photos"}) as run:
        for shard in run.missing(shards):
            part = parts[shard.index]
            digest = write_annotations(folder, shard.index, part)
            run.commit(ShardReport(shard.index, len(part), {}, {}, digest))
        if finish:
            run.finish()
    return folder


def write_photos(root: Path, image_ids: Sequence[str], colour: tuple[int, int, int]) -> Path:
    """Write images of one colour under these names; give their folder."""
    for image_id in image_ids:
        path = root / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        PilImage.new("RGB", (100, 80), colour).save(path, "PNG")
    return root
