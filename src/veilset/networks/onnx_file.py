# SPDX-License-Identifier: Apache-2.0
"""Write a network down as an ONNX file, without the ``onnx`` package.

Weights that come as bare numbers become a file that every runtime takes, by the same door
as weights that come as ONNX. Only what such networks need is here: nodes with numbers as
attributes, and weights of float32 or int64.

The file is a protocol buffer. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from veilset.networks.onnx_fields import KEY_OF_ENTRY, METADATA_OF_MODEL, VALUE_OF_ENTRY

_IR_VERSION, _OPSET = 7, 13
_FLOAT32, _INT64 = 1, 7  # TensorProto.DataType
_INT, _INTS = 2, 7  # AttributeProto.AttributeType


class OnnxGraph:
    """A network that grows node by node.

    Example:
        >>> graph = OnnxGraph()
        >>> doubled = graph.node("Add", "pictures", "pictures")
        >>> file = graph.file("pictures", ("N", 3, "H", "W"), doubled, ("N", 3, "H", "W"))
        >>> len(file)
        120
    """

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._weights: list[bytes] = []

    def weight(self, values: NDArray[np.float32] | NDArray[np.int64]) -> str:
        """Add weights of any shape; give the name by which nodes take them.

        Raises:
            TypeError: If they are neither float32 nor int64.
        """
        kinds = {np.dtype(np.float32): _FLOAT32, np.dtype(np.int64): _INT64}
        if values.dtype not in kinds:
            raise TypeError(f"Weights of type {values.dtype} cannot be written: give float32.")
        name = f"w{len(self._weights)}"
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        self._weights.append(
            b"".join(_number(1, size) for size in values.shape)
            + _number(2, kinds[values.dtype])
            + _bytes(8, name.encode())
            + _bytes(9, little.tobytes())
        )
        return name

    def node(self, operation: str, *inputs: str, **attributes: int | Sequence[int]) -> str:
        """Add a node with one output; give the name of that output.

        Args:
            operation: Name of an operator of ONNX's opset 13.
            inputs: Names of weights, of outputs of other nodes, or of the network's input.
            attributes: Whole numbers, or several of them.
        """
        name = f"v{len(self._nodes)}"
        self._nodes.append(
            b"".join(_bytes(1, each.encode()) for each in inputs)
            + _bytes(2, name.encode())
            + _bytes(4, operation.encode())
            + b"".join(_bytes(5, _attribute(*each)) for each in attributes.items())
        )
        return name

    def file(
        self,
        given: str,
        given_shape: Sequence[int | str],
        result: str,
        result_shape: Sequence[int | str],
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> bytes:
        """Give the ONNX file.

        Args:
            given: Name of the input, float32.
            given_shape: Its sizes; a text stands for a size that is free.
            result: Name of the output, float32.
            result_shape: Its sizes.
            metadata: What the file says of itself, as ``onnx_fields.metadata_of`` reads it.
        """
        graph = (
            b"".join(_bytes(1, node) for node in self._nodes)
            + _bytes(2, b"network")
            + b"".join(_bytes(5, weight) for weight in self._weights)
            + _bytes(11, _value(given, given_shape))
            + _bytes(12, _value(result, result_shape))
        )
        model = _number(1, _IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, _OPSET))
        return with_metadata(model, metadata or {})


def with_metadata(model: bytes, metadata: Mapping[str, str]) -> bytes:
    """Give an ONNX file that says more of itself.

    A repeated field of a protocol buffer may go on anywhere, so what is new comes behind all
    other bytes.

    Args:
        model: An ONNX file.
        metadata: What is added; no key that the file has.

    Example:
        >>> from veilset.networks.onnx_fields import metadata_of
        >>> metadata_of(with_metadata(b"", {"made by": "us"}))
        {'made by': 'us'}
    """
    entries = (
        _bytes(KEY_OF_ENTRY, key.encode()) + _bytes(VALUE_OF_ENTRY, value.encode())
        for key, value in metadata.items()
    )
    return model + b"".join(_bytes(METADATA_OF_MODEL, entry) for entry in entries)


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _bytes(1, name.encode()) + _number(3, value) + _number(20, _INT)
    numbers = b"".join(_number(8, each) for each in value)
    return _bytes(1, name.encode()) + numbers + _number(20, _INTS)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(
        _bytes(1, _number(1, size) if isinstance(size, int) else _bytes(2, size.encode()))
        for size in shape
    )
    tensor = _number(1, _FLOAT32) + _bytes(2, sizes)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Give a whole number from 0 on, seven bits in each byte, the lowest first."""
    if value < 0:
        raise ValueError(f"{value} is below 0.")
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*octets, value))
