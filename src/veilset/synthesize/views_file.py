# SPDX-License-Identifier: Apache-2.0
"""Faces with what is around them, cut out of photographs once and read again in every epoch.

A folder of two things, in shards: ``table/`` (Parquet; where the face lies in its picture, who it
is, which split) and ``pictures/`` (``.npy``, uint8, one row for each face), with the record of the
run. It holds clear faces: readable by its owner only.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from veilset.errors import DatasetError
from veilset.files import ordered_name, sha256_hex, write_atomically
from veilset.runs import read_manifest
from veilset.tables import ShardedTable, write_table
from veilset.types import BoxXyxy, Image

STAGE = "synthesize-views"
TABLE, PICTURES = "table", "pictures"

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

Pictures = NDArray[np.uint8]
"""``(B, R, R, 3)`` uint8 RGB."""


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
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    rows = [row for each in photographs for row in each.rows]
    sink = io.BytesIO()
    cuts = [row.cut.picture for row in rows if row.cut is not None]
    np.save(sink, np.array(cuts, np.uint8), allow_pickle=False)
    write_atomically(_pictures_path(folder, index), sink.getvalue())
    table = write_table(folder / TABLE, index, [_as_row(row) for row in rows], _SCHEMA)
    return sha256_hex(f"{sha256_hex(sink.getvalue())}\n{table}".encode())


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
class ViewsFile:
    """Views, opened. Pictures stay on the disk until they are asked for.

    Attributes:
        folder: Where they lie.
        side_px: R.
        image_ids: N names of photographs, in the order of the data set.
        people: ``(N,)`` int64.
        splits: N names of splits.
        cores: ``(N, 4)`` float64, in pixels of the pictures.
        insides: ``(N, 4)`` float64, likewise.
        others: ``(N, K, 4)`` float64, likewise; zeros where a face has fewer than K beside it.
        pixels: ``(N,)`` float64, sides of the photographs' pixels, likewise.
        facts: What identifies them in the record of a training: digests, settings, counts.
        pictures: Arrays, one a shard.
        starts: ``(n_shards + 1,)``, the row with which each shard begins.
    """

    folder: Path
    side_px: int
    image_ids: tuple[str, ...] = field(repr=False)
    people: NDArray[np.int64] = field(repr=False)
    splits: NDArray[np.str_] = field(repr=False)
    cores: NDArray[np.float64] = field(repr=False)
    insides: NDArray[np.float64] = field(repr=False)
    others: NDArray[np.float64] = field(repr=False)
    pixels: NDArray[np.float64] = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
    pictures: Sequence[Pictures] = field(repr=False)
    starts: NDArray[np.int64] = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> ViewsFile:
        """Open what ``prepare_views`` wrote.

        Raises:
            RunError: If the folder holds no finished preparation.
            DatasetError: If a file is missing or damaged, or there is no face in it.
        """
        manifest = read_manifest(folder)
        if manifest["stage"] != STAGE:
            raise DatasetError(f"{folder} holds a run of {manifest['stage']}, no prepared views.")
        n_shards = int(manifest["n_shards"])
        table = ShardedTable(folder / TABLE, n_shards)
        shards = [
            [row for row in table.read_shard(index) if not row["reason"]]
            for index in range(n_shards)
        ]
        rows = [row for shard in shards for row in shard]
        if not rows:
            raise DatasetError(
                f"No photograph gave a face in {folder}; its table says why. Give photographs with "
                "larger faces, or a lower --least-side."
            )
        facts = {key: manifest[key] for key in ("outputs_sha256", "config", "counts")}
        return cls(
            folder=folder,
            side_px=int(manifest["config"]["stored_px"]),
            image_ids=tuple(row["image_id"] for row in rows),
            people=np.array([row["person"] for row in rows], np.int64),
            splits=np.array([row["split"] for row in rows]),
            cores=np.array([row["core_xyxy"] for row in rows], np.float64),
            insides=np.array([row["inside_xyxy"] for row in rows], np.float64),
            others=_filled_up([row["others_xyxy"] for row in rows]),
            pixels=np.array([row["pixel_px"] for row in rows], np.float64),
            facts=json.loads(json.dumps(facts)),
            pictures=[_open_pictures(folder, at, len(shards[at])) for at in range(n_shards)],
            starts=np.cumsum([0, *map(len, shards)]),
        )

    def rows(self, split: str) -> NDArray[np.int64]:
        """Give the places of the faces of a split, in order.

        Raises:
            DatasetError: If there is none.
        """
        found: NDArray[np.int64] = np.flatnonzero(self.splits == split).astype(np.int64)
        if not len(found):
            raise DatasetError(f"No face of {self.folder} is for {split}. Give more photographs.")
        return found

    def take(self, rows: Iterable[int]) -> Pictures:
        """Give the pictures of some faces, in their order, ``(B, R, R, 3)``."""
        found = []
        for row in rows:
            shard = int(np.searchsorted(self.starts, row, side="right")) - 1
            found.append(self.pictures[shard][row - self.starts[shard]])
        return np.stack(found)

    def count(self) -> dict[str, dict[str, int]]:
        """Give the number of faces and of people in each split."""
        return {
            str(split): {
                "faces": int((self.splits == split).sum()),
                "people": len(np.unique(self.people[self.splits == split])),
            }
            for split in np.unique(self.splits)
        }


def _filled_up(others: Sequence[Sequence[Sequence[float]]]) -> NDArray[np.float64]:
    """Put lists of boxes into one array, ``(N, K, 4)``."""
    found = np.zeros((len(others), max(map(len, others)), 4))
    for row, boxes in zip(found, others, strict=True):
        row[: len(boxes)] = np.reshape(boxes, (-1, 4))
    return found


def _open_pictures(folder: Path, index: int, n: int) -> Pictures:
    path = _pictures_path(folder, index)
    try:
        found: Pictures = (
            np.load(path, mmap_mode="r", allow_pickle=False) if n else np.zeros((0,), np.uint8)
        )
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} is missing or damaged ({type(error).__name__}). Prepare the views anew."
        ) from error
    if len(found) != n:
        raise DatasetError(f"{path} has {len(found)} pictures instead of {n}. Prepare them anew.")
    return found
