# SPDX-License-Identifier: Apache-2.0
"""The channels that the generator takes, drawn on its device from what little says them.

The same channels as ``face_factors.landmark_channels`` and ``attribute_planes`` draw one face at a
time: a test compares them. Drawn here, a batch travels to a GPU as bytes and a few numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from veilset.errors import ConfigError
from veilset.networks.coarse_landmarks import Detail, coarse_landmarks
from veilset.networks.face_factors import SIGMA_PX
from veilset.synthesize.attribute_planes import Embedding
from veilset.synthesize.celeba import Attributes

Pictures = NDArray[np.uint8]
"""``(B, H, W, 3)`` uint8 RGB."""


class AttributePlanes(StrEnum):
    """How attributes become planes; one of the two choices that the ablation compares."""

    CONSTANT = "constant"
    WORD2VEC = "word2vec"


@dataclass(frozen=True, slots=True)
class InputConfig:
    """What the generator learns of a face besides its surroundings.

    Attributes:
        detail: How much of the landmarks.
        cells: As ``coarse_landmarks``.
        sigma_px: As ``landmark_channels``.
        planes: How attributes become planes.
    """

    detail: Detail = Detail.FULL
    cells: int = 16
    sigma_px: float = SIGMA_PX
    planes: AttributePlanes = AttributePlanes.CONSTANT


class FactorInputs:
    """Draws channels.

    Args:
        config: What is drawn.
        n_attributes: K.
        size_hw: Height and width of the channels.
        device: Where.
        embedding: Of the attributes, for ``AttributePlanes.WORD2VEC``; else None.

    Attributes:
        planes: ``(K, H, W)`` or ``(K, 1, 1)`` float32, the plane of each attribute.

    Raises:
        ConfigError: If the embedding does not fit.
    """

    def __init__(
        self,
        config: InputConfig,
        n_attributes: int,
        size_hw: tuple[int, int],
        device: str = "cpu",
        embedding: Embedding | None = None,
    ) -> None:
        self.config, self.size_hw, self.device = config, size_hw, torch.device(device)
        if (config.planes is AttributePlanes.WORD2VEC) != (embedding is not None):
            raise ConfigError(
                f"Attributes as {config.planes} planes {'go without' if embedding else 'need'} an "
                "embedding. Give one for word2vec planes, and for these only."
            )
        everything = np.ones(n_attributes, np.bool_)
        planes = (
            embedding.planes(everything, size_hw)
            if embedding
            else np.ones((n_attributes, 1, 1), np.float32)
        )
        self.planes = torch.from_numpy(planes).to(self.device)

    @property
    def n_in(self) -> int:
        """Number of channels."""
        return self.config.detail.n_points + 3 + len(self.planes)

    def draw(
        self, landmarks_xy: NDArray[np.float64], contexts: Pictures, present: Attributes
    ) -> Tensor:
        """Give the channels of some faces.

        Args:
            landmarks_xy: ``(B, 68, 2)`` in pixels of the crop as it was resized.
            contexts: ``(B, H, W, 3)`` uint8, the faces filled.
            present: ``(B, K)`` bool.

        Returns:
            ``(B, n_in, H, W)`` float32: landmarks, surroundings, attributes.

        Raises:
            ConfigError: If the landmarks cannot be used.
        """
        seen = self.draw_seen(landmarks_xy, contexts)
        has = torch.from_numpy(present).to(self.device).float()
        return torch.cat([seen, spread_planes(has, self.planes, self.size_hw)], dim=1)

    def draw_seen(self, landmarks_xy: NDArray[np.float64], contexts: Pictures) -> Tensor:
        """Give what is seen of some faces: all channels of ``draw`` but the attributes'.

        Returns:
            ``(B, n_points + 3, H, W)`` float32: landmarks, surroundings.

        Raises:
            ConfigError: If the landmarks cannot be used.
        """
        height, width = self.size_hw
        config, whole = self.config, (0.0, 0.0, float(width), float(height))
        points = np.stack(
            [
                coarse_landmarks(each, whole, config.detail, cells=config.cells)
                for each in landmarks_xy
            ]
        )
        across = self._to_device(_profiles(points[..., 0], width, config.sigma_px))
        down = self._to_device(_profiles(points[..., 1], height, config.sigma_px))
        landmarks = down[..., :, None] * across[..., None, :]
        return torch.cat([landmarks, as_planes(contexts, self.device)], dim=1)

    def _to_device(self, values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.device)


def spread_planes(has: Tensor, planes: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Give the planes of the attributes that faces have, zeros for the others.

    Args:
        has: ``(B, K)`` float, 0 or 1.
        planes: ``(K, H, W)`` or ``(K, 1, 1)``.
        size_hw: H and W.

    Returns:
        ``(B, K, H, W)``.

    Example:
        >>> spread_planes(torch.tensor([[0.0, 1.0]]), torch.ones(2, 1, 1), (1, 2)).tolist()
        [[[[0.0, 0.0]], [[1.0, 1.0]]]]
    """
    return (has[:, :, None, None] * planes).expand(-1, -1, *size_hw)


def as_planes(pictures: Pictures, device: torch.device | str) -> Tensor:
    """Give pictures as ``(B, 3, H, W)`` float32 in [0, 1] on a device.

    Example:
        >>> as_planes(np.full((1, 1, 1, 3), 255, np.uint8), "cpu").flatten().tolist()
        [1.0, 1.0, 1.0]
    """
    found = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    return found.permute(0, 3, 1, 2).float() / 255


def as_pictures(planes: Tensor) -> Pictures:
    """Give ``(B, 3, H, W)`` in [0, 1] as pictures, rounded.

    Example:
        >>> as_pictures(torch.full((1, 3, 1, 1), 0.5)).flatten().tolist()
        [128, 128, 128]
    """
    levels = (planes.float().clamp(0, 1) * 255).round().to(torch.uint8)
    found: Pictures = levels.permute(0, 2, 3, 1).cpu().numpy()
    return found


def _profiles(places: NDArray[np.float64], n: int, sigma_px: float) -> NDArray[np.float64]:
    """Give what each landmark is along one side, ``(B, N)`` to ``(B, N, n)``."""
    if sigma_px == 0:
        holds: NDArray[np.float64] = (np.floor(places)[..., None] == np.arange(n)).astype(float)
        return holds
    away = np.arange(n) + 0.5 - places[..., None]
    profiles: NDArray[np.float64] = np.exp(-(away**2) / (2 * sigma_px**2))
    return profiles
