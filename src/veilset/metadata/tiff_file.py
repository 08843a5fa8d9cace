# SPDX-License-Identifier: Apache-2.0
"""Rewrite a TIFF file with one directory of allowed tags; strips and tiles are copied.

Each is copied as far as the picture needs it; only fax codes are written anew.

Tags after TIFF revision 6.0 and its Technical Note 2 (JPEG). The output holds the
directory, then the strips or tiles in the order of the directory, and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from veilset.errors import DecodeError
from veilset.exif_orientation import stated_orientation
from veilset.metadata.exif import (
    EXIF_POINTER,
    ORIENTATION,
    PRODUCT,
    RESOLUTION,
    Allowed,
    name_of,
    orientation_field,
    pick,
    settings_tree,
)
from veilset.metadata.icc_profile import clean_profile
from veilset.metadata.jpeg_segments import clean_jpeg, clean_tables
from veilset.metadata.policy import Cleaned, broken, cleaned, cut_short, unsupported
from veilset.metadata.tiff_codecs import can_find_end, end_of_strip
from veilset.metadata.tiff_fax import FAX, PACKBITS, fax_strips
from veilset.metadata.tiff_layout import (
    BITS,
    COLOUR,
    COMPRESSION,
    EXTRA,
    FILL_ORDER,
    HEIGHT,
    JPEG,
    NO_COMPRESSION,
    PLANAR,
    ROWS_PER_STRIP,
    SAMPLES,
    STRIPS,
    SUBSAMPLING,
    TILE_HEIGHT,
    TILE_WIDTH,
    TILES,
    WIDTH,
    count_extra_samples,
    number,
    numbers,
    unpacked_sizes,
)
from veilset.metadata.tiff_tags import (
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Directory,
    Field,
    Tree,
    build_directory,
    build_header,
    read_directory,
    read_header,
)

_SUBFILE, _JPEG_TABLES, _ICC = 0x00FE, 0x015B, 0x8773
_OLD_JPEG = 6
_FAX_OPTIONS = (0x0124, 0x0125)
_DNG_VERSION = 0xC612
_PALETTE, _PALETTE_COLOURS = 0x0140, 3

_WHOLE = (SHORT, LONG)
# Tags a decoder needs, with the largest number of values each may have.
_STRUCTURE: Mapping[int, tuple[tuple[int, ...], int]] = {
    WIDTH: (_WHOLE, 1),
    HEIGHT: (_WHOLE, 1),
    BITS: (_WHOLE, 16),
    COMPRESSION: (_WHOLE, 1),
    COLOUR: (_WHOLE, 1),
    FILL_ORDER: (_WHOLE, 1),
    SAMPLES: (_WHOLE, 1),
    ROWS_PER_STRIP: (_WHOLE, 1),
    PLANAR: (_WHOLE, 1),
    **dict.fromkeys(_FAX_OPTIONS, (_WHOLE, 1)),
    0x013D: (_WHOLE, 1),  # Predictor
    _PALETTE: ((SHORT,), 3 << 16),
    TILE_WIDTH: (_WHOLE, 1),
    TILE_HEIGHT: (_WHOLE, 1),
    0x014C: (_WHOLE, 1),  # InkSet
    EXTRA: (_WHOLE, 16),
    0x0153: (_WHOLE, 16),  # SampleFormat
    0x0211: ((RATIONAL,), 3),  # YCbCrCoefficients
    SUBSAMPLING: (_WHOLE, 2),
    0x0213: (_WHOLE, 1),  # YCbCrPositioning
    0x013E: ((RATIONAL,), 2),  # WhitePoint
}


def clean_tiff(data: bytes, policy: str) -> Cleaned:
    """Clean a TIFF file of one picture.

    Raises:
        DecodeError: "unreadable" or "truncated" for a damaged file, "multi-picture" if
            it has a second directory, "unsupported" for BigTIFF, camera raw files and
            JPEG of the old style.
    """
    order, first = _read_first(data)
    tree = Tree()
    removed: list[str] = []
    for tag, value in first.fields.items():
        rule = _STRUCTURE.get(tag)
        if rule and (value.type not in rule[0] or value.count > rule[1]):
            raise broken(f"Tag {tag} of the TIFF has a form that it cannot have.")
        if rule:
            tree.fields[tag] = value
    tags = TILES if TILES[0] in first.fields else STRIPS
    if not count_extra_samples(first, order) and EXTRA in tree.fields:
        del tree.fields[EXTRA]
        removed.append("kinds of samples that are not there")
    strips = _read_strips(data, order, first, removed)
    if _is_compressed_by(first, order, *FAX):
        strips = _write_fax_anew(tree, order, tags, strips)
        removed.append("fax codes")
    _keep_needed_palette(tree, order, first, removed)
    _add_tables(tree, order, first, strips, removed)
    _add_allowed(tree, data, order, first, policy, removed)
    removed += [
        name_of(tag)
        for tag in first.fields
        if tag not in {*tree.fields, *tree.children, *_STRUCTURE, *STRIPS, *TILES, _SUBFILE, _ICC}
        and tag not in {*RESOLUTION, *PRODUCT}
        and name_of(tag)
    ]
    head, body = _lay_out(tree, order, tags, strips)
    return cleaned([head, *body], removed)


def picture_ranges(data: bytes) -> list[tuple[int, int]]:
    """Give the places (start, stop) of the strips or tiles, and of their JPEG tables.

    Only what the picture needs is in them; none if that cannot be told.
    """
    header = read_header(data)
    first = read_directory(data, *header) if header else None
    if header is None or first is None:
        return []
    try:
        ranges, _ = _find_strips(data, header[0], first)
    except DecodeError:
        return []
    if _is_compressed_by(first, header[0], *FAX):
        return []
    tables = first.fields.get(_JPEG_TABLES)
    if tables and _is_compressed_by(first, header[0], JPEG):
        place = data.find(tables.raw)
        ranges.append((place, place + len(tables.raw)))
    return ranges


def _read_first(data: bytes) -> tuple[str, Directory]:
    if data[:4] in (b"II\x2b\x00", b"MM\x00\x2b"):
        raise unsupported("The file is a BigTIFF.")
    header = read_header(data)
    if header is None:
        raise broken("The TIFF does not begin with its signature.")
    order, offset = header
    first = read_directory(data, order, offset)
    if first is None or not first.fields:
        raise cut_short("The TIFF has no directory where its header points.")
    if first.next_offset:
        raise DecodeError(
            "multi-picture", "The TIFF holds several pictures. Split it into single ones first."
        )
    subfile = numbers(first, order, _SUBFILE)
    if _DNG_VERSION in first.fields or (subfile and subfile[0] & 1):
        raise unsupported("The TIFF is a camera raw file or holds a reduced picture only.")
    if numbers(first, order, COMPRESSION) == (_OLD_JPEG,):
        raise unsupported("The TIFF uses JPEG compression of the old style.")
    # Decoding such colours takes tag 532, whose 48 free bytes are not worth the risk.
    is_plain_ycbcr = numbers(first, order, COLOUR) == (6,) and 0x0214 in first.fields
    if is_plain_ycbcr and numbers(first, order, COMPRESSION) != (JPEG,):
        raise unsupported("The TIFF holds YCbCr colours with a reference of its own.")
    return order, first


def _find_strips(data: bytes, order: str, first: Directory) -> tuple[list[tuple[int, int]], int]:
    """Give the places (start, stop) of strips or tiles, cut to what they need.

    Returns:
        The places, and the bytes that the directory states beyond them.
    """
    tags = TILES if TILES[0] in first.fields else STRIPS
    unpacked = unpacked_sizes(first, order)
    offsets, stated = (numbers(first, order, tag) for tag in tags)
    compression = number(first, order, COMPRESSION, NO_COMPRESSION)
    # Readers take plain strips by the size of the picture and do not ask for their length.
    sizes = unpacked if compression == NO_COMPRESSION else stated
    if len(offsets) != len(sizes):
        raise broken("The TIFF does not say where its strips or tiles are.")
    if min(*offsets, *sizes) < 0 or sum(sizes) > len(data):
        raise cut_short("The strips of the TIFF are longer than the file.")
    _check_compression(first, order, compression)
    places: list[tuple[int, int]] = []
    for index, (start, size) in enumerate(zip(offsets, sizes, strict=True)):
        if start + size > len(data):
            raise cut_short(f"Strip {index} of the TIFF goes beyond the end of the file.")
        if can_find_end(compression):
            size = end_of_strip(data[start : start + size], compression, unpacked[index])
        places.append((start, start + size))
    return places, sum(stated) - sum(stop - start for start, stop in places)


def _check_compression(first: Directory, order: str, compression: int) -> None:
    """Refuse compressed data of which nobody here can say where it ends."""
    if compression in (NO_COMPRESSION, JPEG, *FAX):
        return
    if not can_find_end(compression):
        raise unsupported(f"The TIFF is compressed in a way that cannot be judged ({compression}).")
    if number(first, order, FILL_ORDER, 1) != 1:
        raise unsupported("The TIFF is compressed, with the bits of each byte turned round.")


def _read_strips(data: bytes, order: str, first: Directory, removed: list[str]) -> list[bytes]:
    """Give the strips or tiles, cut to what they need."""
    places, n_beyond = _find_strips(data, order, first)
    if n_beyond > 0:
        removed.append("bytes after a strip")
    strips = [data[start:stop] for start, stop in places]
    if not _is_compressed_by(first, order, JPEG):
        return strips
    pieces = [clean_jpeg(strip, "strip") if strip else Cleaned(b"") for strip in strips]
    removed += [name for piece in pieces for name in piece.removed]
    return [piece.data for piece in pieces]


def _keep_needed_palette(tree: Tree, order: str, first: Directory, removed: list[str]) -> None:
    """Drop a palette that no pixel refers to: it would be free bytes, as many as 393,216."""
    palette = tree.fields.get(_PALETTE)
    bits = number(first, order, BITS, 1)
    if number(first, order, COLOUR, 0) != _PALETTE_COLOURS:
        if tree.fields.pop(_PALETTE, None):
            removed.append("unused palette")
    elif bits > 8:
        raise unsupported("The TIFF has a palette of more than 256 colours.")
    elif palette and palette.count != 3 << bits:
        raise broken("The colour map of the TIFF has a wrong length.")


def _add_tables(
    tree: Tree, order: str, first: Directory, strips: Sequence[bytes], removed: list[str]
) -> None:
    tables = first.fields.get(_JPEG_TABLES)
    if tables and strips and _is_compressed_by(first, order, JPEG):
        shared = clean_tables(tables.raw, strips)
        removed += shared.removed
        tree.fields[_JPEG_TABLES] = Field(UNDEFINED, len(shared.data), shared.data)


def _is_compressed_by(first: Directory, order: str, *compressions: int) -> bool:
    return number(first, order, COMPRESSION, NO_COMPRESSION) in compressions


def _write_fax_anew(
    tree: Tree, order: str, tags: tuple[int, int], strips: Sequence[bytes]
) -> list[bytes]:
    """Give the strips packed in another way; change the tags that describe that."""
    if tags == TILES:
        raise unsupported("The TIFF has tiles of fax codes.")
    head, body = _lay_out(tree, order, tags, strips)
    described = Directory(tree.fields, 0)
    width, height = (number(described, order, tag, 0) for tag in (WIDTH, HEIGHT))
    rows = min(number(described, order, ROWS_PER_STRIP, height), height)
    is_zero_white = number(described, order, COLOUR, 0) == 0
    packed = fax_strips(b"".join([head, *body]), (width, height), rows, is_zero_white=is_zero_white)
    for tag in (FILL_ORDER, *_FAX_OPTIONS):
        tree.fields.pop(tag, None)
    tree.fields[COMPRESSION] = Field(SHORT, 1, struct.pack(f"{order}H", PACKBITS))
    return packed


def _add_allowed(
    tree: Tree, data: bytes, order: str, first: Directory, policy: str, removed: list[str]
) -> None:
    """Add what the policy keeps although decoding does not need it."""
    orientation = stated_orientation(data)
    if orientation:
        tree.fields[ORIENTATION] = orientation_field(orientation, order)
    if _ICC in first.fields:
        profile = clean_profile(first.fields[_ICC].raw)
        removed += profile.removed
        if profile.data:
            tree.fields[_ICC] = Field(UNDEFINED, len(profile.data), profile.data)
    allowed: Mapping[int, Allowed] = {**RESOLUTION, **PRODUCT}
    kept, _ = pick(first, order, allowed)
    settings, more = settings_tree(data, order, first)
    removed += more
    if policy == "safe":
        tree.fields |= kept
        if not settings.is_empty():
            tree.children[EXIF_POINTER] = settings
    elif kept or not settings.is_empty():
        removed.append("capture settings or resolution")
    if not allowed.keys() & first.fields.keys() <= kept.keys():
        removed.append("other EXIF tags")


def _lay_out(
    tree: Tree, order: str, tags: tuple[int, int], strips: Sequence[bytes]
) -> tuple[bytes, list[bytes]]:
    """Place the strips behind the directory; give the head and the padded strips."""
    offsets_tag, sizes_tag = tags
    sizes = [len(strip) for strip in strips]
    form = f"{order}{len(strips)}L"
    tree.fields[sizes_tag] = Field(LONG, len(strips), struct.pack(form, *sizes))
    tree.fields[offsets_tag] = Field(LONG, len(strips), b"\0" * (4 * len(strips)))
    # The length of the directory does not depend on the offsets in it.
    place = 8 + len(build_directory(tree, order, 8))
    body: list[bytes] = []
    offsets: list[int] = []
    for strip in strips:
        offsets.append(place)
        body.append(strip + b"\0" * (len(strip) % 2))
        place += len(body[-1])
    if place >= 1 << 32:
        raise unsupported("The TIFF is larger than four gigabytes.")
    tree.fields[offsets_tag] = Field(LONG, len(strips), struct.pack(form, *offsets))
    return build_header(order) + build_directory(tree, order, 8), body
