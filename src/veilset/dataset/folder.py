# SPDX-License-Identifier: Apache-2.0
"""A data set that is a folder of image files, nested in any way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Self

from veilset.dataset.locations import Location, is_url
from veilset.dataset.stores import open_store
from veilset.errors import DatasetError, DecodeError
from veilset.faults import stop_at_fault
from veilset.images.first_bytes import looks_like_a_picture
from veilset.protocols import Shard, ShardReader
from veilset.types import ImageRecord

SHARD_SIZE = 1024
MAX_FILE_BYTES = 512 * 1024 * 1024

IMAGE_SUFFIXES = frozenset(
    ".avif .avifs .bmp .dib .gif .heic .heif .j2k .jfif .jp2 .jpe .jpeg .jpg .jxl .mpo .png "
    ".tif .tiff .webp".split()
)
"""Endings of images by which the layout of a place is told."""

LISTING_SUFFIXES = frozenset((".txt", ".lst", ".json"))
"""Files that tell of the images of a data set, and can stand for it."""

FOR_ANNOTATIONS = frozenset(("annotation", "annotations", "labels"))
"""Folders that hold such files beside the folders of their images."""

PICTURE_SUFFIXES = IMAGE_SUFFIXES | frozenset(
    # Pictures of other kinds, then raw photographs: none of them can be written back, and so
    # each is a recorded failure.
    ".apng .bpg .btf .cur .dcm .dds .djvu .exr .fits .flif .heics .heifs .hif .icns .ico .j2c "
    ".jng .jpc .jpf .jpm .jps .jpx .jxr .mng .pam .pbm .pcx .pfm .pgm .pnm .pns .ppm .psb .psd "
    ".qoi .svg .svgz .tga .wdp .xcf .xpm "
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf .pef "
    ".raf .rw2 .rwl .sr2 .srf .srw .x3f".split()
)
"""Endings of files that are images, whatever they hold: those that can be processed, and more."""


class FolderReader:
    """Reads a tree of image files. The order is that of the path, part by part.

    Hidden files and folders are passed over. A link to a file inside the tree is an image
    like any other; a link that leaves the tree, or leads to a folder, is never followed.
    """

    def __init__(self, root: Location, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the folder.

        Raises:
            DatasetError: If it is missing, no folder, or may not be read.
        """
        self.store = open_store(root)
        self.root = self.store.root
        self.max_file_bytes = max_file_bytes
        self.store.check()
        self._ignored: Counter[str] = Counter()

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Give what identifies the data set in a run manifest."""
        return {"layout": "folder", "root": self.store.describe()}

    def count(self) -> int:
        """Give the number of images, without opening those that have a known suffix."""
        return sum(1 for _ in self._records())

    def shards(self, shard_size: int = SHARD_SIZE) -> Iterator[Shard]:
        """Go through the images, ``shard_size`` at a time; memory holds one shard and the
        names of the folders that lead to it.

        Raises:
            DatasetError: If there is no image at all, or a folder cannot be listed.
        """
        index, batch = 0, []
        for record in self._records():
            batch.append(record)
            if len(batch) == shard_size:
                yield Shard(index, tuple(batch))
                index, batch = index + 1, []
        if batch:
            yield Shard(index, tuple(batch))
        elif index == 0:
            passed_over = ", ".join(f"{n} x {why}" for why, n in self._ignored.items())
            raise DatasetError(
                f"{self.root} holds no image. Passed over: {passed_over or 'nothing'}. "
                "Check the path."
            )

    @contextmanager
    def open_shard(self, shard: Shard) -> Iterator[Self]:
        """Open a shard: the images of a folder need nothing to be done first."""
        yield self

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image.

        Raises:
            DecodeError: If the name cannot be used, or the file is gone, may not be read or
                is larger than the limit.
        """
        if record.problem:
            raise DecodeError("unsupported", record.problem)
        return self.store.read(record.image_id, self.max_file_bytes)

    def passed_over(self) -> Mapping[str, int]:
        """Give what the last walk passed over, counted by why."""
        return dict(self._ignored)

    def _records(self) -> Iterator[ImageRecord]:
        self._ignored = Counter()
        return self.store.files(self._why_not, self._ignored)

    def _why_not(self, name: str) -> str:
        if has_suffix(name, PICTURE_SUFFIXES):
            return ""
        try:
            # A photograph must not be left behind because of its name.
            is_image = looks_like_a_picture(self.store.head(name))
        except OSError as error:
            stop_at_fault(error, self.store.place(name))
            # It may be an image: let it be listed, fail to open, and be recorded.
            return ""
        return "" if is_image else "not an image"


class FolderWriter:
    """Writes images into a folder tree of the same layout."""

    def __init__(self, root: Location) -> None:
        self.store = open_store(root)
        self.root = self.store.root

    @contextmanager
    def open_shard(self, shard: Shard, source: ShardReader) -> Iterator[Self]:
        """Open a shard: every image of a folder appears as soon as it is written."""
        yield self

    def withdrawn(self) -> tuple[str, ...]:
        """Give nothing: no image of a folder goes because of another."""
        return ()

    def write(self, record: ImageRecord, data: bytes) -> None:
        """Write one image; the file appears whole or not at all.

        Raises:
            RunError: If it cannot be written: the disk is full, or read-only.
        """
        self.store.write(record.image_id, data)

    def discard(self, record: ImageRecord) -> None:
        """Make sure that nothing is there under that image's name."""
        self.store.delete(record.image_id)

    def finish(self, gone: Iterable[str]) -> None:
        """Do nothing: a folder of images holds nothing else."""


def check_apart(source: Location, target: Location) -> None:
    """Refuse a target that is a file, or lies in the source, or the other way round.

    Raises:
        DatasetError: If it is a file, or one is, or contains, the other.
    """
    if not is_url(target) and Path(target).is_file():
        raise DatasetError(f"{target} is a file, and a folder is needed. Choose another name.")
    stores = open_store(source), open_store(target)
    # A local place has a path without a protocol, so that it is apart from every URL.
    real_source = PurePosixPath(_folder_of(stores[0].describe()))
    real_target = PurePosixPath(stores[1].describe())
    if real_source.is_relative_to(real_target) or real_target.is_relative_to(real_source):
        raise DatasetError(
            f"{stores[1].root} and {stores[0].root} are the same folder or lie in each other. "
            "Choose an output folder beside the data set."
        )


def _folder_of(place: str) -> str:
    """Give the folder of the images that a file may tell of; any other place as it is."""
    is_file = "://" in place or Path(place).is_file()
    if not (is_file and has_suffix(place, LISTING_SUFFIXES)):
        return place
    folder = place.rpartition("/")[0]
    above, _, name = folder.rpartition("/")
    return above if name.lower() in FOR_ANNOTATIONS else folder


def has_suffix(name: str, suffixes: frozenset[str]) -> bool:
    """Whether a path ends in a dot and one of these endings, in any case.

    Example:
        >>> has_suffix("a.b/C.JPG", IMAGE_SUFFIXES), has_suffix("jpg", IMAGE_SUFFIXES)
        (True, False)
    """
    _, dot, ending = name.rpartition(".")
    return dot + ending.lower() in suffixes
