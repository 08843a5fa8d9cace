# SPDX-License-Identifier: Apache-2.0
"""The annotation set on disk: a folder of Parquet files, one row for each image.

``docs/conventions.md`` describes the columns.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilset.errors import AnnotationError, RunError
from veilset.runs import read_manifest
from veilset.tables import ShardedTable, write_table
from veilset.types import Annotations, ImageRecord, Origin, Region, Status

FORMAT = "veilset-annotations/1"

FILE_LAYOUT = "annotation file"
"""Layout, in ``run.json``, of a set that was imported without its photographs."""

_to_json = json.JSONEncoder(sort_keys=True).encode

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


def write_annotations(folder: Path, index: int, rows: Sequence[Annotations]) -> str:
    """Write one shard of a set, whole or not at all.

    Args:
        folder: Folder of the set.
        index: Number of the shard.
        rows: In the order of the data set.

    Returns:
        SHA-256 of the file, lower-case hex.
    """
    return write_table(folder, index, [to_row(row) for row in rows], SCHEMA)


def detection_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the settings of the detector behind a set, {} if none is known.

    Args:
        manifest: The ``run.json`` of a set; of detection itself, or of what came after it,
            as review and the look of an audit do: those hold the manifest of the set they
            began with in ``extra["reviewed"]`` and ``extra["looked_at"]``.

    Example:
        >>> detection_of({"stage": "import", "config": {"format": "cvat"}})
        {}
    """
    origin: Any = manifest
    while isinstance(origin, Mapping):
        config = origin.get("config")
        if origin.get("stage") == "detect" and isinstance(config, Mapping):
            return config
        extra = origin.get("extra") or {}
        origin = extra.get("reviewed") or extra.get("looked_at")
    return {}


class AnnotationSet:
    """A finished annotation set, read shard by shard.

    Attributes:
        folder: Where it lies.
        manifest: Its ``run.json``.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a set.

        Raises:
            AnnotationError: If the folder holds none, or one that is not finished.
            DatasetError: If its first file is damaged.
        """
        self.folder = folder = Path(folder)
        try:
            self.manifest = read_manifest(folder)
        except RunError as error:
            raise AnnotationError(f"{error}") from error
        self._table = ShardedTable(folder, int(self.manifest.get("n_shards", 0)))
        if "n_shards" not in self.manifest or not self._table.is_of(FORMAT):
            raise AnnotationError(
                f"{folder} holds a run of {self.manifest.get('stage')!r}, and no annotation set. "
                "Give what 'veilset detect' wrote, or OUT.veilset/annotations."
            )

    @property
    def has_images(self) -> bool:
        """Whether the images were at hand when the set was made.

        False for one that was imported from a file alone: sizes are what the file says, and
        no digest tells whether a photograph is the one that was annotated.
        """
        return bool(self.manifest["inputs"].get("layout") != FILE_LAYOUT)

    def require_images(self) -> None:
        """Refuse a set that was made without its images, where they would be changed by it.

        Raises:
            AnnotationError: If ``has_images`` is false.
        """
        if not self.has_images:
            raise AnnotationError(
                f"The annotation set {self.folder} was imported without its photographs: nothing "
                "tells whether its boxes are of these. Import the file again, with them."
            )

    def require_kinds(self, kinds: Collection[str]) -> None:
        """Refuse kinds that no region of the set has.

        A name that is spelt wrong would choose nothing, and leave everything in sight. A set
        without any region has nothing to choose from, and is taken.

        Args:
            kinds: Kinds that were asked for; empty for all.

        Raises:
            AnnotationError: If one of them is missing.
        """
        missing, seen = set(kinds), set()
        for row in self._table.rows(["regions"]) if missing else ():
            found = {region["kind"] for region in row["regions"]}
            seen |= found
            missing -= found
            if not missing:
                return
        if missing and seen:
            raise AnnotationError(
                f"{self.folder} has no region of kind {', '.join(map(repr, sorted(missing)))}. It "
                f"has: {', '.join(sorted(seen))}. Check the spelling, or leave that kind out."
            )

    def __iter__(self) -> Iterator[Annotations]:
        """Go through all images in order, holding one shard at a time."""
        return (from_row(row) for row in self._table.rows())

    def image_ids(self) -> Iterator[str]:
        """Go through the names of all images in order, without what is known of them."""
        return self._table.image_ids()

    def find(self, record: ImageRecord) -> Annotations:
        """Give what is known about an image: ``not_looked`` if the set does not have it."""
        row = self._table.find(record)
        return from_row(row) if row else Annotations(record.image_id, Status.NOT_LOOKED)


def to_row(row: Annotations) -> dict[str, Any]:
    """Give what is known about an image as plain values, the form of the table."""
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
        # Most have none, and there may be millions of them.
        "attributes": _to_json(dict(region.attributes)) if region.attributes else "{}",
    }


def from_row(row: dict[str, Any]) -> Annotations:
    """Read what ``to_row`` gave."""
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
        attributes={} if item["attributes"] == "{}" else json.loads(item["attributes"]),
    )
