# SPDX-License-Identifier: Apache-2.0
"""Networks that learn to name people from small pictures of their faces.

Two are here: ``residual``, which the parrot trains on obfuscated faces, and ``alexnet``, after
A. Krizhevsky, I. Sutskever, G. Hinton ("ImageNet Classification with Deep Convolutional Neural
Networks", 2012), for the machine assessor, whose recogniser the report calls AlexNet-like.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from veilset.errors import ConfigError, RunError
from veilset.learning.random_state import seed_all
from veilset.seeds import derive

NETWORKS = ("residual", "alexnet")

EPOCHS = 40
_BATCH = 64
_LEARNING_RATE, _WEIGHT_DECAY = 1e-3, 5e-2
_WIDTHS = (32, 64, 128, 256)
_SHIFT = 1 / 16
_GROUPS = 8


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is trained.

    Attributes:
        network: One of ``NETWORKS``.
        seed: Decides weights, order and changes of the pictures.
        epochs: How often it sees every face, at least 1.
        device: Name of the device, as ``cpu`` or ``cuda:0``.
        precision: For ``learning.devices.arithmetic``.
        deterministic: Likewise.
    """

    network: str = "residual"
    seed: int = 1
    epochs: int = EPOCHS
    device: str = "cpu"
    precision: str = "32-true"
    deterministic: bool = True

    def __post_init__(self) -> None:
        if self.network not in NETWORKS or self.epochs < 1:
            raise ConfigError(
                f"A network {self.network!r} trained for {self.epochs} epochs cannot be had. "
                f"Choose: {', '.join(NETWORKS)}, and at least 1 epoch."
            )


class Residual(nn.Module):
    """Two convolutions and a way around them (K. He et al., 2016), normalised in groups.

    Groups, since batches of faces of few people tell little about all.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)
        self.first_norm = nn.GroupNorm(_GROUPS, n_out)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(_GROUPS, n_out)
        self.around = nn.Conv2d(n_in, n_out, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the sides of ``(N, n_in, S, S)`` and give ``(N, n_out, S / 2, S / 2)``."""
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(inner)) + self.around(x))


def make_network(name: str, n_people: int) -> nn.Module:
    """Build a network with fresh weights from the global generator.

    Args:
        name: One of ``NETWORKS``.
        n_people: How many people it tells apart.

    Returns:
        From ``(N, 3, S, S)`` in [-1, 1], S at least 32, to ``(N, n_people)`` logits.
    """
    layers: list[nn.Module]
    if name == "residual":
        layers = [nn.Conv2d(3, _WIDTHS[0], 3, padding=1, bias=False)]
        layers += [nn.GroupNorm(_GROUPS, _WIDTHS[0]), nn.ReLU()]
        wide = (*_WIDTHS, _WIDTHS[-1])
        layers += [Residual(a, b) for a, b in pairwise(wide)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3)]
        return nn.Sequential(*layers, nn.Linear(_WIDTHS[-1], n_people))
    layers = []
    for n_in, n_out, stride, pooled in (
        (3, 64, 2, True), (64, 192, 1, True), (192, 384, 1, False), (384, 256, 1, False),
        (256, 256, 1, True),
    ):  # fmt: skip
        layers += [nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(3, stride=2, padding=1)] if pooled else []
    layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.5)]
    layers += [nn.Linear(256 * 16, 512), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(512, n_people))


class Classifier:
    """A trained network.

    Args:
        network: As ``make_network`` builds it.
        device: Where it is.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network = network.eval()
        self._device = device

    def scores(self, chips: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Look at faces, each also mirrored.

        Args:
            chips: ``(N, S, S, 3)`` uint8 RGB.

        Returns:
            ``(N, n_people)`` logits, higher is likelier.
        """
        found = []
        with torch.inference_mode():
            for at in range(0, len(chips), _BATCH):
                shown = as_planes(chips[at : at + _BATCH], self._device)
                logits = self._network(shown) + self._network(shown.flip(3))
                found.append(logits.double().cpu().numpy() / 2)
        return np.concatenate(found)


def one_cycle(
    optimizer: torch.optim.Optimizer, lr: float, n_steps: int
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Give a learning rate that rises over the first tenth of the steps, then falls to nothing.

    Args:
        optimizer: Whose rate it is.
        lr: The highest.
        n_steps: Of the whole training, at least 1.
    """
    # A rise of exactly one step is a division by zero in PyTorch: of ten, two then.
    share = 0.2 if n_steps == 10 else 0.1
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=n_steps, pct_start=share
    )


def train_classifier(
    chips: NDArray[np.uint8],
    people: NDArray[np.int64],
    n_people: int,
    training: Training,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Classifier:
    """Train a network to name the people on faces.

    Faces are mirrored, moved by up to a sixteenth of their side, and made lighter or darker.
    People with fewer photographs are seen as often as others. Same arguments and the same
    number of threads, same weights, on the CPU.

    Args:
        chips: ``(N, S, S, 3)`` uint8 RGB.
        people: ``(N,)`` codes in ``[0, n_people)``.
        n_people: How many people there are.
        training: How.
        on_epoch: Called with the epoch, from 1, and its mean loss.

    Raises:
        RunError: If the loss is not a number.
    """
    device = torch.device(training.device)
    seed_all(derive(training.seed, "classifier"))
    rng = np.random.default_rng(derive(training.seed, "order"))
    network: Any = make_network(training.network, n_people).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    n_steps = training.epochs * math.ceil(len(chips) / _BATCH)
    schedule = one_cycle(optimizer, _LEARNING_RATE, n_steps)
    shares = 1 / np.bincount(people, minlength=n_people)[people]
    shares = shares / shares.sum()
    for epoch in range(1, training.epochs + 1):
        network.train()
        losses = []
        order = rng.choice(len(chips), len(chips), p=shares)
        for at in range(0, len(order), _BATCH):
            rows = order[at : at + _BATCH]
            shown = changed(as_planes(chips[rows], device), rng)
            truth = torch.from_numpy(people[rows]).to(device)
            loss = functional.cross_entropy(network(shown), truth, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        if not np.isfinite(losses).all():
            raise RunError(
                "The loss of a network that learns faces is not a number. Lower the learning "
                "rate, or leave the attack out with --without."
            )
        if on_epoch:
            on_epoch(epoch, float(np.mean(losses)))
    return Classifier(network, device)


def as_planes(chips: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Turn ``(N, S, S, 3)`` uint8 into ``(N, 3, S, S)`` in [-1, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(chips.transpose(0, 3, 1, 2))).to(device)
    return pixels.float() / 127.5 - 1


def changed(shown: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror, move and light the faces of a batch, ``(N, 3, S, S)``, each in its own way."""
    n, _, side, _ = shown.shape
    mirrored = torch.from_numpy(rng.random(n) < 0.5).to(shown.device)
    shown = torch.where(mirrored[:, None, None, None], shown.flip(3), shown)
    reach = max(1, round(side * _SHIFT))
    padded = functional.pad(shown, (reach,) * 4, mode="replicate")
    moved = [
        padded[row, :, y : y + side, x : x + side]
        for row, (y, x) in enumerate(rng.integers(0, 2 * reach + 1, (n, 2)))
    ]
    light = torch.from_numpy(rng.uniform(-0.15, 0.15, (n, 1, 1, 1)).astype(np.float32))
    return (torch.stack(moved) + light.to(shown.device)).clamp(-1, 1)
