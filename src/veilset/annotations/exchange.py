# SPDX-License-Identifier: Apache-2.0
"""Annotation sets from and for other tools: a file becomes a set, a set becomes a file.

A file names images in any order, a set is in the order of its data set. The rows of the
file are kept in a temporary SQLite file meanwhile, so that memory does not grow with them.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from veilset.annotations.formats.cvat import Exported, read_cvat, write_cvat
from veilset.annotations.formats.label_studio import (
    IMAGE_URL,
    read_label_studio,
    write_label_studio,
)
from veilset.annotations.formats.shapes import cut_regions
from veilset.annotations.store import AnnotationSet, from_row, to_row, write_annotations
from veilset.errors import AnnotationError, ConfigError, DecodeError
from veilset.files import sha256_file, sha256_hex
from veilset.images.decode import inspect_image
from veilset.images.formats import DEFAULT_MAX_PIXELS
from veilset.protocols import Reader, Shard, ShardReport, Tick
from veilset.runs import Run, RunSummary
from veilset.types import Annotations, ImageRecord, Status

FORMATS = ("cvat", "label-studio")
SHARD_SIZE = 1024

_MAX_LISTED = 100


@dataclass(frozen=True, slots=True)
class ImportConfig:
    """Everything that decides what an import gives.

    Attributes:
        format: ``cvat`` or ``label-studio``.
        kinds: What labels are called here; others keep their names.
        prefix: Removed from the names of images in the file.
        image_key: Where Label Studio's tasks hold the image.
        several: What to do with a task of Label Studio that several people annotated:
            ``refuse``, ``newest`` or ``all``.
        max_pixels: Images with more pixels are refused.
        shard_size: Images in a shard.
    """

    format: str
    kinds: Mapping[str, str] | None = None
    prefix: str = ""
    image_key: str = "image"
    several: str = "refuse"
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard_size: int = SHARD_SIZE

    def rows(self, path: Path) -> Iterator[Annotations]:
        """Go through the images of a file."""
        if self.format == "cvat":
            return read_cvat(path, kinds=self.kinds, prefix=self.prefix)
        if self.format == "label-studio":
            return read_label_studio(
                path,
                kinds=self.kinds,
                prefix=self.prefix,
                image_key=self.image_key,
                several=self.several,
            )
        raise ConfigError(f"The format is {self.format!r}. Give one of: {', '.join(FORMATS)}.")


def import_annotations(
    path: str | Path,
    reader: Reader,
    out: str | Path,
    config: ImportConfig,
    *,
    tick: Tick | None = None,
) -> RunSummary:
    """Read a file of another tool and write an annotation set.

    Every image is opened as far as its header: one that is unreadable, or whose size is
    not the one that the file speaks of, becomes ``could_not_look``, since boxes that were
    drawn on another picture hide nothing. An image that the file does not name is
    ``not_looked``.

    Args:
        path: The file.
        reader: The data set.
        out: Folder for the annotation set; it must not lie in the data set.
        config: How to read.
        tick: Told as images end.

    Returns:
        Counts by status, ``with_regions`` and ``n_regions``. ``extra`` says how many names
        of the file are not in the data set (``n_not_in_dataset``), and the first of them.

    Raises:
        AnnotationError: If the file cannot be used, names an image twice, or names none of
            the data set's.
        ConfigError, DatasetError, RunError: See ``veilset.errors``.
    """
    path, out = Path(path), Path(out)
    manifest = {
        "format": config.format,
        "kinds": dict(config.kinds or {}),
        "prefix": config.prefix,
        "image_key": config.image_key,
        "several": config.several,
        "max_pixels": config.max_pixels,
        "shard_size": config.shard_size,
    }
    # Read before the run opens: a file that cannot be used leaves no run behind.
    with closing(_Index.build(path, config.rows(path))) as index:
        shards = reader.shards(config.shard_size)
        names = (record.image_id for shard in shards for record in shard.records)
        unknown, n_unknown = index.unknown(names, path)
        inputs = {**reader.describe(), "file": path.name, "file_sha256": sha256_file(path)}
        with Run.open(out, "import", manifest, inputs) as run, ThreadPoolExecutor() as threads:
            for shard in run.missing(reader.shards(config.shard_size)):
                run.commit(_import_shard(shard, reader, index, out, config, threads.map))
                if tick:
                    tick(len(shard.records), 0)
            extra = {"n_not_in_dataset": n_unknown, "not_in_dataset": unknown}
            return run.finish(extra=extra)


def export_annotations(
    annotations: str | Path,
    path: str | Path,
    format_name: str,
    *,
    labels: Mapping[str, str] | None = None,
    image_url: str = IMAGE_URL,
) -> Exported:
    """Write an annotation set as a file of another tool.

    Args:
        annotations: Folder of the set.
        path: File to write; one that is there is replaced.
        format_name: ``cvat`` or ``label-studio``.
        labels: What kinds are called there; others keep their names.
        image_url: What Label Studio finds before the path of each image.

    Raises:
        AnnotationError: If the set or the file cannot be used.
        ConfigError: If the format is not known.
    """
    known = AnnotationSet(Path(annotations))
    if format_name == "cvat":
        return write_cvat(path, known, labels=labels)
    if format_name == "label-studio":
        is_reviewed = known.manifest.get("stage") in ("review", "import")
        return write_label_studio(
            path, known, labels=labels, image_url=image_url, is_reviewed=is_reviewed
        )
    raise ConfigError(f"The format is {format_name!r}. Give one of: {', '.join(FORMATS)}.")


class _Index:
    """The rows of a file by the name of the image, on disk."""

    def __init__(self) -> None:
        # Without a name, SQLite keeps a database of its own on disk that has no name either:
        # it is gone with the process, however that ends.
        self._sql = sqlite3.connect("", isolation_level=None)
        self._sql.execute(
            "CREATE TABLE row (name TEXT PRIMARY KEY, place INTEGER, is_used INTEGER, value TEXT)"
        )

    @classmethod
    def build(cls, file: Path, rows: Iterable[Annotations]) -> Self:
        index = cls()
        try:
            index._fill(file, rows)
        except BaseException:
            index.close()
            raise
        return index

    def _fill(self, file: Path, rows: Iterable[Annotations]) -> None:
        self._sql.execute("BEGIN")
        for place, row in enumerate(rows, start=1):
            values = (row.image_id, place, 0, json.dumps(to_row(row)))
            try:
                self._sql.execute("INSERT INTO row VALUES (?, ?, ?, ?)", values)
            except sqlite3.IntegrityError as error:
                found = "SELECT place FROM row WHERE name = ?"
                (first,) = self._sql.execute(found, (row.image_id,)).fetchone()
                raise AnnotationError(
                    f"{file}: the image {row.image_id!r} is named twice, as number {first} and "
                    f"number {place}. Which of them counts is not said: remove one."
                ) from error
        self._sql.execute("COMMIT")

    def unknown(self, names: Iterable[str], file: Path) -> tuple[list[str], int]:
        """Give the first names of the file that the data set lacks, and how many there are."""
        self._sql.execute("BEGIN")
        an_image = ""
        for name in names:
            an_image = an_image or name
            self._sql.execute("UPDATE row SET is_used = 1 WHERE name = ?", (name,))
        self._sql.execute("COMMIT")
        n_named, n_used = self._sql.execute("SELECT count(*), total(is_used) FROM row").fetchone()
        found = "SELECT name FROM row WHERE is_used = 0 ORDER BY place LIMIT ?"
        listed = [name for (name,) in self._sql.execute(found, (_MAX_LISTED,))]
        if n_named and not n_used:
            raise AnnotationError(
                f"{file} names {n_named} images, and none of them is in the data set: it says "
                f"{listed[0]!r}, where the data set has {an_image!r}. Give the part that has to "
                "be removed from the names as the prefix, or check the folder."
            )
        return listed, int(n_named - n_used)

    def find(self, record: ImageRecord) -> Annotations:
        found = "SELECT value FROM row WHERE name = ?"
        row = self._sql.execute(found, (record.image_id,)).fetchone()
        if row is None:
            return Annotations(record.image_id, Status.NOT_LOOKED)
        return from_row(json.loads(row[0]))

    def close(self) -> None:
        self._sql.close()


def _import_shard(
    shard: Shard,
    reader: Reader,
    index: _Index,
    out: Path,
    config: ImportConfig,
    spread: Callable[..., Iterator[Annotations]],
) -> ShardReport:
    known = [index.find(record) for record in shard.records]
    rows = list(
        spread(lambda record, row: _fitted(record, row, reader, config), shard.records, known)
    )
    counts: Counter[str] = Counter(row.status.value for row in rows)
    counts["n_regions"] = sum(len(row.regions) for row in rows)
    counts["with_regions"] = sum(bool(row.regions) for row in rows)
    return ShardReport(
        index=shard.index,
        n_images=len(rows),
        counts={name: n for name, n in counts.items() if n},
        digest=write_annotations(out, shard.index, rows),
        first_id=rows[0].image_id,
        last_id=rows[-1].image_id,
    )


def _fitted(
    record: ImageRecord, row: Annotations, reader: Reader, config: ImportConfig
) -> Annotations:
    """Check a row against the image that it speaks of, and add what is known of that."""
    if row.status is not Status.LOOKED:
        return row
    try:
        data = reader.read(record)
        size = inspect_image(data, max_pixels=config.max_pixels).size_wh
        said = (row.width, row.height)
        if all(said) and said != size:
            turned = " It was not turned upright in the other tool." if said == size[::-1] else ""
            raise DecodeError(
                "changed",
                f"The annotations are of a picture of {said[0]} x {said[1]} px, the image has "
                f"{size[0]} x {size[1]}.{turned} Annotate this one.",
            )
    except DecodeError as error:
        return Annotations(
            record.image_id,
            Status.COULD_NOT_LOOK,
            reason=error.reason,
            message=str(error),
        )
    return replace(
        row,
        regions=cut_regions(row.regions, size),
        width=size[0],
        height=size[1],
        sha256=sha256_hex(data),
        n_bytes=len(data),
    )
