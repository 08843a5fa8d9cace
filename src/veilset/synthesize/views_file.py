# SPDX-License-Identifier: Apache-2.0
"""Faces with what is around them, cut out of photographs once and read again in every epoch.

A folder of two things, in shards: ``table/`` (Parquet; where the face lies in its picture, who it
is, which split) and ``pictures/`` (``.npy``, uint8, one row for each face), with the record of the
run. It holds clear faces: readable by its owner only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from veilset.files import make_private, ordered_name, sha256_hex
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

STAGE = "synthesize-views"

_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("person", pa.int64()),
        ("split", pa.string()),
        ("core_xyxy", pa.list_(pa.float64())),
        ("inside_xyxy", pa.list_(pa.float64())),
        ("others_xyxy", pa.list_(pa.list_(pa.float64()))),
        ("pixel_px", pa.float64()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ],
    metadata={"veilset": "veilset-views/2"},
)


@dataclass(frozen=True, slots=True)
class CutView:
    """One face with its surroundings.

    Attributes:
        picture: ``(R, R, 3)`` uint8, clear; black beyond the border of the photograph.
        core_xyxy: What is to be drawn, in pixels of the picture.
        inside_xyxy: The photograph's own rectangle, in pixels of the picture.
        others_xyxy: What else is hidden at use when this face is drawn: the smaller regions, whose
            turn comes later; likewise.
        pixel_px: Side of a pixel of the photograph, likewise.
    """

    picture: Image = field(repr=False)
    core_xyxy: BoxXyxy
    inside_xyxy: BoxXyxy
    others_xyxy: tuple[BoxXyxy, ...]
    pixel_px: float


@dataclass(frozen=True, slots=True)
class ViewRow:
    """One face, or a photograph that gave none.

    Attributes:
        image_id: Name of the photograph.
        person: Number of who is on it.
        split: ``train``, ``val`` or ``test``.
        cut: The face; None if there is none.
        reason: Why there is none, a short code; "" if there is one.
        message: The same for people.
    """

    image_id: str
    person: int
    split: str
    cut: CutView | None = None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class PhotoRows:
    """What one photograph gave: its faces, or one row that says why there is none."""

    rows: tuple[ViewRow, ...]

    @property
    def reason(self) -> str:
        """Why there is no face, "" if there is one."""
        return self.rows[0].reason

    @property
    def counts(self) -> dict[str, int]:
        """What it adds to the counts of the run."""
        faces = [row for row in self.rows if row.cut is not None]
        if not faces:
            return {"photographs": 0, "left_out": 1, "faces": 0, f"left_out: {self.reason}": 1}
        return {"photographs": 1, "left_out": 0, "faces": len(faces)}


def write_views(folder: Path, index: int, photographs: Sequence[PhotoRows]) -> str:
    """Write one shard.

    Args:
        folder: Of the run; readable by its owner only from then on.
        index: Number of the shard.
        photographs: In the order of the data set.

    Returns:
        Digest of everything that was written.
    """
    for name in (TABLE, PICTURES):
        make_private(folder / name)
    rows = [row for each in photographs for row in each.rows]
    cuts = [row.cut.picture for row in rows if row.cut is not None]
    pictures = write_pictures(_pictures_path(folder, index), cuts)
    table = write_table(folder / TABLE, index, [_as_row(row) for row in rows], _SCHEMA)
    return sha256_hex(f"{pictures}\n{table}".encode())


def _pictures_path(folder: Path, index: int) -> Path:
    return folder / PICTURES / f"{ordered_name(index)}.npy"


def _as_row(row: ViewRow) -> dict[str, Any]:
    return {
        "image_id": row.image_id,
        "person": row.person,
        "split": row.split,
        "core_xyxy": list(row.cut.core_xyxy) if row.cut else None,
        "inside_xyxy": list(row.cut.inside_xyxy) if row.cut else None,
        "others_xyxy": [list(each) for each in row.cut.others_xyxy] if row.cut else None,
        "pixel_px": row.cut.pixel_px if row.cut else None,
        "reason": row.reason,
        "message": row.message,
    }


@dataclass(frozen=True, slots=True)
class ViewsFile(PreparedFaces):
    """Views, opened.

    Attributes:
        side_px: R.
        cores: ``(N, 4)`` float64, in pixels of the pictures.
        insides: ``(N, 4)`` float64, likewise.
        others: ``(N, K, 4)`` float64, likewise; zeros where a face has fewer than K beside it.
        pixels: ``(N,)`` float64, sides of the photographs' pixels, likewise.
        pictures: ``(R, R, 3)`` uint8 each.
    """

    side_px: int
    cores: NDArray[np.float64] = field(repr=False)
    insides: NDArray[np.float64] = field(repr=False)
    others: NDArray[np.float64] = field(repr=False)
    pixels: NDArray[np.float64] = field(repr=False)
    pictures: PictureShards = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> ViewsFile:
        """Open what ``prepare_views`` wrote.

        Raises:
            RunError: If the folder holds no finished preparation.
            DatasetError: If a file is missing or damaged, or there is no face in it.
        """
        made = Preparation.read(folder, STAGE)
        rows, counts = made.rows, made.counts
        paths = [_pictures_path(folder, index) for index in range(len(counts))]
        return cls(
            folder=folder,
            image_ids=tuple(row["image_id"] for row in rows),
            people=np.array([row["person"] for row in rows], np.int64),
            splits=np.array([row["split"] for row in rows]),
            facts=made.facts,
            side_px=int(made.manifest["config"]["stored_px"]),
            cores=np.array([row["core_xyxy"] for row in rows], np.float64),
            insides=np.array([row["inside_xyxy"] for row in rows], np.float64),
            others=_filled_up([row["others_xyxy"] for row in rows]),
            pixels=np.array([row["pixel_px"] for row in rows], np.float64),
            pictures=PictureShards.open(paths, counts),
        )


def _filled_up(others: Sequence[Sequence[Sequence[float]]]) -> NDArray[np.float64]:
    """Put lists of boxes into one array, ``(N, K, 4)``."""
    found = np.zeros((len(others), max(map(len, others)), 4))
    for row, boxes in zip(found, others, strict=True):
        row[: len(boxes)] = np.reshape(boxes, (-1, 4))
    return found
