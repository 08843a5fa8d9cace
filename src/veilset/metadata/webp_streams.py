# SPDX-License-Identifier: Apache-2.0
"""See that a WebP's compressed pictures fill their chunks, so that nothing lies behind them.

Neither VP8 nor VP8L states where its last symbol ends. libwebp does not decode a picture
of which a byte is missing, so each part is tried with its last bytes cut off: if it decodes
all the same, those bytes were no part of the picture. Layout of VP8 after RFC 6386,
sections 9 and 19.2, of alpha after RFC 9649, section 2.7.1.2.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Iterator
from typing import Any, Final

from veilset.errors import DecodeError
from veilset.metadata.policy import broken, cut_short, unsupported

SLACK: Final = 8
"""Bytes that may follow the last symbol. libwebp leaves three at most."""

_KEY_FRAME: Final = b"\x9d\x01\x2a"
_HEADER: Final = 10


def check_picture(name: bytes, payload: bytes) -> None:
    """Refuse the payload of a chunk ``VP8 `` or ``VP8L`` that holds more than its picture.

    Raises:
        DecodeError: "unreadable" or "truncated" if it cannot be decoded, "over-limit" if that
            takes too much memory, "unsupported" if it holds more.
    """
    _refuse_slack(_shortened(payload) if name == b"VP8 " else [payload[:-SLACK]], name)
    if not _decodes(riff_bytes((name, payload))):
        raise broken("The picture of the WebP cannot be decoded.")


def _refuse_slack(payloads: Iterator[bytes] | list[bytes], name: bytes) -> None:
    if any(payload and _decodes(riff_bytes((name, payload))) for payload in payloads):
        raise unsupported("The WebP holds bytes inside its picture that are no part of it.")


def check_alpha(alpha: bytes, picture: bytes) -> None:
    """Refuse the payload of a chunk ``ALPH`` that holds more than the alpha of a ``VP8 ``.

    Args:
        alpha: The payload.
        picture: Payload of the other chunk, which ``check_picture`` has let through.

    Raises:
        DecodeError: As ``check_picture``.
    """
    width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", picture, 6))
    size = b"".join((n - 1).to_bytes(3, "little") for n in (width, height))
    head = (b"VP8X", b"\x10\0\0\0" + size)
    if not alpha or not _decodes(riff_bytes(head, (b"ALPH", alpha), (b"VP8 ", picture))):
        raise broken("The alpha of the WebP cannot be decoded.")
    if alpha[0] & 3 == 0:
        is_longer = len(alpha) > 1 + width * height
    else:
        is_longer = _decodes(riff_bytes(head, (b"ALPH", alpha[:-SLACK]), (b"VP8 ", picture)))
    if is_longer:
        raise unsupported("The WebP holds bytes inside its alpha that are no part of it.")


def riff_bytes(*chunks: tuple[bytes, bytes]) -> bytes:
    """Write a WebP file of chunks."""
    body = b"".join(
        struct.pack("<4sL", name, len(payload)) + payload + b"\0" * (len(payload) % 2)
        for name, payload in chunks
    )
    return struct.pack("<4sL4s", b"RIFF", len(body) + 4, b"WEBP") + body


def _decodes(webp: bytes) -> bool:
    reader: Any = importlib.import_module("PIL.WebPImagePlugin")
    if not reader.SUPPORTED:
        raise unsupported("Pillow reads no WebP here.")
    pillow: Any = importlib.import_module("PIL.Image")
    try:
        with reader.WebPImageFile(io.BytesIO(webp)) as picture:
            picture.load()
    except (pillow.DecompressionBombError, MemoryError) as error:
        raise DecodeError(
            "over-limit", "The WebP file needs more memory than is allowed. Leave it out."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError):
        return False
    return True


def _shortened(payload: bytes) -> Iterator[bytes]:
    """Give a VP8 frame once for each of its partitions, which lacks its last bytes there."""
    if len(payload) < _HEADER or payload[3:6] != _KEY_FRAME:
        raise broken("The picture of the WebP does not begin as one.")
    tag = int.from_bytes(payload[:3], "little")
    first = tag >> 5
    if _HEADER + first > len(payload):
        raise cut_short("The picture of the WebP ends inside its first partition.")
    n_parts = 1 << _partition_bits(payload[_HEADER : _HEADER + first])
    table = _HEADER + first
    place = table + 3 * (n_parts - 1)
    if place > len(payload):
        raise cut_short("The picture of the WebP ends inside its list of partitions.")
    if first > SLACK:
        head = (tag & 31 | (first - SLACK) << 5).to_bytes(3, "little")
        yield head + payload[3 : table - SLACK] + payload[table:]
    for index in range(n_parts - 1):
        at = table + 3 * index
        size = int.from_bytes(payload[at : at + 3], "little")
        place += size
        if place > len(payload):
            raise cut_short(f"The picture of the WebP ends inside partition {index}.")
        if size > SLACK:
            shorter = (size - SLACK).to_bytes(3, "little")
            yield payload[:at] + shorter + payload[at + 3 : place - SLACK] + payload[place:]
    if len(payload) - place > SLACK:
        yield payload[:-SLACK]


def _partition_bits(first: bytes) -> int:
    """Read the header of a frame as far as the number of partitions, a power of two."""
    bits = _Bits(first)
    bits.take(2)  # kind of colours, clamping
    if bits.take(1):  # segments
        has_map, has_values = bits.take(1), bits.take(1)
        if has_values:
            bits.take(1)
            for width in (7, 7, 7, 7, 6, 6, 6, 6):
                bits.take(width + 1 if bits.take(1) else 0)
        if has_map:
            for _ in range(3):
                bits.take(8 if bits.take(1) else 0)
    bits.take(1 + 6 + 3)  # kind, level and sharpness of the filter
    if bits.take(1) and bits.take(1):  # its changes by kind of block
        for _ in range(8):
            bits.take(7 if bits.take(1) else 0)
    return bits.take(2)


class _Bits:
    """Reads bits that are as likely 0 as 1 from VP8's arithmetic code (RFC 6386, section 7)."""

    def __init__(self, data: bytes) -> None:
        self.rest = int.from_bytes(data[:96].ljust(96, b"\0"), "big")
        self.width = 8 * 96
        self.range = 255

    def take(self, n_bits: int) -> int:
        """Give the next bits as a number."""
        value = 0
        for _ in range(n_bits):
            split = 1 + ((self.range - 1) * 128 >> 8)
            bound = split << self.width - 8
            bit = self.rest >= bound
            self.rest -= bound if bit else 0
            self.range = self.range - split if bit else split
            shift = 8 - self.range.bit_length()
            self.range <<= shift
            self.width -= shift
            value = value << 1 | bit
        return value


def has_free_bytes(name: bytes, payload: bytes) -> bool:
    """Tell whether the payload of a picture's chunk may hold something else besides."""
    try:
        check_picture(name, payload)
    except DecodeError:
        return True
    return False
