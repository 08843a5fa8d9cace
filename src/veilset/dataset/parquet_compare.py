# SPDX-License-Identifier: Apache-2.0
"""Whether a Parquet file is another one, with nothing changed, added or gone but its images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from veilset.dataset.parquet_columns import ImageColumn
from veilset.dataset.parquet_file import (
    ARROW_KEY,
    batches,
    key_values,
    leaves,
    open_parquet,
    reading,
)
from veilset.dataset.parquet_index import ParquetIndex, rows_metadata
from veilset.dataset.parquet_rewrite import (
    codec,
    kept_batches,
    kept_rows,
    other_leaves,
    target_schema,
    without_rows,
    writer_options,
)
from veilset.errors import DatasetError

_MAGIC_BYTES, _TAIL_BYTES = 4, 8


def find_difference(
    stream: BinaryIO, index: ParquetIndex, place: str, other: BinaryIO, written: Mapping[str, int]
) -> str:
    """Say where a Parquet file is not what its source and its images make it, "" if it is.

    Compared are schema, metadata, row groups, codecs, and every value of every column but the
    content of images, of which the sizes are. No byte may lie between the columns.

    Args:
        stream: The file that it was made from, with a descriptor.
        index: What is in that.
        place: Where that lies, for messages.
        other: The file, with a descriptor.
        written: Number of bytes of each image that is in it, by ``image_id``; the rows of the
            others have to be gone.

    Raises:
        DatasetError: If the source is damaged.
        OSError: If the file cannot be read.
    """
    source = open_parquet(stream, place)
    try:
        target = open_parquet(other, "It")
    except DatasetError as error:
        return str(error)
    is_kept = kept_rows(index, written)
    try:
        return (
            _find_in_schema(source, target, rows_metadata(index, is_kept))
            or _find_in_groups(source, target, is_kept)
            or _find_stray_bytes(target, os.fstat(other.fileno()).st_size)
            or _find_in_values(source, target, index, place, is_kept, written)
        )
    except (pa.ArrowException, ValueError) as error:
        # Of the source, errors are another kind by now.
        return f"It holds what cannot be read ({type(error).__name__})."


def _find_in_schema(source: Any, target: Any, expected: dict[bytes, bytes]) -> str:
    has_stored = [ARROW_KEY in (file.metadata.metadata or {}) for file in (source, target)]
    if has_stored[0] != has_stored[1]:
        return "Its metadata differs: the Arrow schema."
    if without_rows(key_values(source)) | expected != key_values(target):
        return "Its metadata differs."
    if not target_schema(source).equals(target_schema(target), check_metadata=True):
        return "Its schema differs."
    return ""


def _groups_left(source: Any, is_kept: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Give the row groups of a source of which rows are left: number, first row, end."""
    left, start = [], 0
    for group in range(source.num_row_groups):
        stop = start + source.metadata.row_group(group).num_rows
        if is_kept[start:stop].any():
            left.append((group, start, stop))
        start = stop
    return left


def _find_in_groups(source: Any, target: Any, is_kept: NDArray[np.bool_]) -> str:
    """Compare number, sizes and codecs of the row groups."""
    left = _groups_left(source, is_kept)
    codecs = writer_options(source).get("compression")
    if len(left) != target.num_row_groups or leaves(source) != leaves(target):
        return "It has other row groups or columns."
    for at, (_, start, stop) in enumerate(left):
        after = target.metadata.row_group(at)
        if after.num_rows != int(is_kept[start:stop].sum()):
            return f"Its row group {at} has {after.num_rows:,} rows."
        columns = [after.column(column) for column in range(after.num_columns)]
        if {each.path_in_schema: codec(each) for each in columns} != codecs:
            return f"Its row group {at} is compressed in another way."
    return ""


def _find_stray_bytes(target: Any, n_bytes: int) -> str:
    """Make sure that the columns lie one behind the other, and nothing between them."""
    metadata = target.metadata
    spans, has_index = [], False
    for group in range(metadata.num_row_groups):
        for at in range(metadata.row_group(group).num_columns):
            column = metadata.row_group(group).column(at)
            has_index = has_index or column.has_offset_index or column.has_column_index
            offsets = [column.dictionary_page_offset or 0, column.data_page_offset]
            if column.total_compressed_size:
                start = min(offset for offset in offsets if offset)
                spans.append((start, start + column.total_compressed_size))
    end = _MAGIC_BYTES
    for start, stop in sorted(spans):
        if start != end:
            return f"It differs at byte {min(start, end):,}: no column should begin or end there."
        end = stop
    footer = n_bytes - _TAIL_BYTES - metadata.serialized_size
    if end != footer and not (has_index and end < footer):
        return f"It differs at byte {end:,}: its footer should be there."
    return ""


def _find_in_values(
    source: Any,
    target: Any,
    index: ParquetIndex,
    place: str,
    is_kept: NDArray[np.bool_],
    written: Mapping[str, int],
) -> str:
    """Compare the rows, some at a time."""
    others = other_leaves(source, index)
    for at, (group, start, stop) in enumerate(_groups_left(source, is_kept)):
        rows = start + np.flatnonzero(is_kept[start:stop])
        new = _Rows(batches(target, at, target.schema_arrow.names))
        for old in kept_batches(source, group, others, place, is_kept[start:stop]):
            n_rows = len(rows) if old is None else old.num_rows
            try:
                pieces = new.take(n_rows)
            except DatasetError as error:
                return str(error)
            for piece in pieces:
                part, rows = rows[: piece.num_rows], rows[piece.num_rows :]
                before = old and old.slice(0, piece.num_rows)
                old = old and old.slice(piece.num_rows)
                name = _find_column(index, before, piece, part, written)
                if name is not None:
                    number = int(index.numbers[part[0]])
                    return f"The column {name!r} differs in row {number:,} or soon behind it."
    return ""


def _find_column(
    index: ParquetIndex,
    before: Any,
    after: Any,
    rows: NDArray[np.int64],
    written: Mapping[str, int],
) -> str | None:
    """Give the name of the first column that differs, None if none does."""
    columns = {column.name: (at, column) for at, column in enumerate(index.columns)}
    for name in after.schema.names:
        has_old = before is not None and before.schema.get_field_index(name) >= 0
        old, new = before.column(name) if has_old else None, after.column(name)
        if name not in columns:
            is_same = is_same_array(old, new)
        else:
            at, column = columns[name]
            sizes = [written.get(index.image_id(row, at)) for row in rows.tolist()]
            is_same = _is_same_image_column(column, old, new, sizes)
        if not is_same:
            return str(name)
    return None


def _is_same_image_column(column: ImageColumn, old: Any, new: Any, sizes: list[int | None]) -> bool:
    """Compare all of a column of images but their content: of that, the sizes."""
    found = pc.binary_length(column.images(new)).cast(pa.int64())
    if not found.equals(pa.array(sizes, pa.int64())):
        return False
    if not column.is_struct:
        return True
    return bool(old.is_null().equals(new.is_null())) and all(
        is_same_array(pc.struct_field(old, name), pc.struct_field(new, name))
        for name in column.other_fields
    )


def is_same_array(old: Any, new: Any) -> bool:
    """Whether two arrays hold the same values, bit by bit: NaN is NaN, and 0 is not -0.

    Example:
        >>> nan, zero = pa.array([float("nan")]), pa.array([0.0])
        >>> is_same_array(nan, nan), is_same_array(zero, pa.array([-0.0]))
        (True, False)
    """
    types = pa.types
    if old.type != new.type or len(old) != len(new) or not old.is_null().equals(new.is_null()):
        return False
    if isinstance(old, pa.ExtensionArray):
        return is_same_array(old.storage, new.storage)
    if types.is_dictionary(old.type):
        return is_same_array(old.dictionary_decode(), new.dictionary_decode())
    if types.is_floating(old.type):
        bits = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[old.type.bit_width]
        return bool(old.view(bits).equals(new.view(bits)))
    if types.is_struct(old.type):
        pairs = zip(old.flatten(), new.flatten(), strict=True)
        return all(is_same_array(before, after) for before, after in pairs)
    if types.is_map(old.type):
        old, new = _as_list(old), _as_list(new)
    if types.is_nested(old.type):
        n_each = [pc.list_value_length(array) for array in (old, new)]
        return bool(n_each[0].equals(n_each[1])) and is_same_array(old.flatten(), new.flatten())
    return bool(old.equals(new))


def _as_list(array: Any) -> Any:
    """Give a map as what it is stored as, a list of pairs."""
    pairs = pa.StructArray.from_arrays([array.keys, array.items], names=["key", "value"])
    offsets = array.offsets
    if array.null_count:
        # A null list is told by a null offset.
        is_null = pa.concat_arrays([array.is_null(), pa.array([False])])
        offsets = pc.if_else(is_null, pa.scalar(None, pa.int32()), offsets)
    return pa.ListArray.from_arrays(offsets, pairs)


class _Rows:
    """Rows of a file, as many at a time as are asked for."""

    def __init__(self, source: Iterator[Any]) -> None:
        self._source = source
        self._waiting: list[Any] = []

    def take(self, n_rows: int) -> list[Any]:
        """Give the next rows, in batches none of which is empty.

        Raises:
            DatasetError: If the file is damaged.
        """
        taken = []
        while n_rows:
            with reading("It"):
                batch = self._waiting.pop() if self._waiting else next(self._source, None)
            if batch is None:
                raise DatasetError("It has fewer rows than its footer says.")
            if batch.num_rows > n_rows:
                self._waiting.append(batch.slice(n_rows))
                batch = batch.slice(0, n_rows)
            if batch.num_rows:
                taken.append(batch)
            n_rows -= batch.num_rows
        return taken
