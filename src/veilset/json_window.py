# SPDX-License-Identifier: Apache-2.0
"""A window that goes through a long JSON text: memory holds one item, however large the file is.

Values are decoded by the standard library's C scanner; a window that ends within one is widened.
No further library is needed for that.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NoReturn

WINDOW = 1 << 20
"""Characters that are read at a time."""

MAX_ITEM = 1 << 28
"""Characters of the longest item."""

_SPACE = " \t\r\n"
_ENDED = {"]": "list", "}": "object"}
# An error this near to the end of the window may be the window's fault: "-Infinity".
_NEAR_END = 12


class JsonWindow(ABC):
    """Stands somewhere in a text, of which a part is in memory.

    Args:
        decoder: Decodes the values.
        unit: What a character of the text is called in messages, as ``bytes``.
    """

    def __init__(self, decoder: json.JSONDecoder, unit: str) -> None:
        self._decode = decoder.raw_decode
        self._unit = unit
        self._text = ""
        self._at = 0

    @abstractmethod
    def _read(self, size: int) -> str:
        """Read more of the file, "" at its end."""

    @abstractmethod
    def _let_go(self) -> int:
        """Note that the text is cut; give where what is still needed of it begins."""

    @abstractmethod
    def _fail(self, what: str) -> NoReturn:
        """Refuse the file, with its name and the place; ``what`` is a sentence without its end."""

    def _next(self) -> str:
        """Give the next character that is no space, "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._widen(WINDOW):
                return ""

    def _between(self, closing: str) -> Iterator[int]:
        """Stand before each part of a list or an object in turn, from 1, and pass its end."""
        if self._next() == closing:
            self._at += 1
            return
        cut_off = f"The file ends within the {_ENDED[closing]}"
        place = 0
        while True:
            place += 1
            if not self._next():
                self._fail(cut_off)
            yield place
            mark = self._next()
            self._at += 1
            if mark == closing:
                return
            if mark != ",":
                self._fail("Expected a comma" if mark else cut_off)

    def _name(self) -> str:
        """Pass the name of a member of an object, and its colon; give the name."""
        if self._next() != '"':
            self._fail("Expected the name of a member")
        name = str(self._value())
        if self._next() != ":":
            self._fail("Expected a colon")
        self._at += 1
        return name

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
                if not self._may_be_cut(error) or not self._widen(size):
                    self._fail(f"It is not valid JSON ({_said(error)})")
            size *= 2

    def _may_be_cut(self, error: Exception) -> bool:
        if not isinstance(error, json.JSONDecodeError):
            return False
        is_open = error.msg.startswith("Unterminated string")
        return is_open or error.pos >= len(self._text) - _NEAR_END

    def _widen(self, size: int) -> bool:
        """Let go of what was read and read more; False at the end of the file."""
        kept = self._let_go()
        self._text = self._text[kept:]
        self._at -= kept
        if len(self._text) > MAX_ITEM:
            self._fail(f"An item is longer than {MAX_ITEM:,} {self._unit}, or not valid JSON")
        more = self._read(size)
        self._text += more
        return bool(more)


def _said(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    if isinstance(error, RecursionError):
        return "nested too deeply"
    # What it says of too long a number goes on with advice for programmers.
    return str(error).partition(";")[0]
