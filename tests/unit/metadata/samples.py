# SPDX-License-Identifier: Apache-2.0
"""Drawn pictures in every container, and what lies in these besides the pixels.

The writers here share nothing with the product: a mistake made twice would not be seen.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms, ImageDraw

ORIENTATION = 0x0112


def drawn(mode: str = "RGB", size: tuple[int, int] = (48, 40)) -> Image.Image:
    """Draw a gradient with an ellipse and a line on it."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=2)
    picture = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse([width // 4, height // 4, width // 2, height // 2], fill=(200, 30, 90))
    draw.line([0, height, width, 0], fill=(20, 220, 40))
    if mode in ("LA", "RGBA"):
        picture.putalpha(picture.getchannel(0))
    return picture.convert(mode)


def saved(form: str, mode: str = "RGB", /, **options: object) -> bytes:
    """Give a drawn picture as a file."""
    file = BytesIO()
    drawn(mode).save(file, form, **options)
    return file.getvalue()


@cache
def profile() -> bytes:
    """Give an sRGB profile as Pillow makes it; the time of making is in it, so only once."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def opened(data: bytes) -> Image.Image:
    """Decode a file."""
    picture = Image.open(BytesIO(data))
    picture.load()
    return picture


def exif_of(data: bytes) -> Image.Exif:
    """Read the EXIF of a file before Pillow turns the pixels, as it does with TIFF."""
    return Image.open(BytesIO(data)).getexif()


# --- TIFF blocks -----------------------------------------------------------------------

Entry = tuple[int, int, int, bytes]  # tag, type, count, value


def directory(order: str, entries: list[Entry], offset: int, following: int = 0) -> bytes:
    """Write one directory that will lie at ``offset``."""
    place = offset + 2 + 12 * len(entries) + 4
    head, tail = struct.pack(f"{order}H", len(entries)), b""
    for tag, kind, count, value in entries:
        head += struct.pack(f"{order}HHL", tag, kind, count)
        if len(value) <= 4:
            head += value.ljust(4, b"\0")
        else:
            head += struct.pack(f"{order}L", place + len(tail))
            tail += value + b"\0" * (len(value) % 2)
    return head + struct.pack(f"{order}L", following) + tail


def block(
    first: list[Entry] | None = None,
    *,
    order: str = "<",
    exif: list[Entry] | None = None,
    gps: list[Entry] | None = None,
    interop: list[Entry] | None = None,
    second: list[Entry] | None = None,
    slack: bytes = b"",
    orientation: int = 6,
) -> bytes:
    """Write an EXIF block: IFD0, the directories below it, IFD1 and slack bytes."""

    def pointer(tag: int, place: int) -> Entry:
        return (tag, 4, 1, struct.pack(f"{order}L", place))

    def lay_out(places: dict[str, int]) -> tuple[bytes, dict[str, int]]:
        found: dict[str, int] = {}
        out = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, 8)
        own = [(ORIENTATION, 3, 1, struct.pack(f"{order}H", orientation)), *(first or [])]
        own += [pointer(0x8769, places["exif"])] if exif is not None else []
        own += [pointer(0x8825, places["gps"])] if gps is not None else []
        out += directory(order, sorted(own), 8, places["second"] if second else 0)
        if exif is not None:
            found["exif"] = len(out)
            below = [pointer(0xA005, places["interop"])] if interop is not None else []
            out += directory(order, sorted([*exif, *below]), len(out))
        for name, entries in (("gps", gps), ("interop", interop), ("second", second)):
            if entries is not None:
                found[name] = len(out)
                out += directory(order, entries, len(out))
        return out + slack, found

    nowhere = dict.fromkeys(("exif", "gps", "interop", "second"), 0)
    _, places = lay_out(nowhere)
    return lay_out(nowhere | places)[0]


def camera_block(order: str = "<") -> bytes:
    """Write an EXIF block of a camera: settings and everything personal there is."""
    number = struct.Struct(f"{order}H").pack
    ratio = struct.Struct(f"{order}LL").pack
    return block(
        [
            (0x010E, 2, 12, b"Anns garden\0"),
            (0x010F, 2, 6, b"Canon\0"),
            (0x0110, 2, 13, b"Canon EOS 5D\0"),
            (0x011A, 5, 1, ratio(300, 1)),
            (0x011B, 5, 1, ratio(300, 1)),
            (0x0128, 3, 1, number(2)),
            (0x0132, 2, 20, b"2024:05:06 07:08:09\0"),
            (0x013B, 2, 9, b"Ann Name\0"),
            (0x8298, 2, 9, b"Ann Name\0"),
            (0x9C9D, 1, 16, "Ann Name".encode("utf-16-le")),
        ],
        order=order,
        exif=[
            (0x829A, 5, 1, ratio(1, 125)),
            (0x829D, 5, 1, ratio(28, 10)),
            (0x8827, 3, 1, number(400)),
            (0x9000, 7, 4, b"0230"),
            (0x9209, 3, 1, number(16)),
            (0x920A, 5, 1, ratio(50, 1)),
            (0x927C, 7, 30, b"Canon maker note with a serial"),
            (0x9286, 7, 20, b"ASCII\0\0\0Ann was here"),
            (0xA430, 2, 9, b"Ann Name\0"),
            (0xA431, 2, 12, b"SN-00123456\0"),
            (0xA434, 2, 24, b"EF24-105mm f/4L IS USM\0\0"),
        ],
        gps=[(0x0001, 2, 2, b"N\0"), (0x0002, 5, 3, ratio(48, 1) * 3)],
        interop=[(0x0001, 2, 4, b"R03\0"), (0x0002, 7, 4, b"0100")],
    )


# --- JPEG ------------------------------------------------------------------------------


def segment(marker: int, payload: bytes) -> bytes:
    """Write one JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """Put segments behind the JFIF header of a JPEG."""
    place = 2
    if jpeg[2:4] == b"\xff\xe0":
        place = 4 + struct.unpack_from(">H", jpeg, 4)[0]
    return jpeg[:place] + b"".join(segments) + jpeg[place:]


def exif_segment(tiff: bytes) -> bytes:
    """Write an EXIF segment."""
    return segment(0xE1, b"Exif\0\0" + tiff)


def xmp_segment(body: bytes) -> bytes:
    """Write an XMP segment."""
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + body)


def photoshop_segment(number: int, payload: bytes) -> bytes:
    """Write a segment with one Photoshop resource."""
    resource = b"8BIM" + struct.pack(">HHL", number, 0, len(payload)) + payload
    return segment(0xED, b"Photoshop 3.0\0" + resource)


def between_scans(jpeg: bytes, extra: bytes) -> bytes:
    """Put bytes in front of the second scan of a progressive JPEG."""
    second = jpeg.index(b"\xff\xc4", jpeg.index(b"\xff\xda"))
    return jpeg[:second] + extra + jpeg[second:]


def with_icc_tag(icc: bytes, signature: bytes, value: bytes) -> bytes:
    """Add a tag to an ICC profile."""
    (n_tags,) = struct.unpack_from(">L", icc, 128)
    tags = [struct.unpack_from(">4sLL", icc, 132 + 12 * i) for i in range(n_tags)]
    table = b"".join(struct.pack(">4sLL", s, o + 12, n) for s, o, n in tags)
    table += struct.pack(">4sLL", signature, len(icc) + 12, len(value))
    out = icc[:128] + struct.pack(">L", n_tags + 1) + table + icc[132 + 12 * n_tags :] + value
    return struct.pack(">L", len(out)) + out[4:]


# --- PNG, WebP, TIFF, BMP, AVIF --------------------------------------------------------


def chunk(name: bytes, payload: bytes) -> bytes:
    """Write one PNG chunk."""
    return (
        struct.pack(">L4s", len(payload), name)
        + payload
        + struct.pack(">L", zlib.crc32(name + payload))
    )


def with_chunks(png: bytes, *chunks: bytes, last: bool = False) -> bytes:
    """Put chunks behind the header of a PNG, or in front of its end."""
    place = len(png) - 12 if last else 33
    return png[:place] + b"".join(chunks) + png[place:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Write a WebP file."""
    body = b"".join(
        struct.pack("<4sL", name, len(payload)) + payload + b"\0" * (len(payload) % 2)
        for name, payload in chunks
    )
    return struct.pack("<4sL4s", b"RIFF", len(body) + 4, b"WEBP") + body


def tiff_file(order: str, entries: list[Entry], strip: bytes, extra: bytes = b"") -> bytes:
    """Write an uncompressed 8-bit gray TIFF of 16 x 8 pixels."""
    number = struct.Struct(f"{order}H").pack
    base: list[Entry] = [
        (0x0100, 3, 1, number(16)),
        (0x0101, 3, 1, number(8)),
        (0x0102, 3, 1, number(8)),
        (0x0103, 3, 1, number(1)),
        (0x0106, 3, 1, number(1)),
        (0x0111, 4, 1, b"????"),
        (0x0115, 3, 1, number(1)),
        (0x0116, 3, 1, number(8)),
        (0x0117, 4, 1, struct.pack(f"{order}L", len(strip))),
        *entries,
    ]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, 8)
    body = directory(order, sorted(base), 8)
    place = struct.pack(f"{order}L", len(head) + len(body) + len(extra))
    return head + body.replace(b"????", place) + extra + strip
