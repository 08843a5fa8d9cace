# SPDX-License-Identifier: Apache-2.0
"""A Parquet file written anew with other images: all else in it stays as it is."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from inspect import signature
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from veilset.dataset.parquet_file import (
    ARROW_KEY,
    batches,
    key_values,
    leaves,
    open_parquet,
    reading,
)
from veilset.dataset.parquet_index import ROWS_KEY, ParquetIndex, rows_metadata
from veilset.dataset.spools import Spool
from veilset.errors import DatasetError

_CHUNKED_KEY = b"content_defined_chunking"
# An array of bytes has offsets of 32 bits.
_MAX_ARRAY_BYTES = 1 << 28


def kept_rows(index: ParquetIndex, written: Collection[str]) -> NDArray[np.bool_]:
    """Say of each row whether it is in the output: only if no image of it failed.

    Args:
        index: What is in the source.
        written: ``image_id`` of the images that could be fully processed.

    Returns:
        ``(n_rows,)`` bool.
    """
    is_kept = np.ones(len(index.numbers), np.bool_)
    for record in index.records:
        place = index.place_of(record.image_id)
        if place and record.image_id not in written:
            is_kept[place.row] = False
    return is_kept


def rewrite(
    stream: BinaryIO, index: ParquetIndex, place: str, images: Spool, target: BinaryIO
) -> None:
    """Write a Parquet file anew, row group by row group; memory holds one of them.

    A row group of which no row is left goes.

    Args:
        stream: The source, with a descriptor.
        index: What is in it.
        place: Where it lies, for messages.
        images: The images that could be fully processed; the rows of others go.
        target: Where to.

    Raises:
        DatasetError: If the source is damaged, or nothing can be made of it.
        OSError: If the target cannot be written.
    """
    file = open_parquet(stream, place)
    is_kept = kept_rows(index, images.ids())
    schema = target_schema(file)
    start = 0
    try:
        with pq.ParquetWriter(target, schema, **writer_options(file)) as writer:
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                rows = start + np.flatnonzero(is_kept[start:stop])
                # Readers stumble over a row group without rows; ``datasets`` over a first one.
                if len(rows):
                    parts = _parts(file, group, index, place, images, is_kept[start:stop], rows)
                    table = pa.Table.from_batches(parts, schema)
                    writer.write_table(table, row_group_size=len(rows))
                start = stop
            _add(writer, _key_values_beside(file, schema) | rows_metadata(index, is_kept))
    except pa.ArrowException as error:
        raise _not_possible(place, error) from error


def check_possible(file: Any, place: str) -> None:
    """Make sure that a file can be written anew with the same schema.

    Raises:
        DatasetError: If a type or the metadata would not be the same.
    """
    schema = target_schema(file)
    sink = pa.BufferOutputStream()
    try:
        with pq.ParquetWriter(sink, schema, **writer_options(file)) as writer:
            _add(writer, _key_values_beside(file, schema))
        written = pq.ParquetFile(pa.BufferReader(sink.getvalue()))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _not_possible(place, error) from error
    is_same = written.schema_arrow.equals(schema, check_metadata=True)
    is_same = is_same and leaves(written) == leaves(file)
    if not is_same or key_values(written) != without_rows(key_values(file)):
        raise DatasetError(
            f"{place} has columns of a type that cannot be written back as it is. "
            "Write it anew with pyarrow, and give that."
        )


def target_schema(file: Any) -> Any:
    """Give the Arrow schema of the output: that of the source, without what is said of rows."""
    schema = file.schema_arrow
    metadata = without_rows(schema.metadata or {})
    return schema.with_metadata(metadata) if metadata else schema.remove_metadata()


def without_rows(metadata: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Give the metadata of a file without what is said of rows."""
    return {key: value for key, value in metadata.items() if key != ROWS_KEY}


def _add(writer: Any, metadata: Mapping[bytes, bytes]) -> None:
    # Nothing at all would still be metadata, where the source has none.
    if metadata:
        writer.add_key_value_metadata(metadata)


def _key_values_beside(file: Any, schema: Any) -> dict[bytes, bytes]:
    """Give the metadata of a file that is not written with its Arrow schema."""
    is_stored = ARROW_KEY in (file.metadata.metadata or {})
    inside = (schema.metadata or {}) if is_stored else {}
    known = without_rows(key_values(file))
    return {key: value for key, value in known.items() if inside.get(key) != value}


def writer_options(file: Any) -> dict[str, Any]:
    """Give the options with which a file is stored as a source is."""
    metadata, paths = file.metadata, leaves(file)
    keys = metadata.metadata or {}
    types = [file.schema.column(at) for at in range(len(paths))]
    is_int96 = any(each.physical_type == "INT96" for each in types)
    is_integer = any(
        each.logical_type.type == "DECIMAL" and each.physical_type in ("INT32", "INT64")
        for each in types
    )
    options: dict[str, Any] = {
        "version": metadata.format_version if metadata.format_version != "1.0" else "2.6",
        "store_schema": ARROW_KEY in keys,
        "use_compliant_nested_type": not any(".list.item" in path for path in paths),
        "use_deprecated_int96_timestamps": is_int96,
        "store_decimal_as_integer": is_integer,
        "write_page_index": False,
    }
    if metadata.num_row_groups:
        columns = [metadata.row_group(0).column(at) for at in range(len(paths))]
        options["compression"] = {each.path_in_schema: codec(each) for each in columns}
        options["use_dictionary"] = [
            each.path_in_schema
            for each in columns
            if {"RLE_DICTIONARY", "PLAIN_DICTIONARY"} & set(each.encodings)
        ]
        options["write_page_index"] = any(each.has_offset_index for each in columns)
    if _CHUNKED_KEY in keys:
        options["use_content_defined_chunking"] = _chunking(keys[_CHUNKED_KEY])
    # Older versions of pyarrow do not have all of them.
    known = signature(pq.ParquetWriter.__init__).parameters
    return {name: value for name, value in options.items() if name in known}


def codec(column: Any) -> str:
    """Give how a column of a row group is compressed, as pyarrow takes it."""
    name = str(column.compression)
    return {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}.get(name, name)


def _chunking(value: bytes) -> Any:
    """Give how ``datasets`` cut the pages of a file, so that equal content is stored once."""
    try:
        options = json.loads(value)
        is_usable = {"min_chunk_size", "max_chunk_size"} <= options.keys()
    except (ValueError, AttributeError):
        return True
    return options if is_usable else True


def other_leaves(file: Any, index: ParquetIndex) -> list[str]:
    """Give the paths of all columns that are not the bytes of images.

    Those of a struct of nothing else are among them: they say which rows have a struct.
    """
    images = {each.bytes_leaf for each in index.columns if each.other_fields or not each.is_struct}
    return [path for path in leaves(file) if path not in images]


def _parts(
    file: Any,
    group: int,
    index: ParquetIndex,
    place: str,
    images: Spool,
    is_kept: NDArray[np.bool_],
    rows: NDArray[np.int64],
) -> Iterator[Any]:
    """Go through the kept rows of a row group, with their new images."""
    at = 0
    for others in kept_batches(file, group, other_leaves(file, index), place, is_kept):
        n_rows = len(rows) if others is None else others.num_rows
        for start, stop in _runs(index, images, rows[at : at + n_rows]):
            arrays = []
            for field in file.schema_arrow:
                old = others and others.schema.get_field_index(field.name) >= 0
                arrays.append(others.column(field.name).slice(start, stop - start) if old else None)
            for column, each in enumerate(index.columns):
                where = file.schema_arrow.get_field_index(each.name)
                new = [
                    _new(index, images, int(row), column) for row in rows[at + start : at + stop]
                ]
                arrays[where] = each.with_images(arrays[where], new)
            yield pa.RecordBatch.from_arrays(arrays, schema=target_schema(file))
        at += n_rows


def kept_batches(
    file: Any, group: int, columns: list[str], place: str, is_kept: NDArray[np.bool_]
) -> Iterator[Any]:
    """Go through some columns of the kept rows of a row group.

    Gives None once, for all rows, where there is no column to be read.
    """
    if not columns:
        yield None
        return
    at = 0
    of_group = batches(file, group, columns)
    while True:
        with reading(place):
            batch = next(of_group, None)
        if batch is None:
            return
        # Slices, since not every type of Arrow can be filtered.
        part = np.concatenate([[False], is_kept[at : at + batch.num_rows], [False]])
        edges = np.flatnonzero(part[1:] != part[:-1]).tolist()
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            yield batch.slice(start, stop - start)
        at += batch.num_rows


def _new(index: ParquetIndex, images: Spool, row: int, column: int) -> bytes | None:
    image_id = index.image_id(row, column)
    return images.read(image_id) if image_id in images.ids() else None


def _runs(index: ParquetIndex, images: Spool, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut rows into runs whose images fit into an array."""
    start = n_bytes = 0
    for at, row in enumerate(rows.tolist()):
        names = [index.image_id(row, column) for column in range(len(index.columns))]
        size = sum(images.size(name) for name in names if name in images.ids())
        if n_bytes + size > _MAX_ARRAY_BYTES and at > start:
            yield start, at
            start, n_bytes = at, 0
        n_bytes += size
    if len(rows) > start:
        yield start, len(rows)


def _not_possible(place: str, error: Exception) -> DatasetError:
    why = str(error).partition("\n")[0].rstrip(".")[:120]
    return DatasetError(
        f"{place} cannot be written back with other images ({why}). "
        "Write it anew with pyarrow, and give that."
    )
