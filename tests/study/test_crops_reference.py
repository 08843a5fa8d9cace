# SPDX-License-Identifier: Apache-2.0
"""Cuts against torchvision's own transforms, from the same seeds: equal to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torchvision import transforms

from veilset.study.crops import crop_box, eval_sizes, flips, scaled_box

SIZES = [(48, 40), (40, 48), (1, 1), (1000, 20), (20, 1000), (64, 64), (7, 5), (333, 251)]


def drawn(size_wh: tuple[int, int], seed: int = 0) -> PillowImage.Image:
    random = np.random.default_rng(seed)
    return PillowImage.fromarray(random.integers(0, 256, (*size_wh[::-1], 3), dtype=np.uint8))


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.25, 1.0)])
@pytest.mark.parametrize("size_wh", SIZES)
def test_a_cut_and_a_flip_are_those_of_torchvision(
    size_wh: tuple[int, int], scale: tuple[float, float]
) -> None:
    ratio = (3 / 4, 4 / 3)
    picture, generator = drawn(size_wh), torch.Generator()
    n_flips = 0
    for seed in range(60):
        torch.manual_seed(seed)
        y0, x0, h, w = transforms.RandomResizedCrop.get_params(picture, list(scale), list(ratio))
        is_flipped = bool(torch.rand(1) < 0.5)
        generator.manual_seed(seed)
        assert crop_box(size_wh, scale, ratio, generator) == (x0, y0, x0 + w, y0 + h)
        assert flips(generator, 0.5) is is_flipped
        n_flips += is_flipped
    assert 15 < n_flips < 45


def test_a_panorama_is_cut_from_its_middle() -> None:
    generator = torch.Generator().manual_seed(1)
    # No cut of half the area fits into 20 rows: ten tries end with the middle.
    assert crop_box((1000, 20), (0.5, 1.0), (3 / 4, 4 / 3), generator) == (486, 0, 513, 20)
    assert crop_box((20, 1000), (0.5, 1.0), (3 / 4, 4 / 3), generator) == (0, 486, 20, 513)


@pytest.mark.parametrize("size_wh", SIZES)
@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (72, 64), (8, 13), (9, 12), (33, 32)])
def test_the_middle_is_that_of_torchvision(
    size_wh: tuple[int, int], resize: int, crop: int
) -> None:
    picture = drawn(size_wh)
    reference = transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(crop)])
    new_wh, box = eval_sizes(size_wh, resize, crop)
    ours = picture.resize(new_wh, PillowImage.Resampling.BILINEAR).crop(box)
    assert np.array_equal(np.asarray(ours), np.asarray(reference(picture)))


def test_a_box_in_a_smaller_copy_covers_the_same_share() -> None:
    # Odd sizes: a decoder rounds the half of 101 up to 51.
    assert scaled_box((0, 0, 101, 81), (101, 81), (51, 41)) == (0, 0, 51, 41)
