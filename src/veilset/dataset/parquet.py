# SPDX-License-Identifier: Apache-2.0
"""A data set in Parquet files, as Hugging Face's ``datasets`` has it: an image is in a row.

A Parquet file is a shard. It is read where it lies; written anew, it has the same name, schema,
metadata, row groups and values, and other images.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from veilset.dataset import parquet_compare, parquet_rewrite
from veilset.dataset.containers import ContainerReader
from veilset.dataset.folder import MAX_FILE_BYTES
from veilset.dataset.locations import Location
from veilset.dataset.parquet_file import open_parquet
from veilset.dataset.parquet_index import ELSEWHERE, NO_IMAGE, NO_PIXELS, ParquetIndex, read_index
from veilset.dataset.parquet_pictures import Pictures
from veilset.dataset.spools import Spool
from veilset.errors import DecodeError
from veilset.protocols import Shard
from veilset.types import ImageRecord

PARQUET_SUFFIX = ".parquet"
_N_KEPT = 2
"""Files whose images a reader keeps apart, for what reads them one by one."""

_Key = tuple[str, tuple[int, ...]]


class OpenParquet:
    """A Parquet file that is open for reading, from several threads at once."""

    def __init__(
        self, reader: ParquetReader, stream: BinaryIO, index: ParquetIndex, name: str
    ) -> None:
        self.index = index
        self._reader = reader
        self._stream = stream
        self._name = name
        self._place = reader.store.place(name)
        self._pictures: Pictures | None = None

    def records(self) -> Sequence[ImageRecord]:
        """Give its images, in the order of data sets."""
        return self.index.records

    def passed_over(self) -> Mapping[str, int]:
        """Give nothing: every row is carried over, and every image of it is listed."""
        return {}

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image.

        Raises:
            DecodeError: If it is not there, or is larger than the limit.
            DatasetError: If the file is damaged, or not what it was when listed.
        """
        place = self.index.place_of(record.image_id)
        state = NO_IMAGE if place is None else self.index.states[place.row, place.column]
        if place is None or state == NO_IMAGE:
            raise DecodeError("missing", "The image is not in the Parquet file any more.")
        if state == ELSEWHERE:
            raise DecodeError("missing", NO_PIXELS)
        pictures = self.pictures()
        n_bytes = pictures.size(place)
        if n_bytes > self._reader.max_file_bytes:
            raise DecodeError(
                "over-limit",
                f"The image has {n_bytes:,} bytes, the limit is "
                f"{self._reader.max_file_bytes:,}. Make it smaller.",
            )
        return pictures.read(place)

    def pictures(self) -> Pictures:
        """Give its images, copied out of it once; errors as ``Pictures``."""
        if self._pictures is None:
            self._pictures = self._reader.pictures_of(self._stream, self.index, self._name)
        return self._pictures

    def released(self, written: Collection[str]) -> Collection[str]:
        """Give the images in the output: those of rows of which every image was written."""
        is_kept = parquet_rewrite.kept_rows(self.index, written)
        places = {
            record.image_id: self.index.place_of(record.image_id) for record in self.records()
        }
        return [name for name, place in places.items() if place and is_kept[place.row]]

    def rewrite(self, images: Spool, target: BinaryIO) -> None:
        """Write the file anew with other images; errors as ``parquet_rewrite.rewrite``."""
        parquet_rewrite.rewrite(self._stream, self.index, self._place, images, target)

    def find_difference(self, other: BinaryIO, written: Mapping[str, int]) -> str:
        """Say where another file is not what this one and its images make it, "" if it is."""
        return parquet_compare.find_difference(
            self._stream, self.index, self._place, other, written
        )


class ParquetReader(ContainerReader[ParquetIndex, OpenParquet]):
    """Reads a place of Parquet files, nested in any way, or a single one.

    Files beside them are passed over.
    """

    layout = "parquet"
    suffixes = (PARQUET_SUFFIX,)
    noun = "Parquet file"

    def __init__(self, location: Location, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the data set; errors as ``ContainerReader``."""
        super().__init__(location, max_file_bytes=max_file_bytes)
        self._pictures: dict[_Key, Pictures] = {}
        self._lock = threading.Lock()

    @contextmanager
    def open_shard(self, shard: Shard) -> Iterator[OpenParquet]:
        """Open the file of a shard, and copy its images out.

        Raises:
            DatasetError: If it is gone, damaged, or not what it was when listed.
            RunError: If there is no room for the images.
        """
        with super().open_shard(shard) as container:
            container.pictures()
            yield container

    def pictures_of(self, stream: BinaryIO, index: ParquetIndex, name: str) -> Pictures:
        """Give the images of an open file; errors as ``Pictures``."""
        facts = os.fstat(stream.fileno())
        key = name, (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        with self._lock:
            pictures = self._pictures.get(key)
            if pictures is None:
                # Room on the disk first, then the next ones.
                self._pictures = dict(list(self._pictures.items())[1 - _N_KEPT :])
                pictures = Pictures(stream, index, self.store.place(name))
                self._pictures[key] = pictures
        return pictures

    def _index(self, stream: BinaryIO, name: str, place: str) -> ParquetIndex:
        file = open_parquet(stream, place)
        parquet_rewrite.check_possible(file, place)
        return read_index(file, name, place)

    @contextmanager
    def _opened(self, stream: BinaryIO, index: ParquetIndex, name: str) -> Iterator[OpenParquet]:
        yield OpenParquet(self, stream, index, name)
