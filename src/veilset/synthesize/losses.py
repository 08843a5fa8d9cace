# SPDX-License-Identifier: Apache-2.0
"""What a reconstruction is asked for: the report's two losses, between which its texts differ.

Its plan names L1 with an adversarial loss, its end ``1 - SSIM``. The report does not say which
adversarial loss: taken here is that of least squares (Mao et al. 2017, arXiv:1611.04076), whose
gradient does not vanish where the critic is sure, from a critic that judges overlapping patches
and sees the factors beside the picture (PatchGAN; Isola et al. 2017, arXiv:1611.07004).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it
from torch import Tensor, nn

from veilset.errors import ConfigError

L1_WEIGHT = 100.0
"""Of L1 beside the adversarial loss: that of Isola et al."""

WINDOW_PX = 11
_REACH_PX, _SIGMA_PX = WINDOW_PX // 2, 1.5


def ssim_map(found: Tensor, wanted: Tensor) -> Tensor:
    """Give the structural similarity around each pixel (Wang et al. 2004, IEEE TIP 13, 600-612).

    Gaussian windows of 11 pixels, sigma 1.5, at the places where they fit whole; K1 0.01, K2
    0.03, variances divided by n; the mean of the three channels.

    Args:
        found: ``(B, 3, H, W)`` in [0, 1], sides of at least 11.
        wanted: The same shape.

    Returns:
        ``(B, H - 10, W - 10)`` in [-1, 1]; 1 where both are equal.

    Raises:
        ConfigError: If a side is shorter than the window.
    """
    height, width = found.shape[-2:]
    if min(height, width) < WINDOW_PX:
        raise ConfigError(
            f"Pictures of {width}x{height} pixels are smaller than the window of SSIM. Prepare "
            f"faces of at least {WINDOW_PX} pixels."
        )
    # As matrices the windows are faster than as a convolution of single channels.
    down = _windows(height).to(found.device, found.dtype)
    across = _windows(width).to(found.device, found.dtype)
    stacked = torch.stack([found, wanted, found * found, wanted * wanted, found * wanted])
    mean_a, mean_b, of_aa, of_bb, of_ab = down @ stacked @ across.T
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    light = (2 * product + 0.01**2) / (squares + 0.01**2)
    shape = (2 * (of_ab - product) + 0.03**2) / (of_aa + of_bb - squares + 0.03**2)
    return (light * shape).mean(dim=1)


def _windows(side_px: int) -> Tensor:
    """Give the window along a line at each place where it fits, ``(side - 10, side)``."""
    places = torch.arange(side_px - 2 * _REACH_PX)[:, None] + _REACH_PX
    away = torch.arange(side_px) - places
    weights = torch.exp(-(away.double() ** 2) / (2 * _SIGMA_PX**2)) * (away.abs() <= _REACH_PX)
    return weights / weights.sum(dim=1, keepdim=True)


def ssim_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Give ``1 - SSIM``, a scalar in [0, 2]; 0 for equal pictures.

    Args:
        found, wanted: As ``ssim_map``.

    Example:
        >>> picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        >>> round(float(ssim_loss(picture, picture)), 6)
        0.0
    """
    return 1 - ssim_map(found, wanted).mean()


def critic_loss(of_real: Tensor, of_made: Tensor) -> Tensor:
    """Give the loss of a critic: 1 is its answer for real pictures, 0 for made ones.

    ``(mean (D(y) - 1)² + mean D(G)²) / 2``, equation 9 of Mao et al. with a = 0, b = c = 1.

    Args:
        of_real, of_made: Answers of any shape.

    Example:
        >>> float(critic_loss(torch.tensor([1.0]), torch.tensor([1.0])))
        0.5
    """
    real, made = F.mse_loss(of_real, torch.ones_like(of_real)), of_made.square().mean()
    return (real + made) / 2


def adversarial_loss(of_made: Tensor) -> Tensor:
    """Give the loss of a generator whose pictures the critic answers so.

    ``mean (D(G) - 1)² / 2``.

    Example:
        >>> float(adversarial_loss(torch.tensor([0.0])))
        0.5
    """
    return F.mse_loss(of_made, torch.ones_like(of_made)) / 2


class PatchCritic(nn.Module):
    """Judges overlapping patches of a picture, given its factors.

    With three layers a patch has 70 pixels: C64-C128-C256-C512 of Isola et al., 4x4 convolutions
    of stride 2 in all but the last two, batch normalisation in all but the first and the last,
    LeakyReLU of slope 0.2.

    Args:
        n_in: Channels of the factors.
        width: Channels of the first layer; they double in each, up to eight times.
        n_layers: How often the sides are halved.

    Raises:
        ConfigError: If a number is below 1.
    """

    def __init__(self, n_in: int, width: int = 64, n_layers: int = 3) -> None:
        super().__init__()
        if min(n_in, width, n_layers) < 1:
            raise ConfigError("A critic needs channels, a width and layers, at least one of each.")
        layers: list[nn.Module] = [nn.Conv2d(n_in + 3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        before = width
        for layer in range(1, n_layers + 1):
            after = width * min(2**layer, 8)
            stride = 2 if layer < n_layers else 1
            layers += [nn.Conv2d(before, after, 4, stride, 1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
            before = after
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 4, 1, 1))
        self.smallest_px = 3 * 2**n_layers

    def forward(self, factors: Tensor, picture: Tensor) -> Tensor:
        """Give an answer for each patch.

        Args:
            factors: ``(B, n_in, H, W)``; sides of at least ``smallest_px``.
            picture: ``(B, 3, H, W)`` in [0, 1].

        Returns:
            ``(B, 1, h, w)``: the nearer to 1, the more like a real picture.

        Raises:
            ConfigError: If a side is too short.
        """
        if min(picture.shape[-2:]) < self.smallest_px:
            raise ConfigError(
                f"Pictures with a side of {min(picture.shape[-2:])} pixels are too small for this "
                f"critic, which needs {self.smallest_px}. Give it fewer layers."
            )
        return self.layers(torch.cat([factors, picture * 2 - 1], dim=1))
