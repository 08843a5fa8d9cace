# SPDX-License-Identifier: Apache-2.0
"""ONNX files that we write: the ``onnx`` package reads what was meant, and runtimes agree."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from veilset.networks.onnx_file import OnnxGraph
from veilset.networks.runtime import Preparation, open_session
from veilset.protocols import RuntimeSettings


def test_the_onnx_package_reads_what_was_meant() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(300, 3, 3, 3)).astype(np.float32)
    graph = OnnxGraph()
    names = [graph.weight(weight), graph.weight(np.zeros(300, np.float32))]
    seen = graph.node("Conv", "x", *names, group=1, pads=(0, 1, 2, 200), strides=(2, 1))
    shape = graph.weight(np.array([0, -1], np.int64))
    seen = graph.node("Reshape", seen, shape)
    model = onnx.load_from_string(graph.file("x", ("N", 3, 128, "W"), seen, ("N", 16_000)))
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]
    conv, reshape = model.graph.node
    assert (conv.op_type, list(conv.input), list(conv.output)) == ("Conv", ["x", *names], ["v0"])
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in conv.attribute}
    assert attributes == {"group": 1, "pads": [0, 1, 2, 200], "strides": [2, 1]}
    assert (reshape.op_type, list(reshape.input)) == ("Reshape", ["v0", shape])
    read = [numpy_helper.to_array(each) for each in model.graph.initializer]
    np.testing.assert_array_equal(read[0], weight)
    assert read[2].tolist() == [0, -1]
    (given,), (result,) = model.graph.input, model.graph.output
    sizes = [each.dim_param or each.dim_value for each in given.type.tensor_type.shape.dim]
    assert (given.name, sizes) == ("x", ["N", 3, 128, "W"])
    sizes = [each.dim_param or each.dim_value for each in result.type.tensor_type.shape.dim]
    assert (result.name, sizes) == (seen, ["N", 16_000])
    assert result.type.tensor_type.elem_type == TensorProto.FLOAT


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_runtimes_take_it(runtime: str) -> None:
    graph = OnnxGraph()
    weight = np.array([[[[1.0]], [[10.0]], [[100.0]]]], np.float32)
    seen = graph.node("Conv", "x", graph.weight(weight), kernel_shape=(1, 1))
    mean = graph.node("Flatten", graph.node("GlobalAveragePool", seen))
    model = graph.file("x", ("N", 3, "H", "W"), mean, ("N", 1))
    session = open_session(model, Preparation(), RuntimeSettings(runtime=runtime))
    picture = np.zeros((1, 2, 4, 3), np.uint8)
    picture[0, 0] = (1, 2, 3)
    with session.run(picture) as (output,):
        np.testing.assert_allclose(output, [[321 / 2]])


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        OnnxGraph().weight(np.zeros(3))  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match="-1 is below 0"):
        OnnxGraph().node("Concat", "x", axis=-1)
