# SPDX-License-Identifier: Apache-2.0
"""WIDER FACE's text (http://shuoyang1213.me/WIDERFACE, ``readme.txt`` of its annotations).

    0--Parade/0_Parade_Parade_0_12.jpg              name of the image
    2                                               how many faces
    127 201 18 20 2 0 0 0 0 1                       x y width height, then blur, expression,
    153 202 19 22 1 0 0 1 2 0                       illumination, invalid, occlusion, pose

An image without faces says 0, and has a line of ten zeros nevertheless, which is no face;
it is "looked, found none". An image that is not named is ``not_looked``, and left out of a
file that is written. Lines of detections, ``x y width height score``, are read as well.

The six are kept as attributes, whole numbers; so is ``invalid`` (1: too small or unclear to
be scored), since an invalid face is still a face. Pixels are whole and counted from 0. In
writing, boxes are rounded outward, what has none of the six gets 0, and a kind other than
``face``, scores, origins, sizes and other attributes have no place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

from veilset.annotations.formats.shapes import checked_name, finite
from veilset.annotations.formats.written import Exported, face_only, replacing, whole_box
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status

ATTRIBUTES: Mapping[str, range] = {
    "blur": range(3),
    "expression": range(2),
    "illumination": range(2),
    "invalid": range(2),
    "occlusion": range(3),
    "pose": range(2),
}
"""Names of the six, in their order, and the values that each may have."""

MAX_LINE = 1 << 16
"""Characters of the longest line."""


def read_wider(path: str | Path, *, prefix: str = "") -> Iterator[Annotations]:
    """Go through the images of a file, in its order.

    Args:
        path: The file, text.
        prefix: Removed from the names of images that begin with it.

    Yields:
        One row for each image, ``looked``; width and height are 0, the file does not say.

    Raises:
        AnnotationError: If the file cannot be read, or something in it cannot be used;
            the message says in which line.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig") as stream:
            lines = _Lines(path, stream)
            while name := lines.next():
                yield _image(name, lines, prefix)
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be read ({error.strerror}). Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8. Check the file.") from error


class _Line(NamedTuple):
    """A line and its number; one that is missing is false."""

    number: int
    text: str

    def __bool__(self) -> bool:
        return bool(self.text)


class _Lines:
    """Lines that hold something, one of which may be handed back."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self.path = path
        self._stream = stream
        self._number = 0
        self._again: _Line | None = None

    def next(self) -> _Line:
        if self._again:
            line, self._again = self._again, None
            return line
        while text := self._stream.readline(MAX_LINE):
            self._number += 1
            if len(text) >= MAX_LINE:
                self.fail(self._number, "The line does not end")
            if text.strip():
                return _Line(self._number, text.strip())
        return _Line(self._number, "")

    def hand_back(self, line: _Line) -> None:
        self._again = line

    def fail(self, number: int, what: str) -> NoReturn:
        raise AnnotationError(
            f"{self.path}, line {number}: {what}. Expected the name of an image, a count, and as "
            "many lines of x y width height and six attributes."
        )


def _image(name: _Line, lines: _Lines, prefix: str) -> Annotations:
    image_id = checked_name(name.text.removeprefix(prefix), f"{lines.path}, line {name.number}")
    count = lines.next()
    if not count:
        lines.fail(name.number, f"The file ends after {name.text[:40]!r}")
    if not (count.text.isascii() and count.text.isdigit() and len(count.text) < 9):
        lines.fail(count.number, f"{count.text[:40]!r} is no count of faces")
    n_faces = int(count.text)
    if n_faces == 0:
        placeholder = lines.next()
        if placeholder.text.split() != ["0"] * 10:
            lines.hand_back(placeholder)
    regions = []
    for place in range(n_faces):
        line = lines.next()
        if not line:
            lines.fail(count.number, f"The file ends after {place} of {n_faces} faces")
        regions.append(_region(line, lines))
    return Annotations(image_id, Status.LOOKED, tuple(regions))


def _region(line: _Line, lines: _Lines) -> Region:
    where = f"{lines.path}, line {line.number}"
    values = line.text.split()
    if len(values) not in (4, 5, 10):
        lines.fail(line.number, f"It has {len(values)} values, not 10: {line.text[:40]!r}")
    x, y, width, height = (finite(value, where, "a side") for value in values[:4])
    if width < 0 or height < 0:
        lines.fail(line.number, f"Width or height is negative: {line.text[:40]!r}")
    score = None
    attributes: dict[str, str | int | float | bool] = {}
    if len(values) == 5:
        score = finite(values[4], where, "score")
        if not 0 <= score <= 1:
            attributes["score_given"], score = score, None
    for (name, allowed), text in zip(ATTRIBUTES.items(), values[4:], strict=False):
        if len(values) == 10:
            value = finite(text, where, name)
            if value not in allowed:
                lines.fail(line.number, f"{name} is {text}, and never above {allowed[-1]}")
            attributes[name] = int(value)
    origin = Origin.DETECTED if len(values) == 5 else Origin.IMPORTED
    box = (x, y, x + width, y + height)
    return Region(box, score=score, origin=origin, attributes=attributes)


def write_wider(
    path: str | Path, rows: Iterable[Annotations], *, labels: Mapping[str, str] | None = None
) -> Exported:
    """Write annotations as WIDER FACE's text; the file appears whole or not at all.

    Args:
        path: File to write.
        rows: In any order.
        labels: What kinds are called; what is not a ``face`` then is refused.

    Raises:
        AnnotationError: If a region is no face, a name cannot be a line, or the file cannot
            be written.
    """
    counts: Counter[str] = Counter()
    with replacing(Path(path)) as stream:
        for row in rows:
            counts["rows"] += 1
            if row.status is not Status.LOOKED:
                continue
            stream.write(_block(row, labels or {}))
            counts["images"] += 1
            counts["regions"] += len(row.regions)
    return Exported(counts["images"], counts["regions"], counts["rows"] - counts["images"])


def _block(row: Annotations, labels: Mapping[str, str]) -> str:
    if row.image_id != row.image_id.strip() or len(row.image_id.splitlines()) != 1:
        raise AnnotationError(
            f"The image name {row.image_id!r} begins or ends with a space, or goes over several "
            "lines, which wider cannot hold. Rename the file."
        )
    lines = [row.image_id, str(len(row.regions))]
    for region in row.regions:
        face_only(row, region, labels, "wider")
        x0, y0, x1, y1 = whole_box(region.box_xyxy)
        six = [_attribute(row, region, name) for name in ATTRIBUTES]
        lines.append(" ".join(map(str, (x0, y0, x1 - x0, y1 - y0, *six))))
    if not row.regions:
        lines.append(" ".join(["0"] * 10))
    return "\n".join(lines) + "\n"


def _attribute(row: Annotations, region: Region, name: str) -> int:
    value = region.attributes.get(name, 0)
    if value not in ATTRIBUTES[name]:
        raise AnnotationError(
            f"The image {row.image_id!r} has a region with {name} {value!r}, and wider holds 0 to "
            f"{ATTRIBUTES[name][-1]}. Rename that attribute."
        )
    return int(value)
