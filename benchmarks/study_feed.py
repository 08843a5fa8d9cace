# SPDX-License-Identifier: Apache-2.0
"""How many pictures a second the study's feed gives, beside ImageFolder in a DataLoader.

python benchmarks/study_feed.py PHOTOS [--rounds 5] [--images 960] [--workers 0 2]

PHOTOS is a folder of classes. Both read the same files in a shuffled order, cut and flip them at
random, and give batches of 64. In every round each way is timed once, one after the other, so that
what else the machine does falls on all of them; medians over the rounds are compared. Without
workers seconds are those of the processor, with workers those of the clock, from the second batch
on: starting processes is no part of them. "float32" is what a network on the CPU gets; with a GPU
batches are handed over as bytes and normalised there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from veilset.study.batches import TrainBatches
from veilset.study.feed import feed, to_device
from veilset.study.kept import KeptFolder
from veilset.study.lists import ImageList
from veilset.study.pictures import FolderPictures, PictureSource
from veilset.study.recipe import Recipe, make_recipe

BATCH = 64
CPU = torch.device("cpu")
Way = Callable[[], Iterator[int]]


def plain(photos: Path, recipe: Recipe, workers: int) -> Iterator[int]:
    """The released script's way: ImageFolder, transforms, DataLoader."""
    chosen = transforms.Compose([
        transforms.RandomResizedCrop(recipe.train_size, recipe.crop_scale),
        transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize(recipe.mean, recipe.std),
    ])  # fmt: skip
    loader = DataLoader(
        ImageFolder(str(photos), chosen), BATCH, shuffle=True, num_workers=workers, drop_last=True
    )
    while True:
        yield from (len(labels) for _, labels in loader)


def ours(
    source: PictureSource, images: ImageList, recipe: Recipe, workers: int, *, floats: bool
) -> Iterator[int]:
    """The study's way: a worker makes a whole batch of bytes."""
    batches = TrainBatches(source, images, recipe, seed=1)
    keys = [(epoch, b) for epoch in range(100) for b in range(batches.n_batches)]
    for batch in feed(batches, keys, workers=workers):
        if floats:
            to_device(batch, CPU, recipe)
        yield len(batch.labels)


def rate(way: Way, n_images: int, clock: Callable[[], float]) -> float:
    """Give images per second of a clock, from the second batch on."""
    items = way()
    next(items)
    started, seen = clock(), 0
    while seen < n_images:
        seen += next(items)
    spent = clock() - started
    del items
    return seen / spent


def compare(
    ways: dict[str, Way], n_images: int, rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Time every way once in each round."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(rate(way, n_images, clock))
    return found


def ways_of(
    photos: Path, images: ImageList, recipe: Recipe, workers: int, kept: KeptFolder
) -> dict[str, Way]:
    """Give all that is compared, the plain way first."""
    source = FolderPictures(photos, "original")
    pixels = kept.keep(source, images.image_ids)
    reduced = replace(recipe, decode="reduced")

    def ours_with(*, of: PictureSource = source, by: Recipe = recipe, floats: bool = True) -> Way:
        return lambda: ours(of, images, by, workers, floats=floats)

    return {
        "ImageFolder, float32": lambda: plain(photos, recipe, workers),
        "feed, float32": ours_with(),
        "feed, bytes": ours_with(floats=False),
        "feed, kept pixels, float32": ours_with(of=pixels),
        "feed, kept pixels, bytes": ours_with(of=pixels, floats=False),
        "feed, reduced decoding, bytes": ours_with(by=reduced, floats=False),
    }


def list_images(photos: Path) -> ImageList:
    """List what ImageFolder finds."""
    found = ImageFolder(str(photos))
    ids = tuple(os.path.relpath(path, photos) for path, _ in found.samples)
    labels: Any = torch.tensor(found.targets).numpy()
    return ImageList(ids, labels, tuple(found.classes))


def recipe_for(side: int) -> Recipe:
    """Give the recipe that trains on pictures of this side."""
    return make_recipe("small" if side == 64 else "paper", {"batch_size": BATCH, "drop_last": True})


def main() -> None:
    """Print a table for each side and number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=960)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    images = list_images(asked.photos)
    with tempfile.TemporaryDirectory() as folder, KeptFolder(Path(folder) / "kept", 2**31) as kept:
        for side in (224, 64):
            for workers in asked.workers:
                ways = ways_of(asked.photos, images, recipe_for(side), workers, kept)
                print(f"{side} px, {workers} workers, {len(images.image_ids)} files")
                # Without workers, seconds of the processor: others that use it do not count.
                clock = time.perf_counter if workers else time.process_time
                found = compare(ways, asked.images, asked.rounds, clock)
                base = statistics.median(next(iter(found.values())))
                for name, rates in found.items():
                    middle = statistics.median(rates)
                    span = f"{min(rates):.0f} to {max(rates):.0f}"
                    print(f"  {name:32}{middle:7.0f} /s ({span})  {middle / base:.2f}x", flush=True)


if __name__ == "__main__":
    main()
