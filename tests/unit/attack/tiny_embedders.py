# SPDX-License-Identifier: Apache-2.0
"""Tiny ONNX networks with the face of an ArcFace: 112 x 112 px in, an embedding out.

Each number of the embedding is a linear map of the mean colours of 7 x 7 cells, so that a test
can compute it from the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LENGTH = 8
_CELLS, _CELL_PX = 7, 16


def weight() -> NDArray[np.float32]:
    """``(3 * 7 * 7, 8)``."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(3 * _CELLS**2, LENGTH)).astype(np.float32)


def embedded(chip: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the network gives for one face, written independently of the code under test."""
    prepared = (chip.astype(np.float64) - 127.5) / 127.5
    cells = prepared.reshape(_CELLS, _CELL_PX, _CELLS, _CELL_PX, 3).mean(axis=(1, 3))
    embedding: NDArray[np.float64] = cells.transpose(2, 0, 1).ravel() @ weight().astype(np.float64)
    return embedding


def build_embedder(
    path: Path,
    *,
    sizes: Sequence[int | str] = ("n", 3, 112, 112),
    outputs: Sequence[str] = ("embedding",),
    first: Sequence[tuple[str, float]] = (),
    gain: float = 1.0,
) -> Path:
    """Write a network.

    Args:
        path: File to write.
        sizes: Of the input, as the file states them.
        outputs: Names of the outputs: ``embedding`` is ``(N, 8)``, ``map`` ``(N, 3, 7, 7)``.
        first: Operations on the pixels before all others, and their numbers.
        gain: What the embedding is multiplied by.
    """
    nodes, last = [], "x"
    weights = [numpy_helper.from_array(weight() * np.float32(gain), "w")]
    for place, (operation, number) in enumerate(first):
        weights.append(numpy_helper.from_array(np.array(number, np.float32), f"number_{place}"))
        nodes.append(helper.make_node(operation, [last, f"number_{place}"], [f"first_{place}"]))
        last = f"first_{place}"
    sides = {"kernel_shape": [_CELL_PX] * 2, "strides": [_CELL_PX] * 2}
    nodes.append(helper.make_node("AveragePool", [last], ["map"], **sides))
    nodes.append(helper.make_node("Flatten", ["map"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "w"], ["embedding"]))
    ranks = {"map": 4, "embedding": 2}
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(sizes))
    results = [
        helper.make_tensor_value_info(
            name, TensorProto.FLOAT, [f"{name}_{axis}" for axis in range(ranks[name])]
        )
        for name in outputs
    ]
    graph = helper.make_graph(nodes, "tiny", [given], results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def check_is_a_model(path: Path) -> None:
    """Fail if the file is no valid ONNX model."""
    onnx.checker.check_model(onnx.load(str(path)))
