# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.unit.images.jpeg_samples import drawn, encoded, exif_block
from veilset.images.compare import find_outside_changes
from veilset.images.decode import decode_image
from veilset.images.encode import replace_pixels
from veilset.types import IntBoxes

BOX = np.array([[8, 8, 40, 32]])
NOTHING = np.zeros((0, 4), dtype=np.int64)


def _changed(data: bytes, box: Sequence[int] | IntBoxes) -> bytes:
    image, _ = decode_image(data)
    image[box[1] : box[3], box[0] : box[2]] ^= 0x55
    return replace_pixels(data, image, np.array([box]))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_change_outside_is_found_and_one_inside_is_not(file_format):
    data = encoded(drawn(96, 64), file_format)
    assert find_outside_changes(data, _changed(data, BOX[0]), BOX) == []
    assert find_outside_changes(data, _changed(data, BOX[0]), NOTHING)
    assert find_outside_changes(data, _changed(data, [70, 50, 71, 51]), BOX)


def test_one_alpha_value_outside_is_found():
    pixels = np.dstack([drawn(20, 20), np.full((20, 20), 9, np.uint8)])
    other = pixels.copy()
    other[19, 19, 3] = 8
    before, after = encoded(pixels, "PNG"), encoded(other, "PNG")
    assert find_outside_changes(before, after, np.array([[0, 0, 5, 5]]))
    assert find_outside_changes(before, after, np.array([[19, 19, 20, 20]])) == []


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"quality": 60}, "quantisation"),
        ({"subsampling": 0}, "sampling"),
        ({"progressive": True}, "progressive"),
        ({"gray": True}, "components"),
        ({"exif": exif_block(3)}, "orientation"),
        ({"file_format": "PNG"}, "format"),
    ],
)
def test_another_encoding_is_found(options, word):
    image = drawn(48, 48)
    data = encoded(image, quality=75, subsampling=2)
    other = (
        encoded(image, **{"quality": 75, "subsampling": 2} | options)
        if ("file_format" not in options)
        else encoded(image, "PNG")
    )
    assert word in " ".join(find_outside_changes(data, other, np.array([[0, 0, 48, 48]])))


@pytest.mark.parametrize("file_format", ["WEBP", "AVIF"])
def test_lossy_files_have_a_tolerance(file_format):
    data = encoded(drawn(96, 64), file_format, quality=80)
    assert find_outside_changes(data, _changed(data, BOX[0]), BOX) == []
    assert find_outside_changes(data, encoded(drawn(96, 64, 8), file_format), BOX)
