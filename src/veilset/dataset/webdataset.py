# SPDX-License-Identifier: Apache-2.0
"""A data set in tar files, as WebDataset has it: a sample is what shares a key.

A tar file is a shard. It is read where it lies, never unpacked; written anew, it has the same
name and the same members in the same order, and all that is no image is the same byte by byte.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from veilset.dataset.folder import MAX_FILE_BYTES
from veilset.dataset.tar_index import (
    Member,
    TarIndex,
    end_mark,
    image_header,
    padding,
    pieces,
    read_index,
    read_range,
)
from veilset.dataset.tree import FileTree
from veilset.errors import DatasetError, DecodeError, RunError
from veilset.files import PART_PREFIX, part_path
from veilset.protocols import Shard, ShardReader
from veilset.types import ImageRecord

TAR_SUFFIX = ".tar"
COMPRESSED_SUFFIXES = (
    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst",
)  # fmt: skip
_N_KEPT, _N_MEMBERS_KEPT = 4, 200_000
"""Indices that a reader keeps, and members in them, for what reads images one by one."""


class OpenTar:
    """A tar file that is open for reading, from several threads at once."""

    def __init__(self, stream: BinaryIO, index: TarIndex, max_file_bytes: int) -> None:
        self.descriptor = stream.fileno()
        self.index = index
        self.max_file_bytes = max_file_bytes
        self._members = {m.record.image_id: m for m in index.members if m.record}

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image.

        Raises:
            DecodeError: If it cannot be used, is not there, or is larger than the limit.
        """
        member = self._members.get(record.image_id)
        if member is None or member.record is None:
            raise DecodeError("missing", "The image is not in the tar file any more.")
        if member.record.problem:
            raise DecodeError("unsupported", member.record.problem)
        if member.size > self.max_file_bytes:
            raise DecodeError(
                "over-limit",
                f"The image has {member.size:,} bytes, the limit is "
                f"{self.max_file_bytes:,}. Make it smaller.",
            )
        data = read_range(self.descriptor, member.data, member.data + member.size)
        if len(data) != member.size:
            raise DecodeError("truncated", "The tar file was cut while it was read.")
        return data


class WebDatasetReader:
    """Reads a folder of tar files, nested in any way, or a single tar file.

    Hidden members, and links and devices among them, are no part of the data set; they are
    counted in ``passed_over``. Files beside the tar files are passed over too.
    """

    def __init__(self, location: Path, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the data set; no tar file is opened yet.

        Raises:
            DatasetError: If the place is missing, or may not be read.
        """
        self.root = location
        self.max_file_bytes = max_file_bytes
        self._is_file = location.is_file()
        self._tree = FileTree(location.parent if self._is_file else location, self._why_not)
        self._left_out: Counter[str] = Counter()
        self._indices: dict[tuple[str, tuple[int, ...]], TarIndex] = {}

    def __getstate__(self) -> tuple[Path, int]:
        return self.root, self.max_file_bytes

    def __setstate__(self, state: tuple[Path, int]) -> None:
        # Made anew as by a call; mypy wants __init__ called on classes only.
        self.__init__(state[0], max_file_bytes=state[1])  # type: ignore[misc]

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Give what identifies the data set in a run manifest."""
        return {"layout": "webdataset", "root": str(self.root.resolve())}

    def passed_over(self) -> Mapping[str, int]:
        """Give what lies in the folder, or in a tar file, and is not part of the data set."""
        return dict(self._tree.ignored.counts + self._left_out)

    def containers(self) -> Iterator[str]:
        """Go through the paths of the tar files below the folder, in order.

        Raises:
            DatasetError: If there is none, or one has a name that cannot be used.
        """
        container = ""
        if self._is_file:
            yield (container := self.root.name)
            return
        for record in self._tree.records():
            container = record.image_id
            if record.problem:
                raise DatasetError(f"{self.root}: {container}: {record.problem}")
            if container.lower().endswith(COMPRESSED_SUFFIXES):
                raise DatasetError(
                    f"{self.root / container} is compressed. Unpack it to a plain .tar file: "
                    "images do not get smaller."
                )
            yield container
        if not container:
            raise DatasetError(f"{self.root} holds no tar file. Check the path.")

    def count(self) -> int:
        """Give the number of images, from the headers of the tar files."""
        return sum(len(shard.records) for shard in self.shards())

    def shards(self, shard_size: int = 0) -> Iterator[Shard]:
        """Go through the tar files: each is a shard, whatever ``shard_size`` says.

        Raises:
            DatasetError: If there is no image at all, or a tar file cannot be used.
        """
        self._left_out = Counter()
        n_images = 0
        for at, container in enumerate(self.containers()):
            with self.open_container(container) as tar:
                index = tar.index
            self._left_out.update(m.left_out for m in index.members if m.left_out)
            records = tuple(m.record for m in index.images() if m.record)
            n_images += len(records)
            yield Shard(at, records, container)
        if not n_images:
            raise DatasetError(f"The tar files of {self.root} hold no image. Check the path.")

    @contextmanager
    def open_shard(self, shard: Shard) -> Iterator[OpenTar]:
        """Open the tar file of a shard.

        Raises:
            DatasetError: If it is gone, damaged, or does not hold what it did when listed.
        """
        with self.open_container(shard.container) as tar:
            if tuple(m.record for m in tar.index.images()) != shard.records:
                raise DatasetError(
                    f"{self.path_of(shard.container)} changed while it was being worked on. "
                    "Wait until nothing writes there, then run the same command again."
                )
            yield tar

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image, wherever it is.

        Raises:
            DecodeError: If its tar file is gone or damaged; otherwise as ``OpenTar.read``.
        """
        container = self._container_of(record.image_id)
        if not container:
            raise DecodeError("missing", "The tar file is gone. Restore it and run again.")
        try:
            with self.open_container(container) as tar:
                return tar.read(record)
        except DecodeError:
            raise
        except DatasetError as error:
            raise DecodeError("unreadable", str(error)) from error

    def path_of(self, container: str) -> Path:
        """Give the path of a tar file by its name in the data set."""
        return self._tree.root / container

    @contextmanager
    def open_container(self, container: str) -> Iterator[OpenTar]:
        """Open a tar file by its name in the data set.

        Raises:
            DatasetError: If it is gone or damaged.
        """
        path = self.path_of(container)
        try:
            stream = path.open("rb")
        except OSError as error:
            raise DatasetError(
                f"{path} cannot be opened ({error.strerror}). Check that it is there and may be "
                "read, then run the same command again."
            ) from error
        with stream:
            facts = os.fstat(stream.fileno())
            now = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
            index = self._indices.get((container, now))
            if index is None:
                index = read_index(stream, container, str(path))
                self._keep((container, now), index)
            yield OpenTar(stream, index, self.max_file_bytes)

    def _keep(self, key: tuple[str, tuple[int, ...]], index: TarIndex) -> None:
        kept = list(self._indices.items())[1 - _N_KEPT :]
        while sum(len(each.members) for _, each in kept) > _N_MEMBERS_KEPT:
            kept.pop(0)
        # Replaced, not changed: other threads may be looking into it.
        self._indices = dict([*kept, (key, index)])

    def _container_of(self, image_id: str) -> str:
        parts = image_id.split("/")
        for n in range(1, len(parts)):
            if parts[n - 1].lower().endswith(TAR_SUFFIX) and ".." not in parts[:n]:
                container = "/".join(parts[:n])
                if self.path_of(container).is_file():
                    return container
        return ""

    def _why_not(self, path: Path) -> str:
        name = path.name.lower()
        return "" if name.endswith((TAR_SUFFIX, *COMPRESSED_SUFFIXES)) else "not a tar file"


class WebDatasetWriter:
    """Writes tar files into a folder, each under the name that it has in its source."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def open_shard(self, shard: Shard, source: ShardReader) -> Iterator[TarWriter]:
        """Open a tar file to write; it appears when the block ends without an exception.

        Raises:
            RunError: If it cannot be written: the disk is full, or read-only.
        """
        if not isinstance(source, OpenTar):
            raise TypeError(f"a tar file is made from another, not from {type(source).__name__}")
        path = self.root / shard.container
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without a name where the system can do that: nothing is left of it after a kill.
            with tempfile.TemporaryFile(dir=path.parent, prefix=PART_PREFIX) as spool:
                writer = TarWriter(source, spool, path)
                yield writer
                writer.finish()
        except OSError as error:
            raise _unwritable(path, error) from error


class TarWriter:
    """A tar file in the making: the images wait in a file of their own until all are there.

    They come in any order and from several threads, and memory is to hold none of them.
    """

    def __init__(self, source: OpenTar, spool: BinaryIO, path: Path) -> None:
        self._source = source
        self._spool = spool
        self._path = path
        self._lock = threading.Lock()
        self._n_spooled = 0
        self._places: dict[str, tuple[int, int]] = {}

    def write(self, record: ImageRecord, data: bytes) -> None:
        """Take one image.

        Raises:
            RunError: If it cannot be written: the disk is full.
        """
        with self._lock:
            try:
                self._spool.write(data)
            except OSError as error:
                raise _unwritable(self._path, error) from error
            self._places[record.image_id] = self._n_spooled, len(data)
            self._n_spooled += len(data)

    def discard(self, record: ImageRecord) -> None:
        """Make sure that the image is not in the output; its whole sample goes with it."""
        with self._lock:
            self._places.pop(record.image_id, None)

    def withdrawn(self) -> Collection[str]:
        """Give the images that were written and go because another of their sample failed."""
        released = set(released_images(self._source.index, self._places))
        return self._places.keys() - released

    def finish(self) -> None:
        """Write the tar file under a temporary name and rename it."""
        self._spool.flush()
        part = part_path(self._path)
        try:
            with part.open("wb") as target:
                self._assemble(target)
            part.replace(self._path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _assemble(self, target: BinaryIO) -> None:
        source = self._source.descriptor
        for member, is_there in carried(self._source.index, self._places):
            if not is_there:
                # Headers that hold for all that follows stay, whatever becomes of this one.
                target.writelines(pieces(source, member.start, member.header))
            elif member.record is None:
                target.writelines(pieces(source, member.start, member.end))
            else:
                at, n_bytes = self._places[member.record.image_id]
                target.writelines(pieces(source, member.start, member.header))
                target.write(image_header(source, member, n_bytes))
                target.writelines(pieces(self._spool.fileno(), at, at + n_bytes))
                target.write(padding(n_bytes))
        target.write(end_mark(target.tell()))


def carried(index: TarIndex, written: Collection[str]) -> Iterator[tuple[Member, bool]]:
    """Go through the members of a tar file, and tell which are in the output.

    Args:
        index: The source.
        written: ``image_id`` of the images that could be fully processed.
    """
    images = [m for m in index.members if m.record]
    failed = {m.key for m in images if m.record and m.record.image_id not in written} - {""}
    for member in index.members:
        is_there = not member.left_out and member.key not in failed
        if member.record and member.record.image_id not in written:
            is_there = False
        yield member, is_there


def released_images(index: TarIndex, written: Collection[str]) -> list[str]:
    """Give the ``image_id`` of the images that are in the output; arguments as ``carried``."""
    return [m.record.image_id for m, is_there in carried(index, written) if is_there and m.record]


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path} cannot be written ({error.strerror}). "
        "Mend that, then run the same command again: it goes on from here."
    )
