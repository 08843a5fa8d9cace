# SPDX-License-Identifier: Apache-2.0
"""Images a second of training on one GPU: the recipe ``fast`` beside the released script's loop.

    python benchmarks/study_gpu.py [PHOTOS] [--network resnet50] [--batch 256] [--steps 100]
                                   [--workers 16] [--rounds 3] [--json FILE]

``released`` is the loop of the face study's script, written anew: float32 as PyTorch has it by
default, colours outermost in memory, loss and accuracy read after every step, pictures by
torchvision's ``ImageFolder`` and transforms. ``fast`` is Veilset's own ``Trainer`` with that
recipe at the same 224 pixels. Each is measured with pixels that lie on the device already, and,
given PHOTOS (a folder with a folder for each class, and pictures for all steps), with pictures
that are read. The loops take turns; the table has the median of the rounds. ``--device cpu``
tries the program without a GPU, uncompiled; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision import datasets, models, transforms

from veilset.learning.devices import arithmetic, describe, open_device
from veilset.study.batches import Batch, TrainBatches
from veilset.study.lists import ImageList
from veilset.study.one_run import classify, make_feed
from veilset.study.pictures import FolderPictures
from veilset.study.recipe import Recipe, make_recipe
from veilset.study.train import Tools, Trainer, TrainingProgress

SIDE, N_CLASSES, N_WARM = 224, 1000, 10


@dataclass(frozen=True)
class SameBatch:
    """A batch that is made once, as often as it is asked for."""

    batch: Batch
    n_batches: int

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        return self.batch


class Clock:
    """Times the steps between the first ones, which compile and fill caches, and the last."""

    def __init__(self, device: torch.device, n_steps: int) -> None:
        self.device, self.n_steps = device, n_steps
        self.started = self.seconds = 0.0

    def step_done(self, number: int) -> None:
        if number in (N_WARM, self.n_steps):
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            if number == N_WARM:
                self.started = time.perf_counter()
            else:
                self.seconds = time.perf_counter() - self.started

    def images_per_s(self, batch: int) -> float:
        return (self.n_steps - N_WARM) * batch / self.seconds


def released_loop(module: nn.Module, batches: Iterable[Any], clock: Clock) -> None:
    """Train as ``experiments/trainval.py`` of the face study does."""
    module.to(clock.device).train()
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    for number, (pixels, labels) in enumerate(batches, start=1):
        pixels = pixels.to(clock.device, non_blocking=True)
        labels = labels.to(clock.device, non_blocking=True)
        scores = module(pixels)
        loss = functional.cross_entropy(scores, labels)
        loss.item()
        hits = scores.topk(5, 1).indices == labels[:, None]
        hits[:, 0].sum().item()
        hits.any(1).sum().item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.step_done(number)


def released_pictures(photos: Path, batch: int, workers: int) -> Iterator[Any]:
    """Read pictures as the released script does."""
    normalise = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    steps = [transforms.RandomResizedCrop(SIDE), transforms.RandomHorizontalFlip()]
    data = datasets.ImageFolder(
        str(photos), transforms.Compose([*steps, transforms.ToTensor(), normalise])
    )
    loader = torch.utils.data.DataLoader(
        data, batch, shuffle=True, num_workers=workers, pin_memory=True, drop_last=True
    )
    return (each for _ in cycle([0]) for each in loader)


def our_loop(
    module: nn.Module, batches: Any, recipe: Recipe, clock: Clock, *, workers: int | None = None
) -> None:
    """Train with Veilset's trainer; it ends with a checkpoint, which is not timed."""

    def told(progress: TrainingProgress) -> None:
        clock.step_done(progress.step)

    with (
        tempfile.TemporaryDirectory() as folder,
        arithmetic(recipe, str(clock.device), torch.get_num_threads()),
    ):
        fabric = open_device(str(clock.device), recipe)
        # What is on the device already can be neither handed over nor pinned.
        fetch = plain_feed if workers is None else make_feed(fabric.device, workers)
        tools = Tools(
            fabric,
            fetch,
            checkpoint_every_s=1e9,
            should_stop=lambda: clock.seconds > 0,
            on_progress=told,
        )
        Trainer(
            module, batches, recipe, classify(recipe, fabric.device), tools,
            folder=Path(folder), seed=0, name="benchmark",
        ).train()  # fmt: skip


def plain_feed(batches: Any, keys: Iterable[Any]) -> Iterator[Any]:
    """Give batches as they are."""
    return (batches[key] for key in keys)


def our_pictures(photos: Path, recipe: Recipe) -> TrainBatches:
    """Read pictures as a study does, without keeping them."""
    found = datasets.ImageFolder(str(photos))
    names = tuple(Path(path).relative_to(photos).as_posix() for path, _ in found.samples)
    images = ImageList(names, np.array(found.targets, np.int64), tuple(found.classes))
    return TrainBatches(FolderPictures(photos, "photos"), images, recipe, 0)


def loops(args: argparse.Namespace, device: torch.device) -> dict[str, Callable[[Clock], None]]:
    """Give what is measured, by name."""
    recipe = make_recipe("fast", {"train_size": SIDE, "first_size": SIDE, "batch_size": args.batch})
    if device.type == "cpu":
        recipe = replace(recipe, compile=False)
    random = torch.Generator().manual_seed(0)
    shape = (args.batch, 3, SIDE, SIDE)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    labels = torch.randint(0, N_CLASSES, (args.batch,), generator=random)
    positions = torch.arange(args.batch)

    def network() -> nn.Module:
        made: nn.Module = models.get_model(args.network, weights=None, num_classes=N_CLASSES)
        return made

    def released_synthetic(clock: Clock) -> None:
        batch = (pixels.to(device).float() / 255, labels.to(device))
        released_loop(network(), [batch] * args.steps, clock)

    def our_synthetic(clock: Clock) -> None:
        batch = Batch(pixels.to(device), labels.to(device), positions)
        our_loop(network(), SameBatch(batch, args.steps + 1), recipe, clock)

    found: dict[str, Callable[[Clock], None]] = {}
    found["released, pixels on the device"] = released_synthetic
    found["fast, pixels on the device"] = our_synthetic
    if args.photos:

        def released_fed(clock: Clock) -> None:
            batches = released_pictures(args.photos, args.batch, args.workers)
            released_loop(network(), islice(batches, args.steps), clock)

        def our_fed(clock: Clock) -> None:
            batches = our_pictures(args.photos, recipe)
            our_loop(network(), batches, recipe, clock, workers=args.workers)

        found |= {"released, pictures read": released_fed, "fast, pictures read": our_fed}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "There is no NVIDIA GPU here that PyTorch can use, so there is nothing to measure. "
            "Run this on a machine with one."
        )
    if args.steps <= N_WARM:
        sys.exit(f"--steps {args.steps} leaves nothing: the first {N_WARM} are not timed.")
    device = torch.device(args.device)
    speeds: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        for name, loop in loops(args, device).items():
            clock = Clock(device, args.steps)
            loop(clock)
            speeds.setdefault(name, []).append(clock.images_per_s(args.batch))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    print(f"{args.network}, batch {args.batch}, {describe(args.device)}, torch {torch.__version__}")
    for name, speed in medians.items():
        against = medians[f"released{name[name.index(',') :]}"]
        print(f"{name:<32} {speed:10,.1f} images/s {speed / against:6.2f}x")
    if args.json:
        args.json.write_text(json.dumps({"images_per_s": speeds, "batch": args.batch}))


if __name__ == "__main__":
    main()
