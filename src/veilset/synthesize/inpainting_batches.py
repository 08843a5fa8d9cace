# SPDX-License-Identifier: Apache-2.0
"""Batches for the inpainting network: stored views, varied, with all hidden that is at use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from veilset.synthesize.inputs import as_planes
from veilset.synthesize.view_variation import Variation, as_they_are, at_random
from veilset.synthesize.views_file import ViewsFile

_HALF_PX = 0.48
"""Half a pixel of a view, in stored pixels: at least, since more of those are stored."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the network gets, and what it should have drawn.

    Attributes:
        given: ``(B, 5, S, S)`` as ``InpaintingNetwork`` takes it.
        wanted: ``(B, 3, S, S)`` in [-1, 1], 0 where ``inside`` is.
        inside: ``(B, 1, S, S)``, 1 where something is wanted, 0 beyond the photograph or what was
            cut out of it, and where others are hidden.
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
    variation = as_they_are(len(rows), data.side_px, room, side_px)
    return _drawn(data, rows, side_px, variation, device)


def varied_batch(
    data: ViewsFile, rows: NDArray[np.int64], side_px: int, room: float, *, seed: int,
    device: str = "cpu",
) -> Batch:  # fmt: skip
    """Give views varied at random, for training.

    Args:
        data, rows, side_px, room, device: As ``plain_batch``.
        seed: Of this batch.
    """
    variation = at_random(_floats(data.cores[rows]), data.side_px, room, side_px, seed=seed)
    return _drawn(data, rows, side_px, variation, device)


def _drawn(
    data: ViewsFile, rows: NDArray[np.int64], side_px: int, variation: Variation, device: str
) -> Batch:
    """Sample the stored pictures, and make the masks."""
    pictures = variation.toned(as_planes(data.pictures.take(rows.tolist()), device)) * 2 - 1
    motion = variation.motion
    places = motion.places(side_px)
    grid = (places / data.side_px * 2 - 1).to(device)
    sampled = F.grid_sample(
        pictures, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    # A view may reach over the stored picture, where the photograph goes on and is not known.
    limits = _floats(data.insides[rows]).clamp(0, data.side_px)[:, None, None, :]
    beyond = ((places < limits[..., :2]) | (places > limits[..., 2:])).any(dim=-1)[:, None]
    cores = _widened(_floats(data.cores[rows])[:, None], variation.widen)
    others = torch.cat([_floats(data.others[rows]), variation.beside], dim=1)
    # At use nothing is resized before it is hidden: here all that a hidden pixel was mixed into,
    # when the face was cut out and when it was moved, is hidden with it. The middle of a hidden
    # pixel lies half of it within the box, that of a shown pixel of the view half of that without.
    pixels = _floats(data.pixels[rows])
    mixed = pixels.clamp(min=1) + 1 - pixels / 2 - _HALF_PX
    covered = [
        beyond,
        motion.boxes(others, mixed, side_px),
        motion.boxes(cores, mixed, side_px),
    ]
    sampled, masks = variation.coarsened(sampled, [each.to(device) for each in covered])
    beyond, hidden, core = masks
    inside = (~beyond & (core | ~hidden)).float()
    to_make = core.float()
    known = inside * (1 - to_make)
    wanted = sampled * inside
    return Batch(torch.cat([wanted * known, to_make, known], dim=1), wanted, inside)


def _widened(boxes_xyxy: Tensor, by: Tensor) -> Tensor:
    """Change width and height of boxes about their middles."""
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    middle, half = (low + high) / 2, (high - low) / 2 * by
    return torch.cat([middle - half, middle + half], dim=-1)


def _floats(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).float()
