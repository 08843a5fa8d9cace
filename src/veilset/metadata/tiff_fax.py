# SPDX-License-Identifier: Apache-2.0
"""Write the pixels of a fax-coded TIFF anew, packed in another way.

The codes of fax machines need not say where they end, so what follows them cannot be cut
off. Their pixels are black or white, and are written as the same bits, in PackBits.
"""

from __future__ import annotations

import importlib
import io
import re
import struct
from collections.abc import Iterator
from typing import Any, Final

from veilset.errors import DecodeError
from veilset.metadata.policy import broken, unsupported

FAX: Final = frozenset({2, 3, 4, 32771})
"""Compressions of TIFF with the codes of fax machines."""
PACKBITS: Final = 32773

_MAX_PIXELS: Final = 1 << 28
_RUN: Final = re.compile(rb"(.)\1{2,127}", re.DOTALL)
_INVERTED: Final = bytes(255 - byte for byte in range(256))


def fax_strips(
    tiff: bytes, size_wh: tuple[int, int], rows_per_strip: int, *, is_zero_white: bool
) -> list[bytes]:
    """Give the strips of a black and white picture in PackBits.

    Args:
        tiff: A TIFF file of the picture, without an orientation.
        size_wh: Width and height in pixels.
        rows_per_strip: Rows in each strip but the last.
        is_zero_white: Whether a bit of 0 is white.

    Raises:
        DecodeError: "unreadable" if the picture cannot be decoded, "unsupported" if it has
            more than 268 million pixels, or is not of one bit.
    """
    width, height = size_wh
    if width * height > _MAX_PIXELS:
        raise unsupported("The fax-coded TIFF has too many pixels to be written anew.")
    bits = _decode(tiff, size_wh)
    if is_zero_white:
        bits = bits.translate(_INVERTED)
    n_bytes = (width + 7) // 8
    rows = [pack_bits(bits[at : at + n_bytes]) for at in range(0, n_bytes * height, n_bytes)]
    return [b"".join(rows[at : at + rows_per_strip]) for at in range(0, height, rows_per_strip)]


def _decode(tiff: bytes, size_wh: tuple[int, int]) -> bytes:
    """Give one bit for each pixel, 1 for white, rows filled up to whole bytes."""
    pillow: Any = importlib.import_module("PIL.Image")
    reader: Any = importlib.import_module("PIL.TiffImagePlugin")
    try:
        with reader.TiffImageFile(io.BytesIO(tiff)) as picture:
            if picture.mode != "1" or picture.size != size_wh:
                raise unsupported("The fax-coded TIFF is not of one bit for each pixel.")
            # With an image in place Pillow does not check the size against its own limit.
            picture.im = pillow.new("1", size_wh).im
            picture.load()
            bits: bytes = picture.tobytes()
            return bits
    except DecodeError:
        raise
    # Pillow's readers let nearly any error of broken files through.
    except (
        *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError),
        *(ArithmeticError, RuntimeError, MemoryError, struct.error),
    ) as error:
        raise broken("The fax codes of the TIFF cannot be decoded.") from error


def pack_bits(row: bytes) -> bytes:
    """Pack one row (TIFF 6.0, section 9).

    Example:
        >>> pack_bits(b"aaaabc").hex()
        'fd61016263'
    """
    return b"".join(_packets(row))


def _packets(row: bytes) -> Iterator[bytes]:
    done = 0
    for run in _RUN.finditer(row):
        yield from _literals(row[done : run.start()])
        done = run.end()
        yield bytes((257 - (done - run.start()), row[run.start()]))
    yield from _literals(row[done:])


def _literals(part: bytes) -> Iterator[bytes]:
    for at in range(0, len(part), 128):
        piece = part[at : at + 128]
        yield bytes((len(piece) - 1,)) + piece
