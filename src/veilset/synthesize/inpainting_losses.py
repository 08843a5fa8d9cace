# SPDX-License-Identifier: Apache-2.0
"""How near a drawn face is to the hidden one: all that the inpainting network is asked for first.

It learns where faces have what; then critics ask for more (``inpainting_critics``).
"""

from __future__ import annotations

from torch import Tensor

from veilset.synthesize.inpainting_batches import Batch
from veilset.synthesize.losses import ssim_map

RIM_WEIGHT = 0.3
"""Of a shown pixel beside that of a hidden one: drawn surroundings are what the edge fades into."""


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
