# SPDX-License-Identifier: Apache-2.0
"""A long JSON file in pieces that make it up byte by byte, the items of its lists among them.

Bytes are read as Latin-1, one character each: what structures JSON is ASCII, which no character of
UTF-8 has inside of it, so that places in the text are places in the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from veilset.errors import DatasetError
from veilset.json_window import JsonWindow

_BOM = "\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the file: ``before`` and ``item``, in this order, follow the piece before it.

    Attributes:
        before: What stands before the item: blanks, and a comma from the second item on.
        item: The item as it stands there; empty where the piece is no item.
        member: Name of the list that begins at the end of the piece, or that the item is of;
            "" where the piece is neither.
        place: Place of the item in its list, from 1; 0 where the piece is no item.
        value: The item; texts that are not ASCII are garbled, ``json.loads(item)`` gives them.
    """

    before: bytes
    item: bytes = b""
    member: str = ""
    place: int = 0
    value: Any = None


def split_json(stream: BinaryIO, name: str) -> Iterator[Piece]:
    """Go through a file that holds one JSON object, the lists in it item by item.

    Args:
        stream: The file, from its beginning.
        name: What it is called in messages.

    Yields:
        Pieces that, put together, are the file.

    Raises:
        DatasetError: If it is no JSON, or cut off; the message says where.

    Example:
        >>> import io
        >>> pieces = split_json(io.BytesIO(b'{"a": 1, "b": [7, "x"]}'), "a file")
        >>> [(p.member, p.place, p.before, p.value) for p in pieces if p.place]
        [('b', 1, b'', 7), ('b', 2, b', ', 'x')]
    """
    return _Splitter(stream, name).pieces()


class _Splitter(JsonWindow):
    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(json.JSONDecoder(), "bytes")
        self._stream = stream
        self._called = name
        self._start = 0  # where in the text the next piece begins
        self._offset = 0  # where in the file the text begins
        self._member = ""
        self._place = 0

    def pieces(self) -> Iterator[Piece]:
        self._widen(len(_BOM))
        if self._text.startswith(_BOM):
            self._at = len(_BOM)
        if self._next() != "{":
            self._fail("It is no JSON object")
        self._at += 1
        for _ in self._between("}"):
            self._member, self._place = "", 0
            member = self._name()
            yield Piece(self._cut())
            self._member = member
            mark = self._next()
            self._at += mark in ("[", "{")
            if mark == "[":
                yield Piece(self._cut(), member=member)
                yield from self._items(member)
            elif mark == "{":
                yield from self._members()
            else:
                self._value()
            yield Piece(self._cut())
        if self._next():
            self._fail("Something follows the end of the object")
        yield Piece(self._cut())

    def _items(self, member: str) -> Iterator[Piece]:
        """Stand in a list; go through its items, and pass its end."""
        for place in self._between("]"):
            self._place = place
            before = self._cut()
            value = self._value()
            yield Piece(before, self._cut(), member, place, value)

    def _members(self) -> Iterator[Piece]:
        """Stand in an object within the object; pass it, member by member."""
        for _ in self._between("}"):
            self._name()
            self._next()
            self._value()
            yield Piece(self._cut())

    def _cut(self) -> bytes:
        """Give what lies between the last cut and here."""
        data = self._text[self._start : self._at].encode("latin-1")
        self._start = self._at
        return data

    def _read(self, size: int) -> str:
        return self._stream.read(size).decode("latin-1")

    def _let_go(self) -> int:
        kept, self._start = self._start, 0
        self._offset += kept
        return kept

    def _fail(self, what: str) -> NoReturn:
        member = f", {self._member!r}" if self._member else ""
        item = f", item {self._place}" if self._place else ""
        raise DatasetError(
            f"{self._called}{member}{item}, near byte {self._offset + self._at:,}: {what}. "
            "Restore it, or save it again as JSON in UTF-8."
        )
