# SPDX-License-Identifier: Apache-2.0
"""The images of a Parquet file in a file of their own, to be read in any order.

Parquet is read from the front, a column in pages of many rows: threads that each wanted another
row would unpack the same page again and again. One pass copies the images out.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from veilset.dataset.parquet_columns import ImageColumn, find_picture, holds_bytes
from veilset.dataset.parquet_file import batches, damaged, open_parquet, reading
from veilset.dataset.parquet_index import ParquetIndex, Place, states_of
from veilset.dataset.spools import pieces
from veilset.errors import DatasetError, RunError


class Pictures:
    """All images of a Parquet file. Safe to read from several threads at once."""

    def __init__(self, stream: BinaryIO, index: ParquetIndex, place: str) -> None:
        """Copy them out, and look through all other bytes of the file for more.

        Args:
            stream: The Parquet file, with a descriptor.
            index: What is in it.
            place: Where it lies, for messages.

        Raises:
            DatasetError: If it is damaged, holds images where none are looked for, or not
                those of the index.
            RunError: If there is no room for them.
        """
        self._sizes = np.zeros(index.states.shape, np.int64)
        with _room(), tempfile.TemporaryFile() as spool:
            _copy(open_parquet(stream, place), index, place, spool, self._sizes)
            # Lives as long as somebody reads from it, also after the reader let go of it.
            self._descriptor = os.dup(spool.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        ends = np.cumsum(self._sizes)
        self._starts: NDArray[np.int64] = (ends - self._sizes.ravel()).reshape(self._sizes.shape)

    def size(self, place: Place) -> int:
        """Give the number of bytes of an image."""
        return int(self._sizes[place.row, place.column])

    def read(self, place: Place) -> bytes:
        """Give the bytes of an image."""
        start = int(self._starts[place.row, place.column])
        return b"".join(pieces(self._descriptor, start, start + self.size(place)))


def _copy(
    file: Any, index: ParquetIndex, place: str, spool: BinaryIO, sizes: NDArray[np.int64]
) -> None:
    """Write the images one behind the other, row by row; note the size of each."""
    columns = {column.name: column for column in index.columns}
    names = [
        field.name
        for field in file.schema_arrow
        if field.name in columns or holds_bytes(field.type)
    ]
    row = 0
    for batch in _batches(file, names, place):
        with reading(place):
            for name in names:
                _refuse_others(batch.column(name), columns.get(name), name, place)
            states = [states_of(each, batch.column(each.name)) for each in index.columns]
            values = [each.images(batch.column(each.name)) for each in index.columns]
        stop = row + batch.num_rows
        if not np.array_equal(np.stack(states, axis=1), index.states[row:stop]):
            raise DatasetError(
                f"{place} has another number of images than its statistics say. "
                "Write it anew, then run the same command again."
            )
        with _room():
            for at in range(batch.num_rows):
                for column, array in enumerate(values):
                    if array[at].is_valid:
                        sizes[row + at, column] = spool.write(array[at].as_buffer())
        row = stop
    if row != len(index.numbers):
        raise damaged(place, "it has fewer rows than its footer says")
    with _room():
        spool.flush()


def _batches(file: Any, names: list[str], place: str) -> Iterator[Any]:
    """Go through a file; only errors of reading become sentences about it."""
    for group in range(file.num_row_groups):
        of_group = batches(file, group, names)
        while True:
            with reading(place):
                batch = next(of_group, None)
            if batch is None:
                break
            yield batch


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The folder for temporary files, {tempfile.gettempdir()}, has no room for the images "
            f"of a Parquet file ({error.strerror}). Make room, or set TMPDIR to another folder; "
            "then run the same command again: it goes on from here."
        ) from error


def _refuse_others(array: Any, column: ImageColumn | None, name: str, place: str) -> None:
    """Refuse images in a column, or a part of a column, in which none are looked for."""
    arrays = [array]
    if column is not None:
        arrays = [array.field(array.type.get_field_index(each)) for each in column.other_fields]
    if any(holds_bytes(each.type) and find_picture(each) for each in arrays):
        raise DatasetError(
            f"{place}: the column {name!r} holds an image where it would be published unseen. "
            "Give images a column of their own, with nothing else in it."
        )
