# SPDX-License-Identifier: Apache-2.0
"""List everything in an image file that could decode to a further picture.

This is the attacker's view: known places are read by their own rules, and every byte
that does not belong to the coded picture is searched for the beginning of a picture.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

from veilset.errors import DecodeError
from veilset.metadata.av1_units import clean_obus
from veilset.metadata.avif_items import exif_of, extract_picture, picture_items, read_avif
from veilset.metadata.bmp_headers import pixel_range
from veilset.metadata.jpeg_segments import (
    APP0,
    APP1,
    APP2,
    APP13,
    COM,
    EOI,
    EXIF_ID,
    ICC_ID,
    XMP_ID,
    XMP_MORE_ID,
    iterate_segments,
    join_profile,
)
from veilset.metadata.picture_search import Preview, find_pictures, pixmap
from veilset.metadata.png_cleaning import iterate_chunks, read_profile, read_raw_profile, read_text
from veilset.metadata.riff_chunks import iterate_riff, riff_end
from veilset.metadata.sniff import container_of
from veilset.metadata.tiff_file import picture_ranges
from veilset.metadata.tiff_tags import Directory, Field, read_directory, read_header
from veilset.metadata.webp_streams import has_free_bytes

_MAX_DIRECTORIES = 64


def embedded_previews(data: bytes) -> list[Preview]:
    """List the further pictures in a file; empty for a clean one.

    Args:
        data: A whole JPEG, PNG, WebP, TIFF, BMP or AVIF file.

    Returns:
        One entry for each, named by its place. Not each need decode: three matching
        bytes are enough to be listed.

    Raises:
        DecodeError: If the container is broken or not one of the six.

    Example:
        >>> from io import BytesIO
        >>> from PIL import Image
        >>> file = BytesIO()
        >>> Image.new("RGB", (8, 8)).save(file, "JPEG")
        >>> [preview.where for preview in embedded_previews(file.getvalue() * 2)]
        ['bytes after EOI']
    """
    return list(_SEARCHES[container_of(data)](data))


def _search_jpeg(data: bytes) -> Iterator[Preview]:
    exif: list[bytes] = []
    icc: list[bytes] = []
    more_xmp: list[tuple[int, bytes]] = []
    later: dict[int, str] = {}
    end = 0
    for segment in iterate_segments(data):
        body, marker = segment.payload, segment.marker
        end = segment.start + 2
        yield from find_pictures("bytes between JPEG segments", segment.gap)
        if marker == APP0:
            yield from _thumbnail_of_jfif(body)
        elif marker == APP1 and body.startswith(EXIF_ID):
            exif.append(body[6:])
        elif marker == APP1 and body.startswith(XMP_ID):
            yield from find_pictures("XMP thumbnail", body)
        elif marker == APP1 and body.startswith(XMP_MORE_ID):
            more_xmp.append((int.from_bytes(body[71:75], "big"), body[75:]))
        elif marker == APP2 and body.startswith(ICC_ID):
            icc.append(body[12:])
        elif marker == APP13 and body.startswith(b"Photoshop"):
            yield from find_pictures("Photoshop 8BIM", body, _photoshop_names(body, 14))
        elif APP0 < marker <= 0xEF or marker == COM:
            name = "JPEG comment" if marker == COM else f"APP{marker - APP0}"
            yield from find_pictures(name, body)
        if marker == APP2 and body.startswith(b"MPF\0"):
            later |= _places_of_mpf(body[4:], segment.start + 8)
        if marker == EOI:
            break
    yield from _search_exif(b"".join(exif))
    yield from find_pictures("extended XMP", b"".join(part for _, part in sorted(more_xmp)))
    yield from find_pictures("ICC profile", join_profile(icc) or b"".join(icc))
    names = {place - end: name for place, name in later.items()}
    yield from find_pictures("bytes after EOI", data[end:], names)


def _thumbnail_of_jfif(body: bytes) -> Iterator[Preview]:
    if body.startswith(b"JFIF\0") and len(body) > 14:
        yield Preview("JFIF thumbnail", pixmap(body[12], body[13], body[14:]))
    elif body.startswith(b"JFXX\0\x11") and len(body) >= 8 + 768:
        palette = [body[8 + 3 * i : 11 + 3 * i] for i in range(256)]
        pixels = b"".join(palette[index] for index in body[8 + 768 :])
        yield Preview("JFXX", pixmap(body[6], body[7], pixels))
    elif body.startswith(b"JFXX\0\x13") and len(body) >= 8:
        yield Preview("JFXX", pixmap(body[6], body[7], body[8:]))
    yield from find_pictures("JFXX" if body.startswith(b"JFXX") else "APP0", body)


def _photoshop_names(block: bytes, place: int) -> dict[int, str]:
    """Name the thumbnails among Photoshop resources by the number of the resource."""
    names: dict[int, str] = {}
    while block[place : place + 4] == b"8BIM" and place + 12 <= len(block):
        number = int.from_bytes(block[place + 4 : place + 6], "big")
        start = place + 7 + block[place + 6]
        start += start % 2
        size = int.from_bytes(block[start : start + 4], "big")
        if number in (1033, 1036):
            names[start + 4 + 28] = f"Photoshop 8BIM {number}"
        place = start + 4 + size + size % 2
    return names


def _places_of_mpf(block: bytes, start: int) -> dict[int, str]:
    """Give the places in the file of the pictures that an MPF index lists."""
    header = read_header(block)
    index = read_directory(block, *header) if header else None
    entries = index.fields.get(0xB002) if index else None
    if not header or not entries:
        return {}
    records = struct.iter_unpack(f"{header[0]}LLLHH", entries.raw[: len(entries.raw) // 16 * 16])
    return {
        start + record[2]: f"MPF picture {number}"
        for number, record in enumerate(records, 1)
        if record[2]
    }


def _search_exif(tiff: bytes, where: str = "EXIF") -> Iterator[Preview]:
    """Search an EXIF block: IFD1 by its tags, everything else for signatures."""
    header = read_header(tiff)
    if header is None:
        yield from find_pictures(where, tiff)
        return
    order, offset = header
    names: dict[int, str] = {}
    for name, place, directory in _further_directories(tiff, order, offset):
        label = f"{where} IFD1 thumbnail" if name == "directory 1" else f"{where} {name}"
        start = _first_number(directory, order, 0x0201)
        if start is not None:
            names[start] = label
        elif directory.fields.keys() & {0x0111, 0x0144}:
            yield Preview(label, tiff[:4] + struct.pack(f"{order}L", place) + tiff[8:])
    yield from find_pictures(where, tiff, names)


def _further_directories(
    data: bytes, order: str, offset: int
) -> Iterator[tuple[str, int, Directory]]:
    """Give the directories after the first and those below them, each place once."""
    seen: set[int] = set()
    pending = [("", offset)]
    while pending and len(seen) < _MAX_DIRECTORIES:
        name, place = pending.pop(0)
        directory = read_directory(data, order, place)
        if directory is None or place in seen:
            continue
        seen.add(place)
        if name:
            yield name, place, directory
        number = int(name.split()[1]) if name.startswith("directory") else 0
        pending += [(f"directory {number + 1}", directory.next_offset)]
        pending += [("SubIFD", each) for each in _numbers(directory.fields.get(0x014A), order)]


def _numbers(value: Field | None, order: str) -> tuple[int, ...]:
    return value.integers(order)[:_MAX_DIRECTORIES] if value else ()


def _first_number(directory: Directory, order: str, tag: int) -> int | None:
    numbers = _numbers(directory.fields.get(tag), order)
    return numbers[0] if numbers else None


def _search_tiff(data: bytes) -> Iterator[Preview]:
    header = read_header(data)
    if header is None:
        return
    order, offset = header
    for name, place, directory in _further_directories(data, order, offset):
        if directory.fields.keys() & {0x0111, 0x0144, 0x0201}:
            yield Preview(f"TIFF {name}", data[:4] + struct.pack(f"{order}L", place) + data[8:])
    rest = bytearray(data)
    for start, stop in picture_ranges(data):
        if data[start : start + 2] == b"\xff\xd8":
            yield from _search_jpeg(data[start:stop])
        rest[start:stop] = bytes(len(rest[start:stop]))
    yield from find_pictures("TIFF data", bytes(rest))


def _search_png(data: bytes) -> Iterator[Preview]:
    end = 0
    for chunk in iterate_chunks(data):
        end = chunk.start + 12 + len(chunk.payload)
        where = f"PNG chunk {chunk.name.decode('latin-1')}"
        if chunk.name == b"eXIf":
            yield from _search_exif(chunk.payload, where)
        elif chunk.name == b"iCCP":
            yield from find_pictures(where, read_profile(chunk.payload))
        elif chunk.name in (b"tEXt", b"zTXt", b"iTXt"):
            text = read_text(chunk)
            yield from find_pictures(where, text)
            raw = read_raw_profile(text)
            yield from _search_exif(raw.removeprefix(b"Exif\0\0"), where)
        elif chunk.name == b"fdAT":
            yield Preview(where, data)
        if chunk.name != b"IDAT":
            yield from find_pictures(where, chunk.payload)
    yield from find_pictures("bytes after IEND", data[end:])


def _search_webp(data: bytes) -> Iterator[Preview]:
    for name, payload in iterate_riff(data):
        where = f"WebP chunk {name.decode('latin-1').strip()}"
        if name == b"EXIF":
            yield from _search_exif(payload.removeprefix(b"Exif\0\0"), where)
        elif name in (b"VP8 ", b"VP8L"):
            found = list(find_pictures(where, payload))
            # Among compressed pixels the first bytes of a JPEG come about by chance.
            if found and has_free_bytes(name, payload):
                yield from found
        elif name != b"ALPH":
            yield from find_pictures(where, payload)
    yield from find_pictures("bytes after the WebP", data[riff_end(data) :])


def _search_bmp(data: bytes) -> Iterator[Preview]:
    start, stop = pixel_range(data)
    yield from find_pictures("BMP header", data[:start])
    yield from find_pictures("bytes after the BMP", data[stop:])


def _search_avif(data: bytes) -> Iterator[Preview]:
    _, found, _ = read_avif(data)
    kept = picture_items(found)
    tiles = {to for kind, _, targets in found.references if kind == b"dimg" for to in targets}
    thumbnails = {source for kind, source, _ in found.references if kind == b"thmb"}
    rest = data
    for item_id, item in found.items.items():
        if item.type in (b"av01", b"grid") and len(item.data) > 16:
            rest = rest.replace(item.data, b"")
        if item.type == b"av01" and item_id in {*kept, *tiles} and not _is_one_frame(item.data):
            yield Preview("AVIF stream", item.data)
        if item.type == b"Exif":
            yield from _search_exif(exif_of(item), "AVIF EXIF")
        # A tile of another picture shows up as part of that picture.
        elif item_id not in kept and item_id not in tiles and item.type in (b"av01", b"grid"):
            where = "AVIF thumbnail" if item_id in thumbnails else "AVIF further item"
            try:
                yield Preview(where, extract_picture(found, item_id))
            except DecodeError:
                # A picture that we cannot write alone is there all the same.
                yield Preview(where, item.data)
    yield from find_pictures("AVIF data", rest[32:])


def _is_one_frame(stream: bytes) -> bool:
    try:
        clean_obus(stream)
    except DecodeError:
        return False
    return True


_SEARCHES: Mapping[str, Callable[[bytes], Iterator[Preview]]] = {
    "avif": _search_avif,
    "bmp": _search_bmp,
    "jpeg": _search_jpeg,
    "png": _search_png,
    "tiff": _search_tiff,
    "webp": _search_webp,
}
