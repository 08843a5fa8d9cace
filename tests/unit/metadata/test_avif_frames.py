# SPDX-License-Identifier: Apache-2.0
"""AVIF: one shown frame in each item, one alpha, as many tiles as the grid has."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO

import pytest

from tests.unit.metadata.refusals import refusal
from tests.unit.metadata.samples import drawn, opened, profile, saved
from veilset.metadata.avif_items import ItemWriter, read_avif
from veilset.metadata.clean import clean_metadata, embedded_previews
from veilset.metadata.isobmff import Item, box_bytes

DELIMITER, SEQUENCE, FRAME_HEADER, TILES, METADATA, FRAME, REPEATED = 2, 1, 3, 4, 5, 6, 7


def units(stream: bytes) -> list[tuple[int, bytes]]:
    """Take an AV1 stream of units that state their length apart, kind and payload."""
    found, place = [], 0
    while place < len(stream):
        kind, size, shift = stream[place] >> 3 & 15, 0, 0
        while True:
            place += 1
            size |= (stream[place] & 127) << shift
            shift += 7
            if stream[place] < 128:
                break
        found.append((kind, stream[place + 1 : place + 1 + size]))
        place += 1 + size
    return found


def unit(kind: int, payload: bytes) -> bytes:
    size, length = len(payload), b""
    while size > 127:
        length, size = length + bytes((size & 127 | 128,)), size >> 7
    return bytes((kind << 3 | 2,)) + length + bytes((size,)) + payload


def with_stream(change: Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]) -> bytes:
    """Give an AVIF of one item whose units are changed."""
    _, found, _ = read_avif(saved("AVIF"))
    item = found.items[found.primary]
    writer = ItemWriter()
    writer.add(found, item)
    writer.items[0].data = b"".join(unit(*each) for each in change(units(item.data)))
    return writer.join([b"avif", b"mif1", b"miaf"], found.primary)


def turned() -> list[tuple[int, bytes]]:
    """Give the units of another picture of the same size."""
    file = BytesIO()
    drawn().rotate(180).save(file, "AVIF")
    _, found, _ = read_avif(file.getvalue())
    return units(found.items[found.primary].data)


def test_the_units_of_an_ordinary_file_are_kept():
    plain = with_stream(lambda each: each)
    assert [kind for kind, _ in units(read_avif(plain)[1].items[1].data)] == [2, 1, 6]
    assert clean_metadata(plain) == plain
    assert opened(plain).tobytes() == opened(saved("AVIF")).tobytes()
    assert embedded_previews(plain) == []


@pytest.mark.parametrize("further", [
    lambda: turned(),  # a whole second picture
    lambda: turned()[1:],
    lambda: turned()[2:],  # its frame alone
    lambda: [(SEQUENCE, turned()[1][1])],
    lambda: [(DELIMITER, b"")],
    lambda: [(FRAME_HEADER, turned()[2][1][:9]), (TILES, turned()[2][1][9:])],
    lambda: [(FRAME_HEADER, b"\x80")],  # shows a frame that was decoded before
    lambda: [(TILES, turned()[2][1])],
])  # fmt: skip
def test_what_follows_the_frame_is_refused(further):
    data = with_stream(lambda each: each + further())
    assert refusal(data) == "unsupported"
    assert [each.where for each in embedded_previews(data)] == ["AVIF stream"]


@pytest.mark.parametrize("change", [
    lambda each: turned()[2:] + each,
    lambda each: [each[0], each[1], each[1], each[2]],
    lambda each: [each[0], each[0], *each[1:]],
    lambda each: [(DELIMITER, saved("JPEG")), *each[1:]],
    lambda each: [each[0], (SEQUENCE, each[1][1] + saved("JPEG")), each[2]],
    lambda each: each[:2],
    lambda each: [each[0], each[2]],
    lambda each: [*each[:2], (TILES, each[2][1])],
    lambda each: [*each[:2], (FRAME_HEADER, each[2][1])],
    lambda each: [*each[:2], (FRAME, b"")],
    lambda _: [],
])  # fmt: skip
def test_units_in_another_order_or_number_are_refused(change):
    assert refusal(with_stream(change)) == "unsupported"


@pytest.mark.parametrize(("first", "is_kept"), [
    (0b00010000, True),  # a key frame that is shown
    (0b00000000, False),  # one that is not shown
    (0b10000000, False),  # one that was decoded before
    (0b00110000, False),  # a frame that needs others
    (0b01010000, False),
])  # fmt: skip
def test_frames_of_a_long_header_have_to_be_shown_key_frames(first, is_kept):
    def change(each: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        # The header of the sequence says no longer that it is short.
        head = bytes((each[1][1][0] & ~8,)) + each[1][1][1:]
        return [each[0], (SEQUENCE, head), (FRAME, bytes((first,)) + each[2][1][1:])]

    data = with_stream(change)
    if is_kept:
        assert clean_metadata(data) == data
    else:
        assert refusal(data) == "unsupported"


def test_a_frame_in_several_units_is_kept():
    def change(each: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        frame = each[2][1]
        return [*each[:2], (FRAME_HEADER, frame[:9]), (TILES, frame[9:40]), (TILES, frame[40:])]

    data = with_stream(change)
    assert clean_metadata(data) == data


def test_metadata_and_repeated_headers_go():
    plain = with_stream(lambda each: each)
    extra = [(METADATA, b"\4" + bytes(30)), (15, bytes(30)), (REPEATED, bytes(30)), (8, bytes(30))]
    dirty = with_stream(lambda each: [*each[:2], *extra, each[2], *extra])
    assert clean_metadata(dirty) == plain
    light = (METADATA, b"\1\3\xe8\1\x90\x80")
    assert clean_metadata(with_stream(lambda each: [*each[:2], light, each[2]])) != plain


def assembled(n_alphas: int, n_tiles: int, n_listed: int = 4) -> bytes:
    """Write an AVIF of a grid of two by two tiles, or what calls itself so, and alphas."""
    _, tile, _ = read_avif(saved("AVIF"))
    _, other, _ = read_avif(saved("AVIF", "RGBA"))
    writer = ItemWriter()
    grid = Item(1, b"grid", bytes((0, 0, 1, 1)) + struct.pack(">HH", 96, 80))
    writer.items.append(grid)
    writer.properties[struct.pack(">L4sLLL", 20, b"ispe", 0, 96, 80)] = 0
    grid.properties = [(0, True)]
    for number in range(2, 2 + n_tiles):
        writer.add(tile, Item(number, b"av01", tile.items[1].data, tile.items[1].properties))
    (alpha,) = (to for kind, to, _ in other.references if kind == b"auxl")
    for number in range(50, 50 + n_alphas):
        source = other.items[alpha]
        writer.add(other, Item(number, b"av01", source.data, source.properties))
        writer.references.append((b"auxl", number, (1,)))
    writer.references.append((b"dimg", 1, tuple(range(2, 2 + n_listed))))
    return writer.join([b"avif", b"mif1", b"miaf"], 1)


def test_grids_and_alphas_are_kept_one_of_each():
    for each in (assembled(1, 4), assembled(0, 4)):
        assert clean_metadata(each) == clean_metadata(clean_metadata(each))
        assert embedded_previews(clean_metadata(each)) == []
        assert len(read_avif(clean_metadata(each))[1].items) == len(read_avif(each)[1].items)


def test_a_second_alpha_and_a_tile_too_many_are_refused():
    assert refusal(assembled(2, 4)) == "unsupported"
    assert refusal(assembled(0, 5, 5)) == "unsupported"
    assert refusal(assembled(0, 3, 3)) == "unsupported"


def test_a_light_level_stays_once_and_in_its_own_length():
    lights = [(METADATA, b"\1\3\xe8\1\x90\x80"), (METADATA, b"\2" + bytes(24) + b"\x80")]
    plain = with_stream(lambda each: [*each[:2], *lights, each[2]])
    assert clean_metadata(plain) == plain
    longer = [(METADATA, b"\1" + bytes(26)), (METADATA, b"\2" + bytes(20))]
    dirty = with_stream(lambda each: [*each[:2], *longer, *lights, *lights, each[2], *longer])
    assert clean_metadata(dirty) == plain


def test_a_property_that_an_item_has_twice_is_refused():
    _, found, _ = read_avif(saved("AVIF"))
    item = found.items[found.primary]
    for name, payload in ((b"mdcv", bytes(range(24))), (b"ispe", bytes(12)), (b"pasp", bytes(8))):
        writer = ItemWriter()
        writer.add(found, item)
        for each in (payload, payload[::-1]):
            index = writer.properties.setdefault(box_bytes(name, each), len(writer.properties))
            writer.items[0].properties.append((index, False))
        assert refusal(writer.join([b"avif", b"mif1", b"miaf"], found.primary)) == "unsupported"


def test_colours_by_numbers_and_by_profile_may_stand_side_by_side():
    _, found, _ = read_avif(saved("AVIF", icc_profile=profile()))
    names = [found.properties[index] for index, _ in found.items[found.primary].properties]
    assert sorted(payload[:4] for name, payload in names if name == b"colr") == [b"nclx", b"prof"]
    assert clean_metadata(clean_metadata(saved("AVIF", icc_profile=profile())))


def test_tiles_that_reach_far_beyond_their_grid_are_refused():
    whole = assembled(0, 4)
    for size, reason in (((96, 80), ""), ((81, 65), ""), ((80, 80), "unsupported"),
                         ((96, 64), "unsupported"), ((97, 80), "unsupported")):  # fmt: skip
        data = whole.replace(struct.pack(">HH", 96, 80), struct.pack(">HH", *size))
        assert data != whole or not reason
        if reason:
            assert refusal(data) == reason
        else:
            assert clean_metadata(data)


def test_a_grid_that_is_not_there_is_refused():
    _, found, _ = read_avif(saved("AVIF"))
    writer = ItemWriter()
    writer.add(found, found.items[found.primary])
    writer.references.append((b"dimg", 77, (1,)))
    assert refusal(writer.join([b"avif", b"mif1", b"miaf"], 77)) == "unsupported"
