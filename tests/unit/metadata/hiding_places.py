# SPDX-License-Identifier: Apache-2.0
"""Every place in a file, besides its pixels, where bytes can be hidden."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Iterator

from tests.unit.metadata.samples import (
    between_scans,
    block,
    chunk,
    exif_segment,
    photoshop_segment,
    profile,
    riff,
    saved,
    segment,
    tiff_file,
    with_chunks,
    with_icc_tag,
    with_segments,
    xmp_segment,
)


def exif_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Plant a secret at every place of an EXIF block."""
    n = len(secret)
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x013C, 0x8298, 0xC4A5, 0xEA1C, 0x1234):
        yield f"IFD0 {tag:04X} bytes", block([(tag, 7, n, secret)])
        yield f"IFD0 {tag:04X} text", block([(tag, 2, n, secret)])
    for tag in (0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F, 0x02BC, 0x83BB, 0x8649, 0x014A):
        yield f"IFD0 {tag:04X}", block([(tag, 1, n, secret)])
    for tag in (0x013F, 0x0214, 0x011A, 0x829A, 0xA432, 0x0002):
        yield f"IFD0 rationals {tag:04X}", block([(tag, 5, n // 8, secret)])
        yield f"Exif rationals {tag:04X}", block(exif=[(tag, 5, n // 8, secret)])
    for tag in (0x927C, 0x9286, 0x9000, 0xA302, 0xA420, 0xA431, 0xA435, 0xA433, 0xA434, 0x7777):
        yield f"Exif {tag:04X} bytes", block(exif=[(tag, 7, n, secret)])
        yield f"Exif {tag:04X} text", block(exif=[(tag, 2, n, secret)])
    for tag in (0x0112, 0x8827, 0x0128, 0xA001):
        yield f"numbers {tag:04X}", block(exif=[(tag, 3, n // 2, secret)])
    for tag in (0x0002, 0x001B, 0x001D):
        yield f"GPS {tag:04X}", block(gps=[(tag, 7, n, secret)])
    yield "Interop", block(exif=[], interop=[(0x1000, 2, n, secret)])
    yield "Interop 1", block(exif=[], interop=[(0x0001, 2, n, secret)])
    yield "IFD1", block(second=[(0x010E, 2, n, secret)])
    yield "slack", block(slack=secret)
    yield "slack, other order", block(slack=secret, order=">")
    yield "tag of no type", block([(0x010F, 99, n, secret)])
    yield "header only", b"II\x2a\0\xff\0\0\0" + secret
    yield "no header", secret


def jpeg_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Plant a secret at every place of a JPEG that is not the picture."""
    plain = saved("JPEG", quality=85)
    progressive = saved("JPEG", progressive=True)
    for name, tiff in exif_places(secret):
        yield f"EXIF {name}", with_segments(plain, exif_segment(tiff))
    for marker in (*range(0xE1, 0xF0), 0xFE):
        yield f"segment {marker:02X}", with_segments(plain, segment(marker, secret))
        yield f"late {marker:02X}", between_scans(progressive, segment(marker, secret))
    yield (
        "JFIF thumbnail",
        plain[:4]
        + struct.pack(">H", 16 + 42)
        + plain[6:18]
        + bytes((1, 14))
        + secret
        + b"\0\0"
        + plain[20:],
    )
    yield "second JFIF", with_segments(plain, segment(0xE0, b"JFIF\0" + secret))
    yield "JFXX", with_segments(plain, segment(0xE0, b"JFXX\0\x10" + secret))
    yield "XMP", with_segments(plain, xmp_segment(b"<x>" + secret))
    yield "XMP Base64", with_segments(plain, xmp_segment(b"/9j/" + base64.b64encode(secret)))
    yield (
        "extended XMP",
        with_segments(
            plain, segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + secret)
        ),
    )
    yield "IPTC", with_segments(plain, photoshop_segment(0x0404, secret))
    yield "Adobe tail", with_segments(plain, segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + secret))
    yield "MPF", with_segments(plain, segment(0xE2, b"MPF\0MM\0\x2a\0\0\0\x08" + secret))
    yield "lone ICC", with_segments(plain, segment(0xE2, b"ICC_PROFILE\0\1\1" + secret))
    yield "ICC tail", with_segments(plain, segment(0xE2, b"ICC_PROFILE\0\1\1" + profile() + secret))
    yield (
        "ICC second piece",
        with_segments(
            plain,
            segment(0xE2, b"ICC_PROFILE\0\1\2" + profile()),
            segment(0xE2, b"ICC_PROFILE\0\2\2" + secret),
        ),
    )
    yield (
        "ICC private tag",
        with_segments(
            plain, segment(0xE2, b"ICC_PROFILE\0\1\1" + with_icc_tag(profile(), b"mmod", secret))
        ),
    )
    yield "after EOI", plain + secret
    yield "second picture", plain + with_segments(plain, segment(0xFE, secret))
    yield "between segments", with_segments(plain, secret.replace(b"\xff", b"\xfe"))
    yield (
        "EXIF in two",
        with_segments(plain, exif_segment(block()), segment(0xE1, b"Exif\0\0" + secret)),
    )


def png_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Plant a secret at every place of a PNG that is not the picture."""
    plain = saved("PNG")
    packed = zlib.compress(secret)
    chunks = {
        "tEXt": b"Comment\0" + secret.replace(b"\0", b"\1"),
        "zTXt": b"Comment\0\0" + packed,
        "iTXt": b"XML:com.adobe.xmp\0\0\0\0\0" + secret,
        "tIME": secret,
        "prVt": secret,
        "hIST": secret,
        "sPLT": secret,
        "PLTE": secret + b"xx",
        "gAMA": secret,
        "pHYs": secret,
        "bKGD": secret,
        "acTL": secret,
        "iCCP": b"x" * 20 + secret.replace(b"\0", b"\1") + b"\0\0" + zlib.compress(profile()),
        "iCCP tail": b"x\0\0" + zlib.compress(profile()) + secret,
        "iCCP inside": b"x\0\0" + zlib.compress(profile() + secret),
        "iCCP no profile": b"x\0\0" + packed,
    }
    for name, payload in chunks.items():
        for last in (False, True):
            data = with_chunks(plain, chunk(name[:4].encode(), payload), last=last)
            yield f"{name} {'last' if last else 'first'}", data
    for name, tiff in exif_places(secret):
        yield f"eXIf {name}", with_chunks(plain, chunk(b"eXIf", tiff))
    raw = b"Raw profile type exif\0\nexif\n 9\n" + (b"Exif\0\0" + secret).hex().encode()
    yield "raw profile", with_chunks(plain, chunk(b"tEXt", raw))
    yield "after IEND", plain + secret
    yield "in IEND", plain[:-12] + chunk(b"IEND", secret)
    start = plain.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">L", plain, start)
    idat = plain[start + 8 : start + 8 + length]
    rest = plain[start + 12 + length :]
    yield "behind the zlib stream", plain[:start] + chunk(b"IDAT", idat + secret) + rest
    yield "second IDAT", plain[:start] + chunk(b"IDAT", idat) + chunk(b"IDAT", secret) + rest


def webp_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Plant a secret at every place of a WebP that is not the picture."""
    plain = saved("WEBP", lossless=True)
    picture = plain[20 : 20 + struct.unpack_from("<L", plain, 16)[0]]
    header = b"\x2c\0\0\0" + (47).to_bytes(3, "little") + (39).to_bytes(3, "little")

    def extended(*more: tuple[bytes, bytes], head: bytes = header) -> bytes:
        return riff((b"VP8X", head), (b"VP8L", picture), *more)

    for name, tiff in exif_places(secret):
        yield f"EXIF {name}", extended((b"EXIF", tiff))
    yield "EXIF marked", extended((b"EXIF", b"Exif\0\0" + block(slack=secret)))
    yield "XMP", extended((b"XMP ", secret))
    yield "unknown chunk", extended((b"ABCD", secret))
    yield "ICCP", extended((b"ICCP", secret))
    yield "ICCP tail", extended((b"ICCP", profile() + secret))
    yield "header tail", extended(head=header + secret)
    yield "after the end", plain + secret
    yield "simple form", riff((b"VP8L", picture), (b"EXIF", secret))


def tiff_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Plant a secret at every place of a TIFF that is not the picture."""
    strip = bytes(range(128))
    n = len(secret)
    for order in "<>":
        for tag in (0x010D, 0x010E, 0x010F, 0x0131, 0x013B, 0x013C, 0x8298, 0xC000):
            yield f"{order}{tag:04X}", tiff_file(order, [(tag, 2, n, secret)], strip)
        for tag in (0x014A, 0x02BC, 0x8649, 0x83BB, 0x8773, 0x927C, 0x935C):
            yield f"{order}{tag:04X} bytes", tiff_file(order, [(tag, 7, n, secret)], strip)
        for tag in (0x013F, 0x0214, 0x011A, 0x012D, 0x013E, 0x0152):
            yield f"{order}{tag:04X} numbers", tiff_file(order, [(tag, 3, n // 2, secret)], strip)
        yield f"{order}slack", tiff_file(order, [], strip, secret)
        yield f"{order}end", tiff_file(order, [], strip) + secret
        yield f"{order}strip tail", tiff_file(order, [], strip + secret)
    packed = saved("TIFF", compression="tiff_adobe_deflate")
    yield "after a deflated strip", packed + secret


def bmp_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Plant a secret at every place of a BMP that is not the picture."""
    plain = saved("BMP")
    yield "end", plain + secret
    gap = plain[:10] + struct.pack("<L", 54 + len(secret)) + plain[14:54] + secret + plain[54:]
    yield "gap", gap
    fifth = struct.pack("<L", 124) + plain[18:54] + bytes(16) + b"BGRs" + bytes(64)
    where = struct.pack("<L", 124 + len(plain) - 54)
    for name, kind in (("embedded", b"DEBM"), ("linked", b"KNIL")):
        head = fifth[:56] + kind + fifth[60:112] + where + struct.pack("<LL", len(secret), 0)
        yield name, plain[:10] + struct.pack("<L", 138) + head + plain[54:] + secret
    ends = fifth[:56] + bytes(4) + b"\xff" * 8 + secret + bytes(16)
    yield "end points", plain[:10] + struct.pack("<L", 138) + ends + plain[54:]


def avif_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Plant a secret at places of an AVIF that is not the picture."""
    text = secret.hex().encode()
    # Pillow writes the block anew, so only a tag gets through to the file.
    yield "EXIF", saved("AVIF", exif=b"Exif\0\0" + block([(0x1234, 7, len(secret), secret)]))
    yield "EXIF text", saved("AVIF", exif=b"Exif\0\0" + block([(0x010E, 2, len(text), text)]))
    yield "XMP", saved("AVIF", xmp=b"<x>" + secret)
    yield "free box", saved("AVIF") + struct.pack(">L4s", 8 + len(secret), b"free") + secret
    yield "unknown box", saved("AVIF") + struct.pack(">L4s", 8 + len(secret), b"abcd") + secret
    yield "ICC tail", saved("AVIF", icc_profile=profile() + secret)
    plain = saved("AVIF")
    place = plain.index(b"mdat") - 4
    (size,) = struct.unpack_from(">L", plain, place)
    yield (
        "mdat tail",
        plain[:place] + struct.pack(">L", size + len(secret)) + plain[place + 4 :] + secret,
    )


PLACES: dict[str, Callable[[bytes], Iterator[tuple[str, bytes]]]] = {
    "avif": avif_places,
    "bmp": bmp_places,
    "jpeg": jpeg_places,
    "png": png_places,
    "tiff": tiff_places,
    "webp": webp_places,
}
"""Container to the function that plants a secret of 40 bytes in it."""
