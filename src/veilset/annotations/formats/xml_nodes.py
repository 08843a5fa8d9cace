# SPDX-License-Identifier: Apache-2.0
"""A small XML file as a tree that knows its lines; document types are never read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from veilset.errors import AnnotationError

_MAX_DEPTH = 16


@dataclass(slots=True)
class Node:
    """An element.

    Attributes:
        name: Its name.
        line: Line of the file on which it begins, from 1.
        text: The text in it, up to its end, without the texts of its children.
        children: The elements in it.
    """

    name: str
    line: int
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Node]:
        """Go through the children of a name."""
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Node | None:
        """Give the first child of a name, None if there is none."""
        return next(self.all(name), None)


def parse_xml(path: Path, data: bytes) -> Node:
    """Give the root of a file.

    Args:
        path: Name of the file, for messages.
        data: What it holds.

    Raises:
        AnnotationError: If it is not well-formed, nested deeper than such files are, or
            declares a document type, which could define entities; the message says in which
            line.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    root = Node("", 1)
    opened = [root]

    def fail(what: str) -> NoReturn:
        raise AnnotationError(f"{path}, line {parser.CurrentLineNumber}: {what}. Export it again.")

    def start(name: str, _attributes: dict[str, str]) -> None:
        if len(opened) > _MAX_DEPTH:
            fail("Elements are nested too deeply")
        node = Node(name, parser.CurrentLineNumber)
        opened[-1].children.append(node)
        opened.append(node)

    def text(value: str) -> None:
        opened[-1].text += value

    def refuse(*_declaration: object) -> NoReturn:
        fail("It declares a document type; such a file is not read")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _name: opened.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        fail(f"It is no well-formed XML ({expat.ErrorString(error.code)})")
    return root.children[0]
