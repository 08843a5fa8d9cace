# SPDX-License-Identifier: Apache-2.0
"""BMP: the bits of a pixel that are no part of its colour, and those behind the last of a row."""

from __future__ import annotations

import random
import struct

import pytest

from tests.unit.metadata.samples import opened, saved
from veilset.errors import DecodeError
from veilset.metadata.clean import clean_metadata, metadata_findings

NOISE = random.Random(7).randbytes
FOUND = ("unused bits of pixels",)


def bmp(
    bits: int, width: int, pixels: bytes, *, masks: tuple[int, ...] = (), header_size: int = 40
) -> bytes:
    """Write a BMP of any kind of pixels, without a palette."""
    n_rows = len(pixels) // ((width * bits + 31) // 32 * 4)
    head = struct.pack(
        "<LllHHLLllLL",
        *(header_size, width, n_rows, 1, bits, 3 if masks else 0, len(pixels), 0, 0, 0, 0),
    )
    tables = struct.pack(f"<{len(masks)}L", *masks)
    body = (head + tables).ljust(header_size, b"\0")
    return struct.pack("<2sLHHL", b"BM", 14 + len(body) + len(pixels), 0, 0, 14 + len(body)) + (
        body + pixels
    )


def pixels_of(data: bytes) -> bytes:
    return data[int.from_bytes(data[10:14], "little") :]


def only(pixels: bytes, mask: bytes) -> bytes:
    return bytes(a & b for a, b in zip(pixels, mask * (len(pixels) // len(mask)), strict=True))


def check(data: bytes, expected: bytes) -> None:
    out = clean_metadata(data)
    assert pixels_of(out) == expected
    assert metadata_findings(data) == FOUND
    assert metadata_findings(out) == ()
    assert clean_metadata(out) == out
    assert opened(out).tobytes() == opened(data).tobytes()


def test_the_fourth_byte_of_a_pixel_without_alpha_becomes_zero():
    pixels = NOISE(4 * 30 * 20)
    check(bmp(32, 30, pixels), only(pixels, b"\xff\xff\xff\0"))


@pytest.mark.parametrize(("masks", "header_size", "used"), [
    ((0xFF0000, 0xFF00, 0xFF), 40, "ffffff00"),
    ((0xFF0000, 0xFF00, 0xFF, 0), 56, "ffffff00"),
    ((0xFF0000, 0xFF00, 0xFF, 0), 108, "ffffff00"),
    ((0xFF000000, 0xFF0000, 0xFF00, 0), 124, "00ffffff"),
    ((0xFF000000, 0xFF00, 0xFF, 0), 108, "ffff00ff"),
])  # fmt: skip
def test_what_no_mask_names_becomes_zero(masks, header_size, used):
    pixels = NOISE(4 * 30 * 20)
    data = bmp(32, 30, pixels, masks=masks, header_size=header_size)
    check(data, only(pixels, bytes.fromhex(used)))


def test_an_alpha_with_a_mask_of_its_own_stays():
    pixels = NOISE(4 * 30 * 20)
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    data = bmp(32, 30, pixels, masks=masks, header_size=108)
    assert pixels_of(clean_metadata(data)) == pixels
    assert opened(clean_metadata(data)).tobytes() == opened(data).tobytes()


def test_the_sixteenth_bit_becomes_zero():
    pixels = NOISE(2 * 30 * 20)
    check(bmp(16, 30, pixels), only(pixels, b"\xff\x7f"))
    check(bmp(16, 30, pixels, masks=(0x7C00, 0x3E0, 0x1F)), only(pixels, b"\xff\x7f"))
    whole = bmp(16, 30, pixels, masks=(0xF800, 0x7E0, 0x1F))
    assert pixels_of(clean_metadata(whole)) == pixels


def test_the_filling_behind_a_row_becomes_zero():
    # 3 pixels of 24 bits are 9 bytes of 12; 3 of 16 bits are 6 of 8.
    for bits, used in ((24, b"\xff" * 9 + bytes(3)), (16, b"\xff\x7f" * 3 + bytes(2))):
        pixels = NOISE(len(used) * 20)
        check(bmp(bits, 3, pixels), only(pixels, used))
    for mode, used in (("1", b"\xff" * 6 + b"\0\0"), ("RGB", b"\xff" * 144), ("L", b"\xff" * 48)):
        data = saved("BMP", mode)
        assert pixels_of(clean_metadata(data)) == only(pixels_of(data), used)


@pytest.mark.parametrize(("bits", "masks"), [
    (32, (0, 0, 0)), (16, (0, 0, 0)), (8, (0xFF, 0xFF, 0xFF)), (32, (0xFF, 0, 0xFF00)),
])  # fmt: skip
def test_masks_that_cannot_be_are_refused(bits, masks):
    with pytest.raises(DecodeError):
        clean_metadata(bmp(bits, 8, bytes(bits * 8), masks=masks))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_what_pillow_writes_is_copied(mode):
    data = saved("BMP", mode)
    assert clean_metadata(clean_metadata(data)) == clean_metadata(data)
    assert pixels_of(clean_metadata(data)) == pixels_of(data)
