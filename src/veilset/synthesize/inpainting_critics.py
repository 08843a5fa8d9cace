# SPDX-License-Identifier: Apache-2.0
"""What judges drawn faces while the inpainting network learns.

Two critics judge patches of pixels (Wang et al. 2018, arXiv:1711.11585), and ask for the features
that they see in real pictures (feature matching, equation 4 there), without which the smooth faces
of the first part of the training would stay. Beside them judge those of ``feature_critics``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from torch import Tensor, nn

from veilset.synthesize.feature_critics import (
    FeatureCritics,
    hinge_fool_loss,
    hinge_judge_loss,
    perceptual_loss,
)
from veilset.synthesize.fixed_features import FixedFeatures
from veilset.synthesize.inpainting_batches import Batch
from veilset.synthesize.inpainting_network import IN_CHANNELS
from veilset.synthesize.losses import PatchCritic, adversarial_loss, critic_loss

_LAYERS = (3, 3)
"""Of the critics, of the whole side and of half of it: patches of 70 and of 140 px."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What the fixed network sees in real and in drawn pictures, at each scale."""

    wanted: Sequence[Tensor]
    found: Sequence[Tensor]


class PatchCritics(nn.Module):
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
        x = middle(torch.cat([given, picture], dim=1))
        for scale, critic in enumerate(self.each):
            seen = x if scale == 0 else F.avg_pool2d(x, 2)
            for layer in critic.layers:
                seen = layer(seen)
                if isinstance(layer, nn.LeakyReLU):
                    features.append(seen)
            answers.append(seen)
        return answers, features


class InpaintingCritics(nn.Module):
    """All critics of one training.

    Args:
        width: As ``PatchCritics``.
        fixed: What the others look through; None for no others.
    """

    def __init__(self, width: int, fixed: FixedFeatures | None) -> None:
        super().__init__()
        self.patches = PatchCritics(width)
        self.features = FeatureCritics(fixed) if fixed else None

    def look(self, seen: Batch, completed: Tensor) -> Looked | None:
        """Look through the fixed network, if there is one; once for all that is asked below.

        Args:
            seen: The views.
            completed: ``(B, 3, S, S)``, with what was drawn in them.
        """
        if self.features is None:
            return None
        with torch.no_grad():
            wanted = self.features.look(middle(seen.wanted))
        return Looked(wanted, self.features.look(middle(completed)))

    def judge(self, seen: Batch, completed: Tensor, looked: Looked | None) -> dict[str, Tensor]:
        """Give the losses from which the critics learn; none of them moves what was drawn.

        Args:
            seen, completed: As ``look``.
            looked: As it gives it.
        """
        real, _ = self.patches(seen.given, seen.wanted)
        made, _ = self.patches(seen.given, completed.detach())
        losses = {"critics": judge_loss(real, made)}
        if self.features and looked:
            where = middle(seen.to_make)
            real = self.features(looked.wanted, where)
            made = self.features([each.detach() for each in looked.found], where)
            losses["feature_critics"] = hinge_judge_loss(real, made)
        return losses

    def ask(self, seen: Batch, completed: Tensor, looked: Looked | None) -> dict[str, Tensor]:
        """Give what they ask of the drawn: ``fooled``, ``features``; ``feature_fooled``.

        Arguments as ``judge``.
        """
        # The critics only judge now: their own gradients would be computed for nothing.
        self.requires_grad_(False)
        with torch.no_grad():
            _, wanted = self.patches(seen.given, seen.wanted)
        answers, found = self.patches(seen.given, completed)
        losses = {"fooled": fool_loss(answers), "features": feature_loss(wanted, found)}
        if self.features and looked:
            answers = self.features(looked.found, middle(seen.to_make))
            losses["feature_fooled"] = hinge_fool_loss(answers)
        self.requires_grad_(True)
        return losses


def perceptual(looked: Looked | None) -> dict[str, Tensor]:
    """Give how unlike what was drawn looks to the fixed network, if there is one."""
    return {} if looked is None else {"perceptual": perceptual_loss(looked.found, looked.wanted)}


def middle(planes: Tensor) -> Tensor:
    """Give the middle three quarters: what is drawn lies there, the rest would be equal."""
    side = planes.shape[-1]
    rim = side // 8
    return planes[..., rim : side - rim, rim : side - rim]


def judge_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Give the loss of patch critics from their answers, a scalar; as ``losses.critic_loss``."""
    pairs = [critic_loss(a.float(), b.float()) for a, b in zip(real, made, strict=True)]
    return torch.stack(pairs).mean()


def fool_loss(made: Sequence[Tensor]) -> Tensor:
    """Give the loss of what patch critics answer so; as ``losses.adversarial_loss``."""
    return torch.stack([adversarial_loss(each.float()) for each in made]).mean()


def feature_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Give the mean absolute difference of what patch critics saw, a scalar."""
    pairs = [(a.float() - b.float()).abs().mean() for a, b in zip(real, made, strict=True)]
    return torch.stack(pairs).mean()
