# SPDX-License-Identifier: Apache-2.0
"""Long JSON lists, item by item: memory holds one item, whatever the size of the file.

The items are decoded by the standard library's C scanner over a window of the text; a
window that ends within an item is widened. No further library is needed for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

from veilset.errors import AnnotationError

WINDOW = 1 << 20
"""Characters that are read at a time."""

MAX_ITEM = 1 << 28
"""Characters of the longest item."""

T = TypeVar("T")

_SPACE = " \t\r\n"
_NAMES = {"[": "list", "{": "object"}
# An error this near to the end of the window may be the window's fault: "-Infinity".
_NEAR_END = 12


def iterate_items(path: Path) -> Iterator[tuple[int, Any]]:
    """Go through the items of a file that holds one JSON list.

    Args:
        path: The file, UTF-8.

    Yields:
        The place of the item in the list, from 1, and the item.

    Raises:
        AnnotationError: If the file cannot be read or is no JSON list; the message says at
            which item and in which line.
    """
    with _opened(path) as window:
        yield from window.whole(window.items, "[", "The file is no JSON list")


def iterate_members(path: Path) -> Iterator[tuple[str, int, Any]]:
    """Go through the members of a file that holds one JSON object, lists item by item.

    Args:
        path: The file, UTF-8.

    Yields:
        The name of the member, 0 and its value; for a list an empty list in its place, and
        then, under the same name, the place of each item, from 1, and the item.

    Raises:
        AnnotationError: As ``iterate_items``.
    """
    with _opened(path) as window:
        yield from window.whole(window.members, "{", "The file is no JSON object")


@contextmanager
def _opened(path: Path) -> Iterator[_Window]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            yield _Window(path, stream)
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be read ({error.strerror}). Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8. Export it again as JSON.") from error


class _Window:
    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path = path
        self._stream = stream
        self._text = ""
        self._at = 0
        self._line = 1
        self._member = ""
        self._place = 0
        self._decode = json.JSONDecoder(parse_constant=self._refuse_constant).raw_decode

    def whole(self, parts: Callable[[], Iterator[T]], opening: str, otherwise: str) -> Iterator[T]:
        """Go through the one value of the file, which has to begin as given."""
        if self._next() != opening:
            self._fail(otherwise)
        yield from parts()
        if self._next():
            self._fail(f"Something follows the end of the {_NAMES[opening]}")

    def items(self) -> Iterator[tuple[int, Any]]:
        """Go through the list that begins here."""
        for place in self._between("[", "]"):
            self._place = place
            yield place, self._item()

    def members(self) -> Iterator[tuple[str, int, Any]]:
        """Go through the object that begins here, and the lists in it."""
        for _ in self._between("{", "}"):
            self._member, self._place = "", 0
            if self._next() != '"':
                self._fail("Expected the name of a member")
            self._member = name = self._item()
            if self._next() != ":":
                self._fail("Expected a colon")
            self._at += 1
            if self._next() == "[":
                yield name, 0, []
                yield from ((name, place, item) for place, item in self.items())
            else:
                yield name, 0, self._item()

    def _between(self, opening: str, closing: str) -> Iterator[int]:
        """Stand before each part of a list or an object in turn; count them from 1."""
        self._at += 1
        if self._next() == closing:
            self._at += 1
            return
        cut_off = f"The file ends within the {_NAMES[opening]}"
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

    def _next(self) -> str:
        """Give the next character that is no space, "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._widen(WINDOW):
                return ""

    def _item(self) -> Any:
        size = WINDOW
        while True:
            try:
                item, end = self._decode(self._text, self._at)
                n_read = end - self._at
                # A number near the end of the window ("1." or "1e+") may go on in the next.
                if end + _NEAR_END <= len(self._text) or not self._widen(size):
                    self._at += n_read
                    return item
            except (RecursionError, ValueError) as error:
                if not self._may_be_cut(error) or not self._widen(size):
                    self._fail(f"It is not valid JSON ({_said(error)})")
            size *= 2
            if len(self._text) - self._at > MAX_ITEM:
                self._fail(f"It is longer than {MAX_ITEM:,} characters, or not valid JSON")

    def _may_be_cut(self, error: Exception) -> bool:
        if not isinstance(error, json.JSONDecodeError):
            return False
        is_open = error.msg.startswith("Unterminated string")
        return is_open or error.pos >= len(self._text) - _NEAR_END

    def _widen(self, size: int) -> bool:
        """Let go of what was read and read more; False at the end of the file."""
        self._line += self._text.count("\n", 0, self._at)
        more = self._stream.read(size)
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)

    def _refuse_constant(self, name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON")

    def _fail(self, what: str) -> NoReturn:
        line = self._line + self._text.count("\n", 0, self._at)
        member = f", {self._member!r}" if self._member else ""
        item = f", item {self._place}" if self._place else ""
        raise AnnotationError(f"{self._path}{member}{item}, line {line}: {what}. Export it again.")


def _said(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
