# SPDX-License-Identifier: Apache-2.0
"""TIFF: as many strips as the picture needs, and nothing behind what each of them decodes to."""

from __future__ import annotations

import lzma
import random
import struct
import sys
from collections.abc import Mapping
from io import BytesIO

import pytest
from PIL import Image

from tests.unit.metadata.samples import directory, opened, saved
from veilset.errors import DecodeError
from veilset.metadata.clean import clean_metadata, embedded_previews, metadata_findings
from veilset.metadata.tiff_tags import Field, read_directory, read_header

WIDTH, HEIGHT = 16, 8
FACE, SKY = bytes(range(128)), bytes(128)
JPEG = saved("JPEG", quality=60)
BITS, COMPRESSION, COLOUR, SAMPLES, ROWS, PLANES = 0x0102, 0x0103, 0x0106, 0x0115, 0x0116, 0x011C
TILE_WIDTH, TILE_HEIGHT = 0x0142, 0x0143


def shorts(tag: int, *values: int) -> tuple[int, int, int, bytes]:
    return tag, 3, len(values), struct.pack(f"<{len(values)}H", *values)


def longs(tag: int, *values: int) -> tuple[int, int, int, bytes]:
    return tag, 4, len(values), struct.pack(f"<{len(values)}L", *values)


def gray(
    strips: list[bytes],
    *more: tuple[int, int, int, bytes],
    tags: tuple[int, int] = (0x0111, 0x0117),
) -> bytes:
    """Write a gray TIFF of 16 x 8 pixels around any strips or tiles; ``more`` replaces tags."""
    places = [8 + sum(map(len, strips[:index])) for index in range(len(strips))]
    chosen = {
        entry[0]: entry
        for entry in (
            *(shorts(0x0100, WIDTH), shorts(0x0101, HEIGHT), shorts(BITS, 8)),
            *(shorts(COMPRESSION, 1), shorts(COLOUR, 1), shorts(SAMPLES, 1)),
            *(longs(tags[0], *places), longs(tags[1], *map(len, strips))),
            *more,
        )
    }
    start = 8 + sum(map(len, strips))
    head = b"II" + struct.pack("<HL", 42, start)
    return head + b"".join(strips) + directory("<", sorted(chosen.values()), start)


def fields_of(data: bytes) -> Mapping[int, Field]:
    header = read_header(data)
    found = read_directory(data, *header) if header else None
    assert found
    return found.fields


def reason_of(data: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        clean_metadata(data)
    return caught.value.reason


@pytest.mark.parametrize("compression", [1, 5, 7, 8, 32773, 34925, 50000, 2, 4])
@pytest.mark.parametrize("rows", [1, 4, HEIGHT, 100])
def test_more_strips_than_the_picture_needs_are_refused(rows, compression):
    # Pillow shows the last of too many strips, libtiff the first.
    n_needed = -(-HEIGHT // rows)
    data = gray([FACE] * n_needed + [SKY], shorts(ROWS, rows), shorts(COMPRESSION, compression))
    assert reason_of(data) == "unreadable"
    assert reason_of(gray([FACE] * (n_needed - 1), shorts(ROWS, rows))) == "unreadable"


def test_a_plane_too_many_is_refused():
    colours = (shorts(SAMPLES, 3), shorts(BITS, 8, 8, 8), shorts(COLOUR, 2), shorts(PLANES, 2))
    whole = gray([FACE, SKY, FACE], *colours)
    assert opened(clean_metadata(whole)).tobytes() == opened(whole).tobytes()
    assert reason_of(gray([FACE, SKY, FACE, SKY], *colours)) == "unreadable"
    assert reason_of(gray([FACE * 3], *colours)) == "unreadable"


def test_as_many_tiles_as_the_picture_needs_and_no_strips_beside_them():
    tiles = (0x0144, 0x0145)
    size = (shorts(TILE_WIDTH, 16), shorts(TILE_HEIGHT, 16))
    whole = gray([FACE * 2], *size, tags=tiles)
    assert opened(clean_metadata(whole)).tobytes() == opened(whole).tobytes()
    assert reason_of(gray([FACE * 2, SKY * 2], *size, tags=tiles)) == "unreadable"
    assert reason_of(gray([FACE * 2], tags=tiles)) == "unreadable"
    assert reason_of(gray([FACE], *size)) == "unreadable"
    both = (*size, longs(0x0111, 8), longs(0x0117, 128))
    assert reason_of(gray([FACE * 2], *both, tags=tiles)) == "unreadable"


@pytest.mark.parametrize("more", [
    [shorts(ROWS, 0)], [shorts(0x0100, 0)], [shorts(SAMPLES, 0)], [shorts(PLANES, 3)],
    [shorts(BITS, 0)], [shorts(BITS, 8, 4)],
])  # fmt: skip
def test_sizes_that_cannot_be_are_refused(more):
    assert reason_of(gray([FACE], *more)) == "unreadable"


def test_colours_at_half_the_size_take_what_they_need():
    # Four pixels of brightness and two of colour for each two by two.
    colours = (shorts(SAMPLES, 3), shorts(BITS, 8, 8, 8), shorts(COLOUR, 6))
    halves = shorts(0x0212, 2, 2)
    data = gray([bytes(192) + JPEG], *colours, halves)
    out = clean_metadata(data)
    assert JPEG not in out
    assert bytes(192) in out
    assert reason_of(gray([bytes(192)], *colours, shorts(0x0212, 3, 0))) == "unreadable"


def test_a_strip_too_many_is_searched_for_pictures():
    data = gray([FACE, JPEG], shorts(ROWS, HEIGHT))
    assert [each.where for each in embedded_previews(data)] == ["TIFF data"]


def test_an_ordinary_file_keeps_its_strips():
    for rows in (1, 3, HEIGHT):
        cut = [FACE[at : at + 16 * rows] for at in range(0, 128, 16 * rows)]
        data = gray(cut, shorts(ROWS, rows))
        out = clean_metadata(data)
        assert opened(out).tobytes() == FACE
        assert embedded_previews(out) == []
        assert fields_of(out)[0x0117].count == len(cut)


def palette(n_bits: int, colour: int, n_colours: int) -> bytes:
    row = WIDTH * n_bits // 8
    table = shorts(0x0140, *(0x5EC4 ^ i for i in range(3 * n_colours)))
    return gray([bytes(row * HEIGHT)], shorts(BITS, n_bits), shorts(COLOUR, colour), table)


@pytest.mark.parametrize("n_bits", [1, 4, 8])
def test_a_palette_stays_where_the_pixels_are_numbers_in_it(n_bits):
    data = palette(n_bits, 3, 1 << n_bits)
    out = clean_metadata(data)
    assert fields_of(out)[0x0140].count == 3 << n_bits
    assert opened(out).convert("RGB").tobytes() == opened(data).convert("RGB").tobytes()


@pytest.mark.parametrize("colour", [0, 1])
@pytest.mark.parametrize(("n_bits", "n_colours"), [(8, 256), (8, 40), (16, 1000), (16, 1 << 14)])
def test_a_palette_that_no_pixel_uses_goes(n_bits, n_colours, colour):
    data = palette(n_bits, colour, n_colours)
    out = clean_metadata(data)
    assert 0x0140 not in fields_of(out)
    assert metadata_findings(data) == ("unused palette",)
    assert opened(out).tobytes() == opened(data).tobytes()


@pytest.mark.parametrize(("n_bits", "n_colours"), [(8, 255), (8, 257), (4, 256)])
def test_a_palette_of_a_wrong_length_is_refused(n_bits, n_colours):
    assert reason_of(palette(n_bits, 3, n_colours)) == "unreadable"


def test_palettes_of_more_than_256_colours_are_refused():
    # Such a table is 393,216 bytes, of which a picture may use none.
    assert reason_of(gray([bytes(256)], shorts(BITS, 16), shorts(COLOUR, 3))) == "unsupported"
    two = (shorts(BITS, 8, 8), shorts(SAMPLES, 2), shorts(COLOUR, 3), shorts(0x0140, *[7] * 768))
    assert opened(clean_metadata(gray([FACE * 2], *two, shorts(0x0152, 2)))).mode == "PA"


COMPRESSIONS = ["tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate", "zstd", "lzma"]
FAX = ["group3", "group4", "tiff_ccitt"]


def with_tail(data: bytes, tail: bytes) -> bytes:
    """Put bytes behind the only strip of a TIFF, inside the length that is stated."""
    fields = dict(fields_of(data))
    order = "<" if data[:2] == b"II" else ">"
    (start,), (size,) = (fields[tag].integers(order) for tag in (0x0111, 0x0117))
    place = len(data) + len(data) % 2
    out = bytearray(data.ljust(place, b"\0") + data[start : start + size] + tail)
    (first,) = struct.unpack_from(f"{order}L", data, 4)
    for index in range(len(fields)):
        at = first + 2 + 12 * index
        (tag,) = struct.unpack_from(f"{order}H", data, at)
        if tag in (0x0111, 0x0117):
            value = place if tag == 0x0111 else size + len(tail)
            struct.pack_into(f"{order}HHLL", out, at, tag, 4, 1, value)
    return bytes(out)


def strip_of(data: bytes) -> bytes:
    order = "<" if data[:2] == b"II" else ">"
    (start,), (size,) = (fields_of(data)[tag].integers(order) for tag in (0x0111, 0x0117))
    return data[start : start + size]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1"])
def test_a_picture_behind_a_compressed_strip_goes(mode, compression):
    plain = saved("TIFF", mode, compression=compression, strip_size=1 << 20)
    data = with_tail(plain, JPEG)
    assert opened(data).tobytes() == opened(plain).tobytes()
    out = clean_metadata(data)
    assert JPEG not in out
    assert JPEG[:20] not in out
    assert strip_of(out) == strip_of(plain)
    assert out == clean_metadata(plain) == clean_metadata(out)
    assert metadata_findings(data) == ("bytes after a strip",)
    assert [each.where for each in embedded_previews(data)] == ["TIFF data"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compressed_data_of_another_number_of_rows_is_cut_or_refused(compression):
    plain = saved("TIFF", "L", compression=compression, strip_size=1 << 20)
    for height in (30, 50):
        changed = plain
        for tag in (0x0101, 0x0116):
            place = plain.index(struct.pack("<HHL", tag, 3, 1))
            changed = changed[: place + 8] + struct.pack("<L", height) + changed[place + 12 :]
        if height == 30 and compression in ("tiff_lzw", "packbits"):
            out = clean_metadata(changed)
            assert len(strip_of(out)) < len(strip_of(plain))
            assert opened(out).tobytes() == opened(plain).tobytes()[: 48 * 30]
        else:
            assert reason_of(changed) in ("truncated", "unreadable")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_damaged_compressed_data_is_refused(compression):
    plain = saved("TIFF", "L", compression=compression, strip_size=1 << 20)
    (start,), (size,) = (fields_of(plain)[tag].integers("<") for tag in (0x0111, 0x0117))
    for stop in range(0, size, 7):
        hole = plain[: start + stop] + bytes(size - stop) + plain[start + size :]
        try:
            out = clean_metadata(hole)
        except DecodeError:
            continue
        assert clean_metadata(out) == out
        assert stop > 1


@pytest.mark.parametrize("seed", range(40))
def test_lzw_of_any_length_is_copied_to_its_end_code(seed):
    rng = random.Random(seed)
    size = rng.choice(((1, 1), (253, 1), (254, 3), (300, 200), (765, 1), (640, 480)))
    size = (size[0] + rng.randrange(3), size[1])
    n_colours = rng.choice((1, 2, 16, 256))
    pixels = bytes(rng.randrange(n_colours) for _ in range(size[0] * size[1]))
    file = BytesIO()
    Image.frombytes("L", size, pixels).save(
        file, "TIFF", compression="tiff_lzw", strip_size=1 << 22
    )
    plain = file.getvalue()
    assert strip_of(clean_metadata(plain)) == strip_of(plain)
    assert strip_of(clean_metadata(with_tail(plain, JPEG))) == strip_of(plain)


def test_lzw_that_clears_its_table_all_the_time_ends():
    codes = "".join("100000000" + f"{byte:09b}" for byte in range(128))
    packed = int(codes, 2).to_bytes(len(codes) // 8, "big")
    data = gray([packed + b"\x80\x80"], shorts(COMPRESSION, 5))
    assert clean_metadata(data)
    wide = (shorts(0x0100, 60_000), shorts(ROWS, 8))
    assert reason_of(gray([packed * 2000], shorts(COMPRESSION, 5), *wide)) == "unreadable"


@pytest.mark.parametrize("colour", [0, 1])
@pytest.mark.parametrize("compression", FAX)
def test_fax_codes_are_written_anew(compression, colour):
    plain = saved("TIFF", "1", compression=compression, strip_size=1 << 20)
    place = plain.index(struct.pack("<HHL", COLOUR, 3, 1)) + 8
    plain = plain[:place] + struct.pack("<H", colour) + plain[place + 2 :]
    data = with_tail(plain, JPEG)
    out = clean_metadata(data)
    assert JPEG[:20] not in out
    assert out == clean_metadata(plain) == clean_metadata(out)
    assert opened(out).tobytes() == opened(plain).tobytes()
    assert metadata_findings(plain) == ("fax codes",)
    assert embedded_previews(out) == []


def test_fax_codes_in_several_strips_stay_several_strips():
    data = saved("TIFF", "1", compression="group4", strip_size=60)
    out = clean_metadata(data)
    assert fields_of(out)[0x0117].count == fields_of(data)[0x0117].count > 1
    assert opened(out).tobytes() == opened(data).tobytes()


@pytest.mark.parametrize("compression", [0, 9, 32766, 32809, 34661, 34712, 34887, 50001, 50002])
def test_compressions_that_cannot_be_judged_are_refused(compression):
    assert reason_of(gray([FACE], shorts(COMPRESSION, compression))) == "unsupported"


def test_compressed_data_with_bits_turned_round_is_refused():
    turned = (shorts(COMPRESSION, 32773), shorts(0x010A, 2))
    assert reason_of(gray([b"\x7f" + FACE], *turned)) == "unsupported"
    assert clean_metadata(gray([FACE], shorts(0x010A, 2)))


def channels(colour: int, n_samples: int, *more: tuple[int, int, int, bytes]) -> bytes:
    size = (shorts(COLOUR, colour), shorts(SAMPLES, n_samples), shorts(BITS, *[8] * n_samples))
    return gray([FACE * n_samples], *size, *more)


@pytest.mark.parametrize(("colour", "n_samples"), [(0, 2), (1, 2), (2, 4), (5, 5), (6, 4)])
@pytest.mark.parametrize("extra", [(), (0,), (3,), (2, 0), (0, 2)])
def test_samples_that_are_no_alpha_are_refused(extra, colour, n_samples):
    # Viewers leave them out: a whole picture would lie there that few see.
    more = [shorts(0x0152, *extra)] if extra else []
    if (colour, extra) == (2, ()):  # four samples of which nothing is said are read as RGBA
        assert clean_metadata(channels(colour, n_samples))
        return
    assert reason_of(channels(colour, n_samples, *more)) == "unsupported"


@pytest.mark.parametrize(("colour", "n_samples"), [(1, 2), (2, 4), (5, 5)])
def test_one_alpha_is_kept(colour, n_samples):
    for kind in (1, 2):
        out = clean_metadata(channels(colour, n_samples, shorts(0x0152, kind)))
        assert fields_of(out)[0x0152].raw == bytes((kind, 0))
        assert FACE * n_samples in out
        two = channels(colour, n_samples + 1, shorts(0x0152, kind, kind))
        assert reason_of(two) == "unsupported"


def test_what_is_said_of_samples_that_are_not_there_goes():
    assert 0x0152 not in fields_of(clean_metadata(channels(2, 3, shorts(0x0152, *[7] * 9))))
    assert reason_of(channels(2, 2)) == "unreadable"
    assert reason_of(channels(32803, 1)) == "unsupported"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_sizes_beyond_any_memory_are_refused(compression):
    data = saved("TIFF", compression=compression, strip_size=1 << 30)
    largest = (1 << 32) - 1
    for width, height in ((largest, 400), (largest, largest)):
        fields = dict(fields_of(data))
        size = (longs(0x0100, width), longs(0x0101, height), longs(ROWS, largest))
        entries = {tag: (tag, each.type, each.count, each.raw) for tag, each in fields.items()}
        entries |= {entry[0]: entry for entry in size}
        start = len(data) + len(data) % 2
        head = data[:4] + struct.pack("<L", start) + data[8:].ljust(start - 8, b"\0")
        large = head + directory("<", sorted(entries.values()), start)
        assert reason_of(large) == "truncated"
        assert embedded_previews(large) == []


def test_lzma_of_a_giant_window_is_refused():
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": (1 << 30) + (1 << 29)}]
    strip = lzma.compress(FACE, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    assert reason_of(gray([strip], shorts(COMPRESSION, 34925))) == "unreadable"
    largest = lzma.compress(FACE, preset=9 | lzma.PRESET_EXTREME)
    assert clean_metadata(gray([largest], shorts(COMPRESSION, 34925)))


def test_a_python_without_lzma_refuses_what_is_compressed_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "lzma", None)
    assert reason_of(gray([FACE], shorts(COMPRESSION, 34925))) == "unsupported"
