# SPDX-License-Identifier: Apache-2.0
"""A training that takes a moment: pictures in memory, and a network with all that has a state."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn import functional

from veilset.files import write_atomically
from veilset.learning import checkpoint
from veilset.learning.checkpoint import save_tensors
from veilset.learning.devices import arithmetic, open_device
from veilset.study.recipe import Recipe, make_recipe
from veilset.study.train import Outcome, Tools, Trainer

N_EPOCHS, N_BATCHES = 3, 4
N_STEPS = N_EPOCHS * N_BATCHES
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class DrawnBatches:
    """Pictures of 8 x 8 whose brightness tells their class, the same for the same key."""

    n_batches: int = N_BATCHES

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(1000 * key[0] + key[1])
        labels = torch.randint(0, 3, (6,), generator=generator)
        noise = torch.randint(0, 60, (6, 3, 8, 8), generator=generator)
        return (noise + 60 * labels[:, None, None, None]).to(torch.uint8), labels


class Small(nn.Module):  # type: ignore[misc]  # PyTorch is Any to mypy
    """Convolution, normalisation, dropout, and a draw from the generators of Python and NumPy."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(4, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.drop(self.features(pixels).mean((2, 3))))
        return found


def plain_feed(batches: Any, keys: Iterable[Any]) -> Iterator[Any]:
    """Fetch batches in this process, after a draw as loaders do when they start."""
    torch.empty((), dtype=torch.int64).random_()
    return (batches[key] for key in keys)


def classify(module: nn.Module, batch: Any) -> Outcome:
    pixels, labels = batch
    scores = module(pixels.float() / 255)
    loss = functional.cross_entropy(scores, labels)
    return Outcome(loss, len(labels), (scores.argmax(1) == labels).sum())


def drawn_recipe(**changes: Any) -> Recipe:
    return make_recipe("small", {"epochs": N_EPOCHS, "batch_size": 6} | changes)


def make_trainer(
    folder: Path, recipe: Recipe, *, step: Any = classify, module: nn.Module | None = None,
    **tools: Any,
) -> Trainer:  # fmt: skip
    if module is None:
        torch.manual_seed(5)
        module = Small()
    folder.mkdir(parents=True, exist_ok=True)
    made = replace(Tools(open_device("cpu", recipe), plain_feed), **tools)
    return Trainer(module, DrawnBatches(), recipe, step, made, folder=folder, seed=7, name="a")


def train_small(folder: Path, recipe: Recipe, **tools: Any) -> bool:
    """Train to the end or the stop, and write the weights after the end."""
    with arithmetic(recipe, "cpu", 1):
        trainer = make_trainer(folder, recipe, **tools)
        if not trainer.train():
            return False
        save_tensors(folder / WEIGHTS, trainer.weights())
        return True


def at_step(number: int, action: Callable[[], None]) -> Callable[[Any], None]:
    """Give what is told of progress and acts once a step is done."""

    def told(progress: Any) -> None:
        if progress.step == number:
            action()

    return told


def kill_this() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_kill(folder: Path, recipe: Recipe, step: int, in_save: bool) -> None:
    """Train until this process kills itself: after a step, or between the files of a checkpoint."""
    if not in_save:
        train_small(folder, recipe, checkpoint_every_s=0.0, on_progress=at_step(step, kill_this))
        return

    def write_or_die(path: Path, data: bytes) -> None:
        if path.name == checkpoint.NAME and (folder / f"checkpoint-{step}.safetensors").exists():
            kill_this()
        write_atomically(path, data)

    with mock.patch.object(checkpoint, "write_atomically", write_or_die):
        train_small(folder, recipe, checkpoint_every_s=0.0)
