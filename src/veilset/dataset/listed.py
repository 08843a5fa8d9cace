# SPDX-License-Identifier: Apache-2.0
"""A data set that a text file lists: one image a line, as a path below the folder of the list.

``a/b.jpg``, or with more behind a tab (``a/b.jpg<TAB>a caption``) or with whole numbers behind
blanks, as Caffe has it (``a/b.jpg 3``). Empty lines and lines that begin with ``#`` are no images.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from veilset.dataset.folder import MAX_FILE_BYTES, FolderReader
from veilset.dataset.locations import Location
from veilset.dataset.sidecars import parent_of
from veilset.dataset.stores import Store, open_place
from veilset.dataset.tree import named
from veilset.errors import DatasetError, DecodeError
from veilset.types import ImageRecord

SUFFIXES = (".txt", ".lst")
MAX_LINE = 1 << 16
"""Bytes of the longest line."""

_GROUP = 65536
_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_WHOLE_NUMBER = re.compile(rb"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a list.

    Attributes:
        released: The line as it belongs into a release that has its image, with its end.
        name: Path of the image that it names, below the folder of the list; empty if none.
    """

    released: bytes
    name: bytes = b""

    @property
    def record(self) -> ImageRecord:
        """The image that it names."""
        return named(self.name.decode("utf-8", "surrogateescape"))


class ListFile:
    """A list of images.

    Attributes:
        name: Name of the file in its folder.
        place: Where it lies, for messages.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self.place = store.place(name)
        root = store.root
        self._folders: tuple[bytes, ...] = ()
        if isinstance(root, Path):
            self._folders = (os.fsencode(root.absolute()), os.fsencode(root.resolve()))

    def lines(self) -> Iterator[Line]:
        """Go through the lines.

        Raises:
            DatasetError: If the file cannot be read, is no text, or names what lies elsewhere.
        """
        try:
            with self.store.open(self.name) as stream:
                number = 0
                while data := stream.readline(MAX_LINE + 1):
                    number += 1
                    yield self._line(number, data)
        except OSError as error:
            raise DatasetError(
                f"The list {self.place} cannot be read ({error.strerror}). Check that it is "
                "there and may be read."
            ) from error

    def released(self, gone: Collection[str]) -> Iterator[bytes]:
        """Give the list without the lines of some images; see ``Sidecar``."""
        for line in self.lines():
            if not line.name or line.record.image_id not in gone:
                yield line.released

    def _line(self, number: int, data: bytes) -> Line:
        if len(data) > MAX_LINE or b"\0" in data:
            self._refuse(number, "it is longer than a path can be, or no UTF-8 text")
        text = data.removeprefix(_BOM) if number == 1 else data
        blanks = len(data) - len(text.lstrip(_BLANKS))
        path = _path_in(text.lstrip(_BLANKS))
        if not path or path.startswith(b"#"):
            return Line(data)
        name = self._below(number, path)
        if path.startswith(b"/"):
            # In a release it would lead to the original.
            inside = b"./" + name if name.startswith(b"#") else name
            data = data[:blanks] + inside + data[blanks + len(path) :]
        return Line(data, name)

    def _below(self, number: int, path: bytes) -> bytes:
        """Give the path of an image below the folder."""
        name = posixpath.normpath(path)
        if name.startswith(b"/"):
            inside = (name[len(f) + 1 :] for f in self._folders if name.startswith(f + b"/"))
            name = next(inside, b"..")
        if name == b".." or name.startswith(b"../") or name == b".":
            self._refuse(
                number,
                "it names what is not below the folder of the list. Put the list into a folder "
                "that holds the images",
            )
        if name.split(b"/")[0] == os.fsencode(self.name):
            self._refuse(number, "it names the list itself. Take the line out")
        return name

    def _refuse(self, number: int, what: str) -> None:
        raise DatasetError(f"The list {self.place}, line {number:,}: {what}.")


class ListReader(FolderReader):
    """Reads the images that a list names; nothing else of the folder is part of the data set.

    The order is that of every data set, not of the list. Memory holds the names, one after the
    other. What is not there, or not a file in the folder, is an image that cannot be read.
    """

    def __init__(self, location: Location, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the data set; the list is not read yet.

        Raises:
            DatasetError: If the list is missing, or its folder may not be read.
        """
        store, name = open_place(location)
        if not name:
            raise DatasetError(
                f"{store.root} is no file. Give the text file that lists the images."
            )
        super().__init__(parent_of(location)[0], max_file_bytes=max_file_bytes)
        self.list_file = ListFile(self.store, name)
        self._known: tuple[object, pa.LargeBinaryArray] | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_known": None}

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Give what identifies the data set in a run manifest."""
        return {"layout": "list", "root": self.store.describe(), "list": self.list_file.name}

    def sidecars(self) -> tuple[ListFile, ...]:
        """Give the list."""
        return (self.list_file,)

    def count(self) -> int:
        """Give the number of images that the list names."""
        return len(self._keys())

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image.

        Raises:
            DecodeError: As ``FolderReader.read``, or if it is no file, or a link that leads out
                of the folder.
        """
        if isinstance(self.root, Path) and not record.problem:
            _check_inside(self.root, record.image_id)
        return super().read(record)

    def _records(self) -> Iterator[ImageRecord]:
        keys = self._keys()
        for at in range(0, len(keys), _GROUP):
            for key in keys.slice(at, _GROUP).to_pylist():
                yield named(key.replace(b"\0", b"/").decode("utf-8", "surrogateescape"))

    def _keys(self) -> pa.LargeBinaryArray:
        """Give the names in order, each with a zero byte for every slash."""
        facts = self.store.facts(self.list_file.name)
        if self._known is None or self._known[0] != facts:
            self._known = facts, self._sorted()
        return self._known[1]

    def _sorted(self) -> pa.LargeBinaryArray:
        # A zero byte, which no path has, sorts before all else, as the end of a part does.
        names = (line.name.replace(b"/", b"\0") for line in self.list_file.lines() if line.name)
        chunks = []
        while group := list(islice(names, _GROUP)):
            chunks.append(pa.array(group, pa.large_binary()))
        if not chunks:
            raise DatasetError(
                f"The list {self.list_file.place} names no image. Write one path a line, "
                "relative to the folder of the list."
            )
        keys = pa.concat_arrays(chunks)
        keys = keys.take(_order(keys))
        twice = keys.slice(1).filter(pc.equal(keys.slice(1), keys.slice(0, len(keys) - 1)))
        if len(twice):
            self._refuse_twice(twice[0].as_py().replace(b"\0", b"/"))
        return keys

    def _refuse_twice(self, name: bytes) -> None:
        lines = enumerate(self.list_file.lines(), start=1)
        first, second = islice((number for number, line in lines if line.name == name), 2)
        image_id = named(name.decode("utf-8", "surrogateescape")).image_id
        raise DatasetError(
            f"The list {self.list_file.place} names {image_id!r} in the "
            f"lines {first:,} and {second:,}. Take one of them out."
        )


def _order(keys: pa.LargeBinaryArray) -> pa.UInt64Array:
    """Give the places of names in the order of data sets: by what they are listed by."""
    try:
        return pc.sort_indices(keys.cast(pa.large_string()))
    except pa.ArrowInvalid:
        # One that is not UTF-8 is listed by another name, which sorts elsewhere: see tree.named.
        ids = (key.as_py().decode("utf-8", "backslashreplace") for key in keys)
        table = pa.table({"id": pa.array(ids, pa.large_string()), "name": keys})
        return pc.sort_indices(table, [("id", "ascending"), ("name", "ascending")])


def _path_in(text: bytes) -> bytes:
    """Give the path that a line begins with, empty if it is blank.

    Example:
        >>> [_path_in(text) for text in (b"a b.jpg 3 -1\\r\\n", b"a 1\\tof 2", b"7", b" ")]
        [b'a b.jpg', b'a 1', b'7', b'']
    """
    path, tab, _ = text.partition(b"\t")
    path = path.rstrip(_BLANKS)
    while not tab:
        head, blank, column = path.rpartition(b" ")
        if not blank or not _WHOLE_NUMBER.fullmatch(column):
            break
        path = head.rstrip(_BLANKS)
    return path


def _check_inside(root: Path, image_id: str) -> None:
    """Refuse an image that is no plain file in the folder.

    Raises:
        DecodeError: If it is not.
    """
    try:
        real = os.path.realpath(root / image_id, strict=True)
        mode = Path(real).stat().st_mode
    except OSError:
        # Whoever opens it says what is wrong.
        return
    if not Path(real).is_relative_to(root.resolve()):
        raise DecodeError(
            "unsupported", "It is a link that leads out of the folder of the list. Copy the file."
        )
    # A pipe would be waited for without end.
    if not stat.S_ISREG(mode):
        raise DecodeError("unreadable", "It is no plain file. Take it out of the list.")
