# SPDX-License-Identifier: Apache-2.0
"""What ONNX files say of their inputs: as the ``onnx`` package wrote them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from veilset.errors import ConfigError
from veilset.networks.onnx_inputs import StatedInput, stated_inputs


def written(*inputs: tuple[str, Sequence[int | str] | None], with_weight: bool = False) -> bytes:
    """A file whose nodes take the inputs one after the other."""
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs]
    nodes = [helper.make_node("Sub", [name, "w"], [f"{name}_less"]) for name, _ in inputs]
    nodes += [helper.make_node("Relu", [name], [f"{name}_cut"]) for name, _ in inputs]
    weight = numpy_helper.from_array(np.array([300.0], np.float32), "w")
    if with_weight:
        given.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]))
    result = helper.make_tensor_value_info(f"{inputs[0][0]}_cut", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "inputs", given, [result], [weight])
    return bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize("with_weight", [False, True])
def test_sizes_and_takers_are_told(with_weight: bool) -> None:
    model = written(("picture", ["n", 3, 160, 70_000]), ("other", [-1]), with_weight=with_weight)
    assert stated_inputs(model) == [
        StatedInput("picture", (None, 3, 160, 70_000), ("Sub", "Relu")),
        StatedInput("other", (None,), ("Sub", "Relu")),
    ]


def test_an_input_without_sizes_has_none() -> None:
    assert stated_inputs(written(("picture", None)))[0].sizes == ()


def test_no_model_has_no_inputs() -> None:
    assert stated_inputs(b"") == []


def test_damaged_files_are_refused() -> None:
    model = written(("picture", ["n", 3, 160, 160]))
    for content in (model[:-3], b"picture", b"\xff"):
        with pytest.raises(ConfigError, match=r"damaged\. Give an intact \.onnx file"):
            stated_inputs(content)


def test_parts_without_a_name_are_refused() -> None:
    # A graph with an input that is empty.
    with pytest.raises(ConfigError, match="damaged"):
        stated_inputs(bytes.fromhex("3a02 5a00"))
