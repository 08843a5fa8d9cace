# SPDX-License-Identifier: Apache-2.0
"""What was seen of the faces: two kinds of tables in the folder of an attack.

``faces/`` says of every photograph who is on it, on which side it is, and what went wrong.
``private/VIEW/`` holds an embedding and a small picture of every face as one setting shows it:
biometric data, readable by their owner alone, and deleted when the results are written.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from veilset.attack.identities import STRANGER
from veilset.errors import DatasetError
from veilset.files import make_private, part_path, sha256_hex, writing
from veilset.tables import ShardedTable, write_table
from veilset.types import Image

FACES, PRIVATE = "faces", "private"

RESTORED = "+restored"
"""Ends the name of a view in which the known inverse of the setting's method was applied."""

STRANGERS = "+strangers"
"""Ends the name of the view of strangers' faces: they are in no other, and measured in none."""

_FACES_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("person", pa.string()),
        ("half", pa.string()),
        ("side_px", pa.float64()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ],
    metadata={"veilset": "veilset-attack-faces/1"},
)
_VIEW_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("embedding", pa.list_(pa.float32())),
        ("chip", pa.binary()),
        ("scene", pa.binary()),
        ("psnr_db", pa.float64()),
        ("ssim", pa.float64()),
    ],
    metadata={"veilset": "veilset-attack-view/1"},
)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One face as one setting shows it.

    Attributes:
        embedding: ``(D,)`` float32; empty where it was not asked for.
        chip: ``(S, S, 3)`` uint8 RGB, upright.
        psnr_db: Of the whole picture against the original, in dB; None where they are equal.
        ssim: Of the whole picture against the original, at most 1.
        scene: The whole picture, made small, ``(S, S, 3)``; only clear, and with filled faces.
    """

    embedding: NDArray[np.float32]
    chip: Image
    psnr_db: float | None = None
    ssim: float | None = None
    scene: Image | None = None


@dataclass(frozen=True, slots=True)
class SeenFace:
    """One photograph in all settings.

    Attributes:
        image_id: Its name.
        person: Who is on it; "" for a stranger.
        half: ``gallery``, ``probe`` or ``stranger``.
        side_px: Shorter side of the face's box.
        glimpses: By name of the view; none if it could not be looked at.
        reason: Why it could not, "" if it was.
        message: The same for people.
    """

    image_id: str
    person: str
    half: str
    side_px: float
    glimpses: Mapping[str, Glimpse] = field(default_factory=dict)
    reason: str = ""
    message: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """What it adds to the counts of the run; strangers are counted apart."""
        before = "strangers_" if self.half == STRANGER else ""
        if self.reason:
            return {f"{before}seen": 0, f"{before}could_not_look": 1}
        return {f"{before}seen": 1}


def write_seen(folder: Path, slugs: Mapping[str, str], index: int, rows: list[SeenFace]) -> str:
    """Write what was seen of one shard.

    Args:
        folder: Folder of the look.
        slugs: Folder of each view by its name: all that there are, so that each has all shards.
        index: Number of the shard.
        rows: In the order of the data set.

    Returns:
        Digest of everything that was written.
    """
    digests = [_write(folder / FACES, index, [_face_row(row) for row in rows], _FACES_SCHEMA)]
    private = folder / PRIVATE
    with writing(private):
        make_private(private)
    for name, slug in slugs.items():
        seen = [(row.image_id, row.glimpses[name]) for row in rows if name in row.glimpses]
        lines = [_view_row(image_id, glimpse) for image_id, glimpse in seen]
        digests.append(_write(private / slug, index, lines, _VIEW_SCHEMA))
    return sha256_hex("\n".join(digests).encode())


def _write(folder: Path, index: int, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> str:
    folder.mkdir(exist_ok=True)
    return write_table(folder, index, rows, schema)


def _face_row(row: SeenFace) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _FACES_SCHEMA.names}


def _view_row(image_id: str, glimpse: Glimpse) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "embedding": glimpse.embedding,
        "chip": glimpse.chip.tobytes(),
        "scene": None if glimpse.scene is None else glimpse.scene.tobytes(),
        "psnr_db": glimpse.psnr_db,
        "ssim": glimpse.ssim,
    }


@dataclass(frozen=True, slots=True)
class View:
    """All faces as one setting shows them, in the order of the data set.

    Attributes:
        image_ids: Names of the photographs.
        embeddings: ``(N, D)`` float32; of strangers only clear, else D is 0.
        chips: ``(N, S, S, 3)`` uint8.
        scenes: ``(N, S, S, 3)`` uint8; None where there are none.
        psnr_db: ``(N,)``, infinite where a picture was not changed; NaN where not measured.
        ssim: ``(N,)``; NaN where not measured.
    """

    image_ids: tuple[str, ...]
    embeddings: NDArray[np.float32]
    chips: NDArray[np.uint8]
    scenes: NDArray[np.uint8] | None
    psnr_db: NDArray[np.float64]
    ssim: NDArray[np.float64]

    def take(self, rows: Sequence[int]) -> View:
        """Give some of the faces, in another order."""
        at = np.array(rows, np.int64)
        return View(
            tuple(self.image_ids[row] for row in rows), self.embeddings[at], self.chips[at],
            None if self.scenes is None else self.scenes[at], self.psnr_db[at], self.ssim[at],
        )  # fmt: skip


def read_view(folder: Path, slug: str, n_shards: int, chip_px: int) -> View:
    """Read one view of a finished look.

    Raises:
        DatasetError: If a file is missing or damaged, or there is nothing in it.
    """
    rows = list(ShardedTable(folder / PRIVATE / slug, n_shards).rows())
    if not rows:
        raise DatasetError(f"Nothing was seen of any face in {folder / PRIVATE / slug}.")
    has_scenes = rows[0]["scene"] is not None
    return View(
        tuple(row["image_id"] for row in rows),
        np.array([row["embedding"] for row in rows], np.float32),
        _pictures([row["chip"] for row in rows], chip_px),
        _pictures([row["scene"] for row in rows], chip_px) if has_scenes else None,
        np.array([_number(row["psnr_db"], row["ssim"]) for row in rows]),
        np.array([np.nan if row["ssim"] is None else row["ssim"] for row in rows]),
    )


def _pictures(data: Sequence[bytes], side_px: int) -> NDArray[np.uint8]:
    shape = (len(data), side_px, side_px, 3)
    return np.frombuffer(b"".join(data), np.uint8).reshape(shape)


def _number(psnr_db: float | None, ssim: float | None) -> float:
    if psnr_db is not None:
        return psnr_db
    return float("nan") if ssim is None else float("inf")


def read_faces(folder: Path, n_shards: int) -> list[dict[str, Any]]:
    """Read the table of photographs of a look; columns as ``SeenFace``.

    Raises:
        DatasetError: If a file is missing or damaged.
    """
    return list(ShardedTable(folder / FACES, n_shards).rows())


def delete_private(folder: Path) -> None:
    """Delete the embeddings and the pictures of faces."""
    private, going = folder / PRIVATE, part_path(folder / PRIVATE)
    # Renamed first: killed halfway, what is left is never taken for the whole.
    if going.exists():
        shutil.rmtree(going)
    if private.exists():
        private.rename(going)
        shutil.rmtree(going)
