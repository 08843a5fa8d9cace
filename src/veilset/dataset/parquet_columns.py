# SPDX-License-Identifier: Apache-2.0
"""Which columns of a Parquet file hold images, and what in the others looks like one.

A column of images is one that Hugging Face's ``datasets`` writes, a struct of ``bytes`` and
``path``, or one of plain bytes whose first values are images. An image anywhere else would be
published unseen: it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from veilset.errors import DatasetError
from veilset.images.first_bytes import HEAD_BYTES, is_known_by_two_bytes, looks_like_a_picture

N_JUDGED = 64
"""Rows by which a column of plain bytes is judged; more where all of them are null."""

_BYTES, _PATH = "bytes", "path"
# As many values of one length are numbers, not pictures of which each happens to have it.
_N_OF_ONE_LENGTH = 8


@dataclass(frozen=True, slots=True)
class ImageColumn:
    """A column of images, at the top of the schema.

    Attributes:
        name: Its name.
        type: Its Arrow type: some type of bytes, or a struct that has a field ``bytes`` of it.
    """

    name: str
    type: Any

    @property
    def is_struct(self) -> bool:
        """Whether the bytes are a field of a struct."""
        return bool(pa.types.is_struct(self.type))

    @property
    def bytes_type(self) -> Any:
        """Arrow type of the bytes."""
        return self.type.field(_BYTES).type if self.is_struct else self.type

    @property
    def other_fields(self) -> list[str]:
        """Names of the fields beside the bytes."""
        names = [field.name for field in self.type] if self.is_struct else []
        return [name for name in names if name != _BYTES]

    @property
    def bytes_leaf(self) -> str:
        """Path in the Parquet schema under which the bytes lie."""
        return f"{self.name}.{_BYTES}" if self.is_struct else self.name

    def images(self, column: Any) -> Any:
        """Give the bytes of the images of an array, null where there is none."""
        return pc.struct_field(column, _BYTES) if self.is_struct else column

    def names_a_file(self, column: Any) -> Any:
        """Say of each row whether it names a file that lies elsewhere, instead of an image."""
        if _PATH not in self.other_fields:
            return pa.repeat(pa.scalar(False), len(column))
        path = pc.struct_field(column, _PATH)
        return pc.and_(pc.is_null(self.images(column)), pc.is_valid(path))

    def with_images(self, column: Any, images: Sequence[bytes | None]) -> Any:
        """Give an array with other images in it; all else of its rows stays.

        Args:
            column: The old array; None for a column of plain bytes.
            images: Bytes for each row, None where there is no image.
        """
        new = pa.array(images, type=self.bytes_type)
        if not self.is_struct:
            return new
        children = [
            new if field.name == _BYTES else column.field(column.type.get_field_index(field.name))
            for field in self.type
        ]
        mask = column.is_null() if column.null_count else None
        return pa.StructArray.from_arrays(children, fields=list(self.type), mask=mask)


def find_image_columns(
    schema: Any, first_values: Any, place: str, known: Collection[str] = ()
) -> tuple[ImageColumn, ...]:
    """Say which columns hold images.

    Args:
        schema: Arrow schema of the file, with the metadata of the file.
        first_values: Called with an ``ImageColumn``; gives the first of its values that are
            not null.
        place: Where the file lies, for messages.
        known: Names of columns of which it is known.

    Raises:
        DatasetError: If none does, or if images lie deeper than in a column of the schema.
    """
    declared = _declared_types(schema.metadata or {})
    columns = []
    for field in schema:
        _refuse_images_inside(field, place)
        column = _candidate(field, place)
        if column is None:
            continue
        is_named = column.is_struct and _PATH in column.other_fields
        is_foreign = declared.get(field.name, "Image") != "Image"
        is_image = field.name in known or (is_named and not is_foreign)
        if is_image or _has_picture(pa.array(first_values(column), pa.large_binary())):
            columns.append(column)
    if not columns:
        raise DatasetError(
            f"{place} has no column of images. One is a struct of 'bytes' and 'path', as "
            "Hugging Face's datasets writes it, or holds the bytes of image files."
        )
    return tuple(columns)


def holds_bytes(data_type: Any) -> bool:
    """Whether values of an Arrow type may hold bytes, at any depth."""
    return _is_bytes(data_type) or any(holds_bytes(each) for each in _inner_types(data_type))


def find_picture(array: Any) -> bool:
    """Whether an array, or an array inside of it, holds an image file among its bytes."""
    data_type = array.type
    if _is_bytes(data_type):
        return _has_picture(array)
    return any(find_picture(each) for each in _inner_arrays(array) if holds_bytes(each.type))


def _has_picture(array: Any) -> bool:
    if not pa.types.is_binary(array.type):
        array = array.cast(pa.large_binary())
    heads = pc.binary_slice(array, 0, HEAD_BYTES).to_pylist()
    lengths = pc.binary_length(array).to_pylist()
    for head, length in zip(heads, lengths, strict=True):
        if not head or not looks_like_a_picture(head, length):
            continue
        if not (is_known_by_two_bytes(head) and _are_numbers(lengths)):
            return True
    return False


def _are_numbers(lengths: Sequence[int | None]) -> bool:
    there = [length for length in lengths if length is not None]
    return len(there) >= _N_OF_ONE_LENGTH and len(set(there)) == 1


def _candidate(field: Any, place: str) -> ImageColumn | None:
    """Give a column that may hold images, by its type."""
    if _is_plain_bytes(field.type):
        return ImageColumn(field.name, field.type)
    at = field.type.get_field_index(_BYTES) if pa.types.is_struct(field.type) else -1
    if at < 0:
        return None
    inner = field.type.field(at).type
    if _is_plain_bytes(inner):
        return ImageColumn(field.name, field.type)
    if field.type.get_field_index(_PATH) >= 0 and _is_mistaken(inner):
        raise DatasetError(
            f"{place}: the column {field.name!r} has {inner} where the bytes of images should be. "
            "Write the file anew with the images in it, as binary."
        )
    return None


def _refuse_images_inside(field: Any, place: str) -> None:
    """Refuse structs of bytes and a path below the top of the schema."""
    pending = _inner_types(field.type)
    while pending:
        data_type = pending.pop()
        if pa.types.is_struct(data_type):
            at = data_type.get_field_index(_BYTES)
            is_image = at >= 0 and _is_bytes(data_type.field(at).type)
            if is_image and data_type.get_field_index(_PATH) >= 0:
                raise DatasetError(
                    f"{place}: the column {field.name!r} holds images inside of {field.type}, "
                    "where they would be published unseen. Give each image a column of its own."
                )
        pending += _inner_types(data_type)


def _declared_types(metadata: Mapping[bytes, bytes]) -> dict[str, str]:
    """Give the types of columns that ``datasets`` noted in a file, where it did."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: str(each["_type"]) for name, each in features.items() if "_type" in each}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _is_plain_bytes(data_type: Any) -> bool:
    return bool(pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type))


def _is_bytes(data_type: Any) -> bool:
    return (
        _is_plain_bytes(data_type)
        or bool(pa.types.is_binary_view(data_type))
        or bool(pa.types.is_fixed_size_binary(data_type))
    )


def _is_mistaken(data_type: Any) -> bool:
    """Whether somebody may have stored images in what is no type of bytes."""
    types = pa.types
    tests = (types.is_string, types.is_large_string, types.is_null, types.is_nested)
    return _is_bytes(data_type) or any(test(data_type) for test in tests)


def _inner_types(data_type: Any) -> list[Any]:
    if isinstance(data_type, pa.BaseExtensionType):
        return [data_type.storage_type]
    if pa.types.is_dictionary(data_type):
        return [data_type.value_type]
    return [data_type.field(at).type for at in range(data_type.num_fields)]


def _inner_arrays(array: Any) -> Iterator[Any]:
    data_type = array.type
    if isinstance(array, pa.ExtensionArray):
        yield array.storage
    elif pa.types.is_dictionary(data_type):
        yield array.dictionary
    elif pa.types.is_struct(data_type):
        yield from array.flatten()
    elif pa.types.is_map(data_type):
        yield from (array.keys, array.items)
    else:
        yield array.flatten()
