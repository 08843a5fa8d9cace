# SPDX-License-Identifier: Apache-2.0
"""Photographs drawn by code, with their annotation set: nobody is on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from tests.unit.networks.drawn_landmarks import drawn_landmarks
from tests.unit.synthesize.drawn_faces import drawn_photo
from veilset.annotations.store import write_annotations
from veilset.dataset.folder import FolderReader
from veilset.files import sha256_hex
from veilset.protocols import ShardReport
from veilset.runs import Run
from veilset.types import Annotations, Region, Status

FACE = (25.0, 25.0, 75.0, 95.0)


def write_drawn_photographs(folder: Path, n: int = 12) -> Path:
    """Write ``photos/``, ``boxes/`` and ``people.txt``: two photographs of each person."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    landmarks = drawn_landmarks()
    for at, present in enumerate(np.random.default_rng(0).random((n, 4)) < 0.5):
        drawn = drawn_photo(present, landmarks, seed=at)
        PillowImage.fromarray(drawn).save(photos / f"{at:02}.png")
    (folder / "people.txt").write_text("".join(f"{at:02}.png {at // 2}\n" for at in range(n)))
    write_boxes(folder)
    return folder


def write_boxes(folder: Path, **others: Annotations) -> None:
    """Annotate all photographs with the drawn face, but those that are given by their stem."""
    photos, reader = folder / "photos", FolderReader(folder / "photos")
    with Run.open(folder / "boxes", "import", {"by": "hand"}, reader.describe()) as run:
        for shard in run.missing(reader.shards(100)):
            rows = []
            for record in shard.records:
                digest = sha256_hex((photos / record.image_id).read_bytes())
                face = Region(FACE, score=0.9)
                row = Annotations(record.image_id, Status.LOOKED, (face,), 100, 100, digest, 1)
                rows.append(others.get(Path(record.image_id).stem, row))
            digest = write_annotations(folder / "boxes", shard.index, rows)
            run.commit(ShardReport(shard.index, len(rows), digest=digest))
        run.finish()
