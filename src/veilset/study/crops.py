# SPDX-License-Identifier: Apache-2.0
"""Where a picture is cut for a network: the random cut of training, the fixed one of evaluation.

Both give what ``torchvision.transforms`` gives, number by number, but draw from a generator
of their own, so that the cut of a picture is a function of its seed alone.
"""

from __future__ import annotations

import math
from functools import cache

import torch

from veilset.types import BoxXyxy

IntBox = tuple[int, int, int, int]
"""``(x0, y0, x1, y1)`` in whole pixels, half-open."""

# As in torchvision: how often a cut is drawn before the picture is taken as it is.
TRIES = 10


def crop_box(
    size_wh: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> IntBox:
    """Draw the cut of ``RandomResizedCrop``, with its draws in its order.

    Args:
        size_wh: Width and height of the picture in pixels, at least 1.
        scale: Least and largest share of its area, in (0, 1].
        ratio: Least and largest width over height.
        generator: Is drawn from; seeded alike, torchvision's global one gives the same cut.

    Returns:
        The cut, inside the picture: ``(x0, y0, x1, y1)`` in pixels, half-open.

    Example:
        >>> crop_box((64, 48), (0.08, 1.0), (0.75, 1.33), torch.Generator().manual_seed(3))
        (21, 16, 35, 34)
    """
    width, height = size_wh
    low, high = _logarithms(ratio)
    draw = torch.empty(1)
    for _ in range(TRIES):
        area = width * height * draw.uniform_(*scale, generator=generator).item()
        shape = torch.exp(draw.uniform_(low, high, generator=generator)).item()
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width and 0 < h <= height:
            y0 = int(torch.randint(0, height - h + 1, (1,), generator=generator).item())
            x0 = int(torch.randint(0, width - w + 1, (1,), generator=generator).item())
            return x0, y0, x0 + w, y0 + h
    return _middle(size_wh, ratio)


@cache
def _logarithms(ratio: tuple[float, float]) -> tuple[float, float]:
    # Single precision, as torchvision has it: in double a cut would now and then be a pixel off.
    low, high = torch.log(torch.tensor(ratio)).tolist()
    return low, high


def _middle(size_wh: tuple[int, int], ratio: tuple[float, float]) -> IntBox:
    """Give the largest cut from the middle whose shape is allowed."""
    width, height = w, h = size_wh
    if width / height < min(ratio):
        h = round(width / min(ratio))
    elif width / height > max(ratio):
        w = round(height * max(ratio))
    x0, y0 = (width - w) // 2, (height - h) // 2
    return x0, y0, x0 + w, y0 + h


def flips(generator: torch.Generator, probability: float) -> bool:
    """Draw whether a picture is mirrored left to right, as ``RandomHorizontalFlip`` does.

    Args:
        generator: Is drawn from, after ``crop_box``.
        probability: In [0, 1].

    Example:
        >>> [flips(torch.Generator().manual_seed(seed), 0.5) for seed in range(4)]
        [True, False, False, True]
    """
    return bool(torch.rand(1, generator=generator).item() < probability)


def eval_sizes(size_wh: tuple[int, int], resize: int, crop: int) -> tuple[tuple[int, int], IntBox]:
    """Give the cut of ``Resize(resize)`` and ``CenterCrop(crop)``.

    Args:
        size_wh: Width and height of the picture in pixels, at least 1.
        resize: Length of its shorter side after it was scaled, in pixels.
        crop: Side of the square, in pixels.

    Returns:
        Width and height of the scaled picture, and the square in it. The square sticks out of
        a picture that is smaller than it; what lies outside is black.

    Example:
        >>> eval_sizes((500, 375), 256, 224)
        ((341, 256), (58, 16, 282, 240))
        >>> eval_sizes((10, 30), 8, 12)
        ((8, 24), (-2, 6, 10, 18))
    """
    width, height = size_wh
    short, long = min(size_wh), max(size_wh)
    scaled = int(resize * long / short)
    new_wh = (resize, scaled) if width <= height else (scaled, resize)
    x0, y0 = (_middle_start(length, crop) for length in new_wh)
    return new_wh, (x0, y0, x0 + crop, y0 + crop)


def _middle_start(length: int, crop: int) -> int:
    # A side that is too short is filled up to the square, one pixel more behind than before
    # where it is odd; one that is long enough is halved in Python's rounding, half to even.
    return -((crop - length) // 2) if crop > length else round((length - crop) / 2)


def scaled_box(box: IntBox, size_wh: tuple[int, int], new_wh: tuple[int, int]) -> BoxXyxy:
    """Give a box of a picture in a smaller copy of it.

    Args:
        box: ``(x0, y0, x1, y1)`` in pixels of the picture.
        size_wh: Its width and height in pixels.
        new_wh: Those of the copy.

    Example:
        >>> scaled_box((10, 20, 50, 60), (100, 80), (50, 40))
        (5.0, 10.0, 25.0, 30.0)
    """
    across, down = new_wh[0] / size_wh[0], new_wh[1] / size_wh[1]
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down
