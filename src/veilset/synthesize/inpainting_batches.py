# SPDX-License-Identifier: Apache-2.0
"""Batches for the inpainting network: stored views, turned, scaled and moved, with their masks.

Whatever is drawn at random is a pure function of the seed and the place of the batch, so that an
interrupted training sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from veilset.seeds import derive
from veilset.synthesize.inputs import as_planes
from veilset.synthesize.views_file import ViewsFile

TURN_DEGREES = 18.0
"""Largest angle by which a view is turned, either way: as heads are held."""

SCALE = 0.15
"""Largest scaling, as the absolute value of its natural logarithm."""

MOVE = 0.05
"""Largest shift, as a share of the side."""

_TIGHTER, _WIDER = 0.045, 0.105
"""A box is drawn tighter or wider by up to these shares: detectors and people do not agree."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the network gets, and what it should have drawn.

    Attributes:
        given: ``(B, 5, S, S)`` as ``InpaintingNetwork`` takes it.
        wanted: ``(B, 3, S, S)`` in [-1, 1], 0 beyond the photograph.
        inside: ``(B, 1, S, S)``, 1 inside the photograph, else 0.
    """

    given: Tensor
    wanted: Tensor
    inside: Tensor

    @property
    def to_make(self) -> Tensor:
        """``(B, 1, S, S)``, 1 where the network has to draw, else 0."""
        return self.given[:, 3:4]

    def completed(self, drawn: Tensor) -> Tensor:
        """Give the views with what was drawn in place of what was hidden."""
        return torch.where(self.to_make > 0, drawn * self.inside, self.wanted)


@dataclass(frozen=True, slots=True)
class _Motion:
    """From places in the batch's pictures, in [-1, 1], to pixels of the stored ones.

    Attributes:
        turn: ``(B, 2, 2)``.
        shift: ``(B, 2)``.
    """

    turn: Tensor
    shift: Tensor


def plain_batch(
    data: ViewsFile, rows: NDArray[np.int64], side_px: int, room: float, device: str = "cpu"
) -> Batch:
    """Give views as they are, for measuring and for looking at.

    Args:
        data: The views.
        rows: B places.
        side_px: S.
        room: How much larger the stored square is than the view.
        device: Where the batch shall be.
    """
    half = torch.full((len(rows),), data.side_px / room / 2)
    zero = torch.zeros_like(half)
    turn = torch.stack([torch.stack([half, zero], 1), torch.stack([zero, half], 1)], 1)
    motion = _Motion(turn, torch.full((len(rows), 2), data.side_px / 2))
    return _drawn(data, rows, side_px, motion, torch.ones(len(rows), 2), device)


def varied_batch(
    data: ViewsFile, rows: NDArray[np.int64], side_px: int, room: float, *, seed: int,
    device: str = "cpu",
) -> Batch:  # fmt: skip
    """Give views turned, scaled, moved and mirrored at random, for training.

    Args:
        data, rows, side_px, room, device: As ``plain_batch``.
        seed: Of this batch.
    """
    random = torch.Generator().manual_seed(derive(seed, "motion"))
    n = len(rows)

    def drawn(*shape: int) -> Tensor:
        """From -1 to 1."""
        return torch.rand(shape, generator=random) * 2 - 1

    angle, half = drawn(n) * math.radians(TURN_DEGREES), data.side_px / room / 2
    reach = half * torch.exp(drawn(n) * SCALE)
    mirror = torch.where(drawn(n) < 0, -1.0, 1.0)
    cos, sin = torch.cos(angle) * reach, torch.sin(angle) * reach
    turn = torch.stack(
        [torch.stack([cos * mirror, -sin], 1), torch.stack([sin * mirror, cos], 1)], 1
    )
    shift = data.side_px / 2 + drawn(n, 2) * 2 * MOVE * half
    middle, width = (_WIDER - _TIGHTER) / 2, (_WIDER + _TIGHTER) / 2
    return _drawn(
        data, rows, side_px, _Motion(turn, shift), 1 + middle + width * drawn(n, 2), device
    )


def _drawn(
    data: ViewsFile, rows: NDArray[np.int64], side_px: int, motion: _Motion, widen: Tensor,
    device: str,
) -> Batch:  # fmt: skip
    """Sample the stored pictures, and make the masks.

    Args:
        widen: ``(B, 2)``, width and height of the boxes by what they are.
    """
    pictures = as_planes(data.take(rows.tolist()), device) * 2 - 1
    line = (torch.arange(side_px) + 0.5) / side_px * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x, y], -1).reshape(1, -1, 2) @ motion.turn.transpose(1, 2)
    places = (places + motion.shift[:, None]).reshape(-1, side_px, side_px, 2)
    grid = (places / data.side_px * 2 - 1).to(device)
    sampled = F.grid_sample(pictures, grid, mode="bilinear", align_corners=False)
    limits = torch.from_numpy(data.insides[rows]).float()[:, None, None, :]
    within = (places >= limits[..., :2]) & (places <= limits[..., 2:])
    inside = within.all(dim=-1)[:, None].float().to(device)
    to_make = _boxes(data.cores[rows], motion, widen, side_px).to(device)
    known = inside * (1 - to_make)
    wanted = sampled * inside
    return Batch(torch.cat([wanted * known, to_make, known], dim=1), wanted, inside)


def _boxes(cores: NDArray[np.float64], motion: _Motion, widen: Tensor, side_px: int) -> Tensor:
    """Give the upright boxes around the turned faces, ``(B, 1, S, S)``, rounded outward.

    A face fills an ellipse in its box: the box around the turned ellipse is that of the turned
    face, that around the turned box would be too large.
    """
    box = torch.from_numpy(cores).float()
    middle, half = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]) / 2
    back = torch.linalg.inv(motion.turn)
    centre = ((middle - motion.shift)[:, None] @ back.transpose(1, 2))[:, 0]
    extent = torch.sqrt(((back * half[:, None, :]) ** 2).sum(dim=2)) * widen
    low, high = ((each + 1) / 2 * side_px for each in (centre - extent, centre + extent))
    at = torch.arange(side_px)
    touched = (at + 1 > low[:, :, None]) & (at < high[:, :, None])
    return (touched[:, 1, :, None] & touched[:, 0, None, :])[:, None].float()
