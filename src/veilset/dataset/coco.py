# SPDX-License-Identifier: Apache-2.0
"""A data set with COCO's JSON: a folder of images, and files that tell what is in them.

All images of the folder are the data set, whether a JSON names them or not. Of the JSON only the
entries of images that are not in the release are taken out; all else stays byte by byte.
"""

from __future__ import annotations

import json
import posixpath
import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from veilset.dataset.folder import (
    FOR_ANNOTATIONS,
    IMAGE_SUFFIXES,
    MAX_FILE_BYTES,
    SHARD_SIZE,
    FolderReader,
    has_suffix,
)
from veilset.dataset.json_pieces import Piece, split_json
from veilset.dataset.locations import Location
from veilset.dataset.sidecars import parent_of
from veilset.dataset.stores import Store, open_place, open_store
from veilset.errors import DatasetError
from veilset.json_window import WINDOW
from veilset.protocols import Shard
from veilset.types import ImageRecord

SUFFIX = ".json"
IMAGES, ANNOTATIONS = "images", "annotations"

NO_FILE = "entries of JSON files without an image file"
NO_ENTRY = "images that no JSON names, worked on like the others"

Hashes: TypeAlias = NDArray[np.int64]

_TELLS_OF_IMAGES = "tells of images"
_BEFORE = b"\xef\xbb\xbf \t\r\n"
_GROUP = 4096
# Of a system, of another one, of a home, or an address.
_ABSOLUTE = re.compile(r"[/\\]|~[^/\\]*[/\\]|[A-Za-z][A-Za-z0-9+.-]*:[/\\]|data:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class JsonImage:
    """What a JSON says of an image.

    Attributes:
        id: By what its annotations name it.
        places: ``image_id`` that it may mean, likeliest first; the first that exists is meant.
    """

    id: str | int | float
    places: tuple[str, ...]


class CocoFile:
    """A JSON file of COCO's form.

    Attributes:
        name: POSIX path below the root of the data set.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self._folders = _folders(name)

    def is_coco(self) -> bool:
        """Read all of the file: whether it is an object with a list of images, as COCO has it.

        Raises:
            DatasetError: If an object is no JSON, is cut off, or an entry is not of COCO's form.
        """
        with self._opened() as stream:
            if not stream.read(WINDOW).lstrip(_BEFORE).startswith(b"{"):
                return False
        has_images, odd = False, None
        for piece in self._pieces():
            if piece.member == IMAGES:
                has_images = True
                if piece.place:
                    self._image(piece)
            elif piece.member == ANNOTATIONS and piece.place and not _has(piece, "image_id"):
                odd = odd or piece
        if has_images and odd:
            self._field(odd, "image_id")
        return has_images

    def images(self) -> Iterator[JsonImage]:
        """Go through the entries of its images; errors as ``is_coco``."""
        entries = (piece for piece in self._pieces() if piece.place and piece.member == IMAGES)
        return map(self._image, entries)

    def released(self, gone: Collection[str]) -> Iterator[bytes]:
        """Give the file without the entries of some images; see ``Sidecar``."""
        ids = {image.id for image in self.images() if self._is_gone(image, gone)} if gone else ()
        if not ids:
            yield from self._bytes()
            return
        first, is_begun = b"", False
        for piece in self._pieces():
            before = piece.before
            if piece.place and piece.member in (IMAGES, ANNOTATIONS):
                if piece.place == 1:
                    first, is_begun = before, False
                if self._field(piece, "id" if piece.member == IMAGES else "image_id") in ids:
                    continue
                # What stands before the first entry stands before the first that is left.
                before, is_begun = before if is_begun else first, True
            yield before + piece.item

    def _is_gone(self, image: JsonImage, gone: Collection[str]) -> bool:
        if not any(place in gone for place in image.places):
            return False
        meant = (each for each in image.places if each in gone or self.store.is_file(each))
        return next(meant) in gone

    def _pieces(self) -> Iterator[Piece]:
        with self._opened() as stream:
            yield from split_json(stream, self.store.place(self.name))

    def _bytes(self) -> Iterator[bytes]:
        with self._opened() as stream:
            while data := stream.read(WINDOW):
                yield data

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with self.store.open(self.name) as stream:
                yield stream
        except OSError as error:
            raise DatasetError(
                f"{self.store.place(self.name)} cannot be read ({error.strerror}). Check that it "
                "is there and may be read."
            ) from error

    def _image(self, piece: Piece) -> JsonImage:
        if _has(piece, "coco_url") and not _has(piece, "file_name"):
            # LVIS: the folder and the name are the end of the address.
            address = str(self._field(piece, "coco_url")).split("/")
            name = "/".join(address[-2:])
        else:
            name = str(self._field(piece, "file_name"))
        if _ABSOLUTE.match(name):
            self._refuse(piece, "its file_name is absolute: a release would name the original")
        # Of another system, too: there the other slash leads upward as well.
        if any(self._leads_out(each) for each in (name, name.replace("\\", "/"))):
            self._refuse(
                piece, "its file_name leads out of the data set: a release may name the original"
            )
        paths = (posixpath.normpath(posixpath.join(each, name)) for each in self._folders)
        inside = dict.fromkeys(path for path in paths if path.split("/")[0] != "..")
        return JsonImage(self._field(piece, "id"), tuple(inside))

    def _leads_out(self, name: str) -> bool:
        """Whether a path leads out of the data set from the folder of the JSON."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(self.name), name))
        return path == ".." or path.startswith("../")

    def _field(self, piece: Piece, key: str) -> str | int | float:
        """Give a value that an entry has to have."""
        if not _has(piece, key):
            self._refuse(piece, f"it has no {key}")
        value: str | int | float = piece.value[key]
        if isinstance(value, str) and not value.isascii():
            try:
                # The value of the piece is garbled.
                value = str(json.loads(piece.item)[key])
                value.encode()
            except UnicodeError:
                self._refuse(piece, f"its {key} is not in UTF-8")
        return value

    def _refuse(self, piece: Piece, what: str) -> NoReturn:
        raise DatasetError(
            f"{self.store.place(self.name)}, {piece.member!r}, item {piece.place:,}: {what}. "
            "Mend it, or take the file out of the data set."
        )


class CocoReader(FolderReader):
    """Reads a folder of images, nested in any way, with JSON files of COCO's form in it.

    Other JSON files are passed over, as all that is no image is.
    """

    def __init__(self, location: Location, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the data set; nothing is listed yet.

        Args:
            location: The folder, or one JSON file: then its folder, or the one above if that
                has no image and a name like ``annotations``. Other JSON files are passed over.
            max_file_bytes: Larger images are refused.

        Raises:
            DatasetError: If the place is missing, or may not be read.
        """
        _, name = open_place(location)
        folder = location
        if name:
            folder, _ = parent_of(location)
            above, last = parent_of(folder)
            if last.lower() in FOR_ANNOTATIONS and not _has_image(open_store(folder)):
                folder, name = above, f"{last}/{name}"
        super().__init__(folder, max_file_bytes=max_file_bytes)
        self._only = name
        self._sidecars: tuple[CocoFile, ...] = ()
        self._hashes = array("q")

    def __getstate__(self) -> dict[str, object]:
        # Hashes of texts are others in another process.
        return self.__dict__ | {"_hashes": array("q")}

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Give what identifies the data set in a run manifest."""
        facts = {"layout": "coco", "root": self.store.describe()}
        return facts | ({"json": self._only} if self._only else {})

    def sidecars(self) -> tuple[CocoFile, ...]:
        """Give the JSON files of COCO's form; the first call reads all JSON files."""
        if not self._sidecars:
            found = (CocoFile(self.store, name) for name in self._names())
            self._sidecars = tuple(each for each in found if each.is_coco())
        if not self._sidecars:
            place = self.store.place(self._only) if self._only else self.root
            raise DatasetError(
                f"{place} is, or holds, no JSON of COCO's form: an object with a list "
                "'images'. Check the path, or give --layout folder."
            )
        return self._sidecars

    def shards(self, shard_size: int = SHARD_SIZE) -> Iterator[Shard]:
        """Go through the images; as ``FolderReader.shards``.

        Raises:
            DatasetError: Also if a JSON file is damaged, or none is of COCO's form.
        """
        self.sidecars()
        yield from super().shards(shard_size)

    def passed_over(self) -> Mapping[str, int]:
        """Give what the last walk passed over, and which names and images do not meet."""
        counts = Counter(self._ignored)
        del counts[_TELLS_OF_IMAGES]
        if self._sidecars and self._hashes:
            counts.update(self._unmatched())
        return {why: n for why, n in counts.items() if n}

    def _names(self) -> Iterator[str]:
        if self._only:
            yield self._only
            return
        for record in self.store.files(_not_a_json, Counter()):
            if record.problem:
                raise DatasetError(f"{self.root}: {record.image_id}: {record.problem}")
            yield record.image_id

    def _records(self) -> Iterator[ImageRecord]:
        self._hashes = array("q")
        for record in super()._records():
            self._hashes.append(hash(record.image_id))
            yield record

    def _why_not(self, name: str) -> str:
        if any(name == sidecar.name for sidecar in self._sidecars):
            return _TELLS_OF_IMAGES
        return super()._why_not(name)

    def _unmatched(self) -> dict[str, int]:
        known = np.sort(np.frombuffer(self._hashes, np.int64))
        is_named = np.zeros(len(known), np.bool_)
        n_without = 0
        for sidecar in self._sidecars:
            images = sidecar.images()
            while group := list(islice(images, _GROUP)):
                n_without += len(group) - _match(group, known, is_named)
        return {NO_FILE: n_without, NO_ENTRY: int(len(known) - is_named.sum())}


def _match(images: Sequence[JsonImage], known: Hashes, is_named: NDArray[np.bool_]) -> int:
    """Mark the files that images of a JSON mean; give the number of images that mean one.

    Args:
        images: The images.
        known: ``(N,)``, the hashes of the names of all files, sorted.
        is_named: ``(N,)``, the marks.
    """
    hashes = np.array([hash(place) for image in images for place in image.places], np.int64)
    owners = np.repeat(np.arange(len(images)), [len(image.places) for image in images])
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    hits = np.flatnonzero(known[at] == hashes)
    _, first = np.unique(owners[hits], return_index=True)
    is_named[at[hits[first]]] = True
    return len(first)


def _folders(name: str) -> tuple[str, ...]:
    """Give the folders in which a JSON file may have its images, likeliest first.

    Example:
        >>> _folders("annotations/val.json")[:5]
        ('annotations/val', 'annotations/images/val', 'annotations/val/images', 'annotations', \
'annotations/images')
    """
    folder, stem = posixpath.split(name[: -len(SUFFIX)])
    splits = dict.fromkeys((stem, stem.rpartition("_")[2]))
    found: list[str] = []
    while True:
        for split in filter(None, splits):
            inside = (split, f"images/{split}", f"{split}/images")
            found += (posixpath.join(folder, each) for each in inside)
        found += (folder, posixpath.join(folder, "images"))
        if not folder:
            return tuple(found)
        folder = posixpath.dirname(folder)


def _has(piece: Piece, key: str) -> bool:
    entry = piece.value
    return isinstance(entry, dict) and isinstance(entry.get(key), (str, int, float))


def _has_image(store: Store) -> bool:
    return next(store.files(_not_an_image, Counter()), None) is not None


def _not_an_image(name: str) -> str:
    return "" if has_suffix(name, IMAGE_SUFFIXES) else "not an image"


def _not_a_json(name: str) -> str:
    return "" if name.lower().endswith(SUFFIX) else "not a JSON"
