# SPDX-License-Identifier: Apache-2.0
"""Decoding and splicing of real photographs and of the robustness corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import real_data_folder
from tests.unit.images.jpeg_samples import pillow_pixels
from veilset.errors import DecodeError
from veilset.images.compare import find_outside_changes
from veilset.images.decode import decode_image, inspect_image
from veilset.images.encode import replace_pixels
from veilset.images.orientation import unorient

pytestmark = pytest.mark.real
CORPUS = sorted(p for p in real_data_folder().glob("robustness/*/*") if p.name != "LICENSE")
PHOTOS = sorted(real_data_folder().glob("imagenet_sample/*/*"))[::25]

REFUSED = {
    "65536-uint32-limit.png": "over-limit",
    "giant-image.jpg": "over-limit",
    "truncated.jpg": "truncated",
    "truncated.png": "truncated",
    "corrupt-header.jpg": "truncated",
    "Channel_digital_image_CMYK_color.jpg": "unsupported",
    "Channel_digital_image_CMYK_color_no_profile.jpg": "unsupported",
    "testimgl.jpg": "unsupported",
    "relax.jp2": "unsupported",
    "relax_tileparts.jp2": "unsupported",
    "Crash_test.gif": "unsupported",
    "animated-loop-3.gif": "unsupported",
    "rotating-squares.gif": "unsupported",
    "grey-plus-alpha.gif": "unsupported",
    "cielab-dagams.tiff": "unsupported",
    "fogra-0-100-100-0.tif": "unsupported",
    "tifftag-photoshop.tiff": "unsupported",
    "tbgn2c16.png": "unsupported",
    "animated-loop-3.webp": "animated",
    "rotating-squares.webp": "animated",
    "big-height.webp": "animated",
    "G31D_MULTI.TIF": "multi-picture",
}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_every_file_of_the_corpus_is_processed_or_refused_with_its_reason(path: Path):
    data = path.read_bytes()
    if path.name in REFUSED:
        with pytest.raises(DecodeError) as caught:
            decode_image(data)
        assert caught.value.reason == REFUSED[path.name]
        return
    image, info = decode_image(data)
    assert info == inspect_image(data)
    if info.format == "AVIF":
        return
    height, width = image.shape[:2]
    x, y = width // 3, height // 4
    box = np.array([[x, y, x + max(1, width // 6), y + max(1, height // 4)]])
    new = image.copy()
    new[box[0, 1] : box[0, 3], box[0, 0] : box[0, 2]] = (200, 60, 30)
    output = replace_pixels(data, new, box)
    assert find_outside_changes(data, output, box) == []
    assert decode_image(output)[1].size_wh == info.size_wh


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.name)
def test_photos_decode_as_with_pillow_and_come_back_spliced(path: Path):
    data = path.read_bytes()
    image, info = decode_image(data)
    np.testing.assert_array_equal(unorient(image, info.orientation), pillow_pixels(data))
    height, width = image.shape[:2]
    box = np.array([[width // 3, height // 4, width // 2, height // 2]])
    new = image.copy()
    new[height // 4 : height // 2, width // 3 : width // 2] = 127
    output = replace_pixels(data, new, box)
    assert find_outside_changes(data, output, box) == []
    seen = decode_image(output)[0][height // 4 : height // 2, width // 3 : width // 2]
    assert np.abs(seen[18:-18, 18:-18].astype(int) - 127).max() <= 3
