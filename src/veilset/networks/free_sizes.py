# SPDX-License-Identifier: Apache-2.0
"""Free the fixed sizes in an ONNX file, without the ``onnx`` package.

Many weight files fix the batch and the picture size that they were exported with, though
the network bears any. ONNX Runtime holds to the file; this rewrites the sizes of the
picture input, of the outputs and of the values between them to names, which mean "any".

The file is a protocol buffer. A dimension is the message ``08 <varint>`` (``dim_value``);
it becomes ``12 <n> <n bytes>`` (``dim_param``) of the very same length, so that nothing
around it moves. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator

from veilset.errors import ConfigError

_GRAPH_OF_MODEL = 7
_INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 5, 11, 12, 13
_NAME_OF_TENSOR, _NAME_OF_VALUE = 8, 1
_TYPE_OF_VALUE, _TENSOR_OF_TYPE, _SHAPE_OF_TENSOR, _DIM_OF_SHAPE = 2, 1, 2, 1
_CHANNELS = 1  # place of the channels in N C H W: the one size that must stay

Span = tuple[int, int]


def free_sizes(model: bytes) -> bytes:
    """Give the model with batch, height and width free, byte for byte as long as before.

    Args:
        model: An ONNX file.

    Raises:
        ConfigError: If the bytes are no ONNX model.
    """
    freed = bytearray(model)
    try:
        for graph in _fields(model, (0, len(model)), _GRAPH_OF_MODEL):
            weights = {
                _text(model, name)
                for tensor in _fields(model, graph, _INITIALIZER)
                for name in _fields(model, tensor, _NAME_OF_TENSOR)
            }
            for number in (_INPUT, _OUTPUT, _VALUE_INFO):
                for value in _fields(model, graph, number):
                    names = [_text(model, name) for name in _fields(model, value, _NAME_OF_VALUE)]
                    # Old files list their weights among the inputs; those sizes are real.
                    if weights.isdisjoint(names):
                        keep = {_CHANNELS} if number == _INPUT else set()
                        _free(model, freed, value, keep)
    except (IndexError, ValueError) as error:
        raise ConfigError(
            "The weight file is not an ONNX model, or it is damaged. Give an intact .onnx file."
        ) from error
    return bytes(freed)


def _free(model: bytes, freed: bytearray, value: Span, keep: set[int]) -> None:
    spans = [value]
    for number in (_TYPE_OF_VALUE, _TENSOR_OF_TYPE, _SHAPE_OF_TENSOR, _DIM_OF_SHAPE):
        spans = [inner for span in spans for inner in _fields(model, span, number)]
    for place, (start, stop) in enumerate(spans):
        is_fixed = stop - start >= 2 and model[start] == 0x08
        if is_fixed and place not in keep:
            length = stop - start - 2
            # A name says that two sizes are equal, so each gets its own; none means any.
            name = format(start, "x").rjust(length, "d")[-length:].encode() if length else b""
            freed[start:stop] = bytes((0x12, length)) + name


def _fields(model: bytes, span: Span, wanted: int) -> Iterator[Span]:
    """Go through the fields of a message that hold bytes and bear a number."""
    at, stop = span
    while at < stop:
        key, at = _varint(model, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(model, at)
        elif kind == 1:
            at += 8
        elif kind == 5:
            at += 4
        elif kind == 2:
            length, at = _varint(model, at)
            if at + length > stop:
                raise ValueError("a field reaches over the end of its message")
            if key >> 3 == wanted:
                yield at, at + length
            at += length
        else:
            raise ValueError(f"unknown wire type {kind}")
    if at != stop:
        raise ValueError("a field reaches over the end of its message")


def _varint(model: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = model[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _text(model: bytes, span: Span) -> str:
    return model[span[0] : span[1]].decode()
