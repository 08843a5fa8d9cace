# SPDX-License-Identifier: Apache-2.0
"""Blocks of a JPEG file are computed in whole numbers: the same bytes on every processor."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.conftest import REPOSITORY
from veilset.images.jpeg_blocks import _BITS, _DCT, _TO_YCC, _rounded_plane, gray_level
from veilset.types import Image

LARGEST = 255 * 4 * 4
"""The largest sum of the pixels of a sample: components are 1 to 4 samples down and across."""

WRITE = """
import hashlib, io, numpy, PIL.Image
from veilset.images.encode import replace_pixels
random = numpy.random.default_rng(0)
for n in range(6):
    small = PIL.Image.fromarray(random.integers(0, 256, (20, 25, 3), dtype=numpy.uint8))
    stream = io.BytesIO()
    small.resize((400, 320), 3).save(stream, "JPEG", quality=92, subsampling=n % 3)
    image = numpy.asarray(small.resize((400, 320), 2))
    made = replace_pixels(stream.getvalue(), image, numpy.array([[0, 0, 400, 320]]))
    print(hashlib.sha256(made).hexdigest())
"""


@given(arrays(np.uint8, (7, 3)), st.integers(0, 2))
def test_colours_are_converted_exactly(pixels: Image, index: int) -> None:
    weights = [int(each) for each in _TO_YCC[index]]
    half = 2 ** (_BITS - 1) - (index > 0)
    expected = [
        (sum(int(c) * w for c, w in zip(pixel, weights, strict=True)) + half) >> _BITS
        for pixel in pixels
    ]
    assert _rounded_plane(pixels, index).tolist() == expected


def test_the_weights_are_those_of_the_standard() -> None:
    b, r = 0.114, 0.299
    exact = np.array(
        [
            [r, 1 - r - b, b],
            [-r / (2 * (1 - b)), -(1 - r - b) / (2 * (1 - b)), 0.5],
            [0.5, -(1 - r - b) / (2 * (1 - r)), -b / (2 * (1 - r))],
        ]
    )
    assert np.abs(_TO_YCC / 2**_BITS - exact).max() < 1 / 2**_BITS
    assert _TO_YCC.sum(axis=1).tolist() == [2**_BITS, 0, 0]
    grays = np.arange(256, dtype=np.uint8)
    assert gray_level(np.repeat(grays[:, None], 3, axis=1)).tolist() == grays.tolist()


@given(arrays(np.int64, (3, 64), elements=st.integers(-LARGEST, LARGEST)))
def test_the_transform_is_exact(samples: np.ndarray) -> None:
    ours = samples.astype(np.float64) @ _DCT
    exact = samples.astype(object) @ np.vectorize(int, otypes=[object])(_DCT)
    assert ours.astype(object).tolist() == exact.tolist()
    assert LARGEST * int(np.abs(_DCT).sum(axis=0).max()) < 2**53


def test_the_transform_is_that_of_the_standard() -> None:
    from scipy.fft import dctn

    block = np.random.default_rng(1).integers(-128, 128, (8, 8))
    ours = (block.reshape(64).astype(np.float64) @ _DCT).reshape(8, 8) / 2.0 ** (2 * _BITS)
    np.testing.assert_allclose(ours, dctn(block, norm="ortho"), atol=0.02)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="kernels of x86 processors")
def test_the_kernels_of_an_old_processor_give_the_same_files() -> None:
    written = [
        subprocess.run(
            [sys.executable, "-c", WRITE],
            cwd=REPOSITORY, env={**os.environ, **kernels},
            capture_output=True, text=True, check=True,
        ).stdout
        for kernels in ({}, {"OPENBLAS_CORETYPE": "Nehalem"})
    ]  # fmt: skip
    assert written[0] == written[1]
