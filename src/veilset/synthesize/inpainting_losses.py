# SPDX-License-Identifier: Apache-2.0
"""What the inpainting network is asked for.

First only to be near (L1 and ``1 - SSIM``): it learns where faces have what. Then also to fool two
critics that judge patches of two sizes (Wang et al. 2018, arXiv:1711.11585), and to have the
features that they see in real pictures (feature matching, equation 4 there), without which the
first stage's smooth faces would stay. Features of networks trained on other data would help too;
no weights are downloaded here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from torch import Tensor, nn

from veilset.synthesize.inpainting_batches import Batch
from veilset.synthesize.inpainting_network import IN_CHANNELS
from veilset.synthesize.losses import PatchCritic, adversarial_loss, critic_loss, ssim_map

RIM_WEIGHT = 0.3
"""Of a shown pixel beside that of a hidden one: drawn surroundings are what the edge fades into."""

_LAYERS = (3, 3)
"""Of the critics, of the whole side and of half of it: patches of 70 and of 140 px."""


class Critics(nn.Module):
    """Two critics of one architecture, the second of pictures of half the side.

    Args:
        width: Channels of their first layers.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.each = nn.ModuleList(PatchCritic(IN_CHANNELS, width, n) for n in _LAYERS)

    def forward(self, given: Tensor, picture: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Give their answers for each patch, and what each of their layers saw.

        Args:
            given: ``(B, 5, S, S)`` as ``InpaintingNetwork``; S at least 64.
            picture: ``(B, 3, S, S)`` in [-1, 1].
        """
        answers, features = [], []
        x = _middle(torch.cat([given, picture], dim=1))
        for scale, critic in enumerate(self.each):
            seen = x if scale == 0 else F.avg_pool2d(x, 2)
            for layer in critic.layers:
                seen = layer(seen)
                if isinstance(layer, nn.LeakyReLU):
                    features.append(seen)
            answers.append(seen)
        return answers, features


def _middle(planes: Tensor) -> Tensor:
    """Give the middle three quarters: what is drawn lies there, the rest would be equal."""
    side = planes.shape[-1]
    rim = side // 8
    return planes[..., rim : side - rim, rim : side - rim]


def nearness_loss(batch: Batch, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Give the mean absolute difference and ``1 - SSIM``, scalars.

    Args:
        batch: What was wanted.
        drawn: ``(B, 3, S, S)`` in [-1, 1].
    """
    weight = batch.to_make + RIM_WEIGHT * (1 - batch.to_make) * batch.inside
    away = ((drawn - batch.wanted).abs() * weight).sum() / (3 * weight.sum())
    alike = ssim_map((drawn * batch.inside + 1) / 2, (batch.wanted + 1) / 2).mean()
    return away, 1 - alike


def judge_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Give the loss of the critics from their answers, a scalar; as ``losses.critic_loss``."""
    pairs = [critic_loss(a.float(), b.float()) for a, b in zip(real, made, strict=True)]
    return torch.stack(pairs).mean()


def fool_loss(made: Sequence[Tensor]) -> Tensor:
    """Give the loss of what the critics answer so, a scalar; as ``losses.adversarial_loss``."""
    return torch.stack([adversarial_loss(each.float()) for each in made]).mean()


def feature_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Give the mean absolute difference of what the critics saw, a scalar."""
    pairs = [(a.float() - b.float()).abs().mean() for a, b in zip(real, made, strict=True)]
    return torch.stack(pairs).mean()
