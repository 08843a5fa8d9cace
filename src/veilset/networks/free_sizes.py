# SPDX-License-Identifier: Apache-2.0
"""Free the fixed sizes in an ONNX file, without the ``onnx`` package.

Many weight files fix the batch and the picture size that they were exported with, though
the network bears any. ONNX Runtime holds to the file; this rewrites the sizes of the
picture input, of the outputs and of the values between them to names, which mean "any".

The file is a protocol buffer. A dimension is the message ``08 <varint>`` (``dim_value``);
it becomes ``12 <n> <n bytes>`` (``dim_param``) of the very same length, so that nothing
around it moves.
"""

from __future__ import annotations

from veilset.errors import ConfigError
from veilset.networks.onnx_fields import (
    DIM_OF_SHAPE,
    GRAPH_OF_MODEL,
    INITIALIZER,
    INPUT,
    NAME_OF_TENSOR,
    NAME_OF_VALUE,
    OUTPUT,
    SHAPE_OF_TENSOR,
    TENSOR_OF_TYPE,
    TYPE_OF_VALUE,
    VALUE_INFO,
    Span,
    fields,
    text,
)

_CHANNELS = 1  # place of the channels in N C H W: the one size that must stay


def free_sizes(model: bytes) -> bytes:
    """Give the model with batch, height and width free, byte for byte as long as before.

    Args:
        model: An ONNX file.

    Raises:
        ConfigError: If the bytes are no ONNX model.
    """
    freed = bytearray(model)
    try:
        for graph in fields(model, (0, len(model)), GRAPH_OF_MODEL):
            weights = {
                text(model, name)
                for tensor in fields(model, graph, INITIALIZER)
                for name in fields(model, tensor, NAME_OF_TENSOR)
            }
            for number in (INPUT, OUTPUT, VALUE_INFO):
                for value in fields(model, graph, number):
                    names = [text(model, name) for name in fields(model, value, NAME_OF_VALUE)]
                    # Old files list their weights among the inputs; those sizes are real.
                    if weights.isdisjoint(names):
                        keep = {_CHANNELS} if number == INPUT else set()
                        _free(model, freed, value, keep)
    except (IndexError, ValueError) as error:
        raise ConfigError(
            "The weight file is not an ONNX model, or it is damaged. Give an intact .onnx file."
        ) from error
    return bytes(freed)


def _free(model: bytes, freed: bytearray, value: Span, keep: set[int]) -> None:
    spans = [value]
    for number in (TYPE_OF_VALUE, TENSOR_OF_TYPE, SHAPE_OF_TENSOR, DIM_OF_SHAPE):
        spans = [inner for span in spans for inner in fields(model, span, number)]
    for place, (start, stop) in enumerate(spans):
        is_fixed = stop - start >= 2 and model[start] == 0x08
        if is_fixed and place not in keep:
            length = stop - start - 2
            # A name says that two sizes are equal, so each gets its own; none means any.
            name = format(start, "x").rjust(length, "d")[-length:].encode() if length else b""
            freed[start:stop] = bytes((0x12, length)) + name
