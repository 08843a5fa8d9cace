# SPDX-License-Identifier: Apache-2.0
"""How a view is varied when a generator learns from it: moved, toned, and as small faces look.

Whatever is drawn at random is a pure function of a seed, so that an interrupted training sees
what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from torch import Tensor

from veilset.seeds import derive

TURN_DEGREES = 18.0
"""Largest angle by which a view is turned, either way: as heads are held."""

SCALE = 0.15
"""Largest scaling, as the absolute value of its natural logarithm."""

MOVE = 0.05
"""Largest shift, as a share of the side."""

TIGHTER, WIDER = 0.045, 0.105
"""A box is drawn tighter or wider by up to these shares: detectors and people do not agree."""

COARSE_SHARE, COARSEST = 0.5, 6.0
"""Share of the views that are made coarse, and how many times fewer pixels a side then has at
most: a face in a crowd is as small, and few photographs have many small faces."""

TONED_SHARE, GAMMA, TINT = 0.5, 0.5, 0.1
"""Share of the views that are made brighter or darker, and tinted, and by how much at most: the
absolute values of the natural logarithms of gamma and of the gain of a colour."""

BESIDE_SHARE = 0.3
"""Share of the views in which one face more is hidden, beside the one that is to be drawn."""


@dataclass(frozen=True, slots=True)
class Motion:
    """From places in a view, in [-1, 1], to pixels of the stored picture.

    Attributes:
        turn: ``(B, 2, 2)``.
        shift: ``(B, 2)``.
    """

    turn: Tensor
    shift: Tensor

    def places(self, side_px: int) -> Tensor:
        """Give where the middles of the pixels of views lie in the stored pictures.

        Args:
            side_px: S.

        Returns:
            ``(B, S, S, 2)``, x first.
        """
        line = (torch.arange(side_px) + 0.5) / side_px * 2 - 1
        y, x = torch.meshgrid(line, line, indexing="ij")
        places = torch.stack([x, y], -1).reshape(1, -1, 2) @ self.turn.transpose(1, 2)
        return (places + self.shift[:, None]).reshape(-1, side_px, side_px, 2)

    def boxes(self, boxes_xyxy: Tensor, margin_px: Tensor, side_px: int) -> Tensor:
        """Give the upright boxes around turned faces, all of a view in one mask.

        A face fills an ellipse in its box: the box around the turned ellipse is that of the turned
        face, that around the turned box would be too large.

        Args:
            boxes_xyxy: ``(B, K, 4)`` in pixels of the stored pictures; without an area there is
                none.
            margin_px: ``(B,)``, how far they are pushed outward, in the same pixels.
            side_px: S.

        Returns:
            ``(B, 1, S, S)`` bool, rounded outward.
        """
        low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
        middle, half = (low + high) / 2, (high - low) / 2
        present = (half > 0).all(dim=2)
        half = half + margin_px[:, None, None]
        back = torch.linalg.inv(self.turn)
        centre = (middle - self.shift[:, None]) @ back.transpose(1, 2)
        extent = torch.sqrt(((back[:, None] * half[:, :, None]) ** 2).sum(dim=3))
        low, high = ((each + 1) / 2 * side_px for each in (centre - extent, centre + extent))
        at = torch.arange(side_px)
        touched = (at + 1 > low[..., None]) & (at < high[..., None])
        touched &= present[..., None, None]
        return (touched[:, :, 1, :, None] & touched[:, :, 0, None, :]).any(dim=1, keepdim=True)


@dataclass(frozen=True, slots=True)
class Variation:
    """How the views of a batch are varied.

    Attributes:
        motion: Where they lie in the stored pictures.
        widen: ``(B, 1, 2)``, width and height of what is to be drawn by what its box has.
        beside: ``(B, K, 4)``, boxes that are hidden besides, in pixels of the stored pictures.
        gamma: ``(B, 1, 1, 1)``.
        gain: ``(B, 3, 1, 1)``.
        grid_px: B sides to which views are reduced and enlarged again; S where they are not.
    """

    motion: Motion
    widen: Tensor
    beside: Tensor
    gamma: Tensor
    gain: Tensor
    grid_px: Sequence[int]

    def toned(self, pictures: Tensor) -> Tensor:
        """Give pictures ``(B, 3, R, R)`` in [0, 1] brighter or darker, and tinted."""
        gamma, gain = self.gamma.to(pictures.device), self.gain.to(pictures.device)
        return (pictures**gamma * gain).clamp(0, 1)

    def coarsened(self, planes: Tensor, masks: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Reduce views and enlarge them again, as a small face is enlarged at use.

        Args:
            planes: ``(B, C, S, S)``; averaged, then linear.
            masks: Of ``(B, 1, S, S)`` bool each; true wherever a true pixel has a part in it, so
                that nothing of a hidden pixel is left in one that is not.
        """
        if all(side == planes.shape[-1] for side in self.grid_px):
            return planes, list(masks)
        stacked = torch.cat([each.to(planes.dtype) for each in masks], dim=1)
        seen, covered = [], []
        for at, side in enumerate(self.grid_px):
            picture, mask = planes[at : at + 1], stacked[at : at + 1]
            if side != planes.shape[-1]:
                # The same bins for both.
                picture = _enlarged(F.adaptive_avg_pool2d(picture, side), planes.shape[-1])
                mask = _enlarged(F.adaptive_max_pool2d(mask, side), planes.shape[-1])
            seen.append(picture)
            covered.append(mask > 0)
        return torch.cat(seen), list(torch.cat(covered).split(1, dim=1))


def _enlarged(planes: Tensor, side_px: int) -> Tensor:
    return F.interpolate(planes, size=side_px, mode="bilinear", align_corners=False)


def as_they_are(n: int, stored_px: int, room: float, side_px: int) -> Variation:
    """Vary nothing.

    Args:
        n: B.
        stored_px: R, the side of the stored pictures.
        room: How much larger the stored square is than the view.
        side_px: S.
    """
    half = torch.full((n,), stored_px / room / 2)
    motion = Motion(torch.diag_embed(torch.stack([half, half], 1)), _centre(n, stored_px))
    ones = torch.ones(n, 3, 1, 1)
    return Variation(
        motion, torch.ones(n, 1, 2), torch.zeros(n, 0, 4), ones[:, :1], ones, [side_px] * n
    )


def at_random(
    cores_xyxy: Tensor, stored_px: int, room: float, side_px: int, *, seed: int
) -> Variation:
    """Turn, scale, move, mirror, tone, coarsen views and hide more in them.

    Args:
        cores_xyxy: ``(B, 4)``, what is to be drawn, in pixels of the stored pictures.
        stored_px, room, side_px: As ``as_they_are``.
        seed: Of this batch.
    """
    random = torch.Generator().manual_seed(derive(seed, "motion"))
    n = len(cores_xyxy)

    def drawn(*shape: int) -> Tensor:
        """From -1 to 1."""
        return torch.rand(shape, generator=random) * 2 - 1

    def chosen(share: float) -> Tensor:
        return torch.rand(n, generator=random) < share

    angle, half = drawn(n) * math.radians(TURN_DEGREES), stored_px / room / 2
    reach = half * torch.exp(drawn(n) * SCALE)
    mirror = torch.where(drawn(n) < 0, -1.0, 1.0)
    cos, sin = torch.cos(angle) * reach, torch.sin(angle) * reach
    turn = torch.stack(
        [torch.stack([cos * mirror, -sin], 1), torch.stack([sin * mirror, cos], 1)], 1
    )
    motion = Motion(turn, _centre(n, stored_px) + drawn(n, 2) * 2 * MOVE * half)
    middle, width = (WIDER - TIGHTER) / 2, (WIDER + TIGHTER) / 2
    widen = 1 + middle + width * drawn(n, 1, 2)
    toned = chosen(TONED_SHARE)[:, None, None, None]
    gamma = torch.where(toned, torch.exp(drawn(n, 1, 1, 1) * GAMMA), 1.0)
    gain = torch.where(toned, torch.exp(drawn(n, 3, 1, 1) * TINT), 1.0)
    fewer = torch.exp((drawn(n) + 1) / 2 * math.log(COARSEST))
    fewer = torch.where(chosen(COARSE_SHARE), fewer, 1.0)
    grid_px = [max(1, round(side_px / each)) for each in fewer.tolist()]
    beside = _beside(cores_xyxy, (drawn(n) + 1) * math.pi, (drawn(n, 2) + 1) / 2)
    beside[~chosen(BESIDE_SHARE)] = 0
    return Variation(motion, widen, beside, gamma, gain, grid_px)


def _beside(cores_xyxy: Tensor, angle: Tensor, at: Tensor) -> Tensor:
    """Give a box beside each core, of half its sides to all of them, ``(B, 1, 4)``.

    Args:
        angle: ``(B,)``, in what direction.
        at: ``(B, 2)`` in [0, 1]: how far, how large.
    """
    low, high = cores_xyxy[:, :2], cores_xyxy[:, 2:]
    middle, sides = (low + high) / 2, high - low
    half = sides / 2 * (0.5 + at[:, 1:] / 2)
    away = sides.amax(dim=1) * (0.9 + 0.5 * at[:, 0])
    middle = middle + away[:, None] * torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
    return torch.cat([middle - half, middle + half], dim=1)[:, None]


def _centre(n: int, stored_px: int) -> Tensor:
    return torch.full((n, 2), stored_px / 2)
