# SPDX-License-Identifier: Apache-2.0
"""Take a PNG file apart into chunks and put it together from the allowed ones.

Chunk syntax and the forms of each chunk after the PNG specification, third edition
(W3C, 2025). Compressed pixels are copied; they are inflated once, without being kept,
because what follows the end of their zlib stream is seen by no decoder.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from veilset.errors import DecodeError
from veilset.exif_orientation import stated_orientation
from veilset.metadata.exif import clean_exif, strip_exif_marks
from veilset.metadata.icc_profile import MAX_BYTES, clean_profile
from veilset.metadata.policy import Cleaned, broken, cleaned, cut_short

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
# Chunks that change how the pixels look, and the one length that each may have.
_COLOUR: Mapping[bytes, int] = {
    b"cICP": 4, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"mDCV": 24, b"cLLI": 8
}  # fmt: skip
_SAMPLES: Mapping[int, int] = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_NAMES: Mapping[bytes, str] = {
    b"tIME": "date and time",
    **dict.fromkeys(_ANIMATION, "animation control"),
}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
_STEP = 1 << 18


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk.

    Attributes:
        name: Four letters.
        start: Place of its length field in the file.
        payload: Its data, without length, name and checksum.
    """

    name: bytes
    start: int
    payload: bytes


def iterate_chunks(data: bytes) -> Iterator[Chunk]:
    """Go through the chunks of a PNG up to the first IEND, that one included.

    Raises:
        DecodeError: "unreadable" for a wrong signature or checksum, "truncated" if the
            file ends before IEND.
    """
    if not data.startswith(SIGNATURE):
        raise broken("The PNG does not begin with its signature.")
    place = len(SIGNATURE)
    name = b""
    while name != b"IEND":
        if place + 12 > len(data):
            raise cut_short(f"The PNG ends at byte {len(data)} without an end chunk.")
        length, name = struct.unpack_from(">L4s", data, place)
        stop = place + 12 + length
        if stop > len(data):
            raise cut_short(f"The PNG chunk at byte {place} goes beyond the end of the file.")
        (checksum,) = struct.unpack_from(">L", data, stop - 4)
        payload = data[place + 8 : stop - 4]
        if zlib.crc32(payload, zlib.crc32(name)) != checksum:
            raise broken(f"The PNG chunk at byte {place} has a wrong checksum.")
        yield Chunk(name, place, payload)
        place = stop


def chunk_bytes(name: bytes, payload: bytes) -> bytes:
    """Write one chunk."""
    checksum = zlib.crc32(payload, zlib.crc32(name))
    return struct.pack(">L4s", len(payload), name) + payload + struct.pack(">L", checksum)


@dataclass(slots=True)
class _Parts:
    header: bytes = b""
    palette: bytes = b""
    transparency: bytes = b""
    optional: dict[bytes, bytes] = field(default_factory=dict)
    profile: bytes = b""
    exif: bytes | None = None
    pixels: list[bytes] = field(default_factory=list)
    is_pixels_over: bool = False
    removed: list[str] = field(default_factory=list)


def clean_png(data: bytes, policy: str) -> Cleaned:
    """Clean a PNG file; compressed pixels and palette are copied byte for byte.

    Raises:
        DecodeError: As ``iterate_chunks``; "animated" if it holds further frames;
            "unreadable" for critical chunks that are unknown, repeated, malformed or
            hold more pixels than the header states.
    """
    parts = _Parts()
    end = 0
    for chunk in iterate_chunks(data):
        end = chunk.start + 12 + len(chunk.payload)
        _note_chunk(parts, chunk)
    if not parts.header or not parts.pixels:
        raise broken("The PNG holds no picture.")
    if parts.header[9] == 3 and not parts.palette:
        raise broken("The PNG has no palette, although its pixels need one.")
    if end < len(data):
        parts.removed.append("bytes after the end of the PNG")
    pixels = _checked_pixels(parts)
    optional = parts.optional
    chunks = [(b"IHDR", parts.header), *_profile_chunk(parts)]
    chunks += [(name, optional[name]) for name in (*_COLOUR, b"sBIT") if name in optional]
    chunks += [(b"PLTE", parts.palette)] * bool(parts.palette)
    chunks += [(b"tRNS", parts.transparency)] * bool(parts.transparency)
    chunks += [(name, optional[name]) for name in (b"bKGD",) if name in optional]
    if b"pHYs" in optional and policy == "safe":
        chunks.append((b"pHYs", optional[b"pHYs"]))
    elif b"pHYs" in optional:
        parts.removed.append("resolution")
    block = _clean_block(parts.exif or b"", policy)
    parts.removed += block.removed
    chunks += [(b"eXIf", block.data)] * bool(block.data)
    chunks += [(b"IDAT", piece) for piece in pixels]
    chunks.append((b"IEND", b""))
    return cleaned([SIGNATURE, *(chunk_bytes(*chunk) for chunk in chunks)], parts.removed)


def _clean_block(block: bytes, policy: str) -> Cleaned:
    return clean_exif(strip_exif_marks(block), policy, orientation=stated_orientation(block))


def _note_chunk(parts: _Parts, chunk: Chunk) -> None:
    name, payload = chunk.name, chunk.payload
    if name != b"IDAT" and parts.pixels:
        parts.is_pixels_over = True
    if not parts.header and name != b"IHDR":
        raise broken("The PNG does not begin with a header chunk.")
    if name == b"IHDR":
        parts.header = _checked_header(parts, payload)
    elif name == b"PLTE":
        _note_palette(parts, payload)
    elif name == b"IDAT":
        if parts.is_pixels_over:
            raise broken("The PNG interrupts its pixels with another chunk.")
        parts.pixels.append(payload)
    elif name == b"tRNS":
        _note_transparency(parts, payload)
    elif name == b"fdAT":
        raise DecodeError("animated", "The PNG is animated. Split it into single frames first.")
    elif name == b"iCCP":
        parts.profile = payload
    elif name == b"eXIf":
        # Of several the first counts, as in decoding.
        parts.exif = payload if parts.exif is None else parts.exif
    elif name in _TEXT:
        parts.removed.append("XMP" if payload.startswith(XMP_KEYWORD) else "PNG text")
    elif _fits(name, payload, parts.header[9]):
        parts.optional[name] = payload
    elif name != b"IEND":
        if not name[0] & 0x20:
            raise broken(f"The PNG needs a chunk that is not known, at byte {chunk.start}.")
        parts.removed.append(_NAMES.get(name, "other PNG chunks"))
    elif payload:
        parts.removed.append("bytes in the end chunk")


def _fits(name: bytes, payload: bytes, colour_type: int) -> bool:
    """Tell whether an optional chunk is known and has exactly the length it must have."""
    if name == b"pHYs":
        return len(payload) == 9
    if name == b"sBIT":
        return len(payload) == (3 if colour_type == 3 else _SAMPLES[colour_type])
    if name == b"bKGD":
        return len(payload) == {3: 1, 0: 2, 4: 2}.get(colour_type, 6)
    return _COLOUR.get(name) == len(payload)


def _checked_header(parts: _Parts, payload: bytes) -> bytes:
    if parts.header or len(payload) != 13:
        raise broken("The PNG header is repeated or has a wrong length.")
    width, height, depth, colour_type, *modes = struct.unpack(">LLBBBBB", payload)
    fits = width and height and depth in (1, 2, 4, 8, 16) and colour_type in _SAMPLES
    if not fits or modes[:2] != [0, 0] or modes[2] > 1:
        raise broken("The PNG header states a form that does not exist.")
    return payload


def _note_palette(parts: _Parts, payload: bytes) -> None:
    depth, colour_type = parts.header[8:10]
    if colour_type != 3:
        # True-colour pictures only suggest one, and up to 768 free bytes go with it.
        parts.removed.append("suggested palette")
        return
    if parts.palette or not payload or len(payload) % 3 or len(payload) > 3 << depth:
        raise broken("The PNG palette is repeated or has a wrong length.")
    parts.palette = payload


def _note_transparency(parts: _Parts, payload: bytes) -> None:
    colour_type = parts.header[9]
    if colour_type in (4, 6):
        parts.removed.append("other PNG chunks")
        return
    wanted = {0: 2, 2: 6}.get(colour_type, 0)
    fits = len(payload) == wanted if wanted else 0 < len(payload) <= len(parts.palette) // 3
    if parts.transparency or parts.pixels or not fits:
        raise broken("The PNG transparency is repeated, misplaced or has a wrong length.")
    parts.transparency = payload


def _profile_chunk(parts: _Parts) -> list[tuple[bytes, bytes]]:
    if not parts.profile:
        return []
    stream = parts.profile.partition(b"\0")[2][1:]
    found, is_exact = _inflate(stream)
    profile = clean_profile(found)
    parts.removed += profile.removed
    if not profile.data:
        return []
    # The old stream stays if it holds just the profile: another zlib would pack it otherwise.
    if profile.data != found or not is_exact:
        stream = zlib.compress(profile.data, 9)
    return [(b"iCCP", b"ICC profile\0\0" + stream)]


def read_profile(payload: bytes) -> bytes:
    """Give the ICC profile of an iCCP chunk; empty if it cannot be inflated."""
    return _inflate(payload.partition(b"\0")[2][1:])[0]


def read_text(chunk: Chunk) -> bytes:
    """Give the text of a text chunk, inflated; empty if that fails."""
    rest = chunk.payload.partition(b"\0")[2]
    if chunk.name == b"zTXt":
        return _inflate(rest[1:])[0]
    if chunk.name == b"iTXt":
        text = rest[2:].split(b"\0", 2)[-1]
        return _inflate(text)[0] if rest[:1] == b"\1" else text
    return rest


def read_raw_profile(text: bytes) -> bytes:
    """Give the bytes of a raw profile: a name, a length, then hexadecimal lines."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""


def _inflate(stream: bytes) -> tuple[bytes, bool]:
    """Give the inflated bytes, and whether the stream is just them, whole."""
    inflater = zlib.decompressobj()
    try:
        # The bound keeps a text bomb from filling the memory.
        inflated = inflater.decompress(stream, MAX_BYTES)
    except zlib.error:
        return b"", False
    return inflated, inflater.eof and not inflater.unused_data


def _checked_pixels(parts: _Parts) -> list[bytes]:
    """Give the IDAT payloads up to the end of their zlib stream."""
    left = _raw_size(parts.header)
    inflater = zlib.decompressobj()
    pieces = iter(parts.pixels)
    pending = b""
    n_used = 0
    try:
        while not inflater.eof:
            if not pending:
                following = next(pieces, None)
                if following is None:
                    raise cut_short("The compressed pixels of the PNG end too early.")
                pending, n_used = following, n_used + 1
            left -= len(inflater.decompress(pending, _STEP))
            pending = inflater.unconsumed_tail
            if left < 0:
                raise broken("The PNG holds more pixels than its header states.")
    except zlib.error as error:
        raise broken("The compressed pixels of the PNG are damaged.") from error
    if left:
        raise cut_short("The PNG holds fewer pixels than its header states.")
    if not inflater.unused_data and n_used == len(parts.pixels):
        return parts.pixels
    parts.removed.append("bytes after the compressed pixels")
    last = parts.pixels[n_used - 1]
    return [*parts.pixels[: n_used - 1], last[: len(last) - len(inflater.unused_data)]]


def _raw_size(header: bytes) -> int:
    """Give the number of bytes of all scan lines, each with its filter byte."""
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">LLBBBBB", header)
    bits = depth * _SAMPLES[colour_type]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for x, y, step_x, step_y in passes:
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return int(total)
