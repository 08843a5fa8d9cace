# SPDX-License-Identifier: Apache-2.0
"""What begins like a picture, and what only begins a little like one."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct

import numpy as np
import pytest
from PIL import Image as PillowImage

from veilset.images.first_bytes import HEAD_BYTES, is_known_by_two_bytes, looks_like_a_picture


def drawn(form: str, mode: str = "RGB", side: int = 48, **options: object) -> bytes:
    ramp = np.add.outer(np.arange(side), 2 * np.arange(side)).astype(np.uint8)
    sink = io.BytesIO()
    PillowImage.fromarray(ramp).convert(mode).save(sink, form, **options)
    return sink.getvalue()


WRITTEN = {
    "JPEG": drawn("JPEG"), "PNG": drawn("PNG"), "GIF": drawn("GIF"), "WEBP": drawn("WEBP"),
    "TIFF": drawn("TIFF"), "BigTIFF": drawn("TIFF", big_tiff=True), "BMP": drawn("BMP"),
    "BMP of a palette": drawn("BMP", "P"), "AVIF": drawn("AVIF"), "JPEG 2000": drawn("JPEG2000"),
    "code stream": drawn("JPEG2000", no_jp2=True), "ICO": drawn("ICO"), "ICNS": drawn("ICNS"),
    "ICO of BMP": drawn("ICO", bitmap_format="bmp"), "PPM": drawn("PPM"), "PGM": drawn("PPM", "L"),
    "PBM": drawn("PPM", "1"), "PFM": drawn("PPM", "F"), "PCX": drawn("PCX"),
    "PCX of greys": drawn("PCX", "L"), "PCX of bits": drawn("PCX", "1"), "TGA": drawn("TGA"),
    "TGA of greys": drawn("TGA", "L"), "TGA of a palette": drawn("TGA", "P"),
    "packed TGA": drawn("TGA", "RGBA", compression="tga_rle"), "SGI": drawn("SGI"),
    "SGI of greys": drawn("SGI", "L"), "DDS": drawn("DDS"), "QOI": drawn("QOI"),
    "MPO": drawn("MPO"),
}  # fmt: skip


def boxed(brand: bytes, *others: bytes) -> bytes:
    size = struct.pack(">I", 16 + 4 * len(others))
    return size + b"ftyp" + brand + bytes(4) + b"".join(others) + bytes(40)


STUBS = [
    b"P1\n2 1\n1 0\n", b"P2 # made by hand\n1 1 255 7", b"P3\n#\n1 1\n255\n1 2 3",
    b"P5\t1 1 255\n\0",
    b"P6\n# " + b"words " * 200 + b"\n1 1 255\nabc", b"P7\nWIDTH 1\nHEIGHT 1\n",
    b"8BPS\0\1" + bytes(40), b"8BPS\0\2" + bytes(40), b"8BPS" + bytes(40),
    b"\xff\x0a\xfa\x1f\x01\x90" + bytes(40), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40),
    b"MM\0+\0\x08\0\0", b"II*\0\x10\0\0\0" + bytes(40), b"\xff\xd8\xff\xee\0\x0e",
    b"\xff\xd8\xff\xff\xe0\0\x10",
    *(boxed(each) for each in (b"avif", b"miaf", b"heim", b"heis", b"hevc", b"jpeg", b"crx ")),
    boxed(b"isom", b"iso6", b"avif"), boxed(b"mp42", b"mif1"), b"\0\0\0\1ftyp" + bytes(8) + b"heic",
    b"\0\0\2\0\1\0\x20\x20\0\0\1\0\1\0\x30\x01\0\0\x16\0\0\0\x28\0\0\0",
    b"\x76\x2f\x31\x01\2\0\0\0",
    b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", b"farbfeld\0\0\0\1\0\0\0\1", b"FUJIFILMCCD-RAW 0201",
    b"IIRO\x08\0\0\0", b"IIRS\x08\0\0\0", b"MMOR\0\0\0\x08", b"gimp xcf file\0", b"gimp xcf v011\0",
    b"IIU\0\x18\0\0\0", b"BA" + bytes(12) + b"BM" + bytes(12) + b"\x28\0\0\0",
    bytes(128) + b"DICM\2\0", b"FORM\0\0\0\x40ILBMBMHD",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xef\xbb\xbf <?xml version='1.0'?>\n<svg>",
    b"<!-- a > b --><!DOCTYPE svg [<!ENTITY a 'b'>]>\n<svg:svg>", "<?xml?><SVG >".encode("utf-16"),
]  # fmt: skip

NO_PICTURES = [
    b"", b"P1", b"P1\n", b"P6", b"P1 of 2", b"P2 3", b"P1\n7 9\n", b"P5 is a protein", b"P7 rules",
    b"P3 4 5 6 cats", b"BM", b"BM 12 is the name of a road", b"BMW", b"II", b"II.", b"GIF", b"MM",
    b"RIFF\0\0\0\0WAVEfmt ", boxed(b"isom", b"iso2", b"mp41"), boxed(b"M4A "), boxed(b"qt  "),
    b"{}", b"[1, 2]", json.dumps({"svg": "<svg>"}).encode(), b"a caption with <svg> in it",
    b"<html><body><svg></svg></body></html>", b"<?xml version='1.0'?><annotation><folder>",
    b"<annotation/>", b"<!--", b"<!DOCTYPE", b"\0", b"0", b"7\n", bytes(600), b"\xff" * 600,
    b"\x01" * 600, b"\n" * 600, b"\x0a\5\1\x08", b"farb", b"DDS is a kind of texture",
    b"qoif is one, too", b"MMORPG, fantasy", b"IIRO and IIRS", b"IIRS, a union", b"farbfeldmalerei",
    b"gimp xcf files of a course", b"8BPS is their mark", b"8BPS", b"icns", b"FORM 8 IS DUE",
    pickle.dumps([1, 2]), b"FF 0A",
    np.arange(2815, 3000, dtype="<i4").tobytes(), np.array([65536, 131072] * 9, "<i4").tobytes(),
    np.array([131072, 5] * 9, "<i8").tobytes(), np.linspace(-1, 1, 200, dtype="<f4").tobytes(),
]  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_what_programs_write_is_told(name: str) -> None:
    data = WRITTEN[name]
    assert looks_like_a_picture(data)
    assert looks_like_a_picture(data[:HEAD_BYTES], len(data))


@pytest.mark.parametrize("head", STUBS)
def test_what_begins_like_one_is_told(head: bytes) -> None:
    assert looks_like_a_picture(head)
    assert looks_like_a_picture(head[:HEAD_BYTES], 5000)


@pytest.mark.parametrize("head", NO_PICTURES)
def test_words_and_numbers_are_no_pictures(head: bytes) -> None:
    assert not looks_like_a_picture(head)
    assert not looks_like_a_picture(head, max(1, len(head)))


def test_arrays_as_numpy_writes_them_are_no_pictures() -> None:
    sink = io.BytesIO()
    np.save(sink, np.arange(12))
    assert not looks_like_a_picture(sink.getvalue())


def test_short_marks_among_numbers_need_more() -> None:
    for head in (b"II*\0abcd", b"MM\0*" + bytes(60), b"\xff\xd8\xff\0\0\0", b"II+\0" + bytes(12)):
        assert looks_like_a_picture(head)
        assert not looks_like_a_picture(head, len(head))
    assert is_known_by_two_bytes(b"\xff\x0a\xfa\x1f")
    assert not is_known_by_two_bytes(b"\xff\xd8\xff\xe0")


def test_random_values_are_hardly_ever_taken_for_pictures() -> None:
    chance = random.Random(4)
    values = [chance.randbytes(64) for _ in range(100_000)]
    found = [each for each in values if looks_like_a_picture(each, 64)]
    assert all(map(is_known_by_two_bytes, found))
    assert len(found) < 10
    bytes_of_classes = [bytes(chance.choices(range(4), k=600)) for _ in range(20_000)]
    assert sum(map(looks_like_a_picture, bytes_of_classes)) <= 2


def test_labels_of_two_bytes_are_hardly_ever_taken_for_pictures() -> None:
    chance = np.random.default_rng(4)
    values = [chance.integers(0, 40, 48).astype("<i2").tobytes() for _ in range(20_000)]
    assert sum(looks_like_a_picture(each, len(each)) for each in values) <= 1


@pytest.mark.parametrize("bitmap", [{}, {"bitmap_format": "bmp"}])
@pytest.mark.parametrize("n_sizes", [1, 40])
def test_icons_of_few_and_many_sizes(bitmap: dict[str, str], n_sizes: int) -> None:
    sizes = [(side, side) for side in range(8, 8 + n_sizes)]
    data = drawn("ICO", "RGBA", side=64, sizes=sizes, **bitmap)
    assert looks_like_a_picture(data[:HEAD_BYTES], len(data))
