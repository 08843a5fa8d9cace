# SPDX-License-Identifier: Apache-2.0
"""Whether bytes begin like a picture of any kind, known by their content alone.

More kinds than can be processed: what looks like a picture and cannot be cleaned has to be a
recorded failure, or refused. What is not told here is published as it is, wherever a file is
carried over. Formats without a mark (TGA, PCX, SGI) are told by several fields at once.
"""

from __future__ import annotations

import re
from typing import Final, Literal

HEAD_BYTES: Final = 512
"""As many first bytes as are needed to tell; fewer only if there are no more."""

# Three and four bytes: an accident among the values of a column of numbers.
_JPEG: Final = b"\xff\xd8\xff"
_ICONS: Final = (b"\0\0\1\0", b"\0\0\2\0")
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MARKS: Final = (
    b"\x89PNG\r\n\x1a\n", b"\x8aMNG\r\n\x1a\n", b"\x8bJNG\r\n\x1a\n", b"GIF87a", b"GIF89a",
    # JPEG 2000, a file and a code stream; JPEG XL in boxes; JPEG XR; BPG, FLIF, JBIG 2, DjVu.
    b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"\0\0\0\x0cJXL \r\n\x87\n", b"II\xbc\x01",
    b"BPG\xfb", b"FLIF", b"\x97JB2\r\n\x1a\n", b"AT&TFORM",
    # Photoshop, GIMP, DDS, OpenEXR, Radiance HDR, farbfeld, FITS, DCX, Sun raster, XPM.
    b"8BPS\0", b"gimp xcf file\0", b"gimp xcf v0", b"DDS \x7c\0\0\0", b"\x76\x2f\x31\x01",
    b"#?RADIANCE", b"#?RGBE", b"farbfeld\0", b"SIMPLE  =", b"\x3a\xde\x68\xb1", b"\x59\xa6\x6a\x95",
    b"/* XPM */",
    # Raw photographs that are no TIFF: Olympus, Panasonic, Fujifilm, Canon, Sigma, Minolta.
    b"MMOR\0", b"IIU\0", b"FUJIFILMCCD-RAW", b"II\x1a\0\0\0HEAPCCDR", b"FOVb", b"\0MRM",
)  # fmt: skip
# Of ISO base media files that hold pictures; the last are Canon's raw and JPEG 2000.
_BRANDS: Final = frozenset(
    b"avif avis mif1 mif2 miaf MA1A MA1B heic heix heim heis hevc hevx hevm hevs msf1 jpeg jpgs "
    b"avci avcs vvic vvis evbi evbs j2ki j2is crx jpx jpm".split()
) | {b"jp2 "}
_NAMES_OF_PNM: Final = re.compile(rb"(?:P[1-7F]|Pf|P0CMYK|Py(?:P|RGBA|CMYK))(?=[\s#])")
_COMMENT: Final = re.compile(rb"#[^\r\n]*(?:[\r\n]|\Z)")
_PAM_LINE: Final = re.compile(rb"(?:WIDTH|HEIGHT|DEPTH|MAXVAL)\s+\d|TUPLTYPE\s|ENDHDR|332\s")
_SVG_ROOT: Final = re.compile(rb"<(?:[\w.-]+:)?svg[\s/>]", re.IGNORECASE)
_BLANKS: Final = b" \t\r\n\v\f"
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def looks_like_a_picture(head: bytes, n_bytes: int = 0) -> bool:
    """Whether bytes begin like a picture: an image file of any kind, or a raw photograph.

    Not told: Base64, what is compressed or packed, videos, PDF, PostScript, XBM, and an SVG
    whose element ``svg`` comes after the first ``HEAD_BYTES``.

    Args:
        head: The first ``HEAD_BYTES`` of them, or all if there are fewer.
        n_bytes: How many there are in all, where many values are numbers: then what follows the
            short marks of JPEG and TIFF has to fit, too. 0 to take them as they are.

    Example:
        >>> looks_like_a_picture(b"GIF89a" + bytes(10)), looks_like_a_picture(b"P1 of 2")
        (True, False)
    """
    head = head[:HEAD_BYTES]
    if head.startswith(_MARKS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    if head.startswith(_JPEG):
        return not n_bytes or _goes_on_as_jpeg(head)
    if head.startswith(_TIFF):
        return not n_bytes or _has_directory(head, n_bytes)
    if head[4:8] == b"ftyp":
        return _has_brand(head)
    if head.startswith(_ICONS) and _is_icon(head, n_bytes):
        return True
    return any(test(head) for test in _TESTS.get(head[:1], _ANY))


def is_known_by_two_bytes(head: bytes) -> bool:
    """Whether two bytes, and sides that can be, are all that tells of a picture.

    That is so of JPEG XL without boxes: one of about 90,000 random values looks like it.
    """
    return head[:2] == b"\xff\x0a"


def _goes_on_as_jpeg(head: bytes) -> bool:
    """Whether a marker follows, and room for what it holds; or bytes that fill."""
    marker = head[3:4]
    is_one = marker >= b"\xc0" and marker not in (b"\xd8", b"\xd9") and not 0xF0 <= marker[0] < 0xFE
    return is_one and (marker == b"\xff" or int.from_bytes(head[4:6], "big") >= 2)


def _has_directory(head: bytes, n_bytes: int) -> bool:
    """Whether a TIFF file says that its first directory begins within the file."""
    order: Literal["little", "big"] = "little" if head[:1] == b"I" else "big"
    if head[2:4] in (b"+\0", b"\0+"):
        return int.from_bytes(head[4:6], order) == 8 and head[6:8] == b"\0\0"
    return 8 <= int.from_bytes(head[4:8], order) < n_bytes


def _has_brand(head: bytes) -> bool:
    """Whether a file of boxes says, of itself or of what can read it, that it holds pictures."""
    size = int.from_bytes(head[:4], "big")
    # 0: to the end of the file. 1: the size comes behind the name, in eight bytes.
    first, stop = (16, HEAD_BYTES) if size == 1 else (8, size or HEAD_BYTES)
    brands = {head[at : at + 4] for at in range(first, max(stop, first + 4), 4)}
    return any(brand in _BRANDS or brand.rstrip() in _BRANDS for brand in brands)


def _is_bmp(head: bytes) -> bool:
    """Whether the header that follows has a length that one has; BA is a row of BMP files."""
    at = 14 if head[:2] == b"BA" and head[14:16] == b"BM" else 0
    return head[at : at + 2] == b"BM" and _is_dib(head[at + 14 : at + 18])


def _is_dib(length: bytes) -> bool:
    """Whether it is a length that the second header of a BMP has."""
    return int.from_bytes(length, "little") in (12, 16, 40, 52, 56, 64, 108, 124)


def _is_icon(head: bytes, n_bytes: int) -> bool:
    """Whether it is an ICO or CUR with a first picture behind the list of its pictures."""
    if len(head) < 22:
        return False
    n_pictures, planes, depth = (int.from_bytes(head[at : at + 2], "little") for at in (4, 10, 12))
    size, start = (int.from_bytes(head[at : at + 4], "little") for at in (14, 18))
    # Planes and depth are the point of a cursor: below the largest side.
    is_entry = head[9] in (0, 255) and planes <= 256 and depth <= 256
    end = n_bytes or (len(head) if len(head) < HEAD_BYTES else 1 << 24)
    is_inside = 0 < size < 1 << 24 and 6 + 16 * n_pictures <= start < end
    # A PNG, or a BMP without its first header; it may begin behind the head.
    begin = head[start : start + 4]
    is_begin = len(begin) < 4 or begin == b"\x89PNG" or _is_dib(begin)
    return 0 < n_pictures <= 64 and is_entry and is_inside and is_begin


def _is_portable(head: bytes) -> bool:
    """Whether it is a PNM, PAM or PFM: a mark, numbers, and something behind them."""
    mark = _NAMES_OF_PNM.match(head)
    if mark is None:
        return False
    text = _COMMENT.sub(b" ", head[mark.end() :])
    if mark[0] == b"P7":
        return _PAM_LINE.match(text.lstrip(_BLANKS)) is not None
    n_numbers = 2 if mark[0] in (b"P1", b"P4") else 3
    found = text.split(maxsplit=n_numbers)
    numbers, rest = found[:n_numbers], found[n_numbers:]
    is_float = mark[0] in (b"PF", b"Pf")
    for at, number in enumerate(numbers):
        if not (_is_scale(number) if is_float and at == 2 else number.isdigit() and int(number)):
            return False
    if not rest:
        # It may go on behind comments or blanks that are longer than the head.
        return len(head) == HEAD_BYTES
    if mark[0] == b"P1":
        return rest[0][:1] in (b"0", b"1")
    return mark[0] not in (b"P2", b"P3") or rest[0][:1].isdigit()


def _is_scale(number: bytes) -> bool:
    try:
        return float(number) != 0
    except ValueError:
        return False


def _is_olympus(head: bytes) -> bool:
    """Whether a place of the first directory follows: the two marks are words as well."""
    return head[:4] in (b"IIRO", b"IIRS") and head[7:8] == b"\0"


def _is_qoi(head: bytes) -> bool:
    return head[:4] == b"qoif" and head[12:13] in (b"\3", b"\4") and head[13:14] in (b"\0", b"\1")


def _is_icns(head: bytes) -> bool:
    return head[:5] == b"icns\0"


def _is_ilbm(head: bytes) -> bool:
    return head[:4] == b"FORM" and head[8:12] in (b"ILBM", b"PBM ", b"ACBM")


def _is_dicom(head: bytes) -> bool:
    return head[128:132] == b"DICM"


def _is_svg(head: bytes) -> bool:
    """Whether ``svg`` is the first element, behind what may stand before it."""
    if b"<" not in head[:64]:
        return False
    # UTF-16 has a zero byte beside each of these letters.
    text = head.lstrip(b"\xff\xfe\xef\xbb\xbf").replace(b"\0", b"").lstrip(_BLANKS)
    while text.startswith((b"<?", b"<!")):
        end = b"-->" if text.startswith(b"<!--") else b">"
        text = text.partition(end)[2].lstrip(_BLANKS + b"]>")
    return _SVG_ROOT.match(text) is not None


def _is_jpeg_xl(head: bytes) -> bool:
    """Whether it is a JPEG XL without boxes, of 8 to 131,072 pixels each way."""
    if head[:2] != b"\xff\x0a" or len(head) < 12:
        return False
    bits = _Bits(int.from_bytes(head[2:12], "little"))
    is_small = bits.take(1) == 1
    height = bits.side(is_small)
    ratio = bits.take(3)
    numerator, denominator = _RATIOS[ratio - 1]
    width = height * numerator // denominator if ratio else bits.side(is_small)
    return min(width, height) >= 8 and max(width, height) <= 1 << 17


class _Bits:
    """Numbers of a JPEG XL header, the lowest bits first."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, n_bits: int) -> int:
        taken = self._value & ((1 << n_bits) - 1)
        self._value >>= n_bits
        return taken

    def side(self, is_small: bool) -> int:
        if is_small:
            return 8 * (1 + self.take(5))
        return 1 + self.take((9, 13, 18, 30)[self.take(2)])


def _is_pcx(head: bytes) -> bool:
    """Whether versions, depths, sides and planes are all such as a PCX has."""
    left, top, right, bottom = (int.from_bytes(head[at : at + 2], "little") for at in (4, 6, 8, 10))
    return (
        len(head) > 66
        and head[0] == 10 and head[1] in (0, 2, 3, 4, 5) and head[2] in (0, 1)
        and head[3] in (1, 2, 4, 8) and head[64] == 0 and 1 <= head[65] <= 4
        and left <= right and top <= bottom
    )  # fmt: skip


def _is_tga(head: bytes) -> bool:
    """Whether kind, colours, sides and depth are all such as a TGA has."""
    if len(head) < 19:
        return False
    width, height = (int.from_bytes(head[at : at + 2], "little") for at in (12, 14))
    depths: tuple[int, ...]
    if head[1] == 0:
        is_kind = head[2] in (2, 3, 10, 11) and not any(head[3:8])
        depths = (8, 15, 16, 24, 32) if head[2] in (3, 11) else (15, 16, 24, 32)
    else:
        n_colours = int.from_bytes(head[5:7], "little")
        is_kind = head[1] == 1 and head[2] in (1, 9) and head[7] in (15, 16, 24, 32)
        is_kind = is_kind and 0 < n_colours <= 256 and not any(head[3:5])
        depths = (8,)
    # The last byte: two zeros, the corner at which it begins, and bits of transparency.
    is_end = head[17] < 64 and head[17] & 15 in (0, 1, 8)
    return is_kind and is_end and width > 1 and height > 1 and head[16] in depths


def _is_sgi(head: bytes) -> bool:
    sides = [int.from_bytes(head[at : at + 2], "big") for at in (6, 8)]
    return (
        head[:3] in (b"\x01\xda\0", b"\x01\xda\1") and head[3:4] in (b"\1", b"\2")
        and head[4:6] in (b"\0\1", b"\0\2", b"\0\3") and all(sides)
    )  # fmt: skip


_ANY: Final = (_is_tga, _is_dicom, _is_svg)
# By the first byte: values are many, and most of them are none of these.
_TESTS: Final = {
    b"B": (_is_bmp, *_ANY), b"P": (_is_portable, *_ANY),
    b"q": (_is_qoi, *_ANY), b"i": (_is_icns, *_ANY), b"F": (_is_ilbm, *_ANY),
    b"I": (_is_olympus, *_ANY), b"\xff": (_is_jpeg_xl, *_ANY), b"\x0a": (_is_pcx, *_ANY),
    b"\x01": (_is_sgi, *_ANY),
}  # fmt: skip
