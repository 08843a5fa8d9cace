# SPDX-License-Identifier: Apache-2.0
"""The network that draws a face from its surroundings: a U-Net of residual blocks.

Why it is built so. It has to be small enough for the CPUs that release data sets, and to be
trained from a few thousand photographs. Its pixels are folded (sub-pixel convolution, Shi et al.
2016, arXiv:1609.05158), so that the costly first and last layers run at a quarter of the places;
the bottom works at 1/16 of the side with dilated convolutions (Yu and Koltun 2016,
arXiv:1511.07122), so that every drawn pixel depends on all surroundings; group normalisation (Wu
and He 2018, arXiv:1803.08494) makes what comes out for a face depend on that face alone. What is
to be made and what is known come as channels, in place of partial or gated convolutions: the
holes are whole boxes, not scratches. A diffusion model would draw better faces, at a hundred
times the cost.

Identity-disjoint by construction: no landmark, no attribute, no pixel of the face is an input.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from torch import Tensor, nn

from veilset.errors import ConfigError

WIDTHS = (64, 128, 192, 256)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the side."""

IN_CHANNELS = 5
"""Three of the surroundings, what is to be made, what is known."""

_GROUPS = 8
_DILATIONS = (1, 2, 4)


def require_widths(widths: Sequence[int], n_blocks: int) -> None:
    """Refuse what makes no network; arguments and errors as ``InpaintingNetwork``."""
    if len(widths) < 2 or n_blocks < 1 or any(width < 8 or width % 8 for width in widths):
        raise ConfigError(
            f"Widths of {tuple(widths)} with {n_blocks} blocks make no network. Give at least "
            "two multiples of 8, and a block."
        )


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        groups = min(_GROUPS, width)
        self.first = nn.Sequential(
            nn.GroupNorm(groups, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, 1, dilation, dilation),
        )
        self.second = nn.Sequential(
            nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1)
        )
        # Each block begins as doing nothing, so that a deep network learns from the start.
        last = self.second[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class InpaintingNetwork(nn.Module):
    """Draws what is hidden.

    Args:
        widths: Channels of each level, each half the side of the one before, the first at half
            the side of the picture; multiples of 8 from 8 on.
        n_blocks: Residual blocks of a level on the way down, and on the way up.

    Raises:
        ConfigError: If the widths make no network.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, n_blocks: int = 1) -> None:
        super().__init__()
        require_widths(widths, n_blocks)
        self.widths, self.n_blocks = tuple(widths), n_blocks
        self.enter = nn.Conv2d(4 * IN_CHANNELS, widths[0], 3, 1, 1)
        self.down = nn.ModuleList(_blocks(width, n_blocks) for width in widths)
        pairs = list(itertools.pairwise(widths))
        self.halve = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairs)
        bottom = widths[-1]
        self.middle = nn.Sequential(*(_Residual(bottom, each) for each in _DILATIONS))
        self.widen = nn.ModuleList(nn.Conv2d(b, a, 3, 1, 1) for a, b in reversed(pairs))
        self.join = nn.ModuleList(nn.Conv2d(2 * a, a, 1) for a, _ in reversed(pairs))
        self.up = nn.ModuleList(_blocks(a, n_blocks) for a, _ in reversed(pairs))
        self.leave = nn.Sequential(
            nn.GroupNorm(min(_GROUPS, widths[0]), widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], 4 * 3, 3, 1, 1),
        )

    @property
    def multiple_px(self) -> int:
        """What divides the sides of the pictures that it takes."""
        return 1 << len(self.widths)

    def forward(self, x: Tensor) -> Tensor:
        """Draw.

        Args:
            x: ``(B, 5, S, S)``: surroundings in [-1, 1], 0 where hidden or unknown; what is to be
                made, what is known, 0 or 1. S is a multiple of ``multiple_px``.

        Returns:
            ``(B, 3, S, S)`` in (-1, 1), the whole view.
        """
        x = self.enter(F.pixel_unshuffle(x, 2))
        skips = []
        for level, blocks in enumerate(self.down):
            x = blocks(x)
            if level < len(self.halve):
                skips.append(x)
                x = self.halve[level](x)
        x = self.middle(x)
        for widen, join, blocks in zip(self.widen, self.join, self.up, strict=True):
            x = widen(F.interpolate(x, scale_factor=2.0, mode="nearest"))
            x = blocks(join(torch.cat([x, skips.pop()], dim=1)))
        return torch.tanh(F.pixel_shuffle(self.leave(x), 2))


def _blocks(width: int, n: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width) for _ in range(n)))
