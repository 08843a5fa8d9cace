# SPDX-License-Identifier: Apache-2.0
"""Read and build TIFF directories (IFDs): the structure under EXIF and TIFF files.

Layout after TIFF revision 6.0 (Adobe, 1992), section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

TYPE_SIZES: Mapping[int, int] = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4
}  # fmt: skip
ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL = 2, 3, 4, 5, 7, 10
_LETTERS: Mapping[int, str] = {
    3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L"
}  # fmt: skip

# Pillow reads these six; a reader that takes less keeps an orientation we would lose.
_BYTE_ORDERS: Mapping[bytes, str] = {
    b"II\x2a\x00": "<", b"II\x00\x2a": "<", b"MM\x00\x2a": ">", b"MM\x2a\x00": ">"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a directory, still in the byte order of its file.

    Attributes:
        type: TIFF type, a key of ``TYPE_SIZES``.
        count: Number of values, not of bytes.
        raw: The values, ``count * TYPE_SIZES[type]`` bytes.
    """

    type: int
    count: int
    raw: bytes

    def numbers(self, order: str) -> tuple[Fraction | float, ...]:
        """Give the values as numbers; none for text, bytes and division by zero."""
        if self.type in _LETTERS:
            values: tuple[float, ...] = struct.unpack(
                f"{order}{self.count}{_LETTERS[self.type]}", self.raw
            )
            return values
        if self.type in (RATIONAL, SRATIONAL):
            letter = "L" if self.type == RATIONAL else "l"
            pairs = struct.unpack(f"{order}{2 * self.count}{letter}", self.raw)
            if all(pairs[1::2]):
                return tuple(Fraction(a, b) for a, b in zip(pairs[::2], pairs[1::2], strict=True))
        return ()

    def integers(self, order: str) -> tuple[int, ...]:
        """Give the values as whole numbers; none if one of them is not whole."""
        numbers = self.numbers(order)
        if any(isinstance(n, float) and not n.is_integer() for n in numbers):
            return ()
        return tuple(int(n) for n in numbers if n == int(n))


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory as it was found.

    Attributes:
        fields: Tag to value. Of a repeated tag the first counts, as in Pillow.
        next_offset: Where the next directory lies; 0 if there is none.
        unreadable: Tags of which type or place make no sense.
    """

    fields: Mapping[int, Field]
    next_offset: int
    unreadable: tuple[int, ...] = ()


@dataclass(slots=True)
class Tree:
    """A directory to be written, and those it points to.

    Attributes:
        fields: Tag to value.
        children: Pointer tag to the directory it leads to.
    """

    fields: dict[int, Field] = field(default_factory=dict)
    children: dict[int, Tree] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """Tell whether there is nothing to write."""
        return not self.fields and not self.children


def read_header(data: bytes) -> tuple[str, int] | None:
    """Give the byte order (``<`` or ``>``) and the offset of the first directory.

    Returns:
        None if the eight bytes are no header of a classic TIFF.

    Example:
        >>> read_header(b"MM\\x00\\x2a\\x00\\x00\\x00\\x08")
        ('>', 8)
    """
    order = _BYTE_ORDERS.get(data[:4])
    if order is None or len(data) < 8:
        return None
    return order, int(struct.unpack_from(f"{order}L", data, 4)[0])


def read_directory(data: bytes, order: str, offset: int) -> Directory | None:
    """Read one directory; values that lie outside the data are left out.

    One call reads one directory and follows no pointer, so a cycle cannot trap it.

    Args:
        data: The TIFF, from its header on.
        order: ``<`` or ``>``.
        offset: Where the directory begins, counted from the header.

    Returns:
        None if there is no directory at that place.
    """
    if offset < 8 or offset + 2 > len(data):
        return None
    (n_entries,) = struct.unpack_from(f"{order}H", data, offset)
    # A directory cut short keeps the entries that are there, as Pillow does.
    n_present = min(n_entries, (len(data) - offset - 2) // 12)
    fields: dict[int, Field] = {}
    unreadable: list[int] = []
    end = offset + 2 + 12 * n_present
    for tag, kind, count, value in struct.iter_unpack(f"{order}HHL4s", data[offset + 2 : end]):
        size = TYPE_SIZES.get(kind, 0) * count
        if size <= 4:
            raw = value[:size]
        else:
            (start,) = struct.unpack(f"{order}L", value)
            raw = data[start : start + size]
        if size == 0 or len(raw) != size:
            unreadable.append(tag)
        else:
            fields.setdefault(tag, Field(kind, count, raw))
    next_offset = 0
    if n_present == n_entries and end + 4 <= len(data):
        (next_offset,) = struct.unpack_from(f"{order}L", data, end)
    return Directory(fields, next_offset, tuple(unreadable))


def build_directory(tree: Tree, order: str, offset: int) -> bytes:
    """Write a directory with its values and children, without a byte between them.

    Args:
        tree: What to write. Tags come out in ascending order, as TIFF asks.
        order: ``<`` or ``>``; the fields must already be in it.
        offset: Even place, counted from the TIFF header, at which the bytes will lie.
    """
    tags = sorted({*tree.fields, *tree.children})
    place = offset + 2 + 12 * len(tags) + 4
    entries: list[bytes] = []
    tail: list[bytes] = []
    for tag in tags:
        if tag in tree.children:
            child = build_directory(tree.children[tag], order, place)
            entries.append(struct.pack(f"{order}HHLL", tag, LONG, 1, place))
            tail.append(child)
            place += len(child)
            continue
        value = tree.fields[tag]
        head = struct.pack(f"{order}HHL", tag, value.type, value.count)
        if len(value.raw) <= 4:
            entries.append(head + value.raw.ljust(4, b"\0"))
            continue
        entries.append(head + struct.pack(f"{order}L", place))
        padded = value.raw + b"\0" * (len(value.raw) % 2)
        tail.append(padded)
        place += len(padded)
    count = struct.pack(f"{order}H", len(tags))
    return b"".join([count, *entries, b"\0\0\0\0", *tail])


def build_header(order: str, offset: int = 8) -> bytes:
    """Give the eight bytes before everything else."""
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HL", 42, offset)
