# SPDX-License-Identifier: Apache-2.0
"""The originals, the output and the record of the run, side by side in one order.

Nothing in the output is passed over: hidden files, links and empty folders are entries
like any other. Memory holds the names of one folder of each tree and a shard of the record.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from veilset.dataset.containers import ContainerReader, OpenContainer
from veilset.dataset.folder import MAX_FILE_BYTES, SHARD_SIZE
from veilset.dataset.locations import Location
from veilset.dataset.sidecars import Sidecar, SidecarReader, find_difference
from veilset.dataset.stores import Store, open_store
from veilset.errors import DatasetError, DecodeError, RunError
from veilset.faults import stop_at_fault
from veilset.protocols import Reader, Shard
from veilset.records.outcomes import ImageOutcome, OutcomeTable, not_released
from veilset.runs import read_manifest
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
    """A file of the data set that holds images, or tells of them and is none itself."""


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

    def __init__(self, photos: Reader, out: Location, record: Path) -> None:
        """Say where they are.

        Args:
            photos: The originals.
            out: The output.
            record: Record of the obfuscation run.

        Raises:
            RunError: If the output is missing.
        """
        self.photos = photos
        store = open_output(out, "Give the output of the obfuscation.")
        self.record = record
        self._originals_store = _store_of(photos)
        self._containers: ContainerReader[Any, OpenContainer] | None = (
            photos if isinstance(photos, ContainerReader) else None
        )
        self._outputs = self._containers.like(out) if self._containers else None
        # One store, so that a container at a URL is fetched once for both.
        self.out = self._outputs.store if self._outputs else store
        self._sidecars: dict[str, Sidecar] = (
            {each.name: each for each in photos.sidecars()}
            if isinstance(photos, SidecarReader)
            else {}
        )
        self._gone: frozenset[str] | None = None

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Give what identifies the originals and the output in a run manifest."""
        return {**self.photos.describe(), "out": self.out.describe()}

    def count(self) -> int:
        """Give the number of entries.

        Where containers would have to be opened for that, it is what there has to be; files
        that came from elsewhere, or are gone, are not in it.
        """
        if self._containers:
            n_containers = sum(1 for _ in self._containers.containers())
            return n_containers + int(OutcomeTable(self.record).manifest["n_images"])
        return sum(1 for _ in self.entries())

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
        return self.out.read(entry.image_id, MAX_FILE_BYTES, follow=False)

    def digest_output(self, image_id: str) -> tuple[str, int]:
        """Give SHA-256 and size of a file in the output; errors as ``digest_file``."""
        return digest_file(self.out, image_id)

    def find_difference(self, container: str, written: Mapping[str, int]) -> str:
        """Say where a file of the output that is no image is not what it should be, "" if it is.

        Args:
            container: Its name: a container, or a file that tells of images.
            written: Number of bytes of each image that the run wrote into it.

        Raises:
            DecodeError: If it cannot be read.
        """
        try:
            with self.out.open(container, follow=False) as other:
                if sidecar := self._sidecars.get(container):
                    return find_difference(sidecar, self._not_released(), other)
                if self._containers is None:
                    raise TypeError("images of this data set are files of their own")
                with self._containers.open_container(container) as source:
                    return source.find_difference(other, written)
        except OSError as error:
            raise _unreadable(error, self.out.place(container)) from error

    def written_into(self, container: str) -> dict[str, int]:
        """Give the number of bytes of each image that the run wrote into a container, by name."""
        if self._containers is None:
            return {}
        images = self._containers.listing(container).records
        table = OutcomeTable(self.record)
        rows = (table.find(image) for image in images)
        return {row.image_id: row.n_bytes_out for row in rows if row and row.outcome.is_released}

    def _not_released(self) -> frozenset[str]:
        if self._gone is None:
            n_shards = int(read_manifest(self.record)["n_shards"])
            self._gone = frozenset(not_released(self.record, range(n_shards)))
        return self._gone

    def _originals(self) -> Iterator[ImageRecord]:
        sidecars = [Container(name) for name in self._sidecars]
        return heapq.merge(self._images(), sidecars, key=lambda each: each.order_key)

    def _images(self) -> Iterator[ImageRecord]:
        """Go through the originals, each container before its images."""
        for shard in self.photos.shards(SHARD_SIZE):
            if shard.container:
                yield Container(shard.container)
            yield from shard.records

    def _found(self) -> Iterator[Found]:
        """Go through the output; a container of the data set is followed by its images."""
        containers = set(self._containers.containers()) if self._containers else set()
        for found in list_tree(self.out):
            if found.kind == "file" and found.image_id in self._sidecars:
                yield Found(found.image_id, "", "container")
                continue
            if found.kind != "file" or found.image_id not in containers or not self._outputs:
                yield found
                continue
            yield Found(found.image_id, "", "container")
            try:
                images = self._outputs.listing(found.image_id).records
            except DatasetError:
                # Its images count as missing, and the container as changed.
                continue
            for image in images:
                yield Found(image.image_id, image.problem, "member")

    def state(self) -> str:
        """Give a digest of the names, sizes and times of every file of both trees.

        Any write to a file changes it (``ctime`` cannot be set back by ordinary means), so
        equal digests mean that a finished verification still speaks of what is there. No file
        is opened for it: a container at a URL would have to be fetched.
        """
        digest = hashlib.sha256()
        for each in self._facts():
            digest.update(repr(each).encode("utf-8", "backslashreplace"))
        return digest.hexdigest()

    def _facts(self) -> Iterator[tuple[str, str, object]]:
        """Go through the files of both trees: name, kind, and what changes with the file."""
        originals: Iterable[ImageRecord] = (
            map(ImageRecord, self._containers.containers())
            if self._containers
            else self._originals()
        )
        for each in originals:
            facts = None if each.problem else self._originals_store.facts(each.image_id)
            yield each.image_id, "original", facts
        for found in list_tree(self.out):
            facts = None if found.problem else self.out.facts(found.image_id)
            yield found.image_id, found.kind, facts


@runtime_checkable
class _Stored(Protocol):
    """A reader that says where its files are."""

    @property
    def store(self) -> Store: ...


def _store_of(photos: Reader) -> Store:
    if isinstance(photos, _Stored):
        return photos.store
    return open_store(str(photos.describe()["root"]))


def open_output(out: Location, what_to_do: str) -> Store:
    """Give the store of an output.

    Raises:
        RunError: If it is missing.
    """
    store = open_store(out)
    try:
        is_there = store.is_there()
    except OSError as error:
        raise RunError(
            f"{store.root} cannot be reached ({error.strerror}). Check the URL and the credentials."
        ) from error
    if not is_there:
        raise RunError(f"There is no folder {store.root}. {what_to_do}")
    return store


def keyed(
    items: Iterable[ImageRecord] | Iterable[ImageOutcome],
) -> Iterator[tuple[_SortKey, ImageRecord | ImageOutcome]]:
    """Give each item with a key that rises along the stream.

    Names that are not UTF-8 are listed by a readable form. It may be the name of another file,
    and earlier records have it where the name itself sorts: such an item gets the place at
    which it came.
    """
    last: tuple[str, ...] = ()
    for item in items:
        key = tuple(item.image_id.split("/"))
        if key > last:
            last = key
            yield (key, False, item.image_id), item
        else:
            yield (last, True, item.image_id), item


def list_tree(store: Store) -> Iterator[Found]:
    """Go through everything in an output, in the order of data sets; no link is followed.

    Raises:
        RunError: If it cannot be listed.
    """
    try:
        for name, kind in store.everything():
            yield _found(name, kind)
    except OSError as error:
        raise RunError(
            f"The folder {error.filename or store.root} cannot be listed ({error.strerror}). "
            "Check its permissions."
        ) from error


def digest_file(store: Store, name: str) -> tuple[str, int]:
    """Give SHA-256 and size of a file that is no link, reading it piece by piece.

    Raises:
        DecodeError: If it cannot be read, or is no plain file.
    """
    try:
        with store.open(name, follow=False) as stream:
            # BinaryIO does not name readinto, which every stream of a descriptor has.
            digest = hashlib.file_digest(stream, "sha256")  # type: ignore[arg-type]
            return digest.hexdigest(), stream.tell()
    except OSError as error:
        raise _unreadable(error, store.place(name)) from error


def _unreadable(error: OSError, place: str) -> DecodeError:
    stop_at_fault(error, place)
    return DecodeError(
        "unreadable", f"The file cannot be read ({error.strerror}). Check its permissions."
    )


def _found(name: str, kind: str) -> Found:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return Found(readable, "The name is not valid UTF-8.", kind)
    return Found(name, "", kind)
