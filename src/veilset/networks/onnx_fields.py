# SPDX-License-Identifier: Apache-2.0
"""Walk through the fields of an ONNX file, without the ``onnx`` package.

The file is a protocol buffer: messages of numbered fields, and messages in them. Field numbers:
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator

GRAPH_OF_MODEL, METADATA_OF_MODEL = 7, 14
KEY_OF_ENTRY, VALUE_OF_ENTRY = 1, 2
NODE, INITIALIZER, INPUT, OUTPUT, VALUE_INFO = 1, 5, 11, 12, 13
INPUT_OF_NODE, OPERATION_OF_NODE = 1, 4
NAME_OF_TENSOR, NAME_OF_VALUE = 8, 1
TYPE_OF_VALUE, TENSOR_OF_TYPE, SHAPE_OF_TENSOR, DIM_OF_SHAPE = 2, 1, 2, 1

Span = tuple[int, int]
"""Where a message begins and ends in the bytes of the file."""


def fields(model: bytes, span: Span, wanted: int) -> Iterator[Span]:
    """Go through the fields of a message that hold bytes and bear a number.

    Args:
        model: The file.
        span: The message.
        wanted: Number of the fields.

    Raises:
        ValueError, IndexError: If the message is damaged.

    Example:
        >>> model = bytes.fromhex("0807 1203616263")  # field 1: the number 7, field 2: "abc"
        >>> [text(model, each) for each in fields(model, (0, len(model)), 2)]
        ['abc']
    """
    at, stop = span
    while at < stop:
        key, at = varint(model, at)
        kind = key & 7
        if kind == 0:
            _, at = varint(model, at)
        elif kind == 1:
            at += 8
        elif kind == 5:
            at += 4
        elif kind == 2:
            length, at = varint(model, at)
            if at + length > stop:
                raise ValueError("a field reaches over the end of its message")
            if key >> 3 == wanted:
                yield at, at + length
            at += length
        else:
            raise ValueError(f"unknown wire type {kind}")
    if at != stop:
        raise ValueError("a field reaches over the end of its message")


def varint(model: bytes, at: int) -> tuple[int, int]:
    """Give the whole number that is written from a place on, and the place after it.

    Example:
        >>> varint(bytes.fromhex("ac02"), 0)
        (300, 2)
    """
    value = shift = 0
    while True:
        byte = model[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def text(model: bytes, span: Span) -> str:
    """Give a field that holds a text."""
    return model[span[0] : span[1]].decode()


def metadata_of(model: bytes) -> dict[str, str]:
    """Give the metadata of an ONNX file.

    Args:
        model: The file.

    Raises:
        ValueError, IndexError: If it is damaged.
    """
    found = {}
    for entry in fields(model, (0, len(model)), METADATA_OF_MODEL):
        (key,) = (text(model, each) for each in fields(model, entry, KEY_OF_ENTRY))
        (value,) = (text(model, each) for each in fields(model, entry, VALUE_OF_ENTRY))
        found[key] = value
    return found
