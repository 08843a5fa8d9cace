# SPDX-License-Identifier: Apache-2.0
"""PSNR and SSIM against scikit-image, and where its windows do not fit."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from veilset.attack.similarity import WINDOW_PX, psnr, ssim
from veilset.errors import BoxError, MissingExtraError


def pair(height: int = 40, width: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    clear = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise = rng.integers(-20, 21, clear.shape)
    return clear, np.clip(clear.astype(int) + noise, 0, 255).astype(np.uint8)


def test_they_are_those_of_scikit_image_and_of_the_box_alone():
    clear, other = pair()
    box, part = (5.2, 3.0, 40.0, 30.9), np.s_[3:31, 5:40]
    expected = structural_similarity(
        clear[part], other[part], data_range=255, channel_axis=2,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert ssim(clear, other, box) == pytest.approx(expected, abs=1e-9)
    expected = peak_signal_noise_ratio(clear[part], other[part], data_range=255)
    assert psnr(clear, other, box) == pytest.approx(expected, abs=1e-9)
    elsewhere = other.copy()
    elsewhere[31:] = 0
    assert ssim(clear, elsewhere, box) == ssim(clear, other, box)


def test_a_small_box_is_one_window():
    clear, other = pair(WINDOW_PX - 1, 30)
    a, b = clear.astype(float), other.astype(float)
    scores = []
    for channel in range(3):
        x, y = a[..., channel].ravel(), b[..., channel].ravel()
        covariance = np.cov(x, y, ddof=0)
        light = (2 * x.mean() * y.mean() + 2.55**2) / (x.mean() ** 2 + y.mean() ** 2 + 2.55**2)
        top, below = 2 * covariance[0, 1] + 7.65**2, np.trace(covariance) + 7.65**2
        scores.append(light * top / below)
    assert ssim(clear, other) == pytest.approx(np.mean(scores), abs=1e-12)
    assert ssim(clear[:1, :1], clear[:1, :1]) == 1.0


def test_what_cannot_be_compared_is_refused(monkeypatch):
    clear, other = pair()
    with pytest.raises(BoxError, match="Compare RGB pictures of one size"):
        psnr(clear, other[:, :-1])
    with pytest.raises(BoxError, match="uint8"):
        ssim(clear, other.astype(float))
    with pytest.raises(BoxError, match="no pixel in a picture of 50 x 40"):
        ssim(clear, other, (60, 0, 70, 10))
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(MissingExtraError, match=r"veilset\[attack\]"):
        ssim(clear, other)
