# SPDX-License-Identifier: Apache-2.0
"""A JPEG that holds more rows than it states is refused; whole ones never are."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageFile

from tests.unit.images.jpeg_samples import drawn, encoded, sampled
from veilset.errors import DecodeError
from veilset.images import decode
from veilset.images.decode import decode_image
from veilset.images.encode import replace_pixels

SAMPLINGS = ["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "gray"]


def stating(data: bytes, height: int) -> bytes:
    """Change the height that the frame header states."""
    found = re.search(rb"\xff[\xc0-\xc2]\x00[\x0b\x11]\x08", data)
    assert found
    at = found.end()
    return data[:at] + height.to_bytes(2, "big") + data[at + 2 :]


def check_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="more picture data") as caught:
        decode_image(data)
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("options", [{}, {"optimize": 1}, {"rst_interval": 3}])
def test_rows_below_the_stated_height_are_refused(sampling, options):
    data = sampled(drawn(96, 128), sampling, quality=90, **options)
    decode_image(data)
    check_refused(stating(data, 64))
    check_refused(stating(data, 96))


def test_pixels_are_still_to_be_had_where_the_data_is_not_published():
    data = stating(encoded(drawn(64, 128), quality=90), 64)
    image, _ = decode_image(data, check_end=False)
    assert image.shape == (64, 64, 3)
    hidden = image.copy()
    hidden[:8, :8] = 0
    written = replace_pixels(data, hidden, np.array([[0, 0, 8, 8]]))
    decode_image(written)
    with PillowImage.open(io.BytesIO(stating(written, 128))) as picture:
        below = np.asarray(picture.convert("RGB"))[80:]
    # What libjpeg fills in: no more than the mean of the last block.
    assert below.reshape(-1, 3).std(axis=0).max() < 2 < drawn(64, 128)[80:].std()


@pytest.mark.parametrize("n_bytes", [1, 4, 15])
@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\x5a"])
def test_a_few_bytes_behind_the_picture_are_padding(n_bytes, filler):
    data = encoded(drawn(40, 40))
    decode_image(data[:-2] + filler * n_bytes + data[-2:])


def test_many_bytes_behind_the_picture_are_refused():
    data = encoded(drawn(40, 40))
    decode_image(data[:-2] + b"\xff" * 500 + data[-2:])
    check_refused(data[:-2] + b"\x5a" * 40 + data[-2:])
    check_refused(data[:-2] + b"\xff\xd0" + b"\x5a" * 40 + data[-2:])


def test_a_lenient_pillow_changes_nothing(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encoded(drawn(64, 128))
    decode_image(data)
    check_refused(stating(data, 64))
    monkeypatch.setattr(decode, "_opencv", lambda: None)
    decode_image(data)
    check_refused(stating(data, 64))


@given(
    st.integers(1, 150), st.integers(1, 150), st.sampled_from(SAMPLINGS), st.integers(1, 100),
    st.sampled_from([{}, {"optimize": 1}, {"progressive": 1}, {"rst_interval": 1}]),
    st.booleans(),
)  # fmt: skip
def test_a_whole_file_is_never_refused(width, height, sampling, quality, options, is_flat):
    image = np.full((height, width, 3), 77, np.uint8) if is_flat else drawn(width, height, width)
    data = sampled(image, sampling, quality=quality, **options)
    assert decode_image(data)[0].shape == image.shape
