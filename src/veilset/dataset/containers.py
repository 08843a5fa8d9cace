# SPDX-License-Identifier: Apache-2.0
"""Data sets whose images lie in files of many: what tar files and Parquet files share.

A container is a shard. It is read where it lies; written anew, it has the same name, and all
in it that is no image is the same.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

from veilset.dataset.folder import MAX_FILE_BYTES
from veilset.dataset.locations import Location
from veilset.dataset.sentences import unwritable
from veilset.dataset.spools import Shelf, Spool
from veilset.dataset.stores import Store, open_place, open_store
from veilset.dataset.targets import writes_to
from veilset.errors import DatasetError, DecodeError, RunError
from veilset.faults import stop_at_fault
from veilset.protocols import Shard, ShardReader
from veilset.types import ImageRecord

_N_KEPT, _N_ENTRIES_KEPT = 4, 200_000
"""Indices that a reader keeps, and entries in them, for what reads images one by one."""


@runtime_checkable
class OpenContainer(Protocol):
    """A container that is open for reading, from several threads at once."""

    def records(self) -> Sequence[ImageRecord]:
        """Give its images, in the order of data sets."""

    def passed_over(self) -> Mapping[str, int]:
        """Give what is in it and is not part of the data set, counted by why."""

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image; errors as ``Reader.read``."""

    def released(self, written: Collection[str]) -> Collection[str]:
        """Give the images that are in the output if those are written.

        Args:
            written: ``image_id`` of the images that could be fully processed.

        Returns:
            Those of them which no failed image of the same sample takes out.
        """

    def rewrite(self, images: Spool, target: BinaryIO) -> None:
        """Write the container anew with other images.

        Args:
            images: The images that could be fully processed.
            target: Where to; it is written from its beginning to its end.
        """

    def find_difference(self, other: BinaryIO, written: Mapping[str, int]) -> str:
        """Say where another file is not what this container and its images make it.

        The content of images is left to those who know what it should be.

        Args:
            other: The file, with a descriptor.
            written: Number of bytes of each image that is in it, by ``image_id``.

        Returns:
            A sentence, "" if there is no difference.

        Raises:
            OSError: If it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a container, without opening any of it.

    Attributes:
        records: Its images, in the order of data sets.
        passed_over: What is in it and is not part of the data set, counted by why.
    """

    records: tuple[ImageRecord, ...]
    passed_over: Mapping[str, int]


_Index = TypeVar("_Index", bound=Sized)
_Open = TypeVar("_Open", bound=OpenContainer)


class ContainerReader(ABC, Generic[_Index, _Open]):
    """Reads a place of containers, nested in any way, or a single one.

    What lies beside them, and what is in them but is no part of the data set, is counted in
    ``passed_over``. A layout says how a container is understood.
    """

    layout: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    """Endings of the names of containers, lower case."""
    noun: ClassVar[str]
    """What a container is called in messages: ``tar file``."""

    def __init__(self, location: Location, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the data set; no container is opened yet.

        Raises:
            DatasetError: If the place is missing, or may not be read.
        """
        self._location = location
        self.store, self._single = open_place(location)
        self.root = open_store(location).root
        self.max_file_bytes = max_file_bytes
        self.store.check()
        self._ignored: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._listings: Shelf[tuple[object, Listing]] = Shelf()
        self._indices: dict[tuple[str, tuple[int, ...]], _Index] = {}

    def __getstate__(self) -> tuple[Location, int, Store]:
        # The store is carried only because it may refuse that.
        return self._location, self.max_file_bytes, self.store

    def __setstate__(self, state: tuple[Location, int, Store]) -> None:
        # Made anew as by a call; mypy wants __init__ called on classes only.
        self.__init__(state[0], max_file_bytes=state[1])  # type: ignore[misc]

    def like(self, location: Location) -> Self:
        """Give a reader of the same layout for another place; errors as for a new one."""
        return type(self)(location, max_file_bytes=self.max_file_bytes)

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Give what identifies the data set in a run manifest."""
        return {"layout": self.layout, "root": open_store(self.root).describe()}

    def passed_over(self) -> Mapping[str, int]:
        """Give what lies there, or in a container, and is not part of the data set."""
        return dict(self._ignored + self._left_out)

    def containers(self) -> Iterator[str]:
        """Go through the names of the containers, in order.

        Raises:
            DatasetError: If there is none, or one has a name that cannot be used.
        """
        if self._single:
            yield self._single
            return
        container = ""
        self._ignored = Counter()
        for record in self.store.files(self._why_not, self._ignored):
            container = record.image_id
            if record.problem:
                raise DatasetError(f"{self.root}: {container}: {record.problem}")
            self._check_name(container)
            yield container
        if not container:
            raise DatasetError(f"{self.root} holds no {self.noun}. Check the path.")

    def count(self) -> int:
        """Give the number of images, without opening one.

        At a URL that would mean to fetch every container once more: then 0, for not known.
        """
        if isinstance(self.root, str):
            return 0
        return sum(len(shard.records) for shard in self.shards())

    def shards(self, shard_size: int = 0) -> Iterator[Shard]:
        """Go through the containers: each is a shard, whatever ``shard_size`` says.

        Raises:
            DatasetError: If there is no image at all, or a container cannot be used.
        """
        self._left_out = Counter()
        n_images = 0
        for at, name in enumerate(self.containers()):
            listing = self.listing(name)
            self._left_out.update(listing.passed_over)
            n_images += len(listing.records)
            yield Shard(at, listing.records, name)
        if not n_images:
            raise DatasetError(f"The {self.noun}s of {self.root} hold no image. Check the path.")

    def listing(self, name: str) -> Listing:
        """Give what is in a container; it is opened once, and again only when it has changed.

        Raises:
            DatasetError: If it is gone or damaged.
        """
        version = self.store.version(name)
        kept = self._listings.get(name)
        if kept is not None and kept[0] == version:
            return kept[1]
        with self.open_container(name) as container:
            listing = Listing(tuple(container.records()), dict(container.passed_over()))
        self._listings.put(name, (version, listing))
        return listing

    @contextmanager
    def open_shard(self, shard: Shard) -> Iterator[_Open]:
        """Open the container of a shard.

        Raises:
            DatasetError: If it is gone, damaged, or does not hold what it did when listed.
        """
        with self.open_container(shard.container) as container:
            if tuple(container.records()) != shard.records:
                raise DatasetError(
                    f"{self.store.place(shard.container)} changed while it was being worked on. "
                    "Wait until nothing writes there, then run the same command again."
                )
            yield container

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image, wherever it is.

        Raises:
            DecodeError: If its container is gone or damaged; otherwise as in a shard.
        """
        name = self.container_of(record.image_id)
        if not name:
            raise DecodeError("missing", f"The {self.noun} is gone. Restore it and run again.")
        try:
            with self.open_container(name) as container:
                return container.read(record)
        except DecodeError:
            raise
        except DatasetError as error:
            raise DecodeError("unreadable", str(error)) from error

    def container_of(self, image_id: str) -> str:
        """Give the name of the container that an image lies in by its name, "" if none does."""
        parts = image_id.split("/")
        for n in range(1, len(parts)):
            if parts[n - 1].lower().endswith(self.suffixes) and ".." not in parts[:n]:
                name = "/".join(parts[:n])
                if self.store.is_file(name):
                    return name
        return ""

    @contextmanager
    def open_container(self, name: str) -> Iterator[_Open]:
        """Open a container by its name.

        Raises:
            DatasetError: If it is gone or damaged.
        """
        place = self.store.place(name)
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(self.store.open(name))
            except OSError as error:
                stop_at_fault(error, place)
                raise DatasetError(
                    f"{place} cannot be opened ({error.strerror}). Check that it is there and may "
                    "be read, then run the same command again."
                ) from error
            facts = os.fstat(stream.fileno())
            now = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
            index = self._indices.get((name, now))
            if index is None:
                index = self._index(stream, name, place)
                self._keep((name, now), index)
            yield stack.enter_context(self._opened(stream, index, name))

    @abstractmethod
    def _index(self, stream: BinaryIO, name: str, place: str) -> _Index:
        """Find out what is in a container; some indices are kept, so it is small.

        Args:
            stream: The container, open for reading, with a descriptor.
            name: Its name: its images are named below it.
            place: Where it lies, for messages.

        Raises:
            DatasetError: If it is no such container, or damaged.
        """

    @abstractmethod
    def _opened(self, stream: BinaryIO, index: _Index, name: str) -> AbstractContextManager[_Open]:
        """Give the open container; the stream stays open until the block ends."""

    def _check_name(self, name: str) -> None:
        """Refuse a file that is wanted by its name and cannot be used (DatasetError)."""

    def _why_not(self, name: str) -> str:
        return "" if name.lower().endswith(self.suffixes) else f"not a {self.noun}"

    def _keep(self, key: tuple[str, tuple[int, ...]], index: _Index) -> None:
        kept = list(self._indices.items())[1 - _N_KEPT :]
        while sum(len(each) for _, each in kept) > _N_ENTRIES_KEPT:
            kept.pop(0)
        # Replaced, not changed: other threads may be looking into it.
        self._indices = dict([*kept, (key, index)])


class ContainerWriter:
    """Writes containers of any layout, each under the name that it has in its source."""

    def __init__(self, root: Location) -> None:
        self.store = open_store(root)
        self.root = self.store.root

    @contextmanager
    def open_shard(self, shard: Shard, source: ShardReader) -> Iterator[ShardInMaking]:
        """Open a container to write; it appears when the block ends without an exception.

        Raises:
            RunError: If it cannot be written (the disk is full, or read-only), or its source
                cannot be read.
        """
        if not isinstance(source, OpenContainer):
            raise TypeError(f"a container is made from another, not from {type(source).__name__}")
        place = self.store.room(shard.container)
        with self._spooled(shard.container, place) as stream:
            spool = Spool(stream)
            yield ShardInMaking(source, spool, place)
            with writes_to(place):
                spool.flush()
            with self.store.create(shard.container) as target:
                try:
                    source.rewrite(spool, target)
                except OSError as error:
                    # What cannot be written says so itself.
                    raise RunError(
                        f"{shard.container} cannot be put together: its source, or what was put "
                        f"aside for it in {place}, cannot be read ({error.strerror}). Mend that, "
                        "then run the same command again: it goes on from here."
                    ) from error

    @contextmanager
    def _spooled(self, name: str, place: str) -> Iterator[BinaryIO]:
        """Open the spool of a container; errors of the block pass through."""
        with ExitStack() as stack:
            with writes_to(place):
                stream = stack.enter_context(self.store.spool(name))
            try:
                yield stream
            finally:
                # It may hold what could not be written yet.
                with writes_to(place):
                    stack.close()

    def finish(self, gone: Iterable[str]) -> None:
        """Do nothing: all that is no image is in the containers."""


class ShardInMaking:
    """A container in the making."""

    def __init__(self, source: OpenContainer, spool: Spool, place: str) -> None:
        self._source = source
        self._spool = spool
        self._place = place

    def write(self, record: ImageRecord, data: bytes) -> None:
        """Take one image.

        Raises:
            RunError: If it cannot be written: the disk is full.
        """
        try:
            self._spool.put(record.image_id, data)
        except OSError as error:
            raise unwritable(self._place, error) from error

    def discard(self, record: ImageRecord) -> None:
        """Make sure that the image is not in the output; its whole sample goes with it."""
        self._spool.drop(record.image_id)

    def withdrawn(self) -> Collection[str]:
        """Give the images that were written and go because another of their sample failed."""
        written = set(self._spool.ids())
        return written - set(self._source.released(written))
