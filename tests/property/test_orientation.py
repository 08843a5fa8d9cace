# SPDX-License-Identifier: Apache-2.0
"""Whatever EXIF says of the orientation: what was searched is what is published."""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.unit.metadata.samples import (
    chunk,
    drawn,
    exif_segment,
    riff,
    saved,
    segment,
    tiff_file,
    with_chunks,
    with_segments,
)
from veilset.errors import DecodeError
from veilset.images.decode import decode_image
from veilset.images.encode import replace_pixels
from veilset.metadata.clean import POLICIES, clean_metadata

FORMS = {1: "B", 2: "s", 3: "H", 4: "L", 6: "b", 7: "s", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L"}
MAGICS = [b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+"]
PLAIN = st.sampled_from(MAGICS[:2])
VALUES = st.integers(0, 9)
TURNED = struct.pack(">4sLHHHLHHL", b"MM\0*", 8, 1, 0x0112, 3, 1, 3, 0, 0)


def values(order: str, kind: int, count: int, value: int) -> bytes:
    if kind in (5, 10):
        return struct.pack(f"{order}LL", value, 1) * count
    if FORMS.get(kind, "s") == "s":
        return bytes([value]) * count
    return struct.pack(f"{order}{count}{FORMS[kind]}", *([value] * count))


@st.composite
def entries(draw: st.DrawFn, order: str) -> tuple[int, int, int, bytes]:
    """One statement of an orientation, plain in half of the cases."""
    kind, count = draw(st.one_of(st.just((3, 1)), st.tuples(st.integers(0, 14), st.integers(0, 3))))
    return 0x0112, kind, count, values(order, kind, count, draw(VALUES))


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    """An EXIF block with zero to three statements of an orientation."""
    magic = draw(st.one_of(PLAIN, st.sampled_from(MAGICS)))
    order = "<" if magic[:1] == b"I" else ">"
    found = draw(st.lists(entries(order), max_size=3))
    start = draw(st.sampled_from([8, 8, 8, 0, 10, 4000]))
    place = 8 + 2 + 12 * len(found) + 4
    head, tail = struct.pack(f"{order}H", len(found)), b""
    for tag, kind, count, value in found:
        head += struct.pack(f"{order}HHL", tag, kind, count)
        if len(value) > 4:
            head += struct.pack(f"{order}L", place + len(tail))
            tail += value
        else:
            head += value.ljust(4, b"\0")
    return magic + struct.pack(f"{order}L", start) + head + bytes(4) + tail


MARKS = st.integers(0, 2).map(lambda n: b"Exif\0\0" * n)
MARKED = st.tuples(st.one_of(st.just(b""), MARKS), blocks()).map(b"".join)


@st.composite
def jpegs(draw: st.DrawFn) -> bytes:
    """A JPEG with its EXIF whole, repeated, split in two or behind the first scan."""
    block = draw(MARKED)
    cut = draw(st.integers(0, len(block)))
    parts = draw(
        st.sampled_from([[block], [block, TURNED], [block[:cut], block[cut:]], [b"", block]])
    )
    data = saved("JPEG", progressive=True)
    extra = [exif_segment(part) for part in parts]
    if draw(st.booleans()):
        return with_segments(data, *extra)
    second = data.index(b"\xff\xc4", data.index(b"\xff\xda"))
    return data[:second] + extra[0] + data[second:]


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """A PNG with one or two EXIF chunks, before or behind its pixels."""
    chunks = [chunk(b"eXIf", each) for each in draw(st.lists(MARKED, min_size=1, max_size=2))]
    return with_chunks(saved("PNG"), *chunks, last=draw(st.booleans()))


@st.composite
def webps(draw: st.DrawFn) -> bytes:
    """A WebP with EXIF, announced or not, with and without its extended header."""
    plain = saved("WEBP", lossless=True)
    (size,) = struct.unpack_from("<L", plain, 16)
    flags = draw(st.sampled_from([8, 8, 0, 4, 0x2C & ~0x20]))
    extended = bytes([flags, 0, 0, 0]) + struct.pack("<HBHB", 47, 0, 39, 0)
    chunks = [(b"VP8L", plain[20 : 20 + size]), (b"EXIF", draw(MARKED))]
    if draw(st.booleans()):
        chunks.reverse()
    place = draw(st.sampled_from([0, 0, 0, 1, 2, None]))
    if place is not None:
        chunks.insert(place, (b"VP8X", extended))
    return riff(*chunks)


@st.composite
def tiffs(draw: st.DrawFn) -> bytes:
    """A TIFF with zero to three statements of an orientation."""
    order = draw(st.sampled_from("<>"))
    found = draw(st.lists(entries(order), max_size=3))
    return tiff_file(order, found, bytes(range(128)))


@cache
def avif(turned: int) -> tuple[bytes, bytes]:
    """An AVIF of a stated orientation, and the EXIF block in it, which has none."""
    exif = Image.Exif()
    exif[0x9286] = b"P" * 120
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    exif[0x0112] = turned
    data = saved("AVIF", exif=exif)
    assert data.count(block) == 1
    return data, block


@st.composite
def avifs(draw: st.DrawFn) -> bytes:
    """An AVIF of which the EXIF contradicts the property that turns it, or does not."""
    data, block = avif(draw(st.integers(1, 8)))
    return data.replace(block, draw(blocks()).ljust(len(block), b"\0")[: len(block)])


def shown(data: bytes) -> np.ndarray:
    """The picture as a viewer shows it that heeds EXIF, by Pillow alone."""
    with Image.open(BytesIO(data)) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


# Pillow warns of tags that are not as they should be.
@pytest.mark.filterwarnings("ignore")
@given(st.one_of(jpegs(), pngs(), webps(), tiffs(), avifs()), st.sampled_from(POLICIES))
def test_the_published_picture_is_the_one_that_was_searched(data, policy):
    try:
        searched, info = decode_image(data)
        out = clean_metadata(data, policy)
    except DecodeError:
        assume(False)
    published, info_after = decode_image(out)
    np.testing.assert_array_equal(published, searched)
    assert info_after == info
    np.testing.assert_array_equal(shown(out), searched)


# Pillow warns as above.
@pytest.mark.filterwarnings("ignore")
@given(st.one_of(jpegs(), pngs(), webps(), tiffs(), avifs()), st.sampled_from(POLICIES))
def test_a_touched_picture_keeps_the_turn_that_was_searched(data, policy):
    try:
        searched, info = decode_image(data)
        hidden = searched.copy()
        hidden[:4, :4] = 0
        out = clean_metadata(replace_pixels(data, hidden, np.array([[0, 0, 4, 4]])), policy)
    except DecodeError:
        assume(False)
    published, info_after = decode_image(out)
    assert info_after == info
    np.testing.assert_array_equal(shown(out), published)
    if info.lossless:
        np.testing.assert_array_equal(published, hidden)
    else:
        # Wrongly turned, a gradient is far off everywhere.
        assert np.abs(published[8:].astype(int) - searched[8:]).mean() < 12


def test_odd_orientations_are_shown_as_they_were_searched():
    """A face stored upside down, whose EXIF says so in a form that decoders pass by."""
    odd = struct.pack(">4sLHHHLhHL", b"MM\0*", 8, 1, 0x0112, 8, 1, 3, 0, 0)
    data = with_segments(saved("JPEG"), exif_segment(odd))
    assert decode_image(data)[1].orientation == 1
    assert clean_metadata(data) == clean_metadata(saved("JPEG"))
    second = with_segments(saved("JPEG"), exif_segment(odd), segment(0xE1, b"Exif\0\0" + TURNED))
    assert clean_metadata(second) == clean_metadata(saved("JPEG"))
    assert drawn().size == (48, 40)


def test_a_tiff_that_readers_turn_in_two_ways_is_refused():
    turned = tiff_file(">", [(0x0112, 11, 1, struct.pack(">f", 6))], bytes(range(128)))
    with pytest.raises(DecodeError, match="orientation") as caught:
        decode_image(turned)
    assert caught.value.reason == "unsupported"
