# SPDX-License-Identifier: Apache-2.0
"""Read the item structure of an ISO base media file, as AVIF and HEIF use it.

Boxes after ISO/IEC 14496-12 (ISOBMFF), items and properties after ISO/IEC 23008-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from veilset.metadata.policy import broken, cut_short, unsupported

_MAX_ITEMS = 4096


@dataclass(frozen=True, slots=True)
class Box:
    """One box: four letters, its place in the file and its payload."""

    name: bytes
    start: int
    payload: bytes


@dataclass(slots=True)
class Item:
    """One item of a ``meta`` box.

    Attributes:
        item_id: Its number.
        type: Four letters, such as ``av01``, ``grid``, ``Exif`` or ``mime``.
        data: Its extents, joined.
        properties: (index into ``Items.properties`` from 0, is it essential) pairs.
    """

    item_id: int
    type: bytes
    data: bytes = b""
    properties: list[tuple[int, bool]] = field(default_factory=list)


@dataclass(slots=True)
class Items:
    """What a ``meta`` box describes.

    Attributes:
        primary: Number of the item that is the picture.
        items: Number to item, in the order of the file.
        references: (kind, from item, to items).
        properties: (name, payload) of every property, in order.
        others: Names of boxes inside ``meta`` that are not read here.
    """

    primary: int = 0
    items: dict[int, Item] = field(default_factory=dict)
    references: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)


class Cursor:
    """Reads big-endian whole numbers one after the other.

    Raises:
        DecodeError: "truncated" when the bytes end before the number does.
    """

    def __init__(self, data: bytes, place: int = 0) -> None:
        self.data = data
        self.place = place

    def take(self, n_bytes: int) -> bytes:
        """Give the next bytes."""
        taken = self.data[self.place : self.place + n_bytes]
        if len(taken) != n_bytes:
            raise cut_short("A box of the file ends too early.")
        self.place += n_bytes
        return taken

    def number(self, n_bytes: int) -> int:
        """Give the next bytes as a number; 0 for no bytes."""
        return int.from_bytes(self.take(n_bytes), "big")


def iterate_boxes(data: bytes, place: int = 0) -> Iterator[Box]:
    """Go through the boxes that lie next to each other.

    Raises:
        DecodeError: "truncated" if a box goes beyond the end, "unreadable" if its size
            is smaller than its own header.
    """
    while place < len(data):
        if place + 8 > len(data):
            raise cut_short("The file ends inside the header of a box.")
        size, name = struct.unpack_from(">L4s", data, place)
        head = 8
        if size == 1:
            if place + 16 > len(data):
                raise cut_short("The file ends inside the header of a box.")
            (size,) = struct.unpack_from(">Q", data, place + 8)
            head = 16
        elif size == 0:
            size = len(data) - place
        if size < head:
            raise broken(f"The box at byte {place} states an impossible size.")
        if place + size > len(data):
            raise cut_short(f"The box at byte {place} goes beyond the end of the file.")
        yield Box(name, place, data[place + head : place + size])
        place += size


def box_bytes(name: bytes, *payload: bytes) -> bytes:
    """Write one box."""
    body = b"".join(payload)
    return struct.pack(">L4s", len(body) + 8, name) + body


def read_items(data: bytes, meta: bytes) -> Items:
    """Read a ``meta`` box with the data of its items.

    Args:
        data: The whole file, to which extents refer.
        meta: Payload of the box, version and flags included.

    Raises:
        DecodeError: "unreadable", "truncated", or "unsupported" for encrypted items, items
            built from other items and forms of the tables older than those of HEIF.
    """
    found = Items()
    inside: dict[bytes, bytes] = {}
    for box in iterate_boxes(meta, 4):
        if box.name in inside:
            raise broken(f"The file repeats a box that may stand once, at byte {box.start}.")
        inside[box.name] = box.payload
    for needed in (b"pitm", b"iinf", b"iloc", b"iprp"):
        if needed not in inside:
            raise broken(f"The file has no box {needed.decode()}.")
    cursor = Cursor(inside[b"pitm"], 4)
    found.primary = cursor.number(4 if inside[b"pitm"][0] else 2)
    _read_kinds(found, inside[b"iinf"])
    _read_places(found, inside[b"iloc"], data, inside.get(b"idat", b""))
    _read_properties(found, inside[b"iprp"])
    if b"iref" in inside:
        _read_references(found, inside[b"iref"])
    known = (b"hdlr", b"pitm", b"iinf", b"iloc", b"iprp", b"iref", b"idat", b"dinf")
    found.others = [name for name in inside if name not in known]
    return found


def _read_kinds(found: Items, payload: bytes) -> None:
    start = 8 if payload[:1] not in (b"", b"\0") else 6
    for box in iterate_boxes(payload, start):
        if box.name != b"infe":
            continue
        cursor = Cursor(box.payload)
        version = cursor.number(1)
        cursor.take(3)
        if version not in (2, 3):
            raise unsupported("The file describes its items in an old form.")
        item_id = cursor.number(2 if version == 2 else 4)
        if cursor.number(2):
            raise unsupported("The file holds an encrypted item.")
        if item_id in found.items or len(found.items) >= _MAX_ITEMS:
            raise broken("The file repeats an item, or has too many.")
        found.items[item_id] = Item(item_id, cursor.take(4))


def _read_places(found: Items, payload: bytes, data: bytes, idat: bytes) -> None:
    cursor = Cursor(payload)
    version = cursor.number(1)
    cursor.take(3)
    if version > 2:
        raise unsupported("The file places its items in a form that is not known.")
    sizes = cursor.number(2)
    offset_size, length_size = sizes >> 12, sizes >> 8 & 15
    base_size, index_size = sizes >> 4 & 15, (sizes & 15 if version else 0)
    left = len(data) + len(idat)
    for _ in range(cursor.number(4 if version == 2 else 2)):
        item_id = cursor.number(4 if version == 2 else 2)
        method = cursor.number(2) & 15 if version else 0
        if cursor.number(2) or method > 1:
            raise unsupported("The file places an item outside itself or inside another.")
        source = idat if method else data
        base = cursor.number(base_size)
        pieces: list[bytes] = []
        for _ in range(cursor.number(2)):
            cursor.take(index_size)
            start, length = base + cursor.number(offset_size), cursor.number(length_size)
            piece = source[start : start + length] if length else source[start:]
            # Together, items cannot be longer than the file unless they overlap.
            left -= len(piece)
            if left < 0 or (length and len(piece) != length):
                raise cut_short(f"Item {item_id} goes beyond the end of the file.")
            pieces.append(piece)
        if item_id in found.items:
            found.items[item_id].data = b"".join(pieces)


def _read_properties(found: Items, payload: bytes) -> None:
    boxes = list(iterate_boxes(payload))
    for box in boxes:
        if box.name == b"ipco":
            found.properties += [(each.name, each.payload) for each in iterate_boxes(box.payload)]
    for box in boxes:
        if box.name != b"ipma":
            continue
        cursor = Cursor(box.payload)
        version, flags = cursor.number(1), cursor.number(3)
        for _ in range(cursor.number(4)):
            item = found.items.get(cursor.number(4 if version else 2))
            for _ in range(cursor.number(1)):
                value = cursor.number(2 if flags & 1 else 1)
                top = 0x8000 if flags & 1 else 0x80
                index = (value & (top - 1)) - 1
                if index >= len(found.properties):
                    raise broken("An item of the file refers to a property that is not there.")
                if item and index >= 0:
                    item.properties.append((index, bool(value & top)))


def _read_references(found: Items, payload: bytes) -> None:
    wide = 4 if payload[:1] not in (b"", b"\0") else 2
    for box in iterate_boxes(payload, 4):
        cursor = Cursor(box.payload)
        source = cursor.number(wide)
        targets = tuple(cursor.number(wide) for _ in range(cursor.number(2)))
        found.references.append((box.name, source, targets))
