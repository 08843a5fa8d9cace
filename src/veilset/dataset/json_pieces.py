# SPDX-License-Identifier: Apache-2.0
"""A long JSON file in pieces that make it up byte by byte, the items of its lists among them.

Memory holds one item and a window of the file. Bytes are read as Latin-1, one character each:
what structures JSON is ASCII, which no character of UTF-8 has inside of it, so that the
standard library's C scanner tells where items end, and its places are places in the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from veilset.errors import DatasetError

WINDOW = 1 << 20
"""Bytes that are read at a time."""

MAX_ITEM = 1 << 28
"""Bytes of the longest item."""

_SPACE = " \t\r\n"
_BOM = "\xef\xbb\xbf"
# An error this near to the end of the window may be the window's fault: "-Infinity".
_NEAR_END = 12


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


class _Splitter:
    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._text = ""
        self._start = 0  # where in the text the next piece begins
        self._at = 0
        self._offset = 0  # where in the file the text begins
        self._member = ""
        self._place = 0
        self._decode = json.JSONDecoder().raw_decode

    def pieces(self) -> Iterator[Piece]:
        self._widen(max(WINDOW, len(_BOM)))
        if self._text.startswith(_BOM):
            self._at = len(_BOM)
        if self._next() != "{":
            self._fail("it is no JSON object")
        self._at += 1
        for _ in self._between("}"):
            self._member, self._place = "", 0
            if self._next() != '"':
                self._fail("expected the name of a member")
            member = str(self._value())
            if self._next() != ":":
                self._fail("expected a colon")
            self._at += 1
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
            self._fail("something follows the end of the object")
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
            if self._next() != '"':
                self._fail("expected the name of a member")
            self._value()
            if self._next() != ":":
                self._fail("expected a colon")
            self._at += 1
            if not self._next():
                self._fail("it is cut off")
            self._value()
            yield Piece(self._cut())

    def _between(self, closing: str) -> Iterator[int]:
        """Stand before each part of a list or an object in turn; count them from 1."""
        if self._next() == closing:
            self._at += 1
            return
        place = 0
        while True:
            place += 1
            if not self._next():
                self._fail("it is cut off")
            yield place
            mark = self._next()
            self._at += 1
            if mark == closing:
                return
            if mark != ",":
                self._fail("expected a comma" if mark else "it is cut off")
            self._next()

    def _cut(self) -> bytes:
        """Give what lies between the last cut and here."""
        data = self._text[self._start : self._at].encode("latin-1")
        self._start = self._at
        return data

    def _next(self) -> str:
        """Give the next character that is no space, "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._widen(WINDOW):
                return ""

    def _value(self) -> Any:
        """Pass the value that begins here; give it."""
        size = WINDOW
        while True:
            try:
                value, end = self._decode(self._text, self._at)
                n_read = end - self._at
                # A number near the end of the window ("1." or "1e+") may go on in the next.
                if end + _NEAR_END <= len(self._text) or not self._widen(size):
                    self._at += n_read
                    return value
            except (RecursionError, ValueError) as error:
                if not self._may_be_cut(error):
                    self._fail(f"it is not valid JSON ({_said(error)})")
                if not self._widen(size):
                    self._fail("it is cut off, or not valid JSON")
            size *= 2

    def _may_be_cut(self, error: Exception) -> bool:
        if not isinstance(error, json.JSONDecodeError):
            return False
        is_open = error.msg.startswith("Unterminated string")
        return is_open or error.pos >= len(self._text) - _NEAR_END

    def _widen(self, size: int) -> bool:
        """Let go of what was cut off and read more; False at the end of the file."""
        if len(self._text) - self._start > MAX_ITEM:
            self._fail(f"an item is longer than {MAX_ITEM:,} bytes, or not valid JSON")
        more = self._stream.read(size)
        self._text = self._text[self._start :] + more.decode("latin-1")
        self._offset += self._start
        self._at -= self._start
        self._start = 0
        return bool(more)

    def _fail(self, what: str) -> NoReturn:
        member = f", {self._member!r}" if self._member else ""
        item = f", item {self._place}" if self._place else ""
        raise DatasetError(
            f"{self._name}{member}{item}, near byte {self._offset + self._at:,}: {what}. "
            "Restore it, or save it again as JSON in UTF-8."
        )


def _said(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
