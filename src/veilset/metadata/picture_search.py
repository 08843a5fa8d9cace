# SPDX-License-Identifier: Apache-2.0
"""Find pictures inside bytes that are not supposed to be one."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAX_PER_BLOCK = 32
"""Most pictures reported for one block; who finds so many has found enough."""

# A mark, and how many bytes before it the picture begins. Each is looked for by itself:
# one regular expression for all took far longer on a file of some megabytes.
_MARKS = (
    (b"\xff\xd8\xff", 0),
    (b"\x89PNG\r\n\x1a\n", 0),
    (b"WEBPVP8", 8),
    (b"GIF87a", 0),
    (b"GIF89a", 0),
    (b"ftypavif", 4),
    (b"ftypheic", 4),
    (b"ftypmif1", 4),
)
# The first bytes of JPEG, PNG and WebP in Base64, as XMP carries them.
_BASE64_MARKS = ((b"/9j/", 0), (b"iVBORw0KGgo", 0), (b"UklGR", 0))
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/=\s]|&#x?[0-9A-Fa-f]+;)+")
_NOT_BASE64 = re.compile(rb"&#x?[0-9A-Fa-f]+;|[^A-Za-z0-9+/]")


@dataclass(frozen=True, slots=True)
class Preview:
    """A further picture in a file, or what looks like the beginning of one.

    Attributes:
        where: Place, such as "EXIF IFD1 thumbnail" or "bytes after EOI".
        data: Bytes from the picture's signature on; they may go beyond its end.
    """

    where: str
    data: bytes = field(repr=False)


def find_pictures(
    where: str, block: bytes, names: Mapping[int, str] | None = None
) -> Iterator[Preview]:
    """Give everything in a block that begins like a picture, plain or in Base64.

    Args:
        where: What the block is called.
        block: Any bytes.
        names: Offset in the block to a better name for what begins there.

    Example:
        >>> [preview.where for preview in find_pictures("comment", b"ab" + bytes.fromhex("ffd8ff"))]
        ['comment']
    """
    for place in _find_marks(block, _MARKS):
        yield Preview((names or {}).get(place, where), block[place:])
    for place in _find_marks(block, _BASE64_MARKS):
        match = _BASE64.match(block, place)
        text = _NOT_BASE64.sub(b"", match[0] if match else b"")
        try:
            yield Preview(where, base64.b64decode(text[: len(text) // 4 * 4]))
        except binascii.Error:  # pragma: no cover - the alphabet was filtered
            continue


def _find_marks(block: bytes, marks: tuple[tuple[bytes, int], ...]) -> list[int]:
    """Give the places at which a picture may begin, in order, at most ``MAX_PER_BLOCK``."""
    places: list[int] = []
    for mark, n_before in marks:
        place = block.find(mark)
        while place >= 0 and len(places) < MAX_PER_BLOCK:
            places += [place - n_before] * (place >= n_before)
            place = block.find(mark, place + 1)
    return sorted(places)


def pixmap(width: int, height: int, rgb: bytes) -> bytes:
    """Give raw RGB pixels as a PPM file, which any decoder reads.

    Example:
        >>> pixmap(1, 1, b"abc")
        b'P6 1 1 255\\nabc'
    """
    return b"P6 %d %d 255\n" % (width, height) + rgb[: 3 * width * height]
