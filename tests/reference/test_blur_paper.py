# SPDX-License-Identifier: Apache-2.0
"""``blur-paper`` against its formula in floating point with SciPy's Gaussian."""

from __future__ import annotations

import numpy as np
import pytest

from veilset.obfuscate.blur_published import BlurPaper, BlurReleased, PublishedBlur
from veilset.types import BoxXyxy, Image, Region

ndimage = pytest.importorskip("scipy.ndimage")


def formula(image: Image, boxes: list[tuple[float, float, float, float]]) -> np.ndarray:
    """Equations (1) to (5) of appendix B, boxes in whole pixels with inclusive ends."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width))
    longest = 0.0
    for x0, y0, x1, y1 in boxes:
        diagonal = float(np.hypot(x1 - x0, y1 - y0))
        longest = max(longest, diagonal)
        left, top = max(x0 - diagonal / 10, 0), max(y0 - diagonal / 10, 0)
        right, bottom = min(x1 + diagonal / 10, width - 1), min(y1 + diagonal / 10, height - 1)
        mask[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = 1
    sigma = longest / 10
    soft = ndimage.gaussian_filter(mask, sigma, mode="nearest")[..., None]
    blurred = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="nearest")
    mixed: np.ndarray = soft * blurred + (1 - soft) * image
    return mixed


@pytest.mark.parametrize("seed", range(12))
def test_the_published_formula_within_the_error_of_the_filter(seed):
    # Pillow's filter approximates the Gaussian by boxes and rounds each pass to 8 bits. The
    # boxes keep away from the border: the paper does not say what lies beyond it.
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (18, 20, 3)).astype(float)
    image = np.clip(ndimage.zoom(coarse, (15, 15, 1), order=1), 0, 255)
    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    boxes = []
    for _ in range(int(rng.integers(1, 4))):
        w, h = (float(v) for v in rng.integers(20, 70, 2))
        x, y = float(rng.integers(70, 150)), float(rng.integers(70, 130))
        boxes.append((x, y, x + w, y + h))
    out = BlurPaper().obfuscate(image, [Region(box) for box in boxes]).astype(float)
    error = np.abs(out - formula(image, boxes))
    assert error.mean() < 0.3
    assert error.max() < 6


def test_the_two_published_forms_differ_by_the_diagonal():
    image = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    region = Region((40.0, 40.0, 80.0, 80.0))
    paper, released = BlurPaper(), BlurReleased()
    assert not np.array_equal(paper.obfuscate(image, [region]), released.obfuscate(image, [region]))
    rectangle, diagonal = drawn(paper, region.box_xyxy, (120, 120))
    assert rectangle == pytest.approx((34.343, 34.343, 85.657, 85.657), abs=1e-3)
    assert diagonal == pytest.approx(56.569, abs=1e-3)
    assert drawn(released, region.box_xyxy, (120, 120)) == ((36.0, 36.0, 84.0, 84.0), 40.0)


def test_boxes_are_cut_to_the_picture():
    rectangle, diagonal = drawn(BlurPaper(), (-5.0, 2.0, 25.0, 42.0), (30, 40))
    assert list(rectangle) == [0, 0, 29, 39]
    assert diagonal == 50.0
    assert BlurPaper().drawn((40.0, 2.0, 50.0, 9.0), (30, 40)) is None


def drawn(method: PublishedBlur, box: BoxXyxy, size_wh: tuple[int, int]) -> tuple[BoxXyxy, float]:
    result = method.drawn(box, size_wh)
    assert result is not None
    return result
