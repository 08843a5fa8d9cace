# SPDX-License-Identifier: Apache-2.0
"""Where images come from and go to, shard by shard."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from veilset.types import ImageRecord


@dataclass(frozen=True, slots=True)
class Shard:
    """A fixed run of consecutive images: the unit of work, of retry and of resume.

    Attributes:
        index: Place of the shard in the data set, from 0.
        records: Its images, in the order of the data set; none in a container without images.
        container: POSIX path, below the root, of the file that holds exactly these images; ""
            where every image is a file of its own.
    """

    index: int
    records: tuple[ImageRecord, ...]
    container: str = ""

    def ids_digest(self) -> str:
        """Give a digest of the names of its images, in order."""
        digest = hashlib.sha256()
        for record in self.records:
            digest.update(record.image_id.encode("utf-8", "surrogateescape") + b"\0")
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What became of a shard. Small: it never holds a result for each image.

    Attributes:
        index: Index of the shard.
        counts: How many images ended how, by name.
        seconds: Thread-seconds by step (``read``, ``decode``, ``detect``, ...).
        digest: SHA-256 of what the shard wrote; equal on every engine.
        n_images: Number of images in the shard.
        first_id: First image of the shard, "" if it is empty.
        last_id: Last image of the shard, "" if it is empty.
    """

    index: int
    n_images: int
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""
    first_id: str = ""
    last_id: str = ""


@runtime_checkable
class ShardReader(Protocol):
    """A shard that is open for reading. Safe to call from several threads at once."""

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image of the shard; errors as ``Reader.read``."""


@runtime_checkable
class Reader(Protocol):
    """A data set that can be read. Images come in a fixed order, ``order_key`` of their id.

    It pickles, and holds no open file.
    """

    def count(self) -> int:
        """Number of images, found without opening one; 0 where that would cost too much."""

    def shards(self, shard_size: int) -> Iterator[Shard]:
        """Go through the data set, holding one shard.

        A shard has ``shard_size`` images; where containers hold them, it is a container.
        """

    def open_shard(self, shard: Shard) -> AbstractContextManager[ShardReader]:
        """Open a shard to read all of its images: what is done once for each shard is done here.

        Raises:
            DatasetError: If its container is gone, damaged, or not what it was when listed.
        """

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image, wherever it is in the data set.

        Raises:
            DecodeError: If the file is gone, cannot be read or is over the byte limit.
        """

    def passed_over(self) -> Mapping[str, int]:
        """What lies there and is not part of the data set, counted by why.

        Complete once ``count`` or ``shards`` went through all of it.
        """

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """What identifies the data set in a run manifest."""


@runtime_checkable
class ShardWriter(Protocol):
    """A shard that is open for writing. Safe to call from several threads at once."""

    def write(self, record: ImageRecord, data: bytes) -> None:
        """Write one image under its final name."""

    def discard(self, record: ImageRecord) -> None:
        """Make sure that the image is not in the output."""

    def withdrawn(self) -> Collection[str]:
        """Give the ``image_id`` of every image that was written and will not be there.

        An image that failed takes its whole sample with it, other images of the sample too.
        Asked for once, when every image of the shard was written or discarded.
        """


@runtime_checkable
class Writer(Protocol):
    """A data set that can be written. A file appears whole or not at all."""

    def open_shard(self, shard: Shard, source: ShardReader) -> AbstractContextManager[ShardWriter]:
        """Open a shard to write all of its images.

        A container appears when the block ends, under its final name, in the order of its
        source; all but the images is as there, byte by byte. If the block ends in an
        exception, nothing appears.

        Args:
            shard: The shard.
            source: The same shard of the data set that is written anew.

        Raises:
            RunError: If it cannot be written: the disk is full, or read-only.
        """

    def finish(self, gone: Iterable[str]) -> None:
        """Write what tells of the images and holds none, once all shards are written.

        May be called again: it then ends the same way.

        Args:
            gone: ``image_id`` of each image of the data set that is not in the output; gone
                through at most once.

        Raises:
            DatasetError, RunError: If it cannot be read, or cannot be written.
        """
