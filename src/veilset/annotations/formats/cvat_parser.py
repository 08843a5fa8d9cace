# SPDX-License-Identifier: Apache-2.0
"""The reading half of ``cvat``: events of expat become rows."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from veilset.annotations.formats.shapes import (
    DRAWN_AS,
    checked_name,
    ellipse_box,
    enclosing_box,
    finite,
    pixels,
    rotated_box,
)
from veilset.errors import AnnotationError
from veilset.types import Annotations, BoxXyxy, Origin, Region, Status

SOURCES: Mapping[str, Origin] = {
    "manual": Origin.REVIEWED,
    "semi-auto": Origin.REVIEWED,
    "consensus": Origin.REVIEWED,
    "auto": Origin.DETECTED,
}
SCORE, LANDMARKS = "score", "landmarks_xy"

_MAX_DEPTH = 16
_POINTED = ("polygon", "polyline", "points")
_SHAPES = ("box", "ellipse", "mask", "cuboid", "skeleton", *_POINTED)
_CUBOID = ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")
_WHOLE = re.compile(r"-?[0-9]{1,15}")

Value = str | int | float | bool


@dataclass(slots=True)
class Shape:
    """A shape whose end has not been seen yet."""

    name: str
    line: int
    given: Mapping[str, str]
    points: list[tuple[float, float]] = field(default_factory=list)
    attributes: dict[str, Value] = field(default_factory=dict)


class CvatParser:
    """Turns events of expat into rows.

    Args:
        path: Name of the file, for messages.
        kinds: What labels are called here.
        prefix: Removed from the names of images.
    """

    def __init__(self, path: Path, kinds: Mapping[str, str], prefix: str) -> None:
        self._path = path
        self._kinds = kinds
        self._prefix = prefix
        self._rows: deque[Annotations] = deque()
        self._open: list[str] = []
        self._text: list[str] = []
        self._label = self._attribute = ""
        # How an attribute of a label is entered in CVAT: it decides the type.
        self._entered: dict[tuple[str, str], str] = {}
        self._image: Annotations | None = None
        self._regions: list[Region] = []
        self._shape: Shape | None = None
        self._expat = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append

    def feed(self, chunk: bytes, *, is_final: bool = False) -> Iterator[Annotations]:
        """Take the next bytes of the file; give the images that are complete now."""
        try:
            self._expat.Parse(chunk, is_final)
        except expat.ExpatError as error:
            self._fail(f"It is no well-formed XML ({expat.ErrorString(error.code)})")
        while self._rows:
            yield self._rows.popleft()

    def _refuse_doctype(self, *_declaration: object) -> NoReturn:
        self._fail("It declares a document type, which CVAT never does; it is not read")

    def _start(self, name: str, given: dict[str, str]) -> None:
        self._text.clear()
        depth = len(self._open)
        if depth == 0 and name != "annotations":
            self._fail(f"The file begins with <{name}> and not with <annotations>")
        if depth == 1 and name == "track":
            self._fail("It is in the format for videos. Choose 'CVAT for images 1.1' in CVAT")
        if depth >= _MAX_DEPTH:
            self._fail("Elements are nested too deeply")
        if depth == 1 and name == "image":
            self._start_image(given)
        elif self._image is not None:
            self._start_in_image(name, given)
        self._open.append(name)

    def _start_image(self, given: Mapping[str, str]) -> None:
        where = self._where()
        name = self._given(given, "name", "image").removeprefix(self._prefix)
        self._image = Annotations(
            image_id=checked_name(name, where),
            status=Status.LOOKED,
            width=pixels(self._given(given, "width", "image"), where, "width"),
            height=pixels(self._given(given, "height", "image"), where, "height"),
        )

    def _start_in_image(self, name: str, given: Mapping[str, str]) -> None:
        if self._shape is None:
            if name in _SHAPES:
                self._shape = Shape(name, self._expat.CurrentLineNumber, given)
                self._shape.points += self._corners(name, given)
            elif name not in ("tag", "attribute"):
                self._fail(f"<{name}> is no shape that is known")
        elif name == "attribute":
            self._attribute = self._given(given, "name", "attribute")
        elif self._shape.name == "skeleton" and name in _SHAPES:
            self._shape.points += self._corners(name, given)
        else:
            self._fail(f"<{name}> is not expected within <{self._shape.name}>")

    def _end(self, name: str) -> None:
        self._open.pop()
        text = "".join(self._text)
        self._text.clear()
        shape = self._shape
        if self._image is None:
            self._end_in_meta(text, name)
        elif name == "image" and len(self._open) == 1:
            self._rows.append(replace(self._image, regions=tuple(self._regions)))
            self._image, self._regions = None, []
        elif shape is not None and name == "attribute":
            label = self._given(shape.given, "label", shape.name)
            entered = self._entered.get((label, self._attribute), "text")
            shape.attributes[self._attribute] = _typed(text, entered)
        elif shape is not None and name == shape.name and len(self._open) == 2:
            self._regions.append(self._region(shape))
            self._shape = None

    def _end_in_meta(self, text: str, name: str) -> None:
        """Remember how the attributes of the labels are entered."""
        if "meta" not in self._open or self._open[-1] not in ("label", "attribute"):
            return
        if self._open[-1] == "label" and name == "name":
            self._label = text
        elif name == "name":
            self._attribute = text
        elif name == "input_type":
            self._entered[self._label, self._attribute] = text

    def _corners(self, name: str, given: Mapping[str, str]) -> list[tuple[float, float]]:
        where = self._where()

        def value(key: str, default: str | None = None) -> float:
            text = given.get(key, default)
            return finite(self._given(given, key, name) if text is None else text, where, key)

        if name in _POINTED:
            return _points(self._given(given, "points", name), where)
        if name == "skeleton":
            return []
        if name == "cuboid":
            return [(value(f"x{corner}"), value(f"y{corner}")) for corner in _CUBOID]
        turn = value("rotation", "0")
        if name == "ellipse":
            centre, radii = (value("cx"), value("cy")), (value("rx"), value("ry"))
            return _two_corners(ellipse_box(centre, radii, turn))
        if name == "mask":
            left, top = value("left"), value("top")
            return [(left, top), (left + value("width"), top + value("height"))]
        box = (value("xtl"), value("ytl"), value("xbr"), value("ybr"))
        if not (box[0] <= box[2] and box[1] <= box[3]):
            self._fail(f"The box {box} is turned inside out")
        if not turn:
            return _two_corners(box)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        return _two_corners(rotated_box(box, turn, centre))

    def _region(self, shape: Shape) -> Region:
        where = f"{self._path}, line {shape.line}"
        if not shape.points:
            raise AnnotationError(f"{where}: the <{shape.name}> has no point. Repair it in CVAT.")
        label = self._given(shape.given, "label", shape.name)
        attributes = dict(shape.attributes)
        turn = float(shape.given.get("rotation", 0))
        if shape.name != "box" or turn:
            attributes[DRAWN_AS] = shape.name + (f" turned {turn:g} degrees" if turn else "")
        score = score_of(attributes.get(SCORE))
        if score is not None:
            del attributes[SCORE]
        marks = str(attributes.pop(LANDMARKS, ""))
        return Region(
            enclosing_box(shape.points),
            kind=self._kinds.get(label, label),
            score=score,
            origin=SOURCES.get(shape.given.get("source", ""), Origin.IMPORTED),
            landmarks_xy=tuple(_points(marks, where)) if marks else (),
            attributes=attributes,
        )

    def _given(self, given: Mapping[str, str], key: str, name: str) -> str:
        if key not in given:
            self._fail(f"A <{name}> has no {key}")
        return given[key]

    def _where(self) -> str:
        return f"{self._path}, line {self._expat.CurrentLineNumber}"

    def _fail(self, what: str) -> NoReturn:
        raise AnnotationError(f"{self._where()}: {what}. Export it again.")


def score_of(value: Value | None) -> float | None:
    """Give an attribute as a score in [0, 1], None if it is none.

    Example:
        >>> score_of("0.5"), score_of(7), score_of("high")
        (0.5, None, None)
    """
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number <= 1 else None


def _typed(text: str, entered: str) -> Value:
    """Give the value of an attribute in the type that its label declares."""
    if entered == "checkbox" and text in ("true", "false"):
        return text == "true"
    if entered == "number":
        try:
            return int(text) if _WHOLE.fullmatch(text) else float(text)
        except ValueError:
            return text
    return text


def _points(text: str, where: str) -> list[tuple[float, float]]:
    """Read ``x,y;x,y``."""
    points = []
    for pair in text.split(";"):
        x, comma, y = pair.partition(",")
        if not comma:
            raise AnnotationError(f"{where}: the points {text[:40]!r} are not of the form x,y;x,y.")
        points.append((finite(x, where, "x"), finite(y, where, "y")))
    return points


def _two_corners(box: BoxXyxy) -> list[tuple[float, float]]:
    return [(box[0], box[1]), (box[2], box[3])]
