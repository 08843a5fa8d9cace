# SPDX-License-Identifier: Apache-2.0
"""The fixed network in PyTorch sees what its ONNX file sees, and lets gradients through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from torch import Tensor

from tests.unit.audit.drawn_lite import REPEATS, drawn_tensors
from veilset.networks.efficientnet_lite import (
    LITE2,
    Variant,
    features_file,
    folded,
    read_lite,
)
from veilset.networks.runtime import Preparation, open_session
from veilset.networks.torch_file import Tensors
from veilset.protocols import RuntimeSettings
from veilset.synthesize.fixed_features import FixedFeatures

NARROW = Variant(LITE2.card, "", "", 22, REPEATS)


def pooled(last: Tensor, tensors: Tensors) -> Tensor:
    weight, bias = map(torch.from_numpy, folded(tensors, "_conv_head", "_bn1"))
    return F.relu6(F.conv2d(last, weight, bias)).mean(dim=(2, 3))


@pytest.mark.parametrize("side", [22, 64, 97])
def test_it_sees_what_the_onnx_file_sees(side: int) -> None:
    tensors = drawn_tensors()
    check(tensors, NARROW, side)


def test_so_do_the_packaged_weights() -> None:
    check(read_lite(LITE2), LITE2, 96)


def check(tensors: Tensors, variant: Variant, side: int) -> None:
    preparation = Preparation(mean=(127.5, 127.5, 127.5), scale=127.5)
    model = features_file(tensors, side, variant.repeats)
    session = open_session(model, preparation, RuntimeSettings(runtime="onnxruntime"))
    pictures = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), np.uint8)
    planes = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    network = FixedFeatures(tensors, variant.repeats)
    stages = network(planes)
    assert [each.shape[1] for each in stages] == list(network.widths)
    assert [each.shape[2] for each in stages] == [-(-side // by) for by in (4, 8, 16, 32)]
    found = pooled(stages[-1], tensors)
    for picture, features in zip(pictures, found, strict=True):
        with session.run(picture[None]) as (wanted,):
            assert np.abs(wanted).max() > 0.01
            np.testing.assert_allclose(features, wanted[0], atol=2e-4)


def test_it_is_fixed_and_gradients_go_through() -> None:
    network = FixedFeatures(drawn_tensors(), REPEATS)
    assert not list(network.parameters())
    assert not network.state_dict(), "weights of others do not go into checkpoints"
    picture = torch.zeros(1, 3, 32, 32, requires_grad=True)
    network(picture)[-1].sum().backward()
    assert picture.grad is not None
    assert float(picture.grad.abs().sum()) > 0
