# SPDX-License-Identifier: Apache-2.0
"""A network that learns to see in obfuscated faces what a recogniser sees in clear ones.

An attacker who knows the method obfuscates any faces that he finds, asks the recogniser for the
embedding of each in clear, and trains a *student* to give it from the obfuscated face (after
knowledge distillation: G. Hinton, O. Vinyals, J. Dean, 2015). He needs to know nobody's name for
that, and whoever is on a probe is then named by the nearest clear photograph that he holds.

The student learns the *direction* of an embedding as seen from the mean of all. Where obfuscation
leaves little, the best guess of an embedding lies near that mean, and its direction alone tells
something. Two losses are added: one minus the cosine to the right embedding, and how much less
likely the right one is, by cosines, than the others of the batch (A. van den Oord et al.,
"Representation Learning with Contrastive Predictive Coding", 2018), for that is what is asked of it
later.
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

from veilset.attack.classifier import Residual, Training, as_planes, changed, one_cycle
from veilset.errors import ConfigError, RunError
from veilset.learning.random_state import seed_all
from veilset.seeds import derive

EPOCHS = 40
LEAST_FACES = 2
"""Of fewer nothing can be learned: seen from their mean, a single embedding has no direction."""

_BATCH, _BATCH_OF_USE = 32, 64
_LEARNING_RATE, _WEIGHT_DECAY = 1e-3, 5e-2
_WIDTHS = (32, 64, 128, 256)
_IN_CELL = 3 * 2 * 2
_GRID = 4
_GROUPS = 8
_TEMPERATURE = 0.1

Chips = NDArray[np.uint8]
Embeddings = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Student:
    """A trained student.

    Attributes:
        network: From ``(N, 3, S, S)`` in [-1, 1] to ``(N, D)``.
        mean: ``(D,)``, from which directions are seen.
        is_normalised: Whether embeddings are brought to length 1 first.
        device: Where it runs.
    """

    network: nn.Module
    mean: Embeddings
    is_normalised: bool
    device: torch.device

    def guess(self, chips: Chips) -> Embeddings:
        """Guess what the recogniser sees in clear, from obfuscated faces, each also mirrored.

        Args:
            chips: ``(N, S, S, 3)`` uint8 RGB.

        Returns:
            ``(N, D)``, directions of length 1; comparable by cosine with ``seen``.
        """
        found = [np.zeros((0, len(self.mean)), np.float32)]
        with torch.inference_mode():
            for at in range(0, len(chips), _BATCH_OF_USE):
                shown = as_planes(chips[at : at + _BATCH_OF_USE], self.device)
                both = self.network(shown) + self.network(shown.flip(3))
                found.append(functional.normalize(both).cpu().numpy())
        return np.concatenate(found)

    def seen(self, embeddings: Embeddings) -> Embeddings:
        """Give the directions of clear embeddings, ``(N, D)``, seen from the mean."""
        return _directions(embeddings, self.mean, is_normalised=self.is_normalised)


def make_student(side_px: int, n_out: int) -> nn.Module:
    """Build a network with fresh weights from the global generator.

    Where in the face something is matters for who it is: a grid of at most 4 x 4 places is kept.

    Args:
        side_px: S, a multiple of 16, at least 32.
        n_out: D.
    """
    grid = min(_GRID, side_px // 16)
    layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
    layers += [nn.Conv2d(_IN_CELL, _WIDTHS[0], 3, padding=1, bias=False)]
    layers += [nn.GroupNorm(_GROUPS, _WIDTHS[0]), nn.ReLU()]
    layers += [Residual(a, b) for a, b in pairwise(_WIDTHS)]
    layers += [nn.AdaptiveAvgPool2d(grid), nn.Flatten(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(_WIDTHS[-1] * grid**2, n_out))


def train_student(
    shown: Chips,
    embeddings: Embeddings,
    metric: str,
    training: Training,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Student:
    """Train a student. Faces are mirrored, moved and lighted as those of ``train_classifier``.

    Same arguments and the same number of threads, same weights, on the CPU.

    Args:
        shown: ``(N, S, S, 3)`` uint8, obfuscated.
        embeddings: ``(N, D)``, of the same faces in clear.
        metric: Of the recogniser: ``cosine`` or ``euclidean``.
        training: How; the network that it names does not matter here.
        on_epoch: Called with the epoch, from 1, and its mean loss.

    Raises:
        ConfigError: If there are fewer than two faces, or not as many of both.
        RunError: If the loss is not a number.
    """
    if len(shown) != len(embeddings) or len(shown) < LEAST_FACES:
        raise ConfigError(
            f"A student has {len(shown)} faces and {len(embeddings)} embeddings to learn from. "
            f"Give an embedding for each face, and {LEAST_FACES} faces at least."
        )
    device = torch.device(training.device)
    seed_all(derive(training.seed, "student"))
    rng = np.random.default_rng(derive(training.seed, "order"))
    is_normalised = metric == "cosine"
    values = _normalised(embeddings) if is_normalised else embeddings
    mean: Embeddings = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    wanted = torch.from_numpy(_directions(embeddings, mean, is_normalised=is_normalised)).to(device)
    network: Any = make_student(shown.shape[1], embeddings.shape[1]).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    n_steps = training.epochs * math.ceil(len(shown) / _BATCH)
    schedule = one_cycle(optimizer, _LEARNING_RATE, n_steps)
    for epoch in range(1, training.epochs + 1):
        network.train()
        losses = []
        order = rng.permutation(len(shown))
        for at in range(0, len(order), _BATCH):
            rows = order[at : at + _BATCH]
            given = changed(as_planes(shown[rows], device), rng)
            loss = student_loss(network(given), wanted[torch.from_numpy(rows).to(device)])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        if not np.isfinite(losses).all():
            raise RunError(
                "The loss of a network that learns embeddings is not a number. Leave the attack "
                "out with --without."
            )
        if on_epoch:
            on_epoch(epoch, float(np.mean(losses)))
    return Student(network.eval(), mean, is_normalised, device)


def student_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Give ``1 - cosine`` to the right embedding, plus the cross-entropy of naming it in the batch.

    Args:
        found: ``(N, D)``, of any length.
        wanted: ``(N, D)``, of length 1.

    Example:
        >>> right = torch.eye(2)
        >>> round(float(student_loss(3 * right, right)), 4)
        0.0
        >>> round(float(student_loss(right.flip(0), right)), 4)
        11.0
    """
    cosines = functional.normalize(found) @ wanted.T
    right = torch.arange(len(wanted), device=wanted.device)
    named = functional.cross_entropy(cosines / _TEMPERATURE, right)
    return 1 - cosines.diagonal().mean() + named


def _normalised(embeddings: Embeddings) -> Embeddings:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    # What has no direction is left as zeros.
    found: Embeddings = (embeddings / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return found


def _directions(embeddings: Embeddings, mean: Embeddings, *, is_normalised: bool) -> Embeddings:
    values = _normalised(embeddings) if is_normalised else embeddings
    return _normalised((values - mean).astype(np.float32))
