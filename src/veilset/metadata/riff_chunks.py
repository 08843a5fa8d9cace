# SPDX-License-Identifier: Apache-2.0
"""Take a WebP file apart into RIFF chunks and put it together from the allowed ones.

Chunks and their order after RFC 9649. The compressed pixels are copied; a file in which
anything lies behind them is refused (``webp_streams.py``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from veilset.errors import DecodeError
from veilset.exif_orientation import stated_orientation
from veilset.metadata.exif import clean_exif, strip_exif_marks
from veilset.metadata.icc_profile import clean_profile
from veilset.metadata.policy import Cleaned, broken, cleaned, cut_short
from veilset.metadata.webp_streams import check_alpha, check_picture, riff_bytes

_ICC_FLAG, _ALPHA_FLAG, _EXIF_FLAG = 0x20, 0x10, 0x08


def iterate_riff(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Go through (name, payload) of the chunks inside a RIFF form of type WEBP.

    Raises:
        DecodeError: "unreadable" if it is no WebP, "truncated" if the form or a chunk
            goes beyond the end of the file or of the form.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise broken("The WebP does not begin with its signature.")
    stop = riff_end(data)
    if stop > len(data) + 1:
        raise cut_short("The WebP is shorter than its header states.")
    stop = min(stop, len(data))
    place = 12
    while place + 8 <= stop:
        name, length = struct.unpack_from("<4sL", data, place)
        if place + 8 + length > stop:
            raise cut_short(f"The WebP chunk at byte {place} goes beyond the end of the file.")
        yield name, data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def riff_end(data: bytes) -> int:
    """Give the place at which the RIFF form ends, by its own word."""
    size = int.from_bytes(data[4:8], "little")
    return 8 + size + size % 2


def clean_webp(data: bytes, policy: str) -> Cleaned:
    """Clean a WebP file; the compressed pictures are copied byte for byte.

    Raises:
        DecodeError: As ``iterate_riff``; "animated" if it has frames; "unreadable" if it
            does not hold exactly one picture, or repeats a chunk that matters; as
            ``check_picture``.
    """
    kept: dict[bytes, bytes] = {}
    removed: list[str] = []
    for name, payload in iterate_riff(data):
        if name in (b"ANIM", b"ANMF"):
            raise DecodeError(
                "animated", "The WebP is animated. Split it into single frames first."
            )
        if name in (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"EXIF"):
            # libwebp takes the first of a repeated chunk, others may take the last.
            if name in kept:
                raise broken("The WebP repeats a chunk that may stand there once.")
            # libwebp passes such a header by, and would heed it at its right place.
            if name == b"VP8X" and (kept or removed):
                raise broken("The WebP has its extended header behind other chunks.")
            kept[name] = payload
        else:
            removed.append("XMP" if name == b"XMP " else "other WebP chunks")
    if (b"VP8 " in kept) == (b"VP8L" in kept):
        raise broken("The WebP does not hold exactly one picture.")
    if riff_end(data) < len(data):
        removed.append("bytes after the end of the WebP")
    profile = clean_profile(kept[b"ICCP"]) if b"ICCP" in kept else Cleaned(b"")
    block = kept.get(b"EXIF", b"")
    # Without its flag in the extended header decoders pass the block by.
    flags = kept.get(b"VP8X", b"")[:1] or b"\0"
    orientation = stated_orientation(block) if flags[0] & _EXIF_FLAG else None
    exif = clean_exif(strip_exif_marks(block), policy, orientation=orientation)
    picture = b"VP8 " if b"VP8 " in kept else b"VP8L"
    check_picture(picture, kept[picture])
    chunks: list[tuple[bytes, bytes]] = []
    if b"VP8X" in kept:
        chunks.append((b"VP8X", _extended_header(kept[b"VP8X"], profile.data, exif.data)))
        chunks += [(b"ICCP", profile.data)] * bool(profile.data)
        # A lossless picture has its alpha inside, and of one that is not announced some
        # readers know nothing: a chunk of its own would be a picture that they do not show.
        if b"ALPH" in kept and (b"VP8L" in kept or not kept[b"VP8X"][0] & _ALPHA_FLAG):
            removed.append("unused alpha")
        elif b"ALPH" in kept:
            check_alpha(kept[b"ALPH"], kept[b"VP8 "])
            chunks.append((b"ALPH", kept[b"ALPH"]))
    elif len(kept) > 1:
        removed.append("chunks that need an extended header")
    chunks.append((picture, kept[picture]))
    if b"VP8X" in kept and exif.data:
        chunks.append((b"EXIF", exif.data))
    return cleaned([riff_bytes(*chunks)], [*removed, *profile.removed, *exif.removed])


def _extended_header(payload: bytes, profile: bytes, exif: bytes) -> bytes:
    if len(payload) < 10:
        raise broken("The extended header of the WebP is too short.")
    flags = payload[0] & _ALPHA_FLAG
    flags |= _ICC_FLAG if profile else 0
    flags |= _EXIF_FLAG if exif else 0
    return bytes((flags, 0, 0, 0)) + payload[4:10]
