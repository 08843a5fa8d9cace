# SPDX-License-Identifier: Apache-2.0
"""Every embedded picture is found before cleaning, and none after."""

from __future__ import annotations

import base64
import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image, UnidentifiedImageError

from tests.unit.metadata.samples import (
    between_scans,
    block,
    chunk,
    drawn,
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
from veilset.errors import DecodeError
from veilset.metadata.clean import clean_metadata, embedded_previews, metadata_findings

THUMB = saved("JPEG", "L", quality=30)
PLAIN = saved("JPEG")


def with_thumbnail(order: str = "<") -> bytes:
    """Write an EXIF block whose IFD1 points to a JPEG thumbnail."""
    long = struct.Struct(f"{order}L").pack

    def build(place: int) -> bytes:
        second = [
            (0x0103, 3, 1, struct.pack(f"{order}H", 6)),
            (0x0201, 4, 1, long(place)),
            (0x0202, 4, 1, long(len(THUMB))),
        ]
        return block(second=second, slack=THUMB, order=order)

    return build(build(0).index(THUMB))


def uncompressed_thumbnail() -> bytes:
    """Write an EXIF block whose IFD1 is an uncompressed gray picture."""

    def build(place: int) -> bytes:
        number = struct.Struct("<H").pack
        second = [
            (0x0100, 3, 1, number(8)),
            (0x0101, 3, 1, number(8)),
            (0x0102, 3, 1, number(8)),
            (0x0103, 3, 1, number(1)),
            (0x0106, 3, 1, number(1)),
            (0x0111, 4, 1, struct.pack("<L", place)),
            (0x0116, 3, 1, number(8)),
            (0x0117, 4, 1, struct.pack("<L", 64)),
        ]
        return block(second=second, slack=bytes(range(64)))

    return build(build(0).index(bytes(range(64))))


def mpf(jpeg: bytes) -> bytes:
    """Give a JPEG with an MPF index and a second picture behind it."""
    entry = struct.pack(">LLLHH", 0x020002, len(THUMB), 0, 0, 0)
    body = b"MM\0\x2a\0\0\0\x08" + struct.pack(">H", 1)
    body += struct.pack(">HHLL", 0xB002, 7, 32, 26) + bytes(4)
    first = with_segments(jpeg, segment(0xE2, b"MPF\0" + body + bytes(16) + entry))
    start = first.index(b"MPF\0") + 4
    second = entry[:8] + struct.pack(">L", len(first) - start) + entry[12:]
    return first.replace(entry, second) + THUMB


def extended_xmp() -> tuple[bytes, bytes]:
    """Give two segments of extended XMP, the second half first."""
    text = b"<GImage:Data>" + base64.b64encode(THUMB) + b"</GImage:Data>"
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">L", len(text))
    return (
        segment(0xE1, head + struct.pack(">L", 200) + text[200:]),
        segment(0xE1, head + struct.pack(">L", 0) + text[:200]),
    )


XMP = b"<xmpGImg:image>" + base64.encodebytes(THUMB).replace(b"\n", b"&#xA;") + b"</xmpGImg:image>"
HEX = b"\nexif\n9\n" + (b"Exif\0\0" + with_thumbnail()).hex().encode()

FILES = {
    "EXIF IFD1 thumbnail": with_segments(PLAIN, exif_segment(with_thumbnail())),
    "EXIF IFD1 thumbnail ": with_segments(PLAIN, exif_segment(with_thumbnail(">"))),
    "EXIF IFD1 thumbnail  ": with_segments(PLAIN, exif_segment(uncompressed_thumbnail())),
    "EXIF": with_segments(PLAIN, exif_segment(block(exif=[(0x927C, 7, len(THUMB), THUMB)]))),
    "MPF picture 2": mpf(PLAIN),
    "XMP thumbnail": with_segments(PLAIN, xmp_segment(XMP)),
    "extended XMP": with_segments(PLAIN, *extended_xmp()),
    "Photoshop 8BIM 1036": with_segments(PLAIN, photoshop_segment(1036, bytes(28) + THUMB)),
    "bytes after EOI": PLAIN + THUMB,
    "JFIF thumbnail": PLAIN[:4] + b"\0\x16" + PLAIN[6:18] + b"\2\1abcdef" + PLAIN[20:],
    "JFXX": with_segments(PLAIN, segment(0xE0, b"JFXX\0\x10" + THUMB)),
    "JFXX ": with_segments(PLAIN, segment(0xE0, b"JFXX\0\x13\2\1abcdef")),
    "JFXX  ": with_segments(PLAIN, segment(0xE0, b"JFXX\0\x11\2\1" + bytes(768) + b"\1\2")),
    "APP9": with_segments(PLAIN, segment(0xE9, THUMB)),
    "JPEG comment": between_scans(saved("JPEG", progressive=True), segment(0xFE, THUMB)),
    "ICC profile": saved("JPEG", icc_profile=with_icc_tag(profile(), b"prev", THUMB)),
    "PNG chunk eXIf IFD1 thumbnail": with_chunks(saved("PNG"), chunk(b"eXIf", with_thumbnail())),
    "PNG chunk tEXt IFD1 thumbnail": with_chunks(
        saved("PNG"), chunk(b"tEXt", b"Raw profile type exif\0" + HEX)
    ),
    "PNG chunk zTXt": with_chunks(saved("PNG"), chunk(b"zTXt", b"x\0\0" + zlib.compress(XMP))),
    "PNG chunk iTXt": with_chunks(
        saved("PNG"), chunk(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(XMP)), last=True
    ),
    "PNG chunk iCCP": with_chunks(
        saved("PNG"), chunk(b"iCCP", b"x\0\0" + zlib.compress(profile() + THUMB))
    ),
    "PNG chunk prVw": with_chunks(saved("PNG"), chunk(b"prVw", THUMB)),
    "bytes after IEND": saved("PNG") + saved("PNG"),
    "WebP chunk EXIF IFD1 thumbnail": saved("WEBP", exif=with_thumbnail()),
    "WebP chunk XMP": saved("WEBP", xmp=XMP),
    "WebP chunk ABCD": riff((b"ABCD", THUMB), (b"VP8L", saved("WEBP", lossless=True)[20:])),
    "bytes after the WebP": saved("WEBP") + THUMB,
    "TIFF data": tiff_file("<", [(0xC001, 7, len(THUMB), THUMB)], bytes(128)),
    "BMP header": saved("BMP")[:10]
    + struct.pack("<L", 54 + len(THUMB))
    + saved("BMP")[14:54]
    + THUMB
    + saved("BMP")[54:],
    "bytes after the BMP": saved("BMP") + THUMB,
    "AVIF data": saved("AVIF", xmp=XMP),
}


@pytest.mark.parametrize("where", FILES)
def test_a_preview_is_named_decodes_and_is_gone_after_cleaning(where):
    previews = [each for each in embedded_previews(FILES[where]) if each.where == where.strip()]
    assert previews
    picture = Image.open(BytesIO(previews[0].data))
    picture.load()
    for policy in ("safe", "strip"):
        out = clean_metadata(FILES[where], policy)
        assert embedded_previews(out) == []
        assert THUMB not in out
    assert any(
        word in " ".join(metadata_findings(FILES[where]))
        for word in ("preview", "bytes", "data", "XMP", "other", "text", "comment", "Photoshop",
                     "maker note", "chunks", "EXIF")
    )  # fmt: skip


def test_a_directory_below_a_tiff_decodes():
    pixels = bytes(range(128))

    def build(place: int) -> bytes:
        return tiff_file(">", [(0x014A, 4, 1, struct.pack(">L", place))], bytes(128))

    start = len(build(0))
    below = tiff_file(">", [], pixels)
    strip = struct.pack(">L", below.index(pixels))
    moved = below.replace(strip, struct.pack(">L", below.index(pixels) - 8 + start))[8:]
    data = build(start) + moved
    found = [each for each in embedded_previews(data) if each.where == "TIFF SubIFD"]
    assert len(found) == 1
    assert Image.open(BytesIO(found[0].data)).tobytes() == pixels
    assert embedded_previews(clean_metadata(data)) == []


def test_a_further_tiff_page_is_found_although_cleaning_refuses():
    file = BytesIO()
    drawn().save(file, "TIFF", save_all=True, append_images=[drawn("L")])
    assert [each.where for each in embedded_previews(file.getvalue())] == ["TIFF directory 1"]


def test_a_thumbnail_item_of_an_avif_is_found_and_goes():
    data = avif_with_thumbnail()
    assert Image.open(BytesIO(data)).size == (48, 40)
    found = embedded_previews(data)
    assert [each.where for each in found] == ["AVIF thumbnail"]
    picture = Image.open(BytesIO(found[0].data))
    picture.load()
    assert picture.size == (16, 16)
    assert metadata_findings(data) == ("embedded preview (AVIF thumbnail)",)
    out = clean_metadata(data)
    assert embedded_previews(out) == []
    assert Image.open(BytesIO(out)).tobytes() == Image.open(BytesIO(data)).tobytes()


def avif_with_thumbnail() -> bytes:
    """Join two AVIF files into one, the second as a thumbnail of the first."""
    from veilset.metadata.avif_items import ItemWriter, picture_items, read_avif

    writer = ItemWriter()
    for number, size in ((1, (48, 40)), (2, (16, 16))):
        file = BytesIO()
        drawn(size=size).save(file, "AVIF")
        _, found, _ = read_avif(file.getvalue())
        item = found.items.pop(found.primary)
        item.item_id = found.primary = number
        found.items[number] = item
        assert picture_items(found) == {number}
        writer.add(found, item)
    writer.references.append((b"thmb", 2, (1,)))
    return writer.join([b"avif", b"mif1", b"miaf"], 1)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF"])
def test_plain_files_have_none(form):
    assert embedded_previews(saved(form)) == []


def test_a_lone_signature_is_listed_although_it_does_not_decode():
    found = embedded_previews(PLAIN + b"\xff\xd8\xff")
    assert len(found) == 1
    with pytest.raises(UnidentifiedImageError):
        Image.open(BytesIO(found[0].data))


def test_the_bytes_of_a_preview_are_not_shown():
    assert "\\xff" not in repr(embedded_previews(PLAIN + THUMB))


def test_a_broken_file_is_refused():
    with pytest.raises(DecodeError):
        embedded_previews(PLAIN[:-2])
