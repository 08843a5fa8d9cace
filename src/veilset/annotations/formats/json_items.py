# SPDX-License-Identifier: Apache-2.0
"""Long JSON lists, item by item: memory holds one item, whatever the size of the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

from veilset.errors import AnnotationError
from veilset.json_window import JsonWindow

T = TypeVar("T")

_NAMES = {"[": "list", "{": "object"}


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


class _Window(JsonWindow):
    def __init__(self, path: Path, stream: TextIO) -> None:
        super().__init__(json.JSONDecoder(parse_constant=_refuse_constant), "characters")
        self._path = path
        self._stream = stream
        self._line = 1
        self._member = ""
        self._place = 0

    def whole(self, parts: Callable[[], Iterator[T]], opening: str, otherwise: str) -> Iterator[T]:
        """Go through the one value of the file, which has to begin as given."""
        if self._next() != opening:
            self._fail(otherwise)
        yield from parts()
        if self._next():
            self._fail(f"Something follows the end of the {_NAMES[opening]}")

    def items(self) -> Iterator[tuple[int, Any]]:
        """Go through the list that begins here."""
        self._at += 1
        for place in self._between("]"):
            self._place = place
            yield place, self._value()

    def members(self) -> Iterator[tuple[str, int, Any]]:
        """Go through the object that begins here, and the lists in it."""
        self._at += 1
        for _ in self._between("}"):
            self._member, self._place = "", 0
            self._member = name = self._name()
            if self._next() == "[":
                yield name, 0, []
                yield from ((name, place, item) for place, item in self.items())
            else:
                yield name, 0, self._value()

    def _read(self, size: int) -> str:
        return self._stream.read(size)

    def _let_go(self) -> int:
        self._line += self._text.count("\n", 0, self._at)
        return self._at

    def _fail(self, what: str) -> NoReturn:
        line = self._line + self._text.count("\n", 0, self._at)
        member = f", {self._member!r}" if self._member else ""
        item = f", item {self._place}" if self._place else ""
        raise AnnotationError(f"{self._path}{member}{item}, line {line}: {what}. Export it again.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
