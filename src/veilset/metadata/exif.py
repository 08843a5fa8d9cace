# SPDX-License-Identifier: Apache-2.0
"""Rebuild EXIF from the tags that a policy allows.

Nothing is deleted from the old block: a new one is written, with allowed tags of the
allowed type, count and characters only. What lay between the values, in a second
directory or behind an unknown pointer therefore has no way into the output.

Tag numbers and types after CIPA DC-008 (Exif 2.32).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from veilset.metadata.policy import GPS, PREVIEW, Cleaned, cleaned
from veilset.metadata.tiff_tags import (
    ASCII,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    Directory,
    Field,
    Tree,
    build_directory,
    build_header,
    read_directory,
    read_header,
)

ORIENTATION = 0x0112
EXIF_POINTER = 0x8769
GPS_POINTER = 0x8825
INTEROP_POINTER = 0xA005


@dataclass(frozen=True, slots=True)
class Allowed:
    """The form in which a tag may stay.

    Attributes:
        types: TIFF types; any other form of the tag is removed.
        count: Exact number of values, or the most characters of a text.
        pattern: What the whole value has to match; "" for numbers.
        most: Where several ratios may stay: the largest of them. They are written anew as
            hundredths, for ratios as they come would leave 8 bytes each to whoever hides something.
    """

    types: tuple[int, ...]
    count: int = 1
    pattern: bytes = b""
    most: int = 0


_NUMBER = Allowed((SHORT, LONG))
_RATIO = Allowed((RATIONAL, SRATIONAL))
# The characters of product names. Control bytes, "@" and 8-bit text do not occur there.
_NAME = rb"[A-Za-z0-9 .,:;+*/()\[\]&'_#-]+"
_PRODUCT = Allowed((ASCII,), 64, _NAME)

RESOLUTION: Mapping[int, Allowed] = {0x011A: _RATIO, 0x011B: _RATIO, 0x0128: _NUMBER}
PRODUCT: Mapping[int, Allowed] = {0x010F: _PRODUCT, 0x0110: _PRODUCT}
_FIRST: Mapping[int, Allowed] = {**RESOLUTION, **PRODUCT, 0x0213: _NUMBER}
_SETTINGS: Mapping[int, Allowed] = {
    0x829A: _RATIO,  # ExposureTime
    0x829D: _RATIO,  # FNumber
    0x8822: _NUMBER,  # ExposureProgram
    0x8827: _NUMBER,  # PhotographicSensitivity
    0x8830: _NUMBER,  # SensitivityType
    0x8831: _NUMBER,  # StandardOutputSensitivity
    0x8832: _NUMBER,  # RecommendedExposureIndex
    0x8833: _NUMBER,  # ISOSpeed
    0x9000: Allowed((UNDEFINED,), 4, rb"[0-9]{4}"),  # ExifVersion
    0x9101: Allowed((UNDEFINED,), 4, rb"[\x00-\x06]{4}"),  # ComponentsConfiguration
    0x9102: _RATIO,  # CompressedBitsPerPixel
    0x9201: _RATIO,  # ShutterSpeedValue
    0x9202: _RATIO,  # ApertureValue
    0x9203: _RATIO,  # BrightnessValue
    0x9204: _RATIO,  # ExposureBiasValue
    0x9205: _RATIO,  # MaxApertureValue
    0x9207: _NUMBER,  # MeteringMode
    0x9208: _NUMBER,  # LightSource
    0x9209: _NUMBER,  # Flash
    0x920A: _RATIO,  # FocalLength
    0xA000: Allowed((UNDEFINED,), 4, rb"[0-9]{4}"),  # FlashpixVersion
    0xA001: _NUMBER,  # ColorSpace
    0xA20E: _RATIO,  # FocalPlaneXResolution
    0xA20F: _RATIO,  # FocalPlaneYResolution
    0xA210: _NUMBER,  # FocalPlaneResolutionUnit
    0xA215: _RATIO,  # ExposureIndex
    0xA217: _NUMBER,  # SensingMethod
    0xA300: Allowed((UNDEFINED,), 1, rb"[\x00-\x03]"),  # FileSource
    0xA301: Allowed((UNDEFINED,), 1, rb"\x01"),  # SceneType
    0xA401: _NUMBER,  # CustomRendered
    0xA402: _NUMBER,  # ExposureMode
    0xA403: _NUMBER,  # WhiteBalance
    0xA404: _RATIO,  # DigitalZoomRatio
    0xA405: _NUMBER,  # FocalLengthIn35mmFilm
    0xA406: _NUMBER,  # SceneCaptureType
    0xA407: _NUMBER,  # GainControl
    0xA408: _NUMBER,  # Contrast
    0xA409: _NUMBER,  # Saturation
    0xA40A: _NUMBER,  # Sharpness
    0xA40C: _NUMBER,  # SubjectDistanceRange
    0xA432: Allowed((RATIONAL,), 4, most=10_000),  # LensSpecification: mm, mm, f-numbers
    0xA433: _PRODUCT,  # LensMake
    0xA434: _PRODUCT,  # LensModel
    0xA500: _RATIO,  # Gamma
}
# "R03" is how DCF cameras say Adobe RGB when there is no ICC profile.
_INTEROP: Mapping[int, Allowed] = {0x0001: Allowed((ASCII,), 3, rb"R98|R03|THM")}

# The three without a name are rebuilt from what they say, so losing them is no finding.
NAMES: Mapping[int, str] = {
    **dict.fromkeys((ORIENTATION, EXIF_POINTER, INTEROP_POINTER), ""),
    GPS_POINTER: GPS,
    0x927C: "maker note",
    0xC634: "maker note",
    **dict.fromkeys((0xA431, 0xA435, 0xC62F, 0xFDE9, 0xFE00), "serial number"),
    **dict.fromkeys((0x013B, 0x8298, 0xA430, 0x9C9D), "owner, artist or copyright"),
    **dict.fromkeys((0x010E, 0x9286, 0x9C9B, 0x9C9C, 0x9C9E, 0x9C9F), "comment or description"),
    **dict.fromkeys((0x0132, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012), "date and time"),
    **dict.fromkeys((0x9290, 0x9291, 0x9292), "date and time"),
    **dict.fromkeys((0x0131, 0x000B), "software"),
    **dict.fromkeys((0x010D, 0x011D, 0x0129, 0x013C, 0xA40B), "document or host name"),
    **dict.fromkeys((0x9214, 0xA214, 0x4746), "subject area"),
    0xA420: "image identifier",
    **dict.fromkeys(RESOLUTION, "resolution"),
    **dict.fromkeys(PRODUCT, "camera make or model"),
    0x02BC: "XMP",
    0x83BB: "IPTC",
    0x8649: "Photoshop resources",
    0x935C: "Photoshop resources",
    0x014A: f"{PREVIEW} (SubIFD)",
    **dict.fromkeys((0x830E, 0x8480, 0x8482, 0x85D8, 0x87AF, 0x87B0, 0x87B1), "map position"),
    **dict.fromkeys((0xA480, 0xA481), "map position"),
}
"""What a removed tag is called in findings; tags not listed are "other EXIF tags"."""


def name_of(tag: int) -> str:
    """Give the name under which a removed tag is reported; "" if it is not reported."""
    return NAMES.get(tag, "other EXIF tags")


def orientation_field(orientation: int, order: str) -> Field:
    """Write an orientation in the plain form, which all readers read alike.

    XMP may state one too. It is not looked at, as browsers and Veilset's own decoder do
    not: carrying it over would turn pictures that were not turned before.
    """
    return Field(SHORT, 1, struct.pack(f"{order}H", orientation))


def pick(
    directory: Directory, order: str, allowed: Mapping[int, Allowed]
) -> tuple[dict[int, Field], list[str]]:
    """Take the allowed fields of a directory, in their allowed form; name the others."""
    kept: dict[int, Field] = {}
    removed = [name_of(tag) for tag in directory.unreadable if name_of(tag)]
    for tag, value in directory.fields.items():
        rule = allowed.get(tag)
        allowed_value = _allowed_value(value, order, rule) if rule else None
        if allowed_value is not None:
            kept[tag] = allowed_value
        elif name_of(tag):
            removed.append(name_of(tag))
    return kept, removed


def _allowed_value(value: Field, order: str, rule: Allowed) -> Field | None:
    if value.type not in rule.types:
        return None
    if value.type == ASCII:
        text = value.raw.split(b"\0", 1)[0].rstrip(b" ")
        if len(text) > rule.count or not re.fullmatch(rule.pattern, text):
            return None
        return Field(ASCII, len(text) + 1, text + b"\0")
    if rule.pattern:
        fits = value.count == rule.count and re.fullmatch(rule.pattern, value.raw, re.DOTALL)
        return value if fits else None
    # Some cameras write a second, empty ISO value: the first is the setting.
    if value.count < rule.count:
        return None
    size = len(value.raw) // value.count * rule.count
    kept = Field(value.type, rule.count, value.raw[:size])
    return _in_hundredths(kept, order, rule.most) if rule.most else kept


def _in_hundredths(value: Field, order: str, most: int) -> Field | None:
    """Round ratios; None if one of them is too large. 0/0 says "not known" and stays."""
    numbers = struct.unpack(f"{order}{2 * value.count}L", value.raw)
    rounded: list[int] = []
    for above, below in zip(numbers[::2], numbers[1::2], strict=True):
        if (above, below) == (0, 0):
            rounded += (0, 0)
        elif not below or above > most * below:
            return None
        else:
            rounded += (round(Fraction(100 * above, below)), 100)
    return Field(value.type, value.count, struct.pack(f"{order}{len(rounded)}L", *rounded))


def settings_tree(data: bytes, order: str, first: Directory) -> tuple[Tree, list[str]]:
    """Rebuild the EXIF sub-directory that a first directory points to.

    Args:
        data: The TIFF, from its header on.
        order: ``<`` or ``>``.
        first: The directory that may hold the pointer.

    Returns:
        The new sub-directory, empty if nothing of it stays, and names of what went.
    """
    directory = _behind(data, order, first, EXIF_POINTER)
    if directory is None:
        return Tree(), []
    kept, removed = pick(directory, order, _SETTINGS)
    tree = Tree(kept)
    interop = _behind(data, order, directory, INTEROP_POINTER)
    if interop is not None:
        kept, more = pick(interop, order, _INTEROP)
        removed += more
        if kept:
            tree.children[INTEROP_POINTER] = Tree(kept)
    return tree, removed


def _behind(data: bytes, order: str, directory: Directory, pointer: int) -> Directory | None:
    value = directory.fields.get(pointer)
    offsets = value.integers(order) if value else ()
    return read_directory(data, order, offsets[0]) if offsets else None


def clean_exif(
    tiff: bytes,
    policy: str,
    *,
    orientation: int | None,
) -> Cleaned:
    """Rebuild an EXIF block under a policy.

    Args:
        tiff: The block from its TIFF header on, without a leading ``Exif``.
        policy: One of ``POLICIES``.
        orientation: What to write as orientation, 1 to 8: the one that decoding applies, by
            ``stated_orientation`` of the block that decoding looks at. None for none.

    Returns:
        The new block from its TIFF header on, in the byte order of the old one; empty
        if nothing of it may stay, also if it is too damaged to be read.
    """
    header = read_header(tiff)
    order, offset = header or (">", 0)
    first = read_directory(tiff, order, offset) or Directory({}, 0)
    fields, removed = pick(first, order, _FIRST if policy == "safe" else {})
    settings, more = settings_tree(tiff, order, first)
    removed += more
    tree = Tree(fields)
    if policy != "safe":
        removed += ["capture settings"] * (not settings.is_empty())
    elif not settings.is_empty():
        tree.children[EXIF_POINTER] = settings
    if first.next_offset:
        removed.append(f"{PREVIEW} (EXIF IFD1)")
    if orientation:
        tree.fields[ORIENTATION] = orientation_field(orientation, order)
    if tree.is_empty():
        return cleaned([], removed)
    return cleaned([build_header(order), build_directory(tree, order, 8)], removed)


def strip_exif_marks(block: bytes) -> bytes:
    """Take the ``Exif`` marks off that some writers put before the TIFF header.

    Example:
        >>> strip_exif_marks(b"Exif\\x00\\x00MM")
        b'MM'
    """
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    return block
