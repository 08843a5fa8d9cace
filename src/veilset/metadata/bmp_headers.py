# SPDX-License-Identifier: Apache-2.0
"""Rebuild the headers of a BMP file around its palette and its pixels.

Header versions after the Windows GDI reference (BITMAPINFOHEADER, V4, V5) and, for 12
and 64 bytes, OS/2. What lies between headers, palette, pixels and profile is dropped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from veilset.metadata.icc_profile import clean_profile
from veilset.metadata.policy import Cleaned, broken, cleaned, cut_short, unsupported

_PLAIN, _RLE8, _RLE4, _MASKS = range(4)
_SRGB, _WINDOWS, _EMBEDDED = b"BGRs", b" niW", b"DEBM"
_CALIBRATED = b"\0\0\0\0"


@dataclass(frozen=True, slots=True)
class _Layout:
    header: bytes
    width: int
    n_rows: int
    bits: int
    compression: int
    masks_at: int
    palette_at: int
    pixels_at: int
    palette_bytes: int


def clean_bmp(data: bytes, policy: str) -> Cleaned:
    """Clean a BMP file; palette and pixels are copied, what is no part of a colour becomes zero.

    Raises:
        DecodeError: "unreadable", "truncated" or "unsupported" (JPEG or PNG inside).
    """
    layout = _read_layout(data)
    removed: list[str] = []
    pixels = _pixels(data, layout)
    end = layout.pixels_at + len(pixels)
    if pixels != data[layout.pixels_at : end]:
        removed.append("unused bits of pixels")
    middle = _without_unused_colours(data, layout)
    if middle != data[layout.masks_at :][: len(middle)]:
        removed.append("bytes of the palette")
    if data[layout.palette_at + layout.palette_bytes : layout.pixels_at].strip(b"\0"):
        removed.append("bytes between header and pixels")
    profile = _read_profile(data, layout.header)
    removed += profile.removed
    place = 14 + len(layout.header) + len(middle)
    header = _rebuild(layout, policy, len(pixels), len(profile.data))
    if data[end:] not in (b"", profile.data):
        removed.append("bytes after the end of the BMP")
    total = place + len(pixels) + len(profile.data)
    head = struct.pack("<2sLHHL", b"BM", total, 0, 0, place)
    return cleaned([head, header, middle, pixels, profile.data], removed)


def pixel_range(data: bytes) -> tuple[int, int]:
    """Give the places of the first pixel and behind the last.

    Raises:
        DecodeError: As ``clean_bmp``.
    """
    layout = _read_layout(data)
    return layout.pixels_at, layout.pixels_at + len(_pixels(data, layout))


def _read_layout(data: bytes) -> _Layout:
    if data[:2] != b"BM":
        raise broken("The BMP does not begin with its signature.")
    if len(data) < 26:
        raise cut_short("The BMP ends inside its header.")
    pixels_at, header_size = struct.unpack_from("<LL", data, 10)
    if header_size not in (12, 40, 52, 56, 64, 108, 124):
        raise unsupported(f"The BMP has a header of {header_size} bytes, which is not known.")
    header = data[14 : 14 + header_size]
    if len(header) < header_size:
        raise cut_short("The BMP ends inside its header.")
    compression = n_colours = 0
    if header_size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", header, 4)
    else:
        width, height, _, bits, compression = struct.unpack_from("<llHHL", header, 4)
        (n_colours,) = struct.unpack_from("<L", header, 32)
    if width <= 0 or not height or bits not in (1, 2, 4, 8, 16, 24, 32):
        raise broken("The BMP header states a form that does not exist.")
    if compression == _MASKS and bits < 16:
        raise broken("The BMP has masks for the colours of a palette.")
    if compression > _MASKS or (compression and header_size in (12, 64)):
        raise unsupported("The BMP uses a compression that cannot be judged.")
    if compression in (_RLE8, _RLE4) and bits != (8 if compression == _RLE8 else 4):
        raise broken("The BMP has run lengths for pixels of another depth.")
    masks_at = 14 + header_size
    palette_at = masks_at + (12 if compression == _MASKS and header_size == 40 else 0)
    n_colours = (n_colours or 1 << bits) if bits <= 8 else 0
    if n_colours > 256:
        raise broken("The palette of the BMP has a wrong length.")
    palette_bytes = n_colours * (3 if header_size == 12 else 4)
    # Pillow mends files that state the end of the header as the place of the pixels.
    if pixels_at == masks_at and bits <= 8:
        pixels_at += palette_bytes
    if pixels_at < palette_at + palette_bytes:
        raise broken("The palette and the pixels of the BMP overlap.")
    return _Layout(
        header, width, abs(height), bits, compression, masks_at, palette_at, pixels_at,
        palette_bytes,
    )  # fmt: skip


def _pixels(data: bytes, layout: _Layout) -> bytes:
    """Give the pixels, as long as they are stored, with zeros for what belongs to none."""
    if layout.compression in (_RLE8, _RLE4):
        return _run_lengths(data, layout)
    size = (layout.width * layout.bits + 31) // 32 * 4 * layout.n_rows
    if layout.pixels_at + size > len(data):
        raise cut_short("The BMP ends before its last pixel.")
    stored = data[layout.pixels_at : layout.pixels_at + size]
    return _without_unused_bits(data, layout, stored)


def _run_lengths(data: bytes, layout: _Layout) -> bytes:
    """Give run-length coded pixels up to the code that ends them; none beyond the picture."""
    if layout.pixels_at % 2:
        raise unsupported("The BMP has run lengths at an odd byte: readers disagree on them.")
    codes = bytearray(data[layout.pixels_at :])
    # With runs of one colour some writers fill each row up to whole words.
    filled_width = (layout.width * layout.bits + 31) // 32 * 32 // layout.bits
    place = x = y = 0
    while place + 2 <= len(codes):
        count, code = codes[place : place + 2]
        place += 2
        width = filled_width if count else layout.width
        if count:
            x += count
            if count == 1 and layout.bits == 4:
                codes[place - 1] &= 0xF0
        elif code == 0:
            x, y = 0, y + 1
        elif code == 1:
            return bytes(codes[:place])
        elif place + 2 > len(codes):
            break
        elif code == 2:
            x, y = x + codes[place], y + codes[place + 1]
            place += 2
        else:
            # Pixels as they are, filled up to 16 bits.
            x += code
            n_filled = -code * layout.bits % 16
            place += (code * layout.bits + n_filled) // 8
            last = int.from_bytes(codes[place - 2 : place], "big") >> n_filled << n_filled
            codes[place - 2 : place] = last.to_bytes(2, "big")
        if x > width or y > layout.n_rows or (x and y == layout.n_rows):
            raise broken("The BMP holds more pixels than its header states.")
    raise cut_short("The BMP ends before the code that ends its pixels.")


def _without_unused_bits(data: bytes, layout: _Layout, pixels: bytes) -> bytes:
    """Zero what belongs to no colour: a byte of each pixel can hold a picture that few show."""
    n_bits = layout.width * layout.bits
    if layout.bits >= 16:
        row = _colour_bits(data, layout).to_bytes(layout.bits // 8, "little") * layout.width
    else:
        row = ((1 << n_bits) - 1 << -n_bits % 8).to_bytes((n_bits + 7) // 8, "big")
    used = np.frombuffer(row.ljust((n_bits + 31) // 32 * 4, b"\0"), np.uint8)
    rows = np.frombuffer(pixels, np.uint8).reshape(layout.n_rows, -1)
    return (rows & used).tobytes()


def _without_unused_colours(data: bytes, layout: _Layout) -> bytes:
    """Give the masks and the palette, with zeros for what is no colour that a pixel can have."""
    middle = bytearray(data[layout.masks_at : layout.palette_at + layout.palette_bytes])
    if layout.palette_bytes and len(layout.header) > 12:
        middle[3::4] = bytes(len(middle) // 4)
        n_used = min(len(middle), 4 << layout.bits)
        middle[n_used:] = bytes(len(middle) - n_used)
    return bytes(middle)


def _colour_bits(data: bytes, layout: _Layout) -> int:
    """Give the bits of a pixel of 16, 24 or 32 bits that are part of a colour or of alpha."""
    whole = (1 << layout.bits) - 1
    if layout.compression == _PLAIN:
        return min(whole, 0x7FFF if layout.bits == 16 else 0xFFFFFF)
    # The shortest header has its three masks behind it, others have them inside.
    n_masks = 4 if len(layout.header) >= 56 else 3
    masks = struct.unpack_from(f"<{n_masks}L", data, 14 + 40)
    if not all(mask & whole for mask in masks[:3]):
        raise broken("The BMP has a mask without a bit for one of its colours.")
    return int(np.bitwise_or.reduce(np.array(masks, np.uint64))) & whole


def _read_profile(data: bytes, header: bytes) -> Cleaned:
    if len(header) < 124 or header[56:60] != _EMBEDDED:
        return Cleaned(b"", ("linked ICC profile",) * (header[56:60] == b"KNIL"))
    start, size = struct.unpack_from("<LL", header, 112)
    return clean_profile(data[14 + start : 14 + start + size])


def _rebuild(layout: _Layout, policy: str, n_pixels: int, n_profile: int) -> bytes:
    """Rebuild the header; fields that no decoder reads become zero."""
    old = layout.header
    if len(old) == 12:
        return old[:8] + b"\1\0" + old[10:12]
    new = bytearray(len(old))
    new[:12] = old[:12]
    resolution = old[24:32] if policy == "safe" else b"\0" * 8
    n_colours = old[32:36] if layout.palette_bytes else b"\0" * 4
    new[12:24] = struct.pack("<HH", 1, layout.bits) + old[16:20] + struct.pack("<L", n_pixels)
    new[24:40] = resolution + n_colours + b"\0" * 4
    if layout.compression == _MASKS:
        new[40:56] = old[40:56]
    if len(old) >= 108:
        new[56:60] = old[56:60] if old[56:60] in (_SRGB, _WINDOWS) else _SRGB
        # End points are fixed-point numbers below one, or they are not end points.
        points = struct.unpack_from("<9L", old, 60)
        if old[56:60] == _CALIBRATED and all(point <= 1 << 30 for point in points):
            new[56:108] = old[56:108]
    if len(old) == 124:
        new[108:112] = old[108:112]
        if n_profile:
            new[56:60] = _EMBEDDED
            place = len(old) + (layout.palette_at - layout.masks_at) + layout.palette_bytes
            new[112:120] = struct.pack("<LL", place + n_pixels, n_profile)
    return bytes(new)
