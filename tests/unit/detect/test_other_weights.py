# SPDX-License-Identifier: Apache-2.0
"""Weights of some other network are refused in a sentence, whatever the runtime makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from veilset.errors import ConfigError
from veilset.plugins import make_detector
from veilset.protocols import DetectorSettings


def of_one_size(path: Path) -> Path:
    """Write a network that takes a picture, but only of 48 x 48 px; its file does not say so."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    shape = numpy_helper.from_array(np.array([1, 48 * 48 * 3], np.int64), "shape")
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 13)]
    graph = helper.make_graph([node], "other", [taken], [given], [shape])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("detector", "kind"),
    [
        ("scrfd", "scrfd"), ("retinaface", "retinaface"), ("yunet", "yunet"),
        ("centerface", "CenterFace"), ("nudenet", "NudeNet"),
    ],
)  # fmt: skip
def test_weights_of_another_network_get_one_sentence(
    tmp_path: Path, detector: str, kind: str, runtime: str
) -> None:
    path = of_one_size(tmp_path / "other.onnx")
    with pytest.raises(ConfigError) as found:
        make_detector(detector, DetectorSettings(weights=str(path), runtime=runtime))
    said = str(found.value)
    assert f"other.onnx, supplied by the user is not a {kind}: it cannot take" in said
    assert said.endswith("Choose the detector that fits the file.")
    assert "\n" not in said
