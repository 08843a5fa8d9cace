# SPDX-License-Identifier: Apache-2.0
"""The record of a finished run: one row for each image, read back as values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from veilset.errors import DatasetError
from veilset.files import sha256_file
from veilset.runs import read_manifest
from veilset.tables import ShardedTable, table_path
from veilset.types import ImageRecord

RowT = TypeVar("RowT")


class RecordTable(Generic[RowT]):
    """Reads a record shard by shard.

    Attributes:
        manifest: The ``run.json`` of the run.
    """

    def __init__(self, folder: Path, parse: Callable[[dict[str, Any]], RowT]) -> None:
        """Open the record of a run.

        Args:
            folder: Where it lies.
            parse: Makes a value of a row.

        Raises:
            RunError: If the folder holds none, or one that is not finished.
        """
        self.manifest = read_manifest(folder)
        self._table = ShardedTable(folder, int(self.manifest["n_shards"]))
        self._parse = parse

    def __iter__(self) -> Iterator[RowT]:
        """Go through all images in order, holding one shard at a time."""
        return (self._parse(row) for row in self._table.rows())

    def columns(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Go through some columns of all images, holding one shard at a time."""
        return self._table.rows(names)

    def shards_of(self, image_ids: Iterable[str]) -> dict[int, list[str]]:
        """Give the indices of the shards that hold some images, and which each of them holds."""
        found: dict[int, list[str]] = {}
        for image_id in image_ids:
            found.setdefault(self._table.shard_of(ImageRecord(image_id)), []).append(image_id)
        return found

    def read_shard(self, index: int) -> list[RowT]:
        """Give the rows of one shard."""
        return [self._parse(row) for row in self._table.read_shard(index)]

    def find(self, record: ImageRecord) -> RowT | None:
        """Give the row of an image, None if the run did not see it."""
        row = self._table.find(record)
        return self._parse(row) if row else None


def check_tables(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a table whose files are not those that its run wrote.

    Raises:
        DatasetError: If a file is missing or was changed.
    """
    digest = hashlib.sha256()
    for index in range(int(manifest["n_shards"])):
        path = table_path(folder, index)
        try:
            digest.update(sha256_file(path).encode())
        except OSError as error:
            raise DatasetError(
                f"{path} cannot be read ({error.strerror}). Restore it, or make {folder} again."
            ) from error
    if digest.hexdigest() != manifest["outputs_sha256"]:
        raise DatasetError(
            f"The files in {folder} are not those that its run wrote. "
            "Restore them, or make the folder again."
        )
