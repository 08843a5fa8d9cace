# SPDX-License-Identifier: Apache-2.0
"""Critics that look at pictures through a network that learned on other data.

Projected GAN (Sauer et al. 2021, arXiv:2111.01007): what a fixed network sees at four scales is
mixed at random, across channels and from coarse to fine, so that a critic cannot rest on some of
them alone, and at each scale a small critic judges what came of it. Channels are never fewer after
the mixing than before: nothing is lost. Critics that begin with nothing have to learn what eyes
are; these do not, and so few photographs and steps teach more. The same features tell how unlike
two pictures look to such a network (Zhang et al. 2018, arXiv:1801.03924, without weights learned
from people's judgements).

Left alone with pictures, such critics are fooled by what no person takes for a face: they stand
beside those that see pixels, not in their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from veilset.synthesize.fixed_features import FixedFeatures

LEAST_SIDE_PX = 128
"""Smaller pictures are enlarged before the fixed network sees them: it learned on larger ones."""

MIXED = (64, 128, 256, 512)
"""Channels after the mixing, at each scale, the finest first: those of Sauer et al."""

_HIDDEN = 128
_EPSILON = 1e-6


class FeatureCritics(nn.Module):
    """A critic at each scale that the fixed network sees.

    Args:
        fixed: That network.
    """

    def __init__(self, fixed: FixedFeatures) -> None:
        super().__init__()
        self._fixed = fixed
        for at, width in enumerate(fixed.widths):
            self.register_buffer(f"across_{at}", _drawn(MIXED[at], width, 1))
        for at, (finer, coarser) in enumerate(pairwise(MIXED)):
            self.register_buffer(f"down_{at}", _drawn(finer, coarser, 3))
        self._critics = nn.ModuleList(_critic(n_mixed) for n_mixed in MIXED)

    def look(self, pictures: Tensor) -> list[Tensor]:
        """Give what the fixed network sees.

        Args:
            pictures: ``(B, 3, S, S)`` in [-1, 1].
        """
        side = max(pictures.shape[-1], LEAST_SIDE_PX)
        if side != pictures.shape[-1]:
            pictures = F.interpolate(pictures, side, mode="bilinear", align_corners=False)
        found: list[Tensor] = self._fixed(pictures)
        return found

    def forward(self, looked: Sequence[Tensor], to_make: Tensor) -> list[Tensor]:
        """Give their answers, ``(B, 1, s, s)`` at each scale, the finest first.

        Args:
            looked: As ``look`` gives it.
            to_make: ``(B, 1, S, S)`` in [0, 1], where a picture was made or would be.
        """
        seen: list[Tensor] = []
        for at in reversed(range(len(looked))):
            mixed = F.conv2d(_level(looked[at]), self.get_buffer(f"across_{at}"))
            if seen:
                coarse = F.interpolate(seen[0], mixed.shape[-2:], mode="bilinear")
                coarse = F.conv2d(coarse, self.get_buffer(f"down_{at}"), padding=1)
                mixed = (mixed + coarse) / 2**0.5
            seen.insert(0, mixed)
        answers = []
        for critic, mixed in zip(self._critics, seen, strict=True):
            where = F.interpolate(to_make, mixed.shape[-2:], mode="bilinear").to(mixed.dtype)
            answers.append(critic(torch.cat([mixed, where], dim=1)))
        return answers


class _Convolution(nn.Module):
    """One of spectral norm 1 (Miyato et al. 2018, arXiv:1802.05957)."""

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        super().__init__()
        self._layer = spectral_norm(nn.Conv2d(n_in, n_out, kernel, 1, kernel // 2))

    def forward(self, x: Tensor) -> Tensor:
        # PyTorch estimates the norm with products of its own, which are not made for half of them
        # being of less precision.
        with torch.autocast(x.device.type, enabled=False):
            weight = self._layer.weight
        return F.conv2d(x, weight, self._layer.bias, padding=weight.shape[-1] // 2)


def _level(looked: Tensor) -> Tensor:
    """Bring what is seen of each picture at a scale to a mean square of 1: scales count alike."""
    seen = looked.float()
    return seen * torch.rsqrt(seen.square().mean(dim=(1, 2, 3), keepdim=True) + _EPSILON)


def _drawn(n_out: int, n_in: int, kernel: int) -> Tensor:
    """Give weights that keep the variance (He et al. 2015, arXiv:1502.01852)."""
    weight = torch.empty(n_out, n_in, kernel, kernel)
    return nn.init.kaiming_normal_(weight, nonlinearity="linear")


def _critic(n_mixed: int) -> nn.Sequential:
    return nn.Sequential(
        _Convolution(n_mixed + 1, _HIDDEN, 3),
        nn.LeakyReLU(0.2),
        _Convolution(_HIDDEN, _HIDDEN, 3),
        nn.LeakyReLU(0.2),
        _Convolution(_HIDDEN, 1, 1),
    )


def hinge_judge_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Give the loss of the critics, a scalar from 0 on.

    ``mean max(0, 1 - D(y)) + mean max(0, 1 + D(G))``, the mean over scales (Lim and Ye 2017,
    arXiv:1705.02894).

    Example:
        >>> float(hinge_judge_loss([torch.tensor([2.0, 0.0])], [torch.tensor([-1.0])]))
        0.5
    """
    pairs = zip(real, made, strict=True)
    losses = [F.relu(1 - a.float()).mean() + F.relu(1 + b.float()).mean() for a, b in pairs]
    return torch.stack(losses).mean()


def hinge_fool_loss(made: Sequence[Tensor]) -> Tensor:
    """Give the loss of what the critics answer so, ``-mean D(G)``, a scalar.

    Example:
        >>> float(hinge_fool_loss([torch.tensor([2.0, 0.0])]))
        -1.0
    """
    return -torch.stack([each.float().mean() for each in made]).mean()


def perceptual_loss(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Give how unlike pictures look to the fixed network, a scalar in [0, 4]; LPIPS' formula.

    The squared distance between what it sees at a place, each brought to length 1; the mean over
    places and scales.

    Args:
        found, wanted: As ``FeatureCritics.look`` gives them.
    """
    pairs = zip(found, wanted, strict=True)
    return torch.stack([(_unit(a) - _unit(b)).square().sum(1).mean() for a, b in pairs]).mean()


def _unit(seen: Tensor) -> Tensor:
    seen = seen.float()
    return seen * torch.rsqrt(seen.square().sum(1, keepdim=True) + _EPSILON)
