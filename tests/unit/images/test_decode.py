# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import io
import os
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageFile, ImageOps

from tests.unit.images.jpeg_samples import drawn, encoded, exif_block, pillow_pixels, sampled
from veilset import faults
from veilset.errors import DecodeError
from veilset.exif_orientation import stated_orientation
from veilset.images import decode
from veilset.images.decode import decode_image, inspect_image
from veilset.images.jpeg_markers import EOI, parse_jpeg
from veilset.images.orientation import orient, stored_boxes, unorient


def reason_of(data: bytes, **limits: int) -> str:
    with pytest.raises(DecodeError) as caught:
        decode_image(data, **limits)  # type: ignore[arg-type]  # limits are no switches
    return caught.value.reason


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_as_pillow_does(file_format, orientation):
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(drawn(13, 9), file_format, exif=exif_block(orientation), **options)
    image, info = decode_image(data)
    with PillowImage.open(io.BytesIO(data)) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    np.testing.assert_array_equal(image, expected)
    assert info == inspect_image(data)
    assert (info.orientation, info.stored_wh) == (orientation, (13, 9))
    assert info.size_wh == (image.shape[1], image.shape[0])
    assert image.flags.c_contiguous
    assert image.flags.writeable


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_senseless_orientations_count_as_upright(value):
    assert inspect_image(encoded(drawn(13, 9), exif=exif_block(value))).orientation == 1


@pytest.mark.parametrize("cut", range(0, 26, 3))
def test_a_cut_exif_block_is_upright_or_right(cut):
    assert stated_orientation(exif_block(6)[:cut]) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_follow_the_pixels(orientation):
    stored = np.arange(7 * 5).reshape(7, 5)
    seen = orient(stored, orientation)
    box = [1, 2, 3, 4]
    x0, y0, x1, y1 = stored_boxes(np.array([box]), seen.shape[::-1], orientation)[0]
    assert set(stored[y0:y1, x0:x1].ravel()) == set(seen[2:4, 1:3].ravel())
    np.testing.assert_array_equal(unorient(seen, orientation), stored)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "gray"])
@pytest.mark.parametrize("progressive", [0, 1])
def test_jpeg_pixels_equal_pillows(sampling, progressive):
    data = sampled(drawn(61, 47), sampling, quality=83, progressive=progressive)
    np.testing.assert_array_equal(decode_image(data)[0], pillow_pixels(data))


def test_jpeg_pixels_are_the_same_without_opencv(monkeypatch):
    data = sampled(drawn(61, 47), "4:2:0", quality=83)
    expected = decode_image(data)[0]
    monkeypatch.setattr(decode, "_opencv", lambda: None)
    np.testing.assert_array_equal(decode_image(data)[0], expected)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0", "gray"])
def test_jpeg_pixels_are_the_same_with_an_opencv_that_has_no_rgb(monkeypatch, sampling):
    data = sampled(drawn(61, 47), sampling, quality=83)
    expected = decode_image(data)[0]
    # As up to 4.10.
    monkeypatch.delattr(cv2, "IMREAD_COLOR_RGB")
    # A function of its own: the one that is kept has seen it.
    monkeypatch.setattr(decode, "_opencv", decode._opencv.__wrapped__)
    found = decode_image(data)[0]
    np.testing.assert_array_equal(found, expected)
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_array_equal(decode.decode_stored(data)[0], expected)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_truncated(progressive):
    data = encoded(drawn(64, 64), progressive=progressive)
    for cut in range(600, len(data) - 1, 97):
        assert reason_of(data[:cut]) in ("truncated", "unreadable")
    assert reason_of(data[:-2]) == "truncated"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("gray", [False, True])
def test_a_cut_jpeg_with_a_forged_end_is_truncated(share, gray):
    data = encoded(drawn(160, 160), gray=gray)
    scan = parse_jpeg(data).scans[0]
    cut = scan.segment.end + int(share * (scan.data_end - scan.segment.end))
    assert reason_of(data[:cut] + EOI) == "truncated"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_whole_gray_jpeg_is_not_taken_for_a_cut_one(progressive):
    data = encoded(np.full((70, 90, 3), 128, np.uint8), progressive=progressive)
    assert (decode_image(data)[0] == 128).all()


def _frame_changed(offset: int, value: int) -> bytes:
    data = bytearray(encoded(drawn(16, 16)))
    data[data.find(b"\xff\xc0") + offset] = value
    return bytes(data)


def _cmyk() -> bytes:
    target = io.BytesIO()
    PillowImage.new("CMYK", (8, 8)).save(target, "JPEG")
    return target.getvalue()


def _frames(file_format: str) -> bytes:
    target = io.BytesIO()
    first, second = (PillowImage.fromarray(drawn(16, 16, seed)) for seed in (1, 2))
    first.save(target, file_format, save_all=True, append_images=[second])
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "unreadable", id="empty"),
        pytest.param(b"\0" * 100, "unreadable", id="no image"),
        pytest.param(b"\xff\xd8\xff", "truncated", id="JPEG of three bytes"),
        pytest.param(_frame_changed(1, 0xC9), "unsupported", id="arithmetic-coded"),
        pytest.param(_frame_changed(1, 0xC3), "unsupported", id="lossless JPEG"),
        pytest.param(_frame_changed(4, 12), "unsupported", id="12-bit JPEG"),
        pytest.param(_cmyk(), "unsupported", id="CMYK"),
        pytest.param(_frames("GIF"), "unsupported", id="GIF"),
        pytest.param(_frames("WEBP"), "animated", id="animated WebP"),
        pytest.param(_frames("PNG"), "animated", id="APNG"),
        pytest.param(_frames("AVIF"), "animated", id="AVIF sequence"),
        pytest.param(_frames("TIFF"), "multi-picture", id="TIFF of two pages"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported", id="SVG"),
        pytest.param(b"\0\0\0\x18ftypheic" + bytes(40), "unsupported", id="HEIC"),
        pytest.param(encoded(drawn(40, 40), "PNG")[:-40], "truncated", id="cut PNG"),
        pytest.param(encoded(drawn(40, 40), "WEBP")[:-40], "truncated", id="cut WebP"),
        pytest.param(encoded(drawn(40, 40), "BMP")[:-40], "truncated", id="cut BMP"),
        pytest.param(encoded(drawn(40, 40), "TIFF", compression="jpeg"), "unsupported", id="T6"),
    ],
)
def test_what_cannot_be_processed_is_refused_with_its_reason(data, reason):
    assert reason_of(data) == reason


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF"])
def test_limits_are_checked_before_decoding(file_format):
    data = encoded(drawn(40, 30), file_format)
    assert decode_image(data, max_pixels=1200)[0].shape == (30, 40, 3)
    assert reason_of(data, max_pixels=1199) == "over-limit"
    assert reason_of(data, max_bytes=len(data) - 1) == "over-limit"


def _bomb(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    )


def test_bombs_are_refused_whatever_pillows_own_limit_says(monkeypatch):
    assert reason_of(_bomb(2**31 - 1, 2**31 - 1)) == "over-limit"
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 10)
    for file_format in ("PNG", "TIFF", "BMP"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            decode_image(encoded(drawn(20, 20), file_format))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_a_want_of_memory_is_no_fault_of_the_file(file_format, monkeypatch):
    def fail(*_args, **_options):
        if file_format == "JPEG":
            error = cv2.error("Insufficient memory")
            error.code = cv2.Error.StsNoMem
            raise error
        raise MemoryError

    data = encoded(drawn(20, 20), file_format)
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    monkeypatch.setattr(cv2, "imdecode", fail)
    assert reason_of(data) == ("unreadable" if file_format == "JPEG" else "over-limit")
    monkeypatch.setattr(faults, "_ROOM_FOR_AN_IMAGE", 1 << 60)
    with pytest.raises(MemoryError):
        decode_image(data)


def test_a_reader_that_cannot_be_loaded_is_no_fault_of_the_file(monkeypatch):
    def fail(_name):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    data = encoded(drawn(20, 20), "PNG")
    monkeypatch.setattr("veilset.images.pictures.importlib.import_module", fail)
    with pytest.raises(OSError, match="Too many open files"):
        decode_image(data)


def test_lenient_pillow_settings_do_not_let_a_cut_png_pass(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(DecodeError, match="LOAD_TRUNCATED_IMAGES"):
        decode_image(encoded(drawn(20, 20), "PNG"))


@pytest.mark.parametrize(
    ("file_format", "lossless"),
    [("JPEG", False), ("PNG", True), ("BMP", True), ("TIFF", True), ("WEBP", False)],
)
def test_lossless_is_told_from_lossy(file_format, lossless):
    assert inspect_image(encoded(drawn(8, 8), file_format)).lossless is lossless
    assert inspect_image(encoded(drawn(8, 8), "WEBP", lossless=True)).lossless
