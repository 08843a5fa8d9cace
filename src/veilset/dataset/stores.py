# SPDX-License-Identifier: Apache-2.0
"""Where the files of a data set lie: what readers and writers ask of a place, by name.

A name is a POSIX path below the root. What goes wrong with a file is an ``OSError`` with a
``strerror``, whatever the place is: those who know what the file was for make a sentence of it.
A place that is out of reach is a ``RunError``: it is not one file that is wrong.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast, runtime_checkable

from veilset.dataset.locations import Location, location_of
from veilset.dataset.patience import check_disk, read_again, read_from_disk
from veilset.dataset.sentences import check_name, check_size, unreadable, unwritable
from veilset.dataset.targets import open_target, writes_to
from veilset.dataset.tree import FileTree, WhyNot, list_everything
from veilset.errors import DatasetError
from veilset.faults import stop_at_fault
from veilset.files import PART_PREFIX, discard_part, part_path, write_atomically
from veilset.images.first_bytes import HEAD_BYTES
from veilset.types import ImageRecord

_N_FOLDERS_KEPT = 1024
"""Folders that a store remembers having made: a data set may have one for each image."""


@runtime_checkable
class Store(Protocol):
    """A place that holds files by name. It pickles, and holds no open connection."""

    @property
    def root(self) -> Location:
        """The place; a path where it is local."""

    def describe(self) -> str:
        """Give the place as it stands in the manifest of a run."""

    def place(self, name: str) -> str:
        """Give where a file lies, for messages."""

    def check(self) -> None:
        """Make sure that the place is there and can be listed.

        Raises:
            DatasetError: If it cannot.
        """

    def is_there(self) -> bool:
        """Whether there is such a place; an object store has it once it has its bucket.

        Raises:
            OSError: If it cannot be reached.
        """

    def is_empty(self) -> bool:
        """Whether nothing is there; OSError if it cannot be listed."""

    def visible(self, folder: str) -> Sequence[tuple[str, bool]]:
        """Give what is in a folder and not hidden, in any order; nothing if it cannot be listed.

        Args:
            folder: Its name, "" for the root.

        Returns:
            Names, and whether each is a folder. A link is none.
        """

    def files(self, why_not: WhyNot, ignored: Counter[str]) -> Iterator[ImageRecord]:
        """Go through the files that are wanted, in the order of data sets.

        Hidden ones, and what leads out of the place, are passed over.

        Args:
            why_not: Says of a name why that file is not wanted, "" if it is.
            ignored: Counts what is passed over, by why.

        Raises:
            DatasetError: If it cannot be listed.
        """

    def everything(self) -> Iterator[tuple[str, str]]:
        """Go through every name there is, in the order of data sets, hidden ones too.

        Yields:
            Name, and ``file``, ``link``, ``folder`` (one with nothing below it) or ``other``.

        Raises:
            OSError: If it cannot be listed.
        """

    def is_file(self, name: str) -> bool:
        """Whether there is a file of this name."""

    def open(self, name: str, *, follow: bool = True) -> AbstractContextManager[BinaryIO]:
        """Open a file to read, with a descriptor from which threads may ``pread``.

        Args:
            name: Its name.
            follow: Whether a link is followed; without, only a plain file is opened.

        Raises:
            OSError: If it cannot be read.
        """

    def read(self, name: str, max_bytes: int, *, follow: bool = True) -> bytes:
        """Give all of a file; arguments as ``open``.

        Raises:
            DecodeError: If it is gone, cannot be read, or has more than ``max_bytes``.
            RunError: If not the file is at fault, but the machine or the whole place.
        """

    def head(self, name: str) -> bytes:
        """Give the first ``HEAD_BYTES`` of a file; OSError if it cannot be read."""

    def facts(self, name: str) -> object:
        """Give what changes when the file does, as it is or was listed last; None if it is gone.

        The ``repr`` of equal facts is equal.
        """

    def version(self, name: str) -> object:
        """Give what changes when the content of a file does; None if there is no file.

        As it is now, and of what a link leads to.
        """

    def room(self, name: str) -> str:
        """Give where the spool of a file takes its room, for messages."""

    def spool(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file without a name, to write and read, where there is room for that one.

        Raises:
            OSError: If it cannot be made.
        """

    def write(self, name: str, data: bytes) -> None:
        """Write a file; it appears whole or not at all.

        Raises:
            RunError: If it cannot be written: the disk is full, or read-only.
            DatasetError: If the name leads out of the place.
        """

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file to write; it appears when the block ends without an exception.

        An ``OSError`` of the block is none of this file, and passes through.

        Raises:
            RunError, DatasetError: As ``write``.
        """

    def delete(self, name: str) -> None:
        """Make sure that there is no file of this name; errors as ``write``."""


class LocalStore:
    """A local folder.

    Attributes:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: set[Path] = set()
        self._last_read = ""

    def describe(self) -> str:
        """Give the real path of the folder."""
        return str(self.root.resolve())

    def place(self, name: str) -> str:
        """Give the path of a file."""
        return str(self.root / name)

    def check(self) -> None:
        """Make sure that the folder is there and may be read."""
        root = self.root
        if not root.exists():
            raise DatasetError(f"There is no folder {root}. Check the path.")
        if not root.is_dir():
            raise DatasetError(f"{root} is not a folder. Give the folder that holds the images.")
        if not os.access(root, os.R_OK | os.X_OK):
            raise DatasetError(f"The folder {root} may not be read. Check its permissions.")

    def is_there(self) -> bool:
        """Whether there is such a folder."""
        return self.root.is_dir()

    def is_empty(self) -> bool:
        """Whether nothing is in the folder."""
        with os.scandir(self.root) as entries:
            return next(entries, None) is None

    def visible(self, folder: str) -> Sequence[tuple[str, bool]]:
        """Give what is in a folder and not hidden."""
        prefix = f"{folder}/" if folder else ""
        try:
            with os.scandir(self.root / folder) as entries:
                return [
                    (prefix + entry.name, entry.is_dir(follow_symlinks=False))
                    for entry in entries
                    if not entry.name.startswith(".")
                ]
        except OSError:
            return []

    def files(self, why_not: WhyNot, ignored: Counter[str]) -> Iterator[ImageRecord]:
        """Go through the wanted files; see ``FileTree``."""
        return FileTree(self.root, why_not, ignored).records()

    def everything(self) -> Iterator[tuple[str, str]]:
        """Go through every name below the folder; memory holds the names of one folder."""
        return list_everything(self.root)

    def is_file(self, name: str) -> bool:
        """Whether there is a file, or a link to one."""
        return (self.root / name).is_file()

    @contextmanager
    def open(self, name: str, *, follow: bool = True) -> Iterator[BinaryIO]:
        """Open a file where it lies."""
        path = f"{self.root}/{name}"
        if follow:
            # Path.open would take as long as a small read.
            with open(path, "rb") as stream:  # noqa: PTH123
                yield stream
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(0, "it is no plain file")
            yield stream

    def read(self, name: str, max_bytes: int, *, follow: bool = True) -> bytes:
        """Give all of a file."""

        def whole() -> bytes:
            with self.open(name, follow=follow) as stream:
                check_size(os.fstat(stream.fileno()).st_size, max_bytes)
                return stream.read()

        try:
            data = read_again(whole)
        except OSError as error:
            stop_at_fault(error, self.place(name))
            check_disk(error, str(self.root), self._read_other)
            raise unreadable(error) from error
        self._last_read = name
        return data

    def head(self, name: str) -> bytes:
        """Give the first bytes of a file."""
        with self.open(name) as stream:
            return stream.read(HEAD_BYTES)

    def facts(self, name: str) -> object:
        """Give mode, inode, size and times: ``ctime`` cannot be set back by ordinary means."""
        try:
            return _numbers(os.lstat(f"{self.root}/{name}"))
        except OSError:
            return None

    def version(self, name: str) -> object:
        """Give the same numbers of what a link leads to."""
        try:
            return _numbers((self.root / name).stat())
        except OSError:
            return None

    def room(self, name: str) -> str:
        """Give the path of the file: its spool lies beside it."""
        return self.place(name)

    @contextmanager
    def spool(self, name: str) -> Iterator[BinaryIO]:
        """Open a nameless file on the disk on which that one is to lie."""
        folder = self._folder_for(name)
        # Without a name where the system can do that: nothing is left of it after a kill.
        with tempfile.TemporaryFile(dir=folder, prefix=PART_PREFIX) as stream:
            yield cast(BinaryIO, stream)

    def write(self, name: str, data: bytes) -> None:
        """Write a file under a temporary name and rename it."""
        try:
            self._folder_for(name)
            write_atomically(self.root / name, data)
        except OSError as error:
            raise unwritable(self.place(name), error) from error

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Open a file under a temporary name, to be renamed."""
        path, place = self.root / name, self.place(name)
        with writes_to(place):
            self._folder_for(name)
        part = part_path(path)
        try:
            with open_target(part, place) as stream:
                yield stream
            with writes_to(place):
                part.replace(path)
        except BaseException:
            discard_part(part)
            raise

    def delete(self, name: str) -> None:
        """Make sure that there is no file of this name."""
        check_name(name)
        try:
            (self.root / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.place(name), error) from error

    def _read_other(self) -> None:
        """Read from the disk what could be read before."""
        with os.scandir(self.root) as entries:
            next(entries, None)
        if self._last_read:
            with self.open(self._last_read) as stream:
                read_from_disk(stream.fileno())

    def _folder_for(self, name: str) -> Path:
        """Give the folder of a file, which is there afterwards."""
        check_name(name)
        folder = (self.root / name).parent
        if folder not in self._made:
            _make_with_parents(folder)
            if len(self._made) >= _N_FOLDERS_KEPT:
                self._made.clear()
            self._made.add(folder)
        return folder


def open_store(location: Location) -> Store:
    """Give the store at a place; nothing is looked up or made yet.

    Raises:
        ConfigError: If it is a chain of URLs, or a path that was a URL before.
    """
    location = location_of(location)
    if isinstance(location, Path):
        return LocalStore(location)
    from veilset.dataset.remote import RemoteStore

    return RemoteStore(location)


def open_place(location: Location) -> tuple[Store, str]:
    """Give the store that a place lies in, and its name there if it is a single file, else ""."""
    store = open_store(location)
    if isinstance(store.root, Path):
        if store.root.is_file():
            return LocalStore(store.root.parent), store.root.name
        return store, ""
    folder, _, name = str(location).rstrip("/").rpartition("/")
    if not folder.endswith("/"):
        parent = open_store(folder)
        if parent.is_file(name):
            return parent, name
    return store, ""


def _numbers(facts: os.stat_result) -> tuple[int, ...]:
    return facts.st_mode, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _make_with_parents(folder: Path) -> None:
    """Make a folder and those above it; ``Path.mkdir`` calls itself for each, a tree is deeper."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
