# SPDX-License-Identifier: Apache-2.0
"""Batches of pictures, each a function of its key alone: which pictures, which cut, which flip.

A batch is asked for by ``(epoch, batch)``, so that who makes it, when, and how many make others
at the same time cannot change it. Setting and network are in no seed: two runs of one seed see
the same cuts of the same images in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

from veilset.seeds import derive
from veilset.study.crops import IntBox, crop_box, eval_sizes, flips
from veilset.study.kept import KeptPictures
from veilset.study.lists import ImageList
from veilset.study.pictures import PictureSource
from veilset.study.recipe import Recipe, size_at
from veilset.study.reduced import Choose, cut_reduced
from veilset.types import Image

_BILINEAR = PillowImage.Resampling.BILINEAR


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures on their way to a network.

    Attributes:
        pixels: ``(B, 3, S, S)`` uint8 RGB in [0, 255], channels last in memory.
        labels: ``(B,)`` int64, or ``(B, n)`` for images with several.
        positions: ``(B,)`` int64: where the images are in their list.
    """

    pixels: Tensor
    labels: Tensor
    positions: Tensor

    def pin_memory(self) -> Batch:
        """Give the same batch in page-locked memory, from which a GPU can fetch it."""
        return Batch(
            self.pixels.pin_memory(), self.labels.pin_memory(), self.positions.pin_memory()
        )


@dataclass(frozen=True, slots=True)
class TrainBatches:
    """The batches of a training: shuffled anew in each epoch, cut and flipped at random.

    Attributes:
        source: Gives the pictures.
        images: Their names and labels.
        recipe: How they are cut, and how many there are in a batch.
        seed: Seed of the run.
    """

    source: PictureSource
    images: ImageList
    recipe: Recipe
    seed: int

    @property
    def n_batches(self) -> int:
        """Batches in an epoch; the last may be smaller, if the recipe does not drop it."""
        return n_batches(len(self.images.image_ids), self.recipe)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """Make the batch ``(epoch, batch)``, both from 0 on.

        Raises:
            DatasetError: If a picture cannot be had; it names the setting and the image.
        """
        epoch, batch = key
        if not 0 <= batch < self.n_batches:
            raise IndexError(f"There is no batch {batch} in epoch {epoch}.")
        size = self.recipe.batch_size
        order = _order(self.seed, epoch, len(self.images.image_ids))
        positions = order[batch * size : (batch + 1) * size].copy()
        side = size_at(self.recipe, epoch)
        generator = torch.Generator()
        pixels = np.empty((len(positions), side, side, 3), np.uint8)
        for at, position in enumerate(positions.tolist()):
            generator.manual_seed(derive(self.seed, "picture", epoch, position))
            self._draw(pixels[at], position, generator)
        return _batch(pixels, self.images, positions)

    def _draw(self, pixels: Image, position: int, generator: torch.Generator) -> None:
        recipe = self.recipe

        def choose(size_wh: tuple[int, int]) -> IntBox:
            return crop_box(size_wh, recipe.crop_scale, recipe.crop_ratio, generator)

        cut = cut_reduced if recipe.decode == "reduced" else _cut
        picture = cut(self.source, self.images.image_ids[position], choose, len(pixels))
        if flips(generator, recipe.flip):
            # Thirty times faster than to copy from behind.
            cv2.flip(picture, 1, dst=pixels)
        else:
            pixels[...] = picture


@dataclass(frozen=True, slots=True)
class EvalBatches:
    """The batches of an evaluation: in the order of the list, cut from the middle.

    Attributes:
        source: Gives the pictures.
        images: Their names and labels.
        recipe: How they are cut, and how many there are in a batch.
    """

    source: PictureSource
    images: ImageList
    recipe: Recipe

    @property
    def n_batches(self) -> int:
        """Batches of the whole list; the last may be smaller, and is never dropped."""
        return -(-len(self.images.image_ids) // self.recipe.batch_size)

    def __getitem__(self, batch: int) -> Batch:
        """Make a batch, from 0 on; errors as ``TrainBatches``."""
        if not 0 <= batch < self.n_batches:
            raise IndexError(f"There is no batch {batch}.")
        size, side = self.recipe.batch_size, self.recipe.eval_crop
        stop = min((batch + 1) * size, len(self.images.image_ids))
        positions = np.arange(batch * size, stop, dtype=np.int64)
        pixels = np.empty((len(positions), side, side, 3), np.uint8)
        for at, position in enumerate(positions.tolist()):
            picture = self.source.read(self.images.image_ids[position])
            new_wh, box = eval_sizes(picture.size, self.recipe.eval_resize, side)
            pixels[at] = np.asarray(picture.resize(new_wh, _BILINEAR).crop(box))
        return _batch(pixels, self.images, positions)


def n_batches(n_images: int, recipe: Recipe) -> int:
    """Give how many batches of training an epoch has.

    Args:
        n_images: Images in the list.
        recipe: Says how many are in a batch, and whether a smaller last one is dropped.
    """
    if recipe.drop_last:
        return n_images // recipe.batch_size
    return -(-n_images // recipe.batch_size)


# A process works on one epoch, or on the end of one and the beginning of the next.
@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n: int) -> Any:
    generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
    return torch.randperm(n, generator=generator).numpy()


def _batch(pixels: Any, images: ImageList, positions: Any) -> Batch:
    labels = np.asarray(images.labels)[positions].astype(np.int64)
    return Batch(
        torch.from_numpy(pixels).permute(0, 3, 1, 2),
        torch.from_numpy(labels),
        torch.from_numpy(positions),
    )


def _cut(source: PictureSource, image_id: str, choose: Choose, side: int) -> Image:
    """Cut a picture and scale the cut, as torchvision does: pixels beside it do not count."""
    if isinstance(source, KeptPictures):
        pixels = source.pixels(image_id)
        x0, y0, x1, y1 = choose((pixels.shape[1], pixels.shape[0]))
        picture = PillowImage.fromarray(pixels[y0:y1, x0:x1])
    else:
        whole = source.read(image_id)
        picture = whole.crop(choose(whole.size))
    return np.asarray(picture.resize((side, side), _BILINEAR))
