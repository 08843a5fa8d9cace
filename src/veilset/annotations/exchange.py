# SPDX-License-Identifier: Apache-2.0
"""Annotation sets from and for other tools: a file becomes a set, a set becomes a file.

``formats.registry`` lists the formats. A file names images in any order, a set is in the
order of its data set: ``index`` keeps the rows on disk meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from veilset.annotations.config import ExportConfig, ImportConfig
from veilset.annotations.formats.folders import digest
from veilset.annotations.formats.registry import Format, find_format
from veilset.annotations.formats.shapes import Cut, cut_regions
from veilset.annotations.formats.written import Exported
from veilset.annotations.index import FileIndex
from veilset.annotations.store import FILE_LAYOUT, AnnotationSet, write_annotations
from veilset.errors import AnnotationError, ConfigError, DecodeError
from veilset.files import sha256_hex
from veilset.images.decode import inspect_image
from veilset.protocols import Reader, Shard, ShardReport, Tick
from veilset.runs import Run, RunSummary
from veilset.types import Annotations, ImageRecord, Region, Status

Found: TypeAlias = tuple[Annotations, Cut]
"""A row, and what became of its regions at the border of the image."""


def import_annotations(
    path: str | Path,
    reader: Reader | None,
    out: str | Path,
    config: ImportConfig,
    *,
    tick: Tick | None = None,
) -> RunSummary:
    """Read a file of another tool and write an annotation set.

    Every image is opened as far as its header: one that is unreadable, or whose size is
    not the one that the file speaks of, becomes ``could_not_look``, since boxes that were
    drawn on another picture hide nothing. An image that the file does not name is
    ``not_looked``. Boxes that reach over their image are cut to it.

    Without a data set, the images of the file are taken for it, and none is opened: sizes
    are those of the file, 0 where it says none, and digests are missing. Such a set can be
    audited, exported and compared; nothing ties it to photographs, so it is no set to
    obfuscate by: import the file with the photographs for that
    (``AnnotationSet.require_images``).

    Args:
        path: The file, or the folder for a format of folders.
        reader: The data set; None to do without.
        out: Folder for the annotation set; it must not lie in the data set.
        config: How to read.
        tick: Told as images end.

    Returns:
        Counts by status, ``n_regions``, ``with_regions``, ``n_clipped`` (regions that
        reached over their image), ``n_outside`` (regions that showed nothing of it and were
        left out) and ``n_at_cap`` (images with as many regions as the file's maker gives at
        most: there may be more). ``extra`` says how many names of the file are not in the
        data set (``n_not_in_dataset``), and the first of them.

    Raises:
        AnnotationError: If the file cannot be used, names an image twice, names none at all,
            or none of the data set's.
        ConfigError, DatasetError, RunError: See ``veilset.errors``.
    """
    path, out = Path(path), Path(out)
    form = find_format(config)
    if form.is_relative and reader is None:
        raise ConfigError(
            f"The boxes of {form.name} are fractions of the image, and mean nothing without its "
            "size. Give the photographs too."
        )
    # Read before the run opens: a file that cannot be used leaves no run behind.
    rows = form.read(path, config)
    with closing(FileIndex.build(path, rows, form.names_in_file)) as index:
        source = _FileImages(index, path) if reader is None else _Photographs(index, reader, config)
        unknown, n_unknown = source.not_in_dataset()
        inputs = {**source.describe(), "file": path.name, "file_sha256": digest(path)}
        manifest = asdict(config) | {"kinds": dict(config.kinds)}
        with Run.open(out, "import", manifest, inputs) as run, ThreadPoolExecutor() as threads:
            for shard in run.missing(source.shards(config.shard_size)):
                run.commit(_import_shard(shard, source.rows(shard, form, threads), out, form))
                if tick:
                    tick(len(shard.records), 0)
            extra = {"n_not_in_dataset": n_unknown, "not_in_dataset": unknown}
            return run.finish(extra=extra)


def export_annotations(annotations: str | Path, path: str | Path, config: ExportConfig) -> Exported:
    """Write an annotation set as a file of another tool.

    Args:
        annotations: Folder of the set.
        path: File to write, which must not be there yet; or a new or empty folder.
        config: How to write.

    Raises:
        AnnotationError: If the set or the file cannot be used, or holds what the format
            cannot say.
        ConfigError: If the format is not known.
    """
    form, path = find_format(config), Path(path)
    if path.is_file():
        raise AnnotationError(f"{path} is there already. Choose another name, or delete it.")
    known = AnnotationSet(Path(annotations))
    known.require_kinds(config.kinds)
    is_reviewed = known.manifest.get("stage") in ("review", "import")
    return form.write(path, _selected(known, config), config, is_reviewed)


def _selected(known: AnnotationSet, config: ExportConfig) -> Iterator[Annotations]:
    for row in known:
        if config.kinds and row.regions:
            regions = tuple(region for region in row.regions if region.kind in config.kinds)
            row = replace(row, regions=regions)
        yield replace(row, image_id=config.prefix + row.image_id) if config.prefix else row


@dataclass(frozen=True, slots=True)
class _FileImages:
    """The images that a file names, none of them opened."""

    index: FileIndex
    path: Path

    def describe(self) -> dict[str, str | int | float | bool]:
        return {"layout": FILE_LAYOUT}

    def not_in_dataset(self) -> tuple[list[str], int]:
        if not next(self.shards(1), None):
            raise AnnotationError(f"{self.path} names no image. Check the file.")
        return [], 0

    def shards(self, shard_size: int) -> Iterator[Shard]:
        return self.index.shards(shard_size)

    def rows(self, shard: Shard, _form: Format, _threads: Executor) -> list[Found]:
        rows = self.index.rows(shard)
        return [_cut(row, (row.width, row.height)) for row in rows]


@dataclass(frozen=True, slots=True)
class _Photographs:
    """The images of a data set, each opened as far as its header."""

    index: FileIndex
    reader: Reader
    config: ImportConfig

    def describe(self) -> dict[str, str | int | float | bool]:
        return dict(self.reader.describe())

    def not_in_dataset(self) -> tuple[list[str], int]:
        shards = self.shards(self.config.shard_size)
        return self.index.unknown(record.image_id for each in shards for record in each.records)

    def shards(self, shard_size: int) -> Iterator[Shard]:
        return self.reader.shards(shard_size)

    def rows(self, shard: Shard, form: Format, threads: Executor) -> list[Found]:
        known = [self.index.find(record) for record in shard.records]
        return list(threads.map(partial(self._fitted, form), shard.records, known))

    def _fitted(self, form: Format, record: ImageRecord, row: Annotations) -> Found:
        """Check a row against the image that it speaks of, and add what is known of that."""
        if row.status is not Status.LOOKED:
            return row, Cut(())
        try:
            data = self.reader.read(record)
            size = inspect_image(data, max_pixels=self.config.max_pixels).size_wh
            _check_size((row.width, row.height), size)
        except DecodeError as error:
            failed = Status.COULD_NOT_LOOK
            row = Annotations(record.image_id, failed, reason=error.reason, message=str(error))
            return row, Cut(())
        if form.is_relative:
            row = replace(row, regions=tuple(_scaled(region, size) for region in row.regions))
        fitted, cut = _cut(row, size)
        seen = replace(
            fitted, width=size[0], height=size[1], sha256=sha256_hex(data), n_bytes=len(data)
        )
        return seen, cut


def _check_size(said_wh: tuple[int, int], size_wh: tuple[int, int]) -> None:
    if not all(said_wh) or said_wh == size_wh:
        return
    turned = " It was not turned upright in the other tool." if said_wh == size_wh[::-1] else ""
    raise DecodeError(
        "changed",
        f"The annotations are of a picture of {said_wh[0]} x {said_wh[1]} px, the image has "
        f"{size_wh[0]} x {size_wh[1]}.{turned} Annotate this one.",
    )


def _scaled(region: Region, size_wh: tuple[int, int]) -> Region:
    """Turn fractions of the image into pixels."""
    x0, y0, x1, y1 = region.box_xyxy
    width, height = size_wh
    return replace(region, box_xyxy=(x0 * width, y0 * height, x1 * width, y1 * height))


def _cut(row: Annotations, size_wh: tuple[int, int]) -> Found:
    if not row.regions:
        return row, Cut(())
    cut = cut_regions(row.regions, size_wh)
    return replace(row, regions=cut.regions), cut


def _import_shard(shard: Shard, found: list[Found], out: Path, form: Format) -> ShardReport:
    rows = [row for row, _ in found]
    counts: Counter[str] = Counter(row.status.value for row in rows)
    for row, cut in found:
        if row.regions or cut.n_outside:
            counts["n_regions"] += len(row.regions)
            counts["with_regions"] += bool(row.regions)
            counts["n_clipped"] += cut.n_clipped
            counts["n_outside"] += cut.n_outside
            counts["n_at_cap"] += 0 < form.cap <= len(row.regions) + cut.n_outside
    return ShardReport(
        index=shard.index,
        n_images=len(rows),
        counts={name: n for name, n in counts.items() if n},
        digest=write_annotations(out, shard.index, rows),
        first_id=rows[0].image_id,
        last_id=rows[-1].image_id,
    )
