# SPDX-License-Identifier: Apache-2.0
"""Tables that no scan uses are bytes that no picture needs: they go, the others stay."""

from __future__ import annotations

import random
import struct
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.TiffImagePlugin import TiffImageFile

from tests.unit.metadata.samples import drawn, opened, saved, segment
from veilset.errors import DecodeError
from veilset.images.decode import decode_image
from veilset.metadata.clean import clean_metadata, metadata_findings

DQT, DRI, DHT = 0xDB, 0xDD, 0xC4
NOISE = random.Random(3).randbytes(4000)


def huffman(slot: int, symbols: bytes) -> bytes:
    """Define a Huffman table of codes of 16 bits."""
    return segment(DHT, bytes([slot]) + bytes(15) + bytes([len(symbols)]) + symbols)


def quantisation(slot: int, values: bytes) -> bytes:
    wide = len(values) > 64
    return segment(DQT, bytes([0x10 * wide | slot]) + values)


def before(data: bytes, marker: bytes, extra: bytes) -> bytes:
    place = data.index(marker)
    return data[:place] + extra + data[place:]


def check_gone(data: bytes, plain: bytes) -> None:
    assert data != plain
    assert clean_metadata(data) == plain
    assert metadata_findings(data) == ("unused JPEG tables",)
    np.testing.assert_array_equal(decode_image(data)[0], decode_image(plain)[0])


@pytest.mark.parametrize("options", [
    {}, {"progressive": True}, {"restart_marker_blocks": 2}, {"optimize": True},
])  # fmt: skip
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_preview_in_tables_that_are_defined_again_is_gone(options, mode):
    file = BytesIO()
    drawn(size=(96, 96)).save(file, "JPEG", quality=60)
    preview = file.getvalue()
    pieces = [preview[i : i + 255] for i in range(0, len(preview), 255)]
    plain = saved("JPEG", mode, **options)
    for slot in (0x00, 0x10, 0x13, 0x03):
        hidden = b"".join(huffman(slot, piece) for piece in pieces)
        check_gone(before(plain, b"\xff\xdb", hidden), plain)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_quantisation_tables_and_restarts_that_no_scan_uses_go(options):
    plain = saved("JPEG", **options)
    hidden = [
        *(quantisation(0, NOISE[i : i + 64]) for i in range(0, 640, 64)),
        quantisation(3, NOISE[:64]),
        quantisation(2, NOISE[:128]),
        *(segment(DRI, NOISE[i : i + 2]) for i in range(0, 40, 2)),
        segment(DRI, b"\0\0"),
    ]
    check_gone(before(plain, b"\xff\xdb", b"".join(hidden[:-21])), plain)
    cleaned = clean_metadata(before(plain, b"\xff\xdb", b"".join(hidden)))
    assert cleaned == before(plain, b"\xff\xdb", hidden[-1])


def test_tables_behind_the_last_scan_go():
    plain = saved("JPEG")
    hidden = huffman(0, NOISE[:200]) + quantisation(0, NOISE[:64]) + segment(DRI, b"ab")
    check_gone(plain[:-2] + hidden + plain[-2:], plain)


def test_a_quantisation_table_behind_the_first_scan_of_its_component_goes():
    plain = saved("JPEG", progressive=True)
    second = plain.index(b"\xff\xc4", plain.index(b"\xff\xda"))
    check_gone(plain[:second] + quantisation(0, NOISE[:64]) + plain[second:], plain)


def test_gray_with_the_four_standard_tables_loses_two_of_them():
    """As files of cameras and videos have them; two in a segment, and each in its own."""
    colour, gray = saved("JPEG"), saved("JPEG", "L")
    tables = colour[colour.index(b"\xff\xc4") : colour.index(b"\xff\xda")]
    own = gray[gray.index(b"\xff\xc4") : gray.index(b"\xff\xda")]
    joined, place = b"", 0
    while place < len(tables):
        (size,) = struct.unpack_from(">H", tables, place + 2)
        joined += tables[place + 4 : place + 2 + size]
        place += 2 + size
    for four in (tables, segment(DHT, joined)):
        data = gray.replace(own, four)
        out = clean_metadata(data)
        assert len(out) < len(data)
        assert metadata_findings(data) == ("unused JPEG tables",)
        assert opened(out).tobytes() == opened(gray).tobytes()
        assert clean_metadata(out) == out


def test_a_file_without_huffman_tables_stays_as_it_is():
    """Frames of videos leave the standard tables out; decoders know them."""
    data = saved("JPEG")
    tables = data[data.index(b"\xff\xc4") : data.index(b"\xff\xda")]
    bare = data.replace(tables, b"")
    assert clean_metadata(bare) == bare
    np.testing.assert_array_equal(decode_image(bare)[0], decode_image(data)[0])


def test_a_table_in_use_that_gives_a_symbol_two_codes_is_refused():
    data = saved("JPEG", "L")
    at = data.index(b"\xff\xc4") + 4
    assert data[at] == 0
    n_symbols = sum(data[at + 1 : at + 17])
    longer = bytearray(data[at : at + 17 + n_symbols]) + data[at + 17 : at + 18]
    longer[16] += 1
    rest = data[at + 17 + n_symbols :]
    broken = data[: at - 4] + segment(DHT, bytes(longer)) + rest
    with pytest.raises(DecodeError, match="several codes") as caught:
        clean_metadata(broken)
    assert caught.value.reason == "unreadable"


def test_shared_tables_of_a_tiff_lose_what_no_strip_uses():
    file = BytesIO()
    drawn().save(file, "TIFF", compression="jpeg")
    plain = clean_metadata(file.getvalue())
    with TiffImageFile(BytesIO(plain)) as picture:
        tables = picture.tag_v2[347]
    hidden = huffman(0x13, NOISE[:250]) + huffman(0, NOISE[:250])
    with_more = tables[:2] + hidden + tables[2:]
    place = plain.index(tables)
    # The directory lies in front of its values: the new table goes to the end of the file.
    entry = plain.index(struct.pack("<HHLL", 347, 7, len(tables), place))
    moved = struct.pack("<HHLL", 347, 7, len(with_more), len(plain))
    data = plain[:entry] + moved + plain[entry + 12 :] + with_more
    assert opened(data).tobytes() == opened(plain).tobytes()
    assert clean_metadata(data) == plain
    assert "unused JPEG tables" in metadata_findings(data)


@given(st.data())
def test_tables_anywhere_leave_the_picture_as_it_is(data):
    options = data.draw(st.sampled_from([{}, {"progressive": True}, {"optimize": True}]))
    plain = saved("JPEG", data.draw(st.sampled_from(["L", "RGB"])), **options)
    parts = [plain]
    for _ in range(data.draw(st.integers(1, 4))):
        last = parts.pop()
        marks = [i for i in range(2, len(last)) if last[i : i + 2] in (b"\xff\xdb", b"\xff\xc4")]
        place = data.draw(st.sampled_from([2, *marks]))
        slot = data.draw(st.sampled_from([0, 1, 2, 3, 0x10, 0x11, 0x13]))
        extra = data.draw(st.sampled_from([
            huffman(slot, NOISE[:100]), quantisation(slot & 3, bytes(range(1, 65))),
        ]))  # fmt: skip
        parts.append(last[:place] + extra + last[place:])
    try:
        shown = decode_image(parts[-1])[0]
        out = clean_metadata(parts[-1])
    except DecodeError:
        return
    np.testing.assert_array_equal(decode_image(out)[0], shown)
    assert clean_metadata(out) == out
