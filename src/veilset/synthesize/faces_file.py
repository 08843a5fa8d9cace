# SPDX-License-Identifier: Apache-2.0
"""Faces prepared for training: what was cut out of photographs once, read again in every epoch.

A folder of three things, in shards: ``table/`` (Parquet; who, which split, attributes,
landmarks, and why a photograph gave no face), ``pictures/KIND-00000.npy`` (uint8, one row for
each prepared face), and the record of the run. It holds clear faces: readable by its owner only.
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

from veilset.errors import ConfigError, DatasetError
from veilset.files import ordered_name, sha256_hex, write_atomically
from veilset.networks.landmarks import N_LANDMARKS, Points
from veilset.runs import read_manifest
from veilset.seeds import derive
from veilset.synthesize.celeba import Attributes
from veilset.tables import ShardedTable, write_table
from veilset.types import BoxXyxy, Image

STAGE = "synthesize-faces"
TABLE, PICTURES = "table", "pictures"

TARGETS, CONTEXTS, HIDDEN = "targets", "contexts", "hidden"
KINDS = (TARGETS, CONTEXTS, HIDDEN)
"""The clear crop, the crop with the face filled, and where the face was (255) and was not (0)."""

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)
SHARES = (0.8, 0.1, 0.1)
"""Of the people, for the three splits: about CelebA's own."""

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

Pictures = NDArray[np.uint8]
"""``(B, H, W, 3)`` uint8 RGB, or ``(B, H, W)`` for ``HIDDEN``."""


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


def split_people(
    people: Iterable[int], *, seed: int, shares: tuple[float, float, float] = SHARES
) -> dict[int, str]:
    """Share people out: nobody is in two splits.

    The seed puts them in an order; of it the first are for the test, the next for validation,
    at least one each, and the others are for training.

    Args:
        people: Numbers of people; each counts once.
        seed: Of the order.
        shares: Of the people, for training, validation and test; their sum is 1.

    Raises:
        ConfigError: If the shares make no split.
        DatasetError: If there are fewer than three people.

    Example:
        >>> found = split_people(range(10), seed=1)
        >>> [sorted(found.values()).count(name) for name in SPLITS]
        [8, 1, 1]
    """
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ConfigError(f"The shares {shares} make no split. Give three above 0, sum 1.")
    order = sorted(set(people), key=lambda each: (derive(seed, "split", each), each))
    n_val, n_test = (max(1, round(share * len(order))) for share in shares[1:])
    if len(order) < n_val + n_test + 1:
        raise DatasetError(
            f"{len(order)} people cannot be split three ways, so that nobody is in two of them. "
            "Give photographs of at least 3 people, and of more for larger shares."
        )
    names = [TEST] * n_test + [VAL] * n_val
    names += [TRAIN] * (len(order) - len(names))
    return dict(zip(order, names, strict=True))


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
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    cuts = [row.cut for row in rows if row.cut is not None]
    digests = []
    for kind, pictures in (
        (TARGETS, [each.target for each in cuts]),
        (CONTEXTS, [each.context for each in cuts]),
        (HIDDEN, [each.hidden for each in cuts]),
    ):
        sink = io.BytesIO()
        np.save(sink, np.array(pictures, np.uint8), allow_pickle=False)
        write_atomically(_pictures_path(folder, kind, index), sink.getvalue())
        digests.append(sha256_hex(sink.getvalue()))
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
class FacesFile:
    """Prepared faces, opened. Pictures stay on the disk until they are asked for.

    Attributes:
        folder: Where they lie.
        names: The K attributes.
        size_hw: Height and width of the pictures.
        image_ids: N names of photographs, in the order of the data set.
        people: ``(N,)`` int64.
        splits: N names of splits.
        present: ``(N, K)`` bool.
        landmarks_xy: ``(N, 68, 2)`` float64, in pixels of the pictures.
        facts: What identifies them in the record of a training: digests, settings, counts.
        pictures: Arrays of each kind, one a shard.
        starts: ``(n_shards + 1,)``, the row with which each shard begins.
    """

    folder: Path
    names: tuple[str, ...]
    size_hw: tuple[int, int]
    image_ids: tuple[str, ...] = field(repr=False)
    people: NDArray[np.int64] = field(repr=False)
    splits: NDArray[np.str_] = field(repr=False)
    present: Attributes = field(repr=False)
    landmarks_xy: NDArray[np.float64] = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
    pictures: Mapping[str, Sequence[Pictures]] = field(repr=False)
    starts: NDArray[np.int64] = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> FacesFile:
        """Open what ``prepare_faces`` wrote.

        Raises:
            RunError: If the folder holds no finished preparation.
            DatasetError: If a file is missing or damaged, or there is no face in it.
        """
        manifest = read_manifest(folder)
        if manifest["stage"] != STAGE:
            raise DatasetError(f"{folder} holds a run of {manifest['stage']}, no prepared faces.")
        n_shards = int(manifest["n_shards"])
        table = ShardedTable(folder / TABLE, n_shards)
        shards = [
            [row for row in table.read_shard(index) if not row["reason"]]
            for index in range(n_shards)
        ]
        rows = [row for shard in shards for row in shard]
        if not rows:
            raise DatasetError(f"No photograph gave a face in {folder}. See its table for why.")
        pictures = {
            kind: [_open_pictures(folder, kind, at, len(shards[at])) for at in range(n_shards)]
            for kind in KINDS
        }
        height, width = manifest["config"]["size_hw"]
        return cls(
            folder=folder,
            names=tuple(manifest["extra"]["attributes"]),
            size_hw=(int(height), int(width)),
            image_ids=tuple(row["image_id"] for row in rows),
            people=np.array([row["person"] for row in rows], np.int64),
            splits=np.array([row["split"] for row in rows]),
            present=np.array([row["attributes"] for row in rows], np.bool_),
            landmarks_xy=np.array([row["landmarks_xy"] for row in rows]).reshape(
                -1, N_LANDMARKS, 2
            ),
            facts=_facts(manifest),
            pictures=pictures,
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

    def take(self, kind: str, rows: Iterable[int]) -> Pictures:
        """Give the pictures of some faces, in their order.

        Args:
            kind: One of ``KINDS``.
            rows: Places, from 0.
        """
        shards = self.pictures[kind]
        found = []
        for row in rows:
            shard = int(np.searchsorted(self.starts, row, side="right")) - 1
            found.append(shards[shard][row - self.starts[shard]])
        return np.stack(found)

    def count(self) -> dict[str, dict[str, int]]:
        """Give the number of faces and of people in each split."""
        found = {}
        for split in SPLITS:
            among = self.splits == split
            n_people = len(np.unique(self.people[among]))
            found[split] = {"faces": int(among.sum()), "people": n_people}
        return found


def _open_pictures(folder: Path, kind: str, index: int, n: int) -> Pictures:
    path = _pictures_path(folder, kind, index)
    try:
        found: Pictures = (
            np.load(path, mmap_mode="r", allow_pickle=False) if n else np.zeros((0,), np.uint8)
        )
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} is missing or damaged ({type(error).__name__}). Prepare the faces anew."
        ) from error
    if len(found) != n:
        raise DatasetError(f"{path} has {len(found)} pictures instead of {n}. Prepare them anew.")
    return found


def _facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Give what decides a training, as JSON gives it back."""
    facts = {
        "outputs_sha256": manifest["outputs_sha256"],
        "config": manifest["config"],
        "counts": manifest["counts"],
    }
    found: dict[str, Any] = json.loads(json.dumps(facts))
    return found
