# SPDX-License-Identifier: Apache-2.0
"""A network that learned to undo one method: the attacker has clear faces and the program.

A U-Net (O. Ronneberger et al., 2015) of residual blocks with group normalisation, on square
chips. Its finest level has half of their side: 2 x 2 pixels become channels and come back as
pixels (W. Shi et al., "Real-Time Single Image and Video Super-Resolution", 2016), which makes
training on a CPU several times faster. The network gives a change to the obfuscated chip, so
that before any training it gives the chip back. Its loss is ``|difference| + (1 - SSIM)``: the
first keeps the colours, the second asks for the edges that a mean over all possible faces would
lose (H. Zhao et al., "Loss Functions for Image Restoration with Neural Networks", 2017).

On the CPU the same pairs, settings and number of threads give the same weights, bit by bit. On one
thread of a shared machine it trained on 27 to 30 chips of 64 px a second; on more threads than
there are free cores it is many times slower.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from veilset.errors import ConfigError, RunError
from veilset.seeds import check_seed

Chips = NDArray[np.uint8]
"""``(N, S, S, 3)``, uint8 RGB."""

_FORMAT, _ENTRY = "veilset-restorer/1", "veilset"
_GROUPS = 8
_IN_CELL = 3 * 2 * 2
_BATCH_OF_USE = 64
_REACH_PX = 5


@dataclass(frozen=True, slots=True)
class RestorerConfig:
    """How a restorer is built and trained.

    Attributes:
        channels: Of each level, the finest first; multiples of 8. The chips' side has to be
            divisible by 2 for each level.
        epochs: Passes over all pairs.
        batch: Pairs of a step.
        lr: Highest learning rate of AdamW; it warms up over the first twentieth of the steps and
            falls to 0 as a cosine.
        weight_decay: Of AdamW.
        seed: Of the first weights, of the order and of the mirrored chips.
        min_pairs: Fewer are refused: a network would learn them by heart.

    Raises:
        ConfigError: If a value cannot be used.
    """

    channels: tuple[int, ...] = (32, 64, 128, 256)
    epochs: int = 20
    batch: int = 32
    lr: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 0
    min_pairs: int = 64

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not self.channels or any(c < _GROUPS or c % _GROUPS for c in self.channels):
            raise ConfigError(
                f"The channels of a restorer are {self.channels}. Give multiples of {_GROUPS}."
            )
        if min(self.epochs, self.batch, self.min_pairs) < 1:
            raise ConfigError(
                f"A restorer has {self.epochs} epochs, batches of {self.batch} and at least "
                f"{self.min_pairs} pairs. Give numbers from 1 on."
            )
        if not (0 < self.lr < math.inf and 0 <= self.weight_decay < math.inf):
            raise ConfigError(
                f"A restorer has the learning rate {self.lr} and the weight decay "
                f"{self.weight_decay}. Give a rate above 0 and a decay of at least 0."
            )


@dataclass(frozen=True, slots=True)
class RestorerEpoch:
    """How one epoch went.

    Attributes:
        epoch: From 1.
        n_epochs: Of the whole training.
        loss: Mean over the pairs of the epoch, as they were met.
        images_per_s: Speed of the epoch.
    """

    epoch: int
    n_epochs: int
    loss: float
    images_per_s: float


@dataclass(frozen=True, slots=True)
class Restorer:
    """A trained restorer.

    Attributes:
        network: From obfuscated to restored chips, ``(N, 3, S, S)`` in [-1, 1].
        config: How it was trained.
        side_px: S, the side of the chips that it takes.
        device: Where it runs, as PyTorch names it.
    """

    network: nn.Module
    config: RestorerConfig
    side_px: int
    device: str

    def restore(self, chips: Chips) -> Chips:
        """Guess the clear chips.

        Args:
            chips: ``(N, S, S, 3)`` uint8, obfuscated as those of the training; N may be 0.

        Returns:
            The same shape. Each chip's result depends on that chip alone.

        Raises:
            ConfigError: If the chips have another shape.
        """
        _check_chips(chips, "chips to restore")
        if len(chips) and chips.shape[1] != self.side_px:
            raise ConfigError(
                f"The chips to restore have a side of {chips.shape[1]} px, and the restorer was "
                f"trained on {self.side_px} px. Cut them to that size."
            )
        result = np.empty_like(chips)
        with torch.inference_mode():
            for start in range(0, len(chips), _BATCH_OF_USE):
                part = slice(start, start + _BATCH_OF_USE)
                found = self.network(_tensor(chips[part], self.device))
                levels = ((found.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
                result[part] = levels.permute(0, 2, 3, 1).cpu().numpy()
        return result

    def save(self, path: Path) -> None:
        """Write the weights and the settings, as safetensors: numbers and a text, no code."""
        about = {"format": _FORMAT, "side_px": self.side_px, "config": asdict(self.config)}
        weights = {
            name: value.detach().cpu().contiguous()
            for name, value in self.network.state_dict().items()
        }
        # One entry: safetensors writes several in no fixed order, and digests would differ.
        save_file(weights, path, metadata={_ENTRY: json.dumps(about)})

    @classmethod
    def load(cls, path: Path, *, device: str = "cpu") -> Restorer:
        """Read what ``save`` wrote.

        Raises:
            ConfigError: If the file is not there, or is not of this kind.
        """
        try:
            with safe_open(path, framework="pt", device=device) as file:
                about: dict[str, Any] = json.loads((file.metadata() or {}).get(_ENTRY, "{}"))
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
            if about.get("format") != _FORMAT:
                raise ConfigError(f"{path} is not a restorer of this version. Train it again.")
            values: dict[str, Any] = about["config"]
            config = RestorerConfig(**{**values, "channels": tuple(values["channels"])})
            network = _UNet(config.channels).to(device)
            network.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"{path} cannot be read as a restorer ({type(error).__name__}). Train it again."
            ) from error
        return cls(network.eval(), config, int(about["side_px"]), device)


def train_restorer(
    hidden: Chips,
    clear: Chips,
    config: RestorerConfig,
    *,
    device: str = "cpu",
    on_epoch: Callable[[RestorerEpoch], None] = lambda epoch: None,
) -> Restorer:
    """Train a restorer on pairs of chips.

    Args:
        hidden: ``(N, S, S, 3)`` uint8, obfuscated.
        clear: ``(N, S, S, 3)`` uint8, the same faces in the same order, clear.
        config: How.
        device: As PyTorch names it.
        on_epoch: Told after every epoch.

    Returns:
        The restorer, on the same device.

    Raises:
        ConfigError: If there are too few pairs, or the shapes do not fit.
        RunError: If the loss is not a number any more.
    """
    side_px = _check_pairs(hidden, clear, config)
    # The caller's random numbers go on as if nothing had been drawn here.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = _UNet(config.channels).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    n_steps = config.epochs * math.ceil(len(hidden) / config.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_share(step, n_steps))
    for epoch in range(config.epochs):
        start, total = time.perf_counter(), 0.0
        network.train()
        for rows, is_mirrored in _batches(len(hidden), config, epoch):
            asked = _tensor(_mirrored(hidden[rows], is_mirrored), device)
            wanted = _tensor(_mirrored(clear[rows], is_mirrored), device)
            loss = restoration_loss(network(asked), wanted)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        if not math.isfinite(total):
            raise RunError(
                f"The loss of the restorer is not a number after epoch {epoch + 1} of "
                f"{config.epochs}. Lower its learning rate, {config.lr:g}."
            )
        speed = len(hidden) / max(time.perf_counter() - start, 1e-9)
        on_epoch(RestorerEpoch(epoch + 1, config.epochs, total / len(hidden), speed))
    return Restorer(network.eval(), config, side_px, device)


def lr_share(step: int, n_steps: int) -> float:
    """Give the share of the highest learning rate at a step, from 0: a ramp, then a cosine.

    Example:
        >>> [round(lr_share(step, 40), 3) for step in (0, 1, 2, 21, 40)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    n_warm = max(1, n_steps // 20)
    if step < n_warm:
        return (step + 1) / n_warm
    return (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm))) / 2


def restoration_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Give mean absolute difference plus ``1 - SSIM``, of ``(N, 3, S, S)`` in [-1, 1].

    SSIM with Gaussian windows of sigma 1.5 and 11 px, as in ``similarity.ssim``.

    Example:
        >>> chip = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
        >>> round(float(restoration_loss(chip, chip)), 6)
        0.0
    """
    return (found - wanted).abs().mean() + 1 - _ssim((found + 1) / 2, (wanted + 1) / 2)


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    # As a matrix the window is an order of magnitude faster than PyTorch's one-channel convolution.
    window = _window_matrix(a.shape[-1]).to(a.device, a.dtype)
    stack = torch.stack([a, b, a * a, b * b, a * b])
    mean_a, mean_b, of_aa, of_bb, of_ab = window @ stack @ window.T
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    light = (2 * product + 0.01**2) / (squares + 0.01**2)
    shape = (2 * (of_ab - product) + 0.03**2) / (of_aa + of_bb - squares + 0.03**2)
    return (light * shape).mean()


def _window_matrix(side_px: int) -> Tensor:
    """Give SSIM's window along a line at each place where it fits, ``(S - 10, S)``."""
    away = torch.arange(side_px) - torch.arange(side_px - 2 * _REACH_PX)[:, None] - _REACH_PX
    weights = torch.exp(-(away.double() ** 2) / (2 * 1.5**2)) * (away.abs() <= _REACH_PX)
    return weights / weights.sum(dim=1, keepdim=True)


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.GroupNorm(_GROUPS, n_out) for _ in range(2)])
        self.shortcut = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, planes: Tensor) -> Tensor:
        inner = functional.silu(self.norms[0](self.first(planes)))
        return functional.silu(self.norms[1](self.second(inner)) + self.shortcut(planes))


class _UNet(nn.Module):
    """Halves the side from level to level and comes back, with a bridge at each."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        finest, n_levels = channels[0], len(channels)
        self.enter = nn.Conv2d(_IN_CELL, finest, 3, padding=1)
        self.falling = nn.ModuleList(
            [_Block(channels[max(level - 1, 0)], channels[level]) for level in range(n_levels)]
        )
        self.middle = _Block(channels[-1], channels[-1])
        self.rising = nn.ModuleList(
            [
                _Block(channels[level + 1] + channels[level], channels[level])
                for level in range(n_levels - 1)
            ]
        )
        self.leave = nn.Conv2d(finest, _IN_CELL, 3, padding=1)
        # Before any training the chip comes back as it is.
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, chips: Tensor) -> Tensor:
        planes, bridges = self.enter(functional.pixel_unshuffle(chips, 2)), []
        for level, block in enumerate(self.falling):
            planes = block(functional.avg_pool2d(planes, 2) if level else planes)
            bridges.append(planes)
        planes = self.middle(bridges.pop())
        for block in reversed(self.rising):
            larger = functional.interpolate(planes, scale_factor=2, mode="nearest")
            planes = block(torch.cat([larger, bridges.pop()], dim=1))
        return chips + functional.pixel_shuffle(self.leave(planes), 2)


def _batches(
    n: int, config: RestorerConfig, epoch: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Give the rows of each batch of an epoch, and which of them are mirrored."""
    rng = np.random.default_rng([config.seed, epoch])
    order, is_mirrored = rng.permutation(n), rng.random(n) < 0.5
    for start in range(0, n, config.batch):
        rows = order[start : start + config.batch]
        yield rows, is_mirrored[rows]


def _mirrored(chips: Chips, is_mirrored: NDArray[np.bool_]) -> Chips:
    return np.where(is_mirrored[:, None, None, None], chips[:, :, ::-1], chips)


def _tensor(chips: Chips, device: str) -> Tensor:
    planes = torch.from_numpy(np.ascontiguousarray(chips.transpose(0, 3, 1, 2)))
    return planes.to(device).float() / 127.5 - 1


def _check_chips(chips: Chips, what: str) -> None:
    is_square = chips.ndim == 4 and chips.shape[1] == chips.shape[2] and chips.shape[3] == 3
    if not is_square or chips.dtype != np.uint8:
        raise ConfigError(
            f"The {what} are an array of shape {chips.shape} and type {chips.dtype}. "
            "Give square RGB pictures, uint8 of shape (N, S, S, 3)."
        )


def _check_pairs(hidden: Chips, clear: Chips, config: RestorerConfig) -> int:
    """Give the side of the chips, once all is as it has to be."""
    _check_chips(hidden, "obfuscated chips")
    _check_chips(clear, "clear chips")
    if hidden.shape != clear.shape:
        raise ConfigError(
            f"There are {hidden.shape} obfuscated and {clear.shape} clear chips (N, S, S, 3). "
            "Give each obfuscated chip with its clear one."
        )
    n, side_px = hidden.shape[:2]
    if n < config.min_pairs:
        raise ConfigError(
            f"A restorer needs at least {config.min_pairs} pairs of chips, and there are {n}. "
            "Give more photographs, or leave the learned restorer out."
        )
    multiple = 2 ** len(config.channels)
    if side_px % multiple or side_px < 11:
        raise ConfigError(
            f"The chips have a side of {side_px} px. Cut them to a multiple of {multiple} px, "
            "at least 11, or give the restorer fewer levels."
        )
    return int(side_px)
