# SPDX-License-Identifier: Apache-2.0
"""PNG on the level of chunks (PNG, third edition): split, join, write pixels of 16 bits."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilset.errors import DecodeError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Unsafe to copy by their names, yet still true when the samples change: they describe
# colour and size. Others are kept only if their name says so (a lower-case last letter).
_STILL_TRUE: Final = frozenset(
    {b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI", b"sBIT", b"pHYs", b"tIME"}
)
_WRITTEN_ANEW: Final = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: its four-letter name and its content."""

    name: bytes
    content: bytes


def split_chunks(data: bytes) -> list[Chunk]:
    """Split a PNG file into chunks, up to its end chunk; bytes behind it are left out.

    Raises:
        DecodeError: ``truncated`` if there is no end chunk.
    """
    chunks = []
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunk = Chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        chunks.append(chunk)
        at += 12 + length
        if chunk.name == b"IEND":
            return chunks
    raise DecodeError("truncated", "The PNG file has no end. Fetch the file again.")


def join_chunks(chunks: list[Chunk]) -> bytes:
    """Build a PNG file from chunks.

    Example:
        >>> split_chunks(join_chunks([Chunk(b"IEND", b"")]))
        [Chunk(name=b'IEND', content=b'')]
    """
    parts = [SIGNATURE]
    for chunk in chunks:
        body = chunk.name + chunk.content
        parts += [struct.pack(">I", len(chunk.content)), body, struct.pack(">I", zlib.crc32(body))]
    return b"".join(parts)


def carry_chunks(original: bytes, written: bytes) -> bytes:
    """Give a freshly written PNG the descriptive chunks of the original.

    Args:
        original: The original file.
        written: A file with the new pixels; only its pixels are taken.
    """
    kept_before: list[Chunk] = []
    kept_behind: list[Chunk] = []
    target = kept_before
    same_samples = _sample_type(original) == _sample_type(written)
    for chunk in split_chunks(original):
        if chunk.name == b"IDAT":
            target = kept_behind
        copyable = chunk.name in _STILL_TRUE or chunk.name[3:4].islower()
        # sBIT counts the channels, so it holds only while they are the same.
        if chunk.name == b"sBIT" and not same_samples:
            continue
        if copyable and chunk.name not in _WRITTEN_ANEW:
            target.append(chunk)
    pixels = [chunk for chunk in split_chunks(written) if chunk.name in _WRITTEN_ANEW]
    return join_chunks([pixels[0], *kept_before, *pixels[1:-1], *kept_behind, pixels[-1]])


def _sample_type(data: bytes) -> bytes:
    """Bit depth and colour type."""
    return data[24:26]


def write_deep(pixels: NDArray[np.uint16]) -> bytes:
    """Write pixels of 16 bits, ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, as PNG."""
    height, width = pixels.shape[:2]
    colour = {2: 0, 3: 2}[pixels.ndim] if pixels.ndim == 2 or pixels.shape[2] == 3 else 6
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.empty((height, rows.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    body = zlib.compress(filtered.tobytes(), 6)
    return join_chunks([Chunk(b"IHDR", header), Chunk(b"IDAT", body), Chunk(b"IEND", b"")])
