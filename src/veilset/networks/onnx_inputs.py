# SPDX-License-Identifier: Apache-2.0
"""What an ONNX file says of its inputs, before any runtime has loaded it."""

from __future__ import annotations

from dataclasses import dataclass

from veilset.errors import ConfigError
from veilset.networks.onnx_fields import (
    DIM_OF_SHAPE,
    GRAPH_OF_MODEL,
    INITIALIZER,
    INPUT,
    INPUT_OF_NODE,
    NAME_OF_TENSOR,
    NAME_OF_VALUE,
    NODE,
    OPERATION_OF_NODE,
    SHAPE_OF_TENSOR,
    TENSOR_OF_TYPE,
    TYPE_OF_VALUE,
    Span,
    fields,
    text,
    varint,
)

_DIM_VALUE = 0x08  # key of dim_value; dim_param has another


@dataclass(frozen=True, slots=True)
class StatedInput:
    """One input of a network, as the file states it.

    Attributes:
        name: Its name.
        sizes: Its sizes; None for one that is free.
        taken_by: The operations that take it, in the order of the file.
    """

    name: str
    sizes: tuple[int | None, ...]
    taken_by: tuple[str, ...]


def stated_inputs(model: bytes) -> list[StatedInput]:
    """Give the inputs of a network, in the order of the file; weights are none.

    Args:
        model: An ONNX file.

    Raises:
        ConfigError: If the bytes are no ONNX model.
    """
    try:
        found = []
        for graph in fields(model, (0, len(model)), GRAPH_OF_MODEL):
            # Old files list their weights among the inputs.
            weights = set(_texts(model, _inner(model, [graph], INITIALIZER), NAME_OF_TENSOR))
            takers = _takers(model, graph)
            for value in fields(model, graph, INPUT):
                (name,) = _texts(model, [value], NAME_OF_VALUE)
                if name not in weights:
                    found.append(StatedInput(name, _sizes(model, value), takers.get(name, ())))
        return found
    except (IndexError, ValueError) as error:
        raise ConfigError(
            "The weight file is not an ONNX model, or it is damaged. Give an intact .onnx file."
        ) from error


def _takers(model: bytes, graph: Span) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for node in fields(model, graph, NODE):
        (operation,) = _texts(model, [node], OPERATION_OF_NODE)
        for name in _texts(model, [node], INPUT_OF_NODE):
            found[name] = (*found.get(name, ()), operation)
    return found


def _sizes(model: bytes, value: Span) -> tuple[int | None, ...]:
    dims = _inner(model, [value], TYPE_OF_VALUE, TENSOR_OF_TYPE, SHAPE_OF_TENSOR, DIM_OF_SHAPE)
    stated = (
        varint(model, start + 1)[0] if stop > start and model[start] == _DIM_VALUE else None
        for start, stop in dims
    )
    # Some exporters write a free size as 0 or as -1, which is 2 ** 64 - 1 here.
    return tuple(size if size and size < 1 << 63 else None for size in stated)


def _inner(model: bytes, spans: list[Span], *numbers: int) -> list[Span]:
    for number in numbers:
        spans = [inner for span in spans for inner in fields(model, span, number)]
    return spans


def _texts(model: bytes, spans: list[Span], number: int) -> list[str]:
    return [text(model, each) for each in _inner(model, spans, number)]
