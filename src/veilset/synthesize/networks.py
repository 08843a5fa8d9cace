# SPDX-License-Identifier: Apache-2.0
"""The networks of the report: attributes from a face, and a face from its factors.

**The number of parameters.** The report gives the sizes of the encoder, three blocks in each
decoder stack, and 45,121,667 parameters in all; it does not give the widths of the decoder.
``ReconstructionNetwork`` has exactly that number with: convolutions without bias before a
normalisation of two parameters a channel (gamma, beta: PyTorch's count; Keras would count four),
one block between encoder and decoder, skips concatenated, decoder stacks of 512, 448, 384, 256
and 128 channels, and a last 1x1 convolution with bias. Of all arrangements tried (encoder fixed;
2 to 5 parameters a channel; 4 or 5 decoder stacks of widths that fall in steps of 64; 0 to 3
blocks between, of 512 to 1280 channels; last convolution 1x1 or 3x3) it is the only one with
concatenated skips that meets the number; without concatenation three meet it. That is an
inference: the author's own widths may be others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
import torchvision
from torch import nn

from veilset.errors import ConfigError

IN_CHANNELS = 68 + 3 + 40
ENCODER_WIDTHS = (128, 256, 384, 512, 640)
DECODER_WIDTHS = (512, 448, 384, 256, 128)
REPORTED_PARAMETERS = 45_121_667


def _block(n_in: int, n_out: int) -> nn.Sequential:
    # The bias would only be taken off again by the normalisation.
    convolution = nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


def _stack(n_in: int, n_out: int, n_blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_block(n_in if i == 0 else n_out, n_out) for i in range(n_blocks)))


class ReconstructionNetwork(nn.Module):
    """A face from landmarks, surroundings and attributes: the U-Net of the report.

    An encoder stack is two blocks (3x3 convolution, batch normalisation, ReLU) and 2x2 maximum
    pooling; a decoder stack is bilinear upsampling by two, the skip concatenated, and three
    blocks. At 128x64 the stacks of the encoder give 128x64x128, 64x32x256, 32x16x384, 16x8x512
    and 8x4x640, height first, each before its pooling.

    Args:
        n_in: Channels of the factors: landmarks, 3 of the surroundings, attributes.
        encoder_widths: Channels of the stacks of the encoder.
        decoder_widths: As many, deepest first.

    Raises:
        ConfigError: If the widths do not fit together.
    """

    def __init__(
        self,
        n_in: int = IN_CHANNELS,
        encoder_widths: Sequence[int] = ENCODER_WIDTHS,
        decoder_widths: Sequence[int] = DECODER_WIDTHS,
    ) -> None:
        super().__init__()
        if not 0 < len(encoder_widths) == len(decoder_widths):
            raise ConfigError(
                f"{len(encoder_widths)} encoder and {len(decoder_widths)} decoder stacks do not "
                "make a network. Give as many widths of both, at least one."
            )
        befores = (n_in, *encoder_widths[:-1])
        self.encoder = nn.ModuleList(
            _stack(before, width, 2) for before, width in zip(befores, encoder_widths, strict=True)
        )
        bottom = encoder_widths[-1]
        self.middle = _block(bottom, bottom)
        belows = (bottom, *decoder_widths[:-1])
        self.decoder = nn.ModuleList(
            _stack(below + skip, width, 3)
            for below, skip, width in zip(
                belows, reversed(encoder_widths), decoder_widths, strict=True
            )
        )
        self.to_rgb = nn.Conv2d(decoder_widths[-1], 3, kernel_size=1)

    def forward(self, factors: torch.Tensor) -> torch.Tensor:
        """Give the face.

        Args:
            factors: ``(B, n_in, H, W)`` float: landmarks, surroundings, attributes, in this
                order; H and W multiples of 2 to the number of stacks, 32 for the report's.

        Returns:
            ``(B, 3, H, W)`` in (0, 1), RGB.
        """
        skips = []
        x = factors
        for stack in self.encoder:
            x = stack(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for stack in self.decoder:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = stack(torch.cat([x, skips.pop()], dim=1))
        return torch.sigmoid(self.to_rgb(x))


def n_parameters(network: nn.Module) -> int:
    """Count what is learned: not the running means and variances of the normalisation."""
    return sum(parameter.numel() for parameter in network.parameters())


def resnet50_classifier(n_attributes: int = 40) -> nn.Module:
    """Build the attribute classifier of the report: ResNet-50 with one logit an attribute.

    Weights are drawn at random (``torch.manual_seed`` decides), none are downloaded.

    Returns:
        ``(B, 3, H, W)`` in [0, 1] to ``(B, n_attributes)`` logits; their sigmoids are the
        probabilities.
    """
    network: nn.Module = torchvision.models.resnet50(weights=None, num_classes=n_attributes)
    return network


def small_classifier(n_attributes: int = 40, width: int = 16) -> nn.Module:
    """Build an attribute classifier that trains on a CPU in minutes.

    Four stages of two blocks, each halving the sides and doubling the channels, the mean over
    the picture, one logit an attribute: 0.3 million parameters at width 16.

    Args:
        n_attributes: Number of logits.
        width: Channels of the first stage.

    Returns:
        As ``resnet50_classifier``; H and W at least 16.
    """
    widths = (3, width, 2 * width, 4 * width, 8 * width)
    stages = [
        nn.Sequential(_stack(before, after, 2), nn.MaxPool2d(2))
        for before, after in pairwise(widths)
    ]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], n_attributes))
    return nn.Sequential(*stages, *head)


def attribute_loss(logits: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Give the loss of the report: binary cross entropy, summed over attributes.

    Args:
        logits: ``(B, K)``.
        present: ``(B, K)``, 0 or 1, of any type.

    Returns:
        A scalar, the mean over the batch.
    """
    # PyTorch takes the truth in the type of the logits only.
    truth = present.to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return each.sum(dim=1).mean()
