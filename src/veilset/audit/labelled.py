# SPDX-License-Identifier: Apache-2.0
"""Pictures with their faces drawn and labelled, and contact sheets of them, for private use.

They hold photographs of people with guesses about them, so they lie in a folder that only its
owner may open, and nothing that is published names one.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image as PilImage

from veilset.audit.annotated import AnnotatedImages
from veilset.audit.card import nouns_of
from veilset.audit.config import AuditConfig
from veilset.audit.contact_sheets import (
    N_COLUMNS,
    N_ROWS,
    Tile,
    make_sheets,
    tile_side_px,
)
from veilset.audit.label_drawing import draw_labels
from veilset.engine.threads import ordered_map
from veilset.errors import DecodeError, RunError
from veilset.files import make_private, sha256_hex, write_atomically
from veilset.images.decode import decode_image
from veilset.types import Annotations, Image, ImageRecord, Region, Status

PICTURES, SHEETS, README = "labelled", "sheets", "README.txt"
"""Folders and file below the private folder."""

_SHARD_SIZE = 1024
_QUALITY = 90
_MAX_NAME_BYTES = 240

_ABOUT = f"""\
PRIVATE. DO NOT PUBLISH.

These are photographs of people, with the places of their faces and with guesses about their age
and gender. They were drawn by "veilset audit --labelled" for the eyes of whoever audits the data
set: to see at a glance what was found, and what was not.

labelled/  one picture for each of the chosen images, under the name of the image and ".jpg"
sheets/    the same pictures small, {N_COLUMNS * N_ROWS} on a page

The number of a face is its place among the regions of the image in the annotation set. Age and
gender are what a network guesses from pixels; they say nothing certain about anybody.

Nothing here is part of the audit's page, tables or metadata. Delete this folder when you have
looked; "rm -r" is enough, nothing else refers to it.
"""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What was drawn.

    Attributes:
        n_pictures: Pictures.
        n_sheets: Contact sheets.
        passed_over: Chosen images that could not be drawn, by the reason of ``DecodeError``.
    """

    n_pictures: int
    n_sheets: int
    passed_over: dict[str, int]


def write_labelled(
    private: Path,
    images: AnnotatedImages,
    config: AuditConfig,
    *,
    workers: int = 1,
    on_picture: Callable[[int], None] | None = None,
) -> Labelled:
    """Draw ``config.labelled`` images with their regions, and contact sheets of them.

    Of the searched images that hold a region, those are chosen whose names have the smallest
    digests: they are spread over the data set, and the same ones each time. Regions of the
    audited kind below ``config.min_score`` are left out. Memory does not grow with the number
    of images, beyond 8 bytes for each.

    Args:
        private: Folder for them, mode 0700; made if missing. What it holds is written over.
        images: The annotated images of the data set.
        config: ``labelled``, ``kind``, ``min_score`` and ``max_pixels`` are used.
        workers: Threads. Does not change a byte.
        on_picture: Told how many pictures are done, as they are.

    Raises:
        RunError: If a file cannot be written.
        AnnotationError, DatasetError: If the annotation set or the data set cannot be read.
    """
    try:
        for folder in (private, private / PICTURES, private / SHEETS):
            make_private(folder)
        _write(private / README, _ABOUT.encode("utf-8"))
        return _write_all(private, images, config, workers, on_picture)
    except OSError as error:
        raise RunError(
            f"Labelled pictures cannot be written below {private} ({error.strerror or error}). "
            "Look after its permissions and the space on its disk, then audit again."
        ) from error


def _write_all(
    private: Path,
    images: AnnotatedImages,
    config: AuditConfig,
    workers: int,
    on_picture: Callable[[int], None] | None,
) -> Labelled:
    passed_over: Counter[str] = Counter()
    n_pictures = n_sheets = 0

    def tiles() -> Iterator[Tile]:
        nonlocal n_pictures
        draw = partial(_draw, private / PICTURES, images, config)
        with ThreadPoolExecutor(workers) as executor:
            chosen = _chosen(images, config)
            for made in ordered_map(executor, draw, chosen, window=2 * workers):
                if isinstance(made, str):
                    passed_over[made] += 1
                    continue
                n_pictures += 1
                if on_picture:
                    on_picture(n_pictures)
                yield made

    for page in make_sheets(tiles(), "Private, not for publication"):
        n_sheets += 1
        _write(private / SHEETS / f"{n_sheets:04d}.jpg", _jpeg(page))
    return Labelled(n_pictures, n_sheets, dict(sorted(passed_over.items())))


def _chosen(
    images: AnnotatedImages, config: AuditConfig
) -> Iterator[tuple[ImageRecord, Annotations]]:
    """Give the chosen images with what is known of them, in the order of the data set."""
    if not config.labelled:
        return
    ranks = np.fromiter(_ranks(images, config), dtype=np.uint64)
    if not len(ranks):
        return
    last = min(config.labelled, len(ranks)) - 1
    highest = int(np.partition(ranks, last)[last])
    for shard in images.shards(_SHARD_SIZE):
        for record in shard.records:
            if _rank(record.image_id) <= highest:
                row = images.known.find(record)
                if _regions(row, config):
                    yield record, row


def _ranks(images: AnnotatedImages, config: AuditConfig) -> Iterator[int]:
    below = f"{images.within.strip('/')}/" if images.within else ""
    for row in images.known:
        if row.image_id.startswith(below) and _regions(row, config):
            yield _rank(row.image_id)


def _rank(image_id: str) -> int:
    digest = hashlib.sha256(b"labelled\0" + image_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8])


def _regions(row: Annotations, config: AuditConfig) -> tuple[Region, ...]:
    """Give the regions that are drawn, in their order."""
    if row.status is not Status.LOOKED:
        return ()
    return tuple(
        each for each in row.regions if each.kind != config.kind or each.passes(config.min_score)
    )


def _draw(
    folder: Path,
    images: AnnotatedImages,
    config: AuditConfig,
    item: tuple[ImageRecord, Annotations],
) -> Tile | str:
    """Draw and write one picture; give its small one, or the reason why there is none."""
    record, row = item
    try:
        image = _open(images, config, record, row)
    except DecodeError as error:
        return error.reason
    regions = _regions(row, config)
    path = folder / picture_name(record.image_id)
    make_private(path.parent)
    _write(path, _jpeg(PilImage.fromarray(draw_labels(image, regions))))
    side = tile_side_px((image.shape[1], image.shape[0]))
    small = draw_labels(image, regions, long_side_px=side)
    kinds = Counter(region.kind for region in regions)
    note = ", ".join(f"{n} {nouns_of(kind)[n > 1]}" for kind, n in sorted(kinds.items()))
    return Tile(record.image_id, note, small)


def _open(
    images: AnnotatedImages, config: AuditConfig, record: ImageRecord, row: Annotations
) -> Image:
    if record.problem:
        raise DecodeError("missing", record.problem)
    data = images.read(record)
    image, _ = decode_image(data, max_pixels=config.max_pixels, check_end=False)
    is_other = row.sha256 and sha256_hex(data) != row.sha256
    if is_other or (row.width and (row.width, row.height) != (image.shape[1], image.shape[0])):
        raise DecodeError("changed", "The image is not the one that was searched. Search it again.")
    return image


def picture_name(image_id: str) -> PurePosixPath:
    """Give the place of a picture below its folder: where the image lies in the data set.

    The suffix is added to the image's own, so that ``1.png`` and ``1.jpg`` stay apart; a name
    that would be too long for a disk is cut, and told from others by its digest.

    Example:
        >>> picture_name("train/n01440764/1.JPEG").as_posix()
        'train/n01440764/1.JPEG.jpg'
    """
    path = PurePosixPath(image_id)
    name = os.fsencode(path.name)
    if len(name) > _MAX_NAME_BYTES:
        cut = name[: _MAX_NAME_BYTES - 20].decode("utf-8", "ignore")
        return path.with_name(f"{cut}-{sha256_hex(name)[:16]}.jpg")
    return path.with_name(f"{path.name}.jpg")


def _jpeg(picture: PilImage.Image) -> bytes:
    sink = io.BytesIO()
    # Colour at full size: text on colour frays otherwise. A fresh file: no metadata.
    picture.save(sink, "JPEG", quality=_QUALITY, subsampling=0)
    return sink.getvalue()


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, data)
    path.chmod(0o600)
