# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.unit.images.jpeg_samples import drawn, encoded, exif_block
from veilset.errors import BoxError
from veilset.images.compare import find_outside_changes
from veilset.images.decode import decode_image, inspect_image
from veilset.images.encode import replace_pixels
from veilset.images.pictures import Native, native_pixels, open_picture
from veilset.images.png_pixels import join_chunks, split_chunks, write_deep

BOX = np.array([[3, 2, 17, 13]])


def _saved(mode: str, file_format: str, *, colors: int = 64, **options: Any) -> bytes:
    picture = PillowImage.fromarray(drawn(31, 23)).convert("RGBA")
    ramp = np.tile(np.arange(31, dtype=np.uint8) * 8, (23, 1))
    picture.putalpha(PillowImage.fromarray(ramp))
    picture = picture.convert("RGB").quantize(colors) if mode == "P" else picture.convert(mode)
    target = io.BytesIO()
    picture.save(target, file_format, **options)
    return target.getvalue()


def _gray_with_key() -> bytes:
    return _saved("L", "PNG", transparency=100)


EXACT = [
    *[pytest.param(_saved(m, "PNG"), id=f"PNG {m}") for m in ("1", "L", "LA", "RGB", "RGBA")],
    *[pytest.param(_saved("P", "PNG", colors=n), id=f"PNG palette {n}") for n in (2, 4, 16, 200)],
    pytest.param(_saved("P", "PNG", transparency=3), id="PNG palette transparent"),
    pytest.param(_gray_with_key(), id="PNG gray with a transparent value"),
    pytest.param(_saved("RGB", "PNG", transparency=(1, 2, 3)), id="PNG colour key"),
    pytest.param(write_deep(drawn(31, 23)[:, :, 0].astype(np.uint16) * 251), id="PNG gray 16"),
    pytest.param(write_deep(drawn(31, 23).astype(np.uint16) * 251), id="PNG RGB 16"),
    pytest.param(
        write_deep(np.dstack([drawn(31, 23), drawn(31, 23)[:, :, 0]]).astype(np.uint16) * 251),
        id="PNG RGBA 16",
    ),
    *[pytest.param(_saved(m, "BMP"), id=f"BMP {m}") for m in ("1", "L", "P", "RGB", "RGBA")],
    *[
        pytest.param(_saved(m, "TIFF", compression=c), id=f"TIFF {m} {c}")
        for m in ("L", "LA", "RGB", "RGBA", "P")
        for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
    ],
    pytest.param(_saved("1", "TIFF", compression="group4"), id="TIFF fax"),
    *[
        pytest.param(_saved(m, "WEBP", lossless=True, exact=True), id=f"WebP {m}")
        for m in ("RGB", "RGBA")
    ],
]


def _native(data: bytes) -> Native:
    info = inspect_image(data)
    with open_picture(data, info.format, 10**6) as (picture, _):
        return native_pixels(picture, data)


@pytest.mark.parametrize("data", EXACT)
def test_lossless_formats_keep_every_outside_pixel_exactly(data):
    image, info = decode_image(data)
    new = image.copy()
    new[2:13, 3:17] = 255 - drawn(14, 11, 4)
    output = replace_pixels(data, new, BOX)
    again, after = decode_image(output)
    assert after.format == info.format
    assert find_outside_changes(data, output, BOX) == []
    outside = np.ones(image.shape[:2], dtype=bool)
    outside[2:13, 3:17] = False
    before, native = _native(data), _native(output)
    assert native.dtype == before.dtype
    np.testing.assert_array_equal(again[outside], image[outside])
    # An alpha channel of the original is there again, outside equal, inside opaque.
    if before.ndim == 3 and before.shape[2] in (2, 4):
        np.testing.assert_array_equal(native[..., -1][outside], before[..., -1][outside])
        assert (native[..., -1][~outside] == np.iinfo(native.dtype).max).all()
    is_gray = before.ndim == 2 or before.shape[2] == 2
    wanted = new.astype(np.float64) @ [0.299, 0.587, 0.114] if is_gray else new
    got = again[..., 0] if is_gray else again
    assert np.abs(got[~outside] - wanted[~outside]).max() <= 0.51


def test_two_channel_bmp_does_not_exist_but_gray_alpha_tiff_stays():
    assert _native(replace_pixels(_saved("LA", "TIFF"), drawn(31, 23), BOX)).shape[2] == 2


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF"])
def test_without_footprint_the_file_comes_back_byte_for_byte(file_format):
    data = encoded(drawn(31, 23), file_format)
    for nothing in (np.zeros((0, 4), int), np.array([[5, 5, 5, 9]]), np.array([[40, 0, 50, 9]])):
        assert replace_pixels(data, drawn(31, 23, 3), nothing) == data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF"])
def test_the_region_lands_where_it_was_seen(file_format, orientation):
    settings: dict[str, dict[str, int]] = {"WEBP": {"lossless": 1}, "JPEG": {"quality": 95}}
    options = settings.get(file_format, {})
    data = encoded(drawn(31, 23), file_format, exif=exif_block(orientation), **options)
    image, info = decode_image(data)
    assert info.orientation == orientation
    new = image.copy()
    new[2:13, 3:17] = (250, 10, 20)
    output = replace_pixels(data, new, BOX)
    again, after = decode_image(output)
    assert after.orientation == orientation
    assert np.abs(np.median(again[4:11, 5:15], axis=(0, 1)) - (250, 10, 20)).max() < 40
    assert find_outside_changes(data, output, BOX) == []


@pytest.mark.parametrize("file_format", ["WEBP", "AVIF"])
def test_lossy_formats_are_written_at_the_stated_quality(file_format):
    data = encoded(drawn(80, 60), file_format, quality=80)
    image, _ = decode_image(data)
    sizes = [len(replace_pixels(data, image, BOX, quality=q)) for q in (10, 50, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


def test_png_keeps_what_describes_the_picture_and_drops_what_no_longer_holds():
    data = _saved("P", "PNG", dpi=(300, 300), icc_profile=b"profile" * 20)
    chunks = split_chunks(data)
    named = {chunk.name for chunk in split_chunks(replace_pixels(data, drawn(31, 23), BOX))}
    assert {b"pHYs", b"iCCP"} <= named
    assert not {b"PLTE", b"tRNS"} & named
    assert zlib.crc32(join_chunks(chunks)) == zlib.crc32(data)


def test_pixels_of_another_size_are_refused():
    for file_format in ("JPEG", "PNG"):
        with pytest.raises(BoxError, match="31 x 23"):
            replace_pixels(encoded(drawn(31, 23), file_format), drawn(30, 23), BOX)
