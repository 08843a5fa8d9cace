# SPDX-License-Identifier: Apache-2.0
"""The originals, the output and the record of the run, side by side in one order.

Nothing in the output is passed over: hidden files, links and empty folders are entries
like any other. Memory holds the names of one folder of each tree and a shard of the record.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from veilset.dataset.folder import MAX_FILE_BYTES, SHARD_SIZE
from veilset.dataset.tar_compare import find_difference
from veilset.dataset.webdataset import WebDatasetReader
from veilset.errors import DatasetError, DecodeError, RunError
from veilset.protocols import Reader, Shard
from veilset.records.outcomes import ImageOutcome, OutcomeTable
from veilset.types import ImageRecord

_SortKey = tuple[tuple[str, ...], bool, str]


@dataclass(frozen=True, slots=True)
class Found(ImageRecord):
    """Something in the output.

    Attributes:
        kind: ``file``, ``link``, ``folder`` (one without a file below it), ``other``; in a data
            set of containers also ``container``, and ``member`` for an image inside of one.
    """

    kind: str = "file"


@dataclass(frozen=True, slots=True)
class Container(ImageRecord):
    """A file of the data set that holds images."""


@dataclass(frozen=True, slots=True)
class Entry(ImageRecord):
    """What is known under one name, before anything is opened.

    Attributes:
        original: The image in the data set, None if there is none.
        found: What is in the output, None if there is nothing.
        outcome: What the run recorded, None if it recorded nothing.
    """

    original: ImageRecord | None = None
    found: Found | None = None
    outcome: ImageOutcome | None = None


class Trees:
    """Reads the three together; what ``drive`` calls a reader. Holds no open file."""

    def __init__(self, photos: Reader, out: Path, record: Path) -> None:
        """Say where they are.

        Args:
            photos: The originals.
            out: The output folder.
            record: Record of the obfuscation run.

        Raises:
            RunError: If the output folder is missing.
        """
        if not out.is_dir():
            raise RunError(f"There is no folder {out}. Give the output of the obfuscation.")
        self.photos = photos
        self.out = out
        self.record = record
        self._root = str(photos.describe()["root"])
        self._tars = photos if isinstance(photos, WebDatasetReader) else None
        self._outputs = WebDatasetReader(out) if self._tars else None
        self._n_entries: int | None = None

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Give what identifies the originals and the output in a run manifest."""
        return {**self.photos.describe(), "out": str(self.out.resolve())}

    def count(self) -> int:
        """Give the number of entries."""
        if self._n_entries is None:
            self._n_entries = sum(1 for _ in self.entries())
        return self._n_entries

    def shards(self, shard_size: int = SHARD_SIZE) -> Iterator[Shard]:
        """Go through the entries, ``shard_size`` at a time."""
        index, batch = 0, []
        for entry in self.entries():
            batch.append(entry)
            if len(batch) == shard_size:
                yield Shard(index, tuple(batch))
                index, batch = index + 1, []
        if batch:
            yield Shard(index, tuple(batch))

    def entries(self) -> Iterator[Entry]:
        """Go through every name that is in the data set, in the output or in the record."""
        outcomes = iter(OutcomeTable(self.record))
        streams = (
            ((key, "original", item) for key, item in keyed(self._originals())),
            ((key, "found", item) for key, item in keyed(self._found())),
            ((key, "outcome", item) for key, item in keyed(outcomes)),
        )
        for (_, _, image_id), group in groupby(
            heapq.merge(*streams, key=itemgetter(0)), key=itemgetter(0)
        ):
            named: dict[str, Any] = {name: item for _, name, item in group}
            yield Entry(image_id, **named)

    def passed_over(self) -> Mapping[str, int]:
        """Give what lies in the data set and is not part of it."""
        return self.photos.passed_over()

    @contextmanager
    def open_shard(self, shard: Shard) -> Iterator[Self]:
        """Open a shard; its entries are read one by one."""
        yield self

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of an original; errors as ``Reader.read``."""
        return self.photos.read(record)

    def read_output(self, entry: Entry) -> bytes:
        """Give the bytes of a file in the output, following no link.

        Raises:
            DecodeError: If it cannot be read, or is larger than any image may be.
        """
        if self._outputs and entry.found and entry.found.kind == "member":
            return self._outputs.read(ImageRecord(entry.image_id))
        return read_plain_file(self.out / entry.image_id)

    def find_difference(self, container: str, written: Mapping[str, int]) -> str:
        """Say where a container of the output differs from its original but for its images.

        Args:
            container: Its name.
            written: Number of bytes of each image that the run wrote into it.

        Raises:
            DecodeError: If it cannot be read.
        """
        if self._tars is None:
            raise TypeError("images of this data set are files of their own")
        with self._tars.open_container(container) as source:
            try:
                return find_difference(source, self.out / container, written)
            except OSError as error:
                raise DecodeError(
                    "unreadable", f"It cannot be read ({error.strerror}). Check its permissions."
                ) from error

    def written_into(self, container: str) -> dict[str, int]:
        """Give the number of bytes of each image that the run wrote into a container, by name."""
        if self._tars is None:
            return {}
        with self._tars.open_container(container) as source:
            images = [member.record for member in source.index.images() if member.record]
        table = OutcomeTable(self.record)
        rows = (table.find(image) for image in images)
        return {
            row.image_id: row.n_bytes_out
            for row in rows
            if row and row.outcome.is_released
        }

    def _originals(self) -> Iterator[ImageRecord]:
        for shard in self.photos.shards(SHARD_SIZE):
            if shard.container:
                yield Container(shard.container)
            yield from shard.records

    def _found(self) -> Iterator[Found]:
        """Go through the output; a container of the data set is followed by its images."""
        containers = set(self._tars.containers()) if self._tars else set()
        for found in list_tree(self.out):
            if found.kind != "file" or found.image_id not in containers or not self._outputs:
                yield found
                continue
            yield Found(found.image_id, "", "container")
            try:
                with self._outputs.open_container(found.image_id) as tar:
                    images = [member.record for member in tar.index.images() if member.record]
            except DatasetError:
                # Its images count as missing, and the container as changed.
                continue
            for image in images:
                yield Found(image.image_id, image.problem, "member")

    def state(self) -> str:
        """Give a digest of the names, sizes and times of every file of both trees.

        Any write to a file changes it (``ctime`` cannot be set back by ordinary means), so
        equal digests mean that a finished verification still speaks of what is there.
        """
        digest = hashlib.sha256()
        n_entries = 0
        for entry in self.entries():
            n_entries += 1
            paths = (self._original_path(entry), self._found_path(entry))
            facts = [_facts(path) for path in paths if path]
            name = entry.image_id, entry.found and entry.found.kind
            digest.update(repr((name, facts)).encode("utf-8", "backslashreplace"))
        self._n_entries = n_entries
        return digest.hexdigest()

    def _original_path(self, entry: Entry) -> str:
        """Give the path of the file of an original, "" if it has none of its own."""
        if self._tars:
            is_file = isinstance(entry.original, Container)
            return str(self._tars.path_of(entry.image_id)) if is_file else ""
        is_usable = entry.original and not entry.original.problem
        return f"{self._root}/{entry.image_id}" if is_usable else ""

    def _found_path(self, entry: Entry) -> str:
        found = entry.found
        is_file = found and not found.problem and found.kind != "member"
        return f"{self.out}/{entry.image_id}" if is_file else ""


def keyed(
    items: Iterable[ImageRecord] | Iterable[ImageOutcome],
) -> Iterator[tuple[_SortKey, ImageRecord | ImageOutcome]]:
    """Give each item with a key that rises along the stream.

    Names that are not UTF-8 are listed by a readable form, which sorts elsewhere than the
    name itself; such an item gets the place at which it came.
    """
    last: tuple[str, ...] = ()
    for item in items:
        key = tuple(item.image_id.split("/"))
        if key > last:
            last = key
            yield (key, False, item.image_id), item
        else:
            yield (last, True, item.image_id), item


def list_tree(root: Path) -> Iterator[Found]:
    """Go through everything below a folder, in the order of data sets; no link is followed.

    Raises:
        RunError: If a folder cannot be listed.
    """
    # A stack instead of recursion: an attacker's tree may be deeper than Python's stack.
    stack = [(iter(_scan(str(root))), str(root), "")]
    while stack:
        entries, folder, prefix = stack[-1]
        name, kind = next(entries, ("", ""))
        if not kind:
            stack.pop()
            continue
        if kind == "folder":
            inside = _scan(f"{folder}/{name}")
            if inside:
                stack.append((iter(inside), f"{folder}/{name}", f"{prefix}{name}/"))
                continue
        yield _found(prefix + name, kind)


def read_plain_file(path: Path) -> bytes:
    """Give the bytes of a file that is no link.

    Raises:
        DecodeError: If it cannot be read, is no plain file or is over the limit.
    """
    with _open_plain(path) as stream:
        n_bytes = os.fstat(stream.fileno()).st_size
        if n_bytes > MAX_FILE_BYTES:
            raise DecodeError(
                "over-limit", f"The file has {n_bytes:,} bytes, the limit is {MAX_FILE_BYTES:,}."
            )
        return stream.read()


def digest_plain_file(path: Path) -> tuple[str, int]:
    """Give SHA-256 and size of a file that is no link, reading it piece by piece.

    Raises:
        DecodeError: If it cannot be read, or is no plain file.
    """
    with _open_plain(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()


@contextmanager
def _open_plain(path: Path) -> Iterator[BufferedReader]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DecodeError("unreadable", "It is no plain file. Remove it.")
            yield stream
    except OSError as error:
        raise DecodeError(
            "unreadable", f"The file cannot be read ({error.strerror}). Check its permissions."
        ) from error


def _scan(folder: str) -> list[tuple[str, str]]:
    """Give name and kind of everything in a folder, sorted."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, _kind(entry)) for entry in entries)
    except OSError as error:
        raise RunError(
            f"The folder {folder} cannot be listed ({error.strerror}). Check its permissions."
        ) from error


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


def _found(name: str, kind: str) -> Found:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return Found(readable, "The name is not valid UTF-8.", kind)
    return Found(name, "", kind)


def _facts(path: str) -> tuple[int, ...] | None:
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_mode, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
