# SPDX-License-Identifier: Apache-2.0
"""Tiny ONNX networks with the heads of real ones, planted through the picture.

Every head is a linear map of the mean colour of a cell, so a coloured square in the
picture plants a detection, and a test can compute by scalar arithmetic what must come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Head:
    """One output: ``activation(weight @ colour + bias)`` of each cell.

    Attributes:
        name: Name of the output.
        stride: Side of a cell in pixels.
        per_cell: Anchors in a cell.
        weight: ``(per_cell * C, 3)``, on the prepared colour.
        bias: ``(per_cell * C,)``.
        activation: Operator put behind, "" for none.
    """

    name: str
    stride: int
    per_cell: int
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: str = ""

    @property
    def channels(self) -> int:
        return len(self.bias) // self.per_cell


def planted(name: str, stride: int, per_cell: int, channels: int, seed: int, gain: float) -> Head:
    """A head of random small weights."""
    rng = np.random.default_rng(seed)
    n = per_cell * channels
    weight = rng.uniform(-gain, gain, (n, 3)).astype(np.float32)
    return Head(name, stride, per_cell, weight, rng.uniform(-0.5, 0.5, n).astype(np.float32))


def build(
    path: Path,
    heads: Sequence[Head],
    *,
    layout: str = "rows",
    joined: Sequence[tuple[str, Sequence[str]]] = (),
    size: tuple[int | str, int | str, int | str] = ("n", "h", "w"),
    activations: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write a network.

    Args:
        path: File to write.
        heads: Its heads.
        layout: ``maps`` gives ``(N, C, h, w)``, ``rows`` gives ``(1, cells, C)``, ``flat``
            gives ``(cells, C)``.
        joined: Outputs that are heads one after the other, by name, instead of the heads.
        size: Batch, height and width that the file states.
        activations: Operator behind a joined output, by its name.
    """
    nodes, weights, results = [], [], {}
    for head in heads:
        key = head.name
        nodes.append(
            helper.make_node(
                "AveragePool", ["x"], [f"{key}/cells"],
                kernel_shape=[head.stride] * 2, strides=[head.stride] * 2,
            )
        )  # fmt: skip
        weights.append(numpy_helper.from_array(head.weight[..., None, None], f"{key}/w"))
        weights.append(numpy_helper.from_array(head.bias, f"{key}/b"))
        nodes.append(
            helper.make_node("Conv", [f"{key}/cells", f"{key}/w", f"{key}/b"], [f"{key}/conv"])
        )
        last = f"{key}/conv"
        if head.activation:
            nodes.append(helper.make_node(head.activation, [last], [f"{key}/act"]))
            last = f"{key}/act"
        if layout != "maps":
            shape = [1, -1, head.channels] if layout == "rows" else [-1, head.channels]
            weights.append(numpy_helper.from_array(np.array(shape, np.int64), f"{key}/shape"))
            nodes.append(helper.make_node("Transpose", [last], [f"{key}/t"], perm=[0, 2, 3, 1]))
            nodes.append(helper.make_node("Reshape", [f"{key}/t", f"{key}/shape"], [f"{key}/rows"]))
            last = f"{key}/rows"
        results[key] = last
    for name, parts in joined:
        nodes.append(
            helper.make_node(
                "Concat", [results.pop(part) for part in parts], [f"{name}/all"], axis=1
            )
        )
        results[name] = f"{name}/all"
    for name, operator in activations:
        nodes.append(helper.make_node(operator, [results[name]], [f"{name}/act"], axis=-1))
        results[name] = f"{name}/act"
    outputs = []
    rank = {"maps": 4, "rows": 3, "flat": 2}[layout]
    for name, last in results.items():
        nodes.append(helper.make_node("Identity", [last], [name]))
        dims = [f"{name}_{axis}" for axis in range(rank)]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, [size[0], 3, *size[1:]])
    graph = helper.make_graph(nodes, "tiny", [picture], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def picture(height: int, width: int, cell: int, seed: int = 0) -> NDArray[np.uint8]:
    """A picture of one colour for each cell, so that a cell's mean is exact."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (-(-height // cell), -(-width // cell), 3), dtype=np.uint8)
    full = colours.repeat(cell, axis=0).repeat(cell, axis=1)
    return np.ascontiguousarray(full[:height, :width])


def cell_values(
    head: Head, prepared: NDArray[np.float64], row: int, column: int, anchor: int
) -> list[float]:
    """What a head says of one cell, by scalar arithmetic.

    Args:
        head: The head.
        prepared: ``(H, W, 3)``, the padded picture after colour, mean and scale.
        row: Row of the cell.
        column: Column of the cell.
        anchor: Which of the cell's anchors.
    """
    block = prepared[
        row * head.stride : (row + 1) * head.stride,
        column * head.stride : (column + 1) * head.stride,
    ]
    colour = [float(block[..., channel].mean()) for channel in range(3)]
    values = []
    for channel in range(head.channels):
        at = anchor * head.channels + channel
        value = float(head.bias[at])
        for place in range(3):
            value += float(head.weight[at, place]) * colour[place]
        values.append(1 / (1 + np.exp(-value)) if head.activation == "Sigmoid" else value)
    return values


def padded(image: NDArray[np.uint8], multiple: int) -> NDArray[np.float64]:
    """The picture as a network sees it, written independently of the code under test."""
    height, width = image.shape[:2]
    down = (multiple - height % multiple) % multiple
    right = (multiple - width % multiple) % multiple
    return np.pad(image, ((0, down), (0, right), (0, 0))).astype(np.float64)
