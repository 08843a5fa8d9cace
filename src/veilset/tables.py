# SPDX-License-Identifier: Apache-2.0
"""Tables in shards: a folder of Parquet files, one row for each image, in data-set order.

Because rows are ordered (``ImageRecord.order_key``), a data set and a table are joined as
they stream by: memory holds a shard or two, whatever the number of images.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from veilset.errors import DatasetError
from veilset.files import ordered_name, sha256_hex, write_atomically
from veilset.types import ImageRecord

Row = Mapping[str, Any]


def table_path(folder: Path, index: int) -> Path:
    """Give the path of one file of a table; the files sort as their numbers do."""
    return folder / f"shard-{ordered_name(index)}.parquet"


def write_table(folder: Path, index: int, rows: Sequence[Row], schema: pa.Schema) -> str:
    """Write one shard of a table, whole or not at all.

    Args:
        folder: Folder of the table.
        index: Number of the shard.
        rows: In the order of the data set; each has an ``image_id``.
        schema: Columns, with the format's name under the key ``veilset`` of its metadata.

    Returns:
        SHA-256 of the file, lower-case hex.
    """
    ids = [row["image_id"] for row in rows]
    span = {"first_id": ids[0], "last_id": ids[-1]} if ids else {"first_id": "", "last_id": ""}
    table = pa.Table.from_pylist(list(rows), schema=schema)
    table = table.replace_schema_metadata({**(schema.metadata or {}), **span})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    write_atomically(table_path(folder, index), data)
    return sha256_hex(data)


class ShardedTable:
    """Reads a table shard by shard.

    Attributes:
        folder: Where it lies.
        n_shards: How many files it has.
    """

    def __init__(self, folder: Path, n_shards: int) -> None:
        self.folder = folder
        self.n_shards = n_shards
        # The local engine has two shards open, and theirs need not begin where these do.
        self._shard = lru_cache(maxsize=4)(self._read_by_id)
        self._reading = Lock()
        self._first_key = lru_cache(maxsize=4096)(self._read_first_key)

    def is_of(self, form: str) -> bool:
        """Whether the first file is of a format, which ``write_table`` got with the columns.

        True for a table without files. False where the first is missing.

        Raises:
            DatasetError: If it is damaged.
        """
        if not self.n_shards:
            return True
        path = table_path(self.folder, 0)
        if not path.exists():
            return False
        return (_open(path).schema_arrow.metadata or {}).get(b"veilset") == form.encode()

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Go through all rows in order, holding one shard at a time.

        Args:
            columns: What to read of each, in this order; None for all.

        Raises:
            DatasetError: If a file is missing or damaged.
        """
        for index in range(self.n_shards):
            yield from self._read(index, columns)

    def image_ids(self) -> Iterator[str]:
        """Go through the names of all images in order, reading nothing else.

        Raises:
            DatasetError: If a file is missing or damaged.
        """
        return (row["image_id"] for row in self.rows(["image_id"]))

    def find(self, record: ImageRecord) -> dict[str, Any] | None:
        """Give the row of an image, None if there is none; quick for images in order.

        Raises:
            DatasetError: If a file is missing, damaged or not of Veilset's making.
        """
        index = self.shard_of(record)
        if index < 0:
            return None
        # Else every thread that waits for a shard would read it.
        with self._reading:
            shard = self._shard(index)
        return shard.get(record.image_id)

    def shard_of(self, record: ImageRecord) -> int:
        """Give the index of the shard that holds the row of an image, if there is one.

        -1 for an image before the first.
        """
        key = (False, record.order_key)
        return bisect_right(range(self.n_shards), key, key=self._first_key) - 1

    def read_shard(self, index: int) -> list[dict[str, Any]]:
        """Give the rows of one shard; errors as ``rows``."""
        return self._read(index)

    def _read(self, index: int, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        path = table_path(self.folder, index)
        chosen = list(columns) if columns else None
        try:
            rows: list[dict[str, Any]] = _open(path).read(columns=chosen).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from error
        return rows

    def _read_by_id(self, index: int) -> dict[str, dict[str, Any]]:
        return {row["image_id"]: row for row in self._read(index)}

    def _read_first_key(self, index: int) -> tuple[bool, tuple[str, ...]]:
        """Give the first key from a shard on: a shard without rows has none of its own.

        The first part is true for shards behind the last row.
        """
        for at in range(index, self.n_shards):
            first_id = self._read_first_id(at)
            if first_id:
                return False, ImageRecord(first_id).order_key
        return True, ()

    def _read_first_id(self, index: int) -> str:
        path = table_path(self.folder, index)
        metadata = _open(path).schema_arrow.metadata or {}
        if b"first_id" not in metadata:
            raise DatasetError(
                f"{path} was not written by Veilset: it does not name its first image. "
                "Import it, or make it again."
            )
        return bytes(metadata[b"first_id"]).decode()


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise DatasetError(f"{path} is missing. Make its folder again.") from error
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DatasetError:
    return DatasetError(f"{path} is damaged ({type(error).__name__}). Make its folder again.")
