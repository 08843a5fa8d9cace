# SPDX-License-Identifier: Apache-2.0
"""Faces prepared for training: what was cut out of photographs once, read again in every epoch.

A folder of three things, in shards: ``table/`` (Parquet; who, which split, attributes,
landmarks, and why a photograph gave no face), ``pictures/KIND-00000.npy`` (uint8, one row for
each prepared face), and the record of the run. It holds clear faces: readable by its owner only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from veilset.files import make_private, ordered_name, sha256_hex
from veilset.networks.landmarks import N_LANDMARKS, Points
from veilset.synthesize.celeba import Attributes
from veilset.synthesize.prepared import (
    PICTURES,
    TABLE,
    PictureShards,
    Preparation,
    PreparedFaces,
    write_pictures,
)
from veilset.tables import write_table
from veilset.types import BoxXyxy, Image

STAGE = "synthesize-faces"

TARGETS, CONTEXTS, HIDDEN = "targets", "contexts", "hidden"
KINDS = (TARGETS, CONTEXTS, HIDDEN)
"""The clear crop, the crop with the face filled, and where the face was (255) and was not (0)."""

_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("person", pa.int64()),
        ("split", pa.string()),
        ("attributes", pa.list_(pa.bool_())),
        ("box_xyxy", pa.list_(pa.float64())),
        ("landmarks_xy", pa.list_(pa.float64())),
        ("reason", pa.string()),
        ("message", pa.string()),
    ],
    metadata={"veilset": "veilset-faces/1"},
)


@dataclass(frozen=True, slots=True)
class CutFace:
    """What was cut out of one photograph.

    Attributes:
        box_xyxy: Box of the face, in pixels of the photograph.
        landmarks_xy: ``(68, 2)`` in pixels of the crop after it was resized.
        target: ``(H, W, 3)`` uint8, the clear crop.
        context: ``(H, W, 3)`` uint8, the crop with the face filled.
        hidden: ``(H, W)`` uint8, 255 where a hidden pixel has a part in it, else 0.
    """

    box_xyxy: BoxXyxy
    landmarks_xy: Points = field(repr=False)
    target: Image = field(repr=False)
    context: Image = field(repr=False)
    hidden: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FaceRow:
    """One photograph.

    Attributes:
        image_id: Its name.
        person: Number of who is on it.
        split: ``train``, ``val`` or ``test``.
        attributes: ``(K,)`` bool.
        cut: The face; None if there is none that can be used.
        reason: Why there is none, a short code; "" if there is one.
        message: The same for people.
    """

    image_id: str
    person: int
    split: str
    attributes: Attributes = field(repr=False)
    cut: CutFace | None = None
    reason: str = ""
    message: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """What it adds to the counts of the run."""
        if self.cut is None:
            return {"prepared": 0, "left_out": 1, f"left_out: {self.reason}": 1}
        return {"prepared": 1, "left_out": 0, f"prepared: {self.split}": 1}


def write_faces(folder: Path, index: int, rows: Sequence[FaceRow]) -> str:
    """Write one shard.

    Args:
        folder: Of the run; readable by its owner only from then on.
        index: Number of the shard.
        rows: In the order of the data set.

    Returns:
        Digest of everything that was written.
    """
    for name in (TABLE, PICTURES):
        make_private(folder / name)
    cuts = [row.cut for row in rows if row.cut is not None]
    digests = [
        write_pictures(_pictures_path(folder, kind, index), pictures)
        for kind, pictures in (
            (TARGETS, [each.target for each in cuts]),
            (CONTEXTS, [each.context for each in cuts]),
            (HIDDEN, [each.hidden for each in cuts]),
        )
    ]
    lines = [_as_row(row) for row in rows]
    digests.append(write_table(folder / TABLE, index, lines, _SCHEMA))
    return sha256_hex("\n".join(digests).encode())


def _pictures_path(folder: Path, kind: str, index: int) -> Path:
    return folder / PICTURES / f"{kind}-{ordered_name(index)}.npy"


def _as_row(row: FaceRow) -> dict[str, Any]:
    return {
        "image_id": row.image_id,
        "person": row.person,
        "split": row.split,
        "attributes": row.attributes.tolist(),
        "box_xyxy": list(row.cut.box_xyxy) if row.cut else None,
        "landmarks_xy": row.cut.landmarks_xy.reshape(-1).tolist() if row.cut else None,
        "reason": row.reason,
        "message": row.message,
    }


@dataclass(frozen=True, slots=True)
class FacesFile(PreparedFaces):
    """Prepared faces, opened.

    Attributes:
        names: The K attributes.
        size_hw: Height and width of the pictures.
        present: ``(N, K)`` bool.
        landmarks_xy: ``(N, 68, 2)`` float64, in pixels of the pictures.
        pictures: By kind: ``(H, W, 3)`` uint8 each, ``(H, W)`` for ``HIDDEN``.
    """

    names: tuple[str, ...]
    size_hw: tuple[int, int]
    present: Attributes = field(repr=False)
    landmarks_xy: NDArray[np.float64] = field(repr=False)
    pictures: Mapping[str, PictureShards] = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> FacesFile:
        """Open what ``prepare_faces`` wrote.

        Raises:
            RunError: If the folder holds no finished preparation.
            DatasetError: If a file is missing or damaged, or there is no face in it.
        """
        made = Preparation.read(folder, STAGE)
        rows, counts = made.rows, made.counts
        height, width = made.manifest["config"]["size_hw"]
        points = np.array([row["landmarks_xy"] for row in rows])
        return cls(
            folder=folder,
            image_ids=tuple(row["image_id"] for row in rows),
            people=np.array([row["person"] for row in rows], np.int64),
            splits=np.array([row["split"] for row in rows]),
            facts=made.facts,
            names=tuple(made.manifest["extra"]["attributes"]),
            size_hw=(int(height), int(width)),
            present=np.array([row["attributes"] for row in rows], np.bool_),
            landmarks_xy=points.reshape(-1, N_LANDMARKS, 2),
            pictures={kind: _shards(folder, kind, counts) for kind in KINDS},
        )


def _shards(folder: Path, kind: str, counts: Sequence[int]) -> PictureShards:
    paths = [_pictures_path(folder, kind, index) for index in range(len(counts))]
    return PictureShards.open(paths, counts)
