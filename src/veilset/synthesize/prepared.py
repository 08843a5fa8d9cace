# SPDX-License-Identifier: Apache-2.0
"""What folders of prepared faces have in common: a table, pictures in shards, people in splits."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from veilset.errors import ConfigError, DatasetError
from veilset.files import sha256_hex, write_atomically
from veilset.runs import read_manifest
from veilset.seeds import derive
from veilset.tables import ShardedTable

TABLE, PICTURES = "table", "pictures"
"""Folders of the two."""

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)
SHARES = (0.8, 0.1, 0.1)
"""Of the people, for the three splits: about CelebA's own."""

Pictures = NDArray[np.uint8]
"""``(B, H, W, 3)`` uint8 RGB, or ``(B, H, W)`` for masks."""


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


def write_pictures(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> str:
    """Write the pictures of one shard as one ``.npy``; give the digest of the file.

    Args:
        path: Where; its folder is there.
        pictures: Of one shape.
    """
    sink = io.BytesIO()
    np.save(sink, np.array(pictures, np.uint8), allow_pickle=False)
    write_atomically(path, sink.getvalue())
    return sha256_hex(sink.getvalue())


@dataclass(frozen=True, slots=True)
class PictureShards:
    """Pictures on the disk, read when they are asked for.

    Attributes:
        arrays: One a shard.
        starts: ``(n_shards + 1,)``, the row with which each shard begins.
    """

    arrays: Sequence[Pictures] = field(repr=False)
    starts: NDArray[np.int64] = field(repr=False)

    @classmethod
    def open(cls, paths: Sequence[Path], counts: Sequence[int]) -> Self:
        """Open what ``write_pictures`` wrote.

        Args:
            paths: Of the shards, in order.
            counts: How many pictures each has.

        Raises:
            DatasetError: If a file is missing or damaged.
        """
        arrays = [_open_pictures(path, n) for path, n in zip(paths, counts, strict=True)]
        return cls(arrays, np.cumsum([0, *counts]))

    def take(self, rows: Iterable[int]) -> Pictures:
        """Give some pictures, in their order, ``(B, ...)``."""
        found = []
        for row in rows:
            shard = int(np.searchsorted(self.starts, row, side="right")) - 1
            found.append(self.arrays[shard][row - self.starts[shard]])
        return np.stack(found)


def _open_pictures(path: Path, n: int) -> Pictures:
    if not n:
        return np.zeros((0,), np.uint8)
    try:
        found: Pictures = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} is missing or damaged ({type(error).__name__}). Prepare the faces anew."
        ) from error
    if len(found) != n:
        raise DatasetError(f"{path} has {len(found)} pictures instead of {n}. Prepare them anew.")
    return found


@dataclass(frozen=True, slots=True)
class Preparation:
    """The record of a finished preparation, and what its table says of the faces.

    Attributes:
        manifest: The record.
        shards: The rows that have a face, shard by shard.
    """

    manifest: Mapping[str, Any]
    shards: Sequence[Sequence[Mapping[str, Any]]] = field(repr=False)

    @classmethod
    def read(cls, folder: Path, stage: str) -> Self:
        """Read the record and the table of a folder.

        Args:
            folder: Where the preparation lies.
            stage: What has to have made it.

        Raises:
            RunError: If the folder holds no finished preparation.
            DatasetError: If it is one of another kind, or there is no face in it.
        """
        manifest = read_manifest(folder)
        if manifest["stage"] != stage:
            raise DatasetError(
                f"{folder} holds a run of {manifest['stage']}, and one of {stage} is wanted."
            )
        n_shards = int(manifest["n_shards"])
        table = ShardedTable(folder / TABLE, n_shards)
        shards = [
            [row for row in table.read_shard(index) if not row["reason"]]
            for index in range(n_shards)
        ]
        if not any(shards):
            raise DatasetError(
                f"No photograph gave a face in {folder}; its table says why. Give photographs with "
                "larger faces, or allow smaller ones."
            )
        return cls(manifest, shards)

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """All rows that have a face."""
        return [row for shard in self.shards for row in shard]

    @property
    def counts(self) -> list[int]:
        """How many faces each shard has."""
        return [len(shard) for shard in self.shards]

    @property
    def facts(self) -> dict[str, Any]:
        """What decides a training, as JSON gives it back: digests, settings, counts."""
        facts = {key: self.manifest[key] for key in ("outputs_sha256", "config", "counts")}
        found: dict[str, Any] = json.loads(json.dumps(facts))
        return found


@dataclass(frozen=True, slots=True)
class PreparedFaces:
    """Prepared faces: who is on which, and what for.

    Attributes:
        folder: Where they lie.
        image_ids: N names of photographs, in the order of the data set.
        people: ``(N,)`` int64.
        splits: N names of splits.
        facts: What identifies them in the record of a training, as ``Preparation.facts``.
    """

    folder: Path
    image_ids: tuple[str, ...] = field(repr=False)
    people: NDArray[np.int64] = field(repr=False)
    splits: NDArray[np.str_] = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Give the places of the faces of a split, in order.

        Raises:
            DatasetError: If there is none.
        """
        found: NDArray[np.int64] = np.flatnonzero(self.splits == split).astype(np.int64)
        if not len(found):
            raise DatasetError(f"No face of {self.folder} is for {split}. Give more photographs.")
        return found

    def check_splits(self) -> None:
        """Ask for faces to learn from, to validate on and to measure on, before hours of training.

        Raises:
            DatasetError: If there is no face for one of the three.
        """
        n = {split: int((self.splits == split).sum()) for split in SPLITS}
        for split, purpose in zip(SPLITS, ("learn from", "validate on", "measure on"), strict=True):
            if not n[split]:
                found = ", ".join(f"{name} {n[name]:,}" for name in SPLITS)
                raise DatasetError(
                    f"{self.folder} has no face to {purpose} ({found}): no photograph of the "
                    "people who were chosen for that has one that counts. Take photographs of more "
                    "people, or smaller faces and lower scores of the detector too, and begin in "
                    "another folder."
                )

    def count(self) -> dict[str, dict[str, int]]:
        """Give the number of faces and of people in each split."""
        found = {}
        for split in SPLITS:
            among = self.splits == split
            n_people = len(np.unique(self.people[among]))
            found[split] = {"faces": int(among.sum()), "people": n_people}
        return found
