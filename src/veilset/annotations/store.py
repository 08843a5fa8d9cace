# SPDX-License-Identifier: Apache-2.0
"""The annotation set on disk: a folder of Parquet files, one row for each image.

``docs/conventions.md`` describes the columns. Rows are in the order of the data set
(``ImageRecord.order_key``), so that a data set and its annotations are joined as they
stream by, without an index in memory.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from veilset.errors import AnnotationError, RunError
from veilset.files import sha256_hex, write_atomically
from veilset.runs import read_manifest
from veilset.types import Annotations, ImageRecord, Origin, Region, Status

FORMAT = "veilset-annotations/1"

_REGION = pa.struct(
    [
        ("x0", pa.float64()),
        ("y0", pa.float64()),
        ("x1", pa.float64()),
        ("y1", pa.float64()),
        ("kind", pa.string()),
        ("score", pa.float64()),
        ("origin", pa.string()),
        ("landmarks_xy", pa.list_(pa.float64())),
        ("attributes", pa.string()),
    ]
)

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("status", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("n_bytes", pa.int64()),
        ("sha256", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("regions", pa.list_(_REGION)),
    ],
    metadata={"veilset": FORMAT},
)


def shard_path(folder: Path, index: int) -> Path:
    """Give the path of one file of a set."""
    return folder / f"shard-{index:05d}.parquet"


def write_shard(folder: Path, index: int, rows: Sequence[Annotations]) -> str:
    """Write one file of a set, whole or not at all.

    Args:
        folder: Folder of the set.
        index: Number of the shard.
        rows: In the order of the data set.

    Returns:
        SHA-256 of the file, lower-case hex.
    """
    ids = [row.image_id for row in rows]
    table = pa.Table.from_pylist([_row(row) for row in rows], schema=SCHEMA)
    span = {"first_id": ids[0], "last_id": ids[-1]} if ids else {"first_id": "", "last_id": ""}
    table = table.replace_schema_metadata({"veilset": FORMAT, **span})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    write_atomically(shard_path(folder, index), data)
    return sha256_hex(data)


class AnnotationSet:
    """A finished annotation set, read shard by shard.

    Attributes:
        folder: Where it lies.
        manifest: Its ``run.json``.
    """

    def __init__(self, folder: Path) -> None:
        """Open a set.

        Raises:
            AnnotationError: If the folder holds none, or one that is not finished.
        """
        self.folder = folder
        try:
            self.manifest = read_manifest(folder)
        except RunError as error:
            raise AnnotationError(f"{error}") from error
        self.n_shards = int(self.manifest["n_shards"])
        self._table = lru_cache(maxsize=2)(self._read_rows)
        self._first_key = lru_cache(maxsize=4096)(self._read_first_key)

    def __iter__(self) -> Iterator[Annotations]:
        """Go through all rows, holding one shard at a time."""
        for index in range(self.n_shards):
            for row in self._read_rows(index).values():
                yield _annotations(row)

    def select(self, records: Sequence[ImageRecord]) -> list[Annotations]:
        """Give the annotations of some images that follow each other in the data set.

        Args:
            records: In the order of the data set.

        Returns:
            One for each record, in the same order; an image that the set does not know
            comes back as ``not_looked``.
        """
        found = []
        for record in records:
            row = self._find(record)
            unknown = Annotations(record.image_id, Status.NOT_LOOKED)
            found.append(_annotations(row) if row is not None else unknown)
        return found

    def _find(self, record: ImageRecord) -> dict[str, Any] | None:
        index = bisect_right(range(self.n_shards), record.order_key, key=self._first_key) - 1
        return self._table(index).get(record.image_id) if index >= 0 else None

    def _read_first_key(self, index: int) -> tuple[str, ...]:
        path = shard_path(self.folder, index)
        metadata = _open(path).schema_arrow.metadata or {}
        try:
            return ImageRecord(metadata[b"first_id"].decode()).order_key
        except KeyError as error:
            raise AnnotationError(
                f"{path} was not written by Veilset: it does not name its first image. "
                "Import it with 'veilset dataset' instead."
            ) from error

    def _read_rows(self, index: int) -> dict[str, dict[str, Any]]:
        path = shard_path(self.folder, index)
        try:
            rows = _open(path).read().to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise AnnotationError(f"{path} cannot be read: {error}. Run detect again.") from error
        return {row["image_id"]: row for row in rows}


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise AnnotationError(f"{path} is missing from the annotation set.") from error
    except pa.ArrowException as error:
        raise AnnotationError(f"{path} is damaged: {error}. Run detect again.") from error


def _row(row: Annotations) -> dict[str, Any]:
    return {
        "image_id": row.image_id,
        "status": row.status.value,
        "width": row.width,
        "height": row.height,
        "n_bytes": row.n_bytes,
        "sha256": row.sha256,
        "reason": row.reason,
        "message": row.message,
        "regions": [_region_row(region) for region in row.regions],
    }


def _region_row(region: Region) -> dict[str, Any]:
    x0, y0, x1, y1 = region.box_xyxy
    return {
        "x0": x0,
        "y0": y0,
        "x1": x1,
        "y1": y1,
        "kind": region.kind,
        "score": region.score,
        "origin": region.origin.value,
        "landmarks_xy": [value for point in region.landmarks_xy for value in point],
        "attributes": json.dumps(dict(region.attributes), sort_keys=True),
    }


def _annotations(row: dict[str, Any]) -> Annotations:
    return Annotations(
        image_id=row["image_id"],
        status=Status(row["status"]),
        regions=tuple(_region(item) for item in row["regions"]),
        width=row["width"],
        height=row["height"],
        sha256=row["sha256"],
        n_bytes=row["n_bytes"],
        reason=row["reason"],
        message=row["message"],
    )


def _region(item: dict[str, Any]) -> Region:
    flat = item["landmarks_xy"]
    return Region(
        box_xyxy=(item["x0"], item["y0"], item["x1"], item["y1"]),
        kind=item["kind"],
        score=item["score"],
        origin=Origin(item["origin"]),
        landmarks_xy=tuple(zip(flat[::2], flat[1::2], strict=True)),
        attributes=json.loads(item["attributes"]),
    )
