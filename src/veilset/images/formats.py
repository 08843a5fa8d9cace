# SPDX-License-Identifier: Apache-2.0
"""Which image formats are processed, under which limits, and what is known of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from veilset.errors import DecodeError

DEFAULT_MAX_PIXELS: Final = 100_000_000
"""Images of more pixels are refused before they are decoded."""

DEFAULT_MAX_BYTES: Final = 512 * 1024 * 1024
"""Files of more bytes are refused before they are looked at."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header of an image file says.

    Attributes:
        format: ``JPEG``, ``PNG``, ``WEBP``, ``TIFF``, ``BMP`` or ``AVIF``.
        size_wh: Width and height in pixels as seen, after EXIF orientation.
        stored_wh: Width and height in pixels as stored.
        orientation: EXIF orientation, 1..8; absent and senseless values count as 1.
        mode: How pixels are stored, in Pillow's words (``L``, ``RGB``, ``P``, ``RGBA``).
        lossless: Whether pixels can be written back exactly. JPEG is False: there
            coefficients are kept instead.
    """

    format: str
    size_wh: tuple[int, int]
    stored_wh: tuple[int, int]
    orientation: int
    mode: str
    lossless: bool


def sniff_format(data: bytes) -> str:
    """Name the format by the first bytes; the file name is never asked.

    Raises:
        DecodeError: ``unsupported`` for known formats that cannot be written safely,
            ``unreadable`` for anything else.

    Example:
        >>> sniff_format(b"BM..............")
        'BMP'
    """
    head = data[:32]
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if head.startswith(b"\xff\xd8"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "TIFF"
    if head[:2] == b"BM" and len(head) > 14:
        return "BMP"
    if brand == b"avis":
        raise animated_error("AVIF")
    if brand == b"avif" or (brand in (b"mif1", b"miaf") and b"avif" in data[:64]):
        return "AVIF"
    known = _unsupported_name(head, brand)
    if known:
        raise DecodeError(
            "unsupported",
            f"{known} cannot be written back safely. Convert the file to PNG or JPEG first.",
        )
    raise DecodeError(
        "unreadable", "The file is not an image of a known format. Replace or remove the file."
    )


def _unsupported_name(head: bytes, brand: bytes) -> str:
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[:12] == b"\0\0\0\x0cjP  \r\n\x87\n" or head[:4] == b"\xff\x4f\xff\x51":
        return "JPEG 2000"
    if brand:
        return "HEIF" if brand in (b"heic", b"heix", b"mif1", b"msf1", b"hevc") else "This format"
    if head[:2] == b"\xff\x0a" or head[:12] == b"\0\0\0\x0cJXL \r\n\x87\n":
        return "JPEG XL"
    if head[:4] in (b"II+\0", b"MM\0+"):
        return "BigTIFF"
    if head[:4] == b"8BPS":
        return "Photoshop's PSD"
    if head.lstrip()[:5].lower() in (b"<svg ", b"<?xml"):
        return "SVG"
    if head[:4] in (b"\0\0\1\0", b"\0\0\2\0"):
        return "ICO"
    return ""


def animated_error(name: str) -> DecodeError:
    return DecodeError(
        "animated", f"The {name} file is animated. Split it into single pictures first."
    )


def check_bytes(data: bytes, max_bytes: int) -> None:
    """Refuse empty files and files over the byte limit."""
    if not data:
        raise DecodeError("unreadable", "The file is empty. Fetch the file again.")
    if len(data) > max_bytes:
        raise DecodeError(
            "over-limit",
            f"The file has {len(data)} bytes, the limit is {max_bytes}. "
            "Raise the limit or leave the file out.",
        )


def check_pixels(size_wh: tuple[int, int], max_pixels: int) -> None:
    """Refuse images over the pixel limit, and images without a pixel."""
    width, height = size_wh
    if width < 1 or height < 1:
        raise DecodeError("unreadable", "The image has no pixels. Replace or remove the file.")
    if width * height > max_pixels:
        raise DecodeError(
            "over-limit",
            f"The image has {width} x {height} pixels, the limit is {max_pixels} in all. "
            "Raise the limit or leave the image out.",
        )
