# SPDX-License-Identifier: Apache-2.0
"""Which images a Parquet file holds, told from its footer and, where it has to be, its columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.dataset.parquet_columns import (
    N_JUDGED,
    ImageColumn,
    find_image_columns,
)
from veilset.dataset.parquet_file import batches, damaged, key_values, leaves, reading
from veilset.dataset.tree import named
from veilset.errors import DatasetError
from veilset.types import ImageRecord

_N_DIGITS = 8
MAX_ROWS = 10**_N_DIGITS
"""More rows would need more digits than the names of images have."""

ROWS_KEY, _ROWS, _COLUMNS = b"veilset", "rows_gone", "image_columns"
"""Key of the metadata under which a file says which rows of its source it does not have."""

NO_IMAGE, IMAGE, ELSEWHERE = 0, 1, 2
NO_PIXELS = "The row names a file and holds no image. Put the image itself into the row."


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image is in a file.

    Attributes:
        row: Its row, from 0 as the rows lie in this file.
        column: Its column, by place in ``ParquetIndex.columns``.
    """

    row: int
    column: int


@dataclass(frozen=True, slots=True)
class ParquetIndex:
    """What is in a Parquet file.

    Attributes:
        container: Its path below the root of the data set.
        columns: Its columns of images.
        numbers: ``(n_rows,)`` int64, rising: the number by which each row is named. It is that of
            the row in the file from which this one was made, so that a row keeps its name when
            others go.
        n_numbers: How many numbers were given out, those of rows that went included.
        states: ``(n_rows, n_columns)`` uint8: ``NO_IMAGE``, ``IMAGE``, or ``ELSEWHERE`` for a row
            that names a file instead.
        records: The images, in the order of data sets.
    """

    container: str
    columns: tuple[ImageColumn, ...]
    numbers: NDArray[np.int64]
    n_numbers: int
    states: NDArray[np.uint8]
    records: tuple[ImageRecord, ...]

    def __len__(self) -> int:
        return len(self.records)

    def image_id(self, row: int, column: int) -> str:
        """Give the name of an image by its place in the file."""
        return name_image(self.container, int(self.numbers[row]), self.columns, column).image_id

    def place_of(self, image_id: str) -> Place | None:
        """Give where an image is, None if the file has no such row or column."""
        stem = image_id.removeprefix(f"{self.container}/")
        digits, _, _ = stem.partition(".")
        if not (digits.isascii() and digits.isdecimal() and len(digits) == _N_DIGITS):
            return None
        row = int(np.searchsorted(self.numbers, int(digits)))
        if row == len(self.numbers):
            return None
        for column in range(len(self.columns)):
            if self.image_id(row, column) == image_id:
                return Place(row, column)
        return None


def name_image(
    container: str, number: int, columns: Sequence[ImageColumn], column: int
) -> ImageRecord:
    """Give the record of an image: file, row, and the column where there are several.

    Example:
        >>> columns = [ImageColumn("image", None)]
        >>> name_image("a.parquet", 7, columns, 0).image_id
        'a.parquet/00000007'
    """
    name = ""
    if len(columns) > 1:
        # The slash would make a folder of it.
        name = "." + columns[column].name.replace("%", "%25").replace("/", "%2F")
    return named(f"{container}/{number:0{_N_DIGITS}d}{name}")


def read_index(file: Any, container: str, place: str) -> ParquetIndex:
    """Find out which images a Parquet file holds.

    Pixels are read only where the statistics do not say that every row has an image.

    Args:
        file: The file, as ``open_parquet`` gives it.
        container: Its path below the root of the data set: images are named below it.
        place: Where it lies, for messages.

    Raises:
        DatasetError: If it cannot be used, or holds no column of images.
    """
    with reading(place):
        metadata = key_values(file)
        known = _what_went(metadata, place)
        columns = find_image_columns(
            file.schema_arrow.with_metadata(metadata),
            lambda column: _first_values(file, column),
            place,
            known.columns,
        )
        numbers, n_numbers = _row_numbers(known.rows, file.metadata.num_rows, place)
        states = np.stack([_states(file, column) for column in columns], axis=1)
    if len(states) != len(numbers):
        raise damaged(place, "it has fewer rows than its footer says")
    records = tuple(_records(container, columns, numbers, states))
    return ParquetIndex(container, columns, numbers, n_numbers, states, records)


def _records(
    container: str,
    columns: Sequence[ImageColumn],
    numbers: NDArray[np.int64],
    states: NDArray[np.uint8],
) -> Iterator[ImageRecord]:
    """Go through the images of a file in the order of data sets."""
    by_name = sorted(range(len(columns)), key=lambda at: name_image("", 0, columns, at).order_key)
    for number, of_row in zip(numbers.tolist(), states.tolist(), strict=True):
        for at in by_name:
            if of_row[at] == NO_IMAGE:
                continue
            record = name_image(container, number, columns, at)
            if of_row[at] == ELSEWHERE:
                record = ImageRecord(record.image_id, NO_PIXELS)
            yield record


def rows_metadata(index: ParquetIndex, is_kept: NDArray[np.bool_]) -> dict[bytes, bytes]:
    """Give what a file says of the rows that it does not have; nothing where it has all.

    It names the columns of images too: too few of them may be left to tell.

    Args:
        index: What is in the source.
        is_kept: ``(n_rows,)``, which of its rows the file has.
    """
    numbers = index.numbers[is_kept]
    if len(numbers) == index.n_numbers:
        return {}
    edges = np.concatenate([[-1], numbers, [index.n_numbers]])
    at = np.flatnonzero(np.diff(edges) > 1)
    gone = np.stack([edges[at] + 1, edges[at + 1]], axis=1).tolist()
    names = [column.name for column in index.columns]
    return {ROWS_KEY: json.dumps({_ROWS: gone, _COLUMNS: names}).encode()}


@dataclass(frozen=True, slots=True)
class _Went:
    """What a file says of rows that went: half-open runs of numbers, and columns of images."""

    rows: list[list[int]]
    columns: tuple[str, ...]


def _what_went(metadata: Mapping[bytes, bytes], place: str) -> _Went:
    if ROWS_KEY not in metadata:
        return _Went([], ())
    try:
        known = json.loads(metadata[ROWS_KEY])
        rows = [[int(start), int(stop)] for start, stop in known[_ROWS]]
        return _Went(rows, tuple(map(str, known[_COLUMNS])))
    except (KeyError, TypeError, ValueError) as error:
        raise _bad_numbers(place) from error


def _bad_numbers(place: str) -> DatasetError:
    return DatasetError(
        f"{place} says under the key 'veilset' of its metadata which rows it does not have, and "
        "that cannot be. Restore it, or write it anew without that key."
    )


def _row_numbers(
    gone: Sequence[Sequence[int]], n_rows: int, place: str
) -> tuple[NDArray[np.int64], int]:
    """Give the numbers of the rows of a file, and how many were given out."""
    n_numbers = n_rows + sum(stop - start for start, stop in gone)
    if n_numbers > MAX_ROWS:
        raise DatasetError(
            f"{place} has {n_numbers:,} rows, the limit is {MAX_ROWS:,}. Split it into several."
        )
    at = 0
    for start, stop in gone:
        if not at <= start < stop <= n_numbers:
            raise _bad_numbers(place)
        at = stop
    is_there = np.ones(max(n_numbers, 0), np.bool_)
    for start, stop in gone:
        is_there[start:stop] = False
    return np.flatnonzero(is_there).astype(np.int64), n_numbers


def _first_values(file: Any, column: ImageColumn) -> list[bytes]:
    """Give the values of the first rows of a column; at least one that is not null, if any is."""
    for batch in file.iter_batches(batch_size=N_JUDGED, columns=[column.bytes_leaf]):
        values = column.images(batch.column(column.name)).drop_null().to_pylist()
        if values:
            return list(values)
    return []


def _states(file: Any, column: ImageColumn) -> NDArray[np.uint8]:
    """Say of each row whether it has an image, and if not whether it names a file."""
    at = leaves(file).index(column.bytes_leaf)
    parts = [np.zeros(0, np.uint8)]
    for group in range(file.num_row_groups):
        facts = file.metadata.row_group(group)
        statistics = facts.column(at).statistics
        if statistics is not None and statistics.has_null_count and statistics.null_count == 0:
            parts.append(np.full(facts.num_rows, IMAGE, np.uint8))
            continue
        parts += [
            states_of(column, batch.column(column.name))
            for batch in batches(file, group, [column.name])
        ]
    return np.concatenate(parts)


def states_of(column: ImageColumn, array: Any) -> NDArray[np.uint8]:
    """Say the same of the rows of an array."""
    is_image = np.asarray(column.images(array).is_valid().to_numpy(zero_copy_only=False), np.bool_)
    is_elsewhere = np.asarray(column.names_a_file(array).to_numpy(zero_copy_only=False), np.bool_)
    return (is_image * IMAGE + is_elsewhere * ELSEWHERE).astype(np.uint8)
