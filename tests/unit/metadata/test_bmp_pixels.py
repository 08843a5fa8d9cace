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


def run_lengths(codes: bytes, size_wh: tuple[int, int], bits: int = 8, more: bytes = b"") -> bytes:
    """Write a BMP of run-length codes, with a gray palette."""
    palette = b"".join(bytes((n, n, n, 0)) for n in range(1 << bits))
    start = 54 + len(palette)
    head = struct.pack(
        "<2sLHHLLllHHLLllLL",
        *(b"BM", start + len(codes + more), 0, 0, start, 40, *size_wh, 1, bits),
        *(3 - bits // 4, len(codes + more), 0, 0, 0, 0),
    )
    return head + palette + codes + more


END, LINE = b"\0\1", b"\0\0"


@pytest.mark.parametrize("codes", [
    (b"\x08\1" + LINE) * 4 + b"\x08\2" + END,  # a fifth row
    b"\x08\1" + b"\x01\2" + END,  # beyond the row
    b"\0\x0a" + bytes(range(10)) + END,
    b"\0\2\x08\0" + b"\1\7" + END,  # to the right, and drawn there
    b"\0\2\0\4" + b"\1\7" + END,
    b"\0\2\0\5" + END,
    LINE * 6 + END,
    b"\0\2\xff",
    b"\0\5\1",
])  # fmt: skip
def test_run_lengths_beyond_the_picture_are_refused(codes):
    with pytest.raises(DecodeError):
        clean_metadata(run_lengths(codes, (8, 4)))


@pytest.mark.parametrize("codes", [b"\0\6" + bytes(6), b"\0\2\6\0"])
def test_only_runs_of_one_colour_may_fill_a_row(codes):
    # Pillow draws what is too long of other codes into the next row.
    assert clean_metadata(run_lengths(codes + END, (6, 4)))
    with pytest.raises(DecodeError):
        clean_metadata(run_lengths(codes + END, (5, 4)))


def test_run_lengths_at_an_odd_place_are_refused():
    # Pillow skips bytes up to even places of the file, others up to even ones of the pixels.
    data = run_lengths(b"\0\4" + bytes(4) + END, (8, 4))
    moved = bytearray(data[:1078] + b"\0" + data[1078:])
    moved[10:14] = struct.pack("<L", 1079)
    with pytest.raises(DecodeError):
        clean_metadata(bytes(moved))


def test_run_lengths_of_another_depth_are_refused():
    data = bytearray(run_lengths(b"\x08\1" + END, (8, 1)))
    data[30] = 2
    with pytest.raises(DecodeError):
        clean_metadata(bytes(data))


def test_run_lengths_that_fill_a_row_of_whole_words_are_kept():
    # As ImageMagick writes them: 5 pixels of 8 bits are filled up to 8.
    for ending in (LINE + END, END):
        codes = (b"\5\1\3\0" + LINE) * 3 + b"\5\1\3\0" + ending
        data = run_lengths(codes, (5, 4))
        assert clean_metadata(data) == data


def test_what_fills_run_lengths_becomes_zero():
    data = run_lengths(b"\0\3\1\2\3\xee" + b"\5\4" + END, (8, 1), more=b"behind")
    out = clean_metadata(data)
    assert pixels_of(out) == b"\0\3\1\2\3\0" + b"\5\4" + END
    assert metadata_findings(data)[:1] == FOUND
    assert opened(out).tobytes() == opened(data).tobytes()
    half = run_lengths(b"\0\5\x12\x34\x5e\xee" + b"\2\x45\1\x4e" + END, (8, 1), bits=4)
    assert pixels_of(clean_metadata(half)) == b"\0\5\x12\x34\x50\0" + b"\2\x45\1\x40" + END
    assert clean_metadata(clean_metadata(half)) == clean_metadata(half)


def test_bytes_of_a_palette_that_are_no_colours_become_zero():
    plain = saved("BMP", "L")
    colours = bytearray(plain)
    colours[54 + 3 : 54 + 1024 : 4] = NOISE(256)
    assert clean_metadata(bytes(colours)) == clean_metadata(plain)
    assert metadata_findings(bytes(colours)) == ("bytes of the palette",)
    # 20 colours for pixels of one bit: eighteen that no pixel can name.
    small = saved("BMP", "1")
    more = bytearray(small[:62] + NOISE(18 * 4) + small[62:])
    more[10:14], more[46:50] = struct.pack("<L", 62 + 72), struct.pack("<L", 20)
    out = clean_metadata(bytes(more))
    assert out[62 : 62 + 72] == bytes(72)
    assert opened(out).convert("L").tobytes() == opened(small).convert("L").tobytes()
