# SPDX-License-Identifier: Apache-2.0
"""Pascal VOC: a folder of XML files, one for each image (VOC 2012 development kit, 2.3).

================== =================================================================
VOC                here
================== =================================================================
a file             Its image was looked at, with or without objects. An image without a
                   file is ``not_looked``; a file is written only for images looked at.
``filename``       The image, in the folder of the file below ``Annotations``. ImageNet's
                   files leave out the suffix: an image of that name is found with any.
``bndbox``         Pixels counted from 1, the last one included: ``xmin`` 1 and ``xmax``
                   10 are ours from 0 to 10. Some tools count from 0; what reaches over
                   the image then is clipped and counted.
``difficult``,     An attribute where it says 1, true.
``truncated``,
``occluded``
``pose``           An attribute, unless it is ``Unspecified``.
``part``           A region of its own, with ``part_of``: the head of a person.
================== =================================================================

Whole pixels are written, rounded outward: a box may grow by less than a pixel at each
side, and none shrinks. Scores, origins, landmarks, reasons and other attributes have no
place; regions come back as imported. Files with a document type are refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape

from veilset.annotations.formats.folders import read_small, walk
from veilset.annotations.formats.shapes import checked_name, finite, pixels
from veilset.annotations.formats.written import (
    Exported,
    checked_xml_text,
    filling,
    whole_box,
    write_beside,
)
from veilset.annotations.formats.xml_nodes import Node, parse_xml
from veilset.errors import AnnotationError
from veilset.types import Annotations, BoxXyxy, Origin, Region, Status

FLAGS = ("truncated", "occluded", "difficult")

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_UNSPECIFIED = "Unspecified"
_FOLDER = re.compile(r"(.*/)?Annotations?/")


def read_voc(
    path: str | Path, *, kinds: Mapping[str, str] | None = None, prefix: str = ""
) -> Iterator[Annotations]:
    """Go through the files of a folder, in the order of their paths.

    Args:
        path: The folder of XML files, or one above it, or a single file.
        kinds: What names of objects are called here; others keep their names.
        prefix: Removed from the names of images that begin with it.

    Yields:
        One row for each file, ``looked``. Width and height are 0 where it does not say.

    Raises:
        AnnotationError: If a file cannot be read, or something in it cannot be used; the
            message says in which file and line. Also if there is no file at all.
    """
    path = Path(path)
    if path.is_file():
        yield _read(path, "", kinds or {}, prefix)
        return
    is_empty = True
    for name, file in walk(path, ".xml"):
        is_empty = False
        folder = _FOLDER.sub("", name.rpartition("/")[0] + "/", count=1).lstrip("/")
        yield _read(file, folder, kinds or {}, prefix)
    if is_empty:
        raise AnnotationError(f"The folder {path} holds no XML file. Check the path.")


def names_in_file(image_id: str) -> tuple[str, ...]:
    """Give the names under which a file may speak of an image, the likeliest first.

    Example:
        >>> names_in_file("JPEGImages/a.jpg")
        ('JPEGImages/a.jpg', 'JPEGImages/a', 'a.jpg', 'a')
    """
    names = (image_id, image_id.removeprefix("JPEGImages/"))
    stems = (str(PurePosixPath(name).with_suffix("")) for name in names)
    return tuple(dict.fromkeys(chain(*zip(names, stems, strict=True))))


def _read(file: Path, folder: str, kinds: Mapping[str, str], prefix: str) -> Annotations:
    root = parse_xml(file, read_small(file))
    if root.name != "annotation":
        raise AnnotationError(
            f"{file}, line {root.line}: It begins with <{root.name}> and not with <annotation>. "
            "Give a folder of Pascal VOC."
        )
    where = f"{file}, line {root.line}"
    name = folder + _text(root, "filename", where)
    size = root.first("size")
    width, height = (
        pixels(_text(size, side, f"{file}, line {size.line}"), f"{file}, line {size.line}", side)
        if size
        else 0
        for side in ("width", "height")
    )
    regions = []
    for node in root.all("object"):
        region = _region(node, file, kinds)
        regions.append(region)
        regions += [_region(part, file, kinds, part_of=region.kind) for part in node.all("part")]
    return Annotations(
        checked_name(name.removeprefix(prefix), where),
        Status.LOOKED,
        tuple(regions),
        width=width,
        height=height,
    )


def _region(node: Node, file: Path, kinds: Mapping[str, str], part_of: str = "") -> Region:
    where = f"{file}, line {node.line}"
    label = _text(node, "name", where)
    attributes: dict[str, str | int | float | bool] = {}
    for flag in FLAGS:
        given = _text(node, flag, where, default="0")
        if given not in ("0", "1"):
            raise AnnotationError(f"{where}: {flag} is {given!r}. Expected 0 or 1.")
        if given == "1":
            attributes[flag] = True
    pose = _text(node, "pose", where, default=_UNSPECIFIED)
    if pose and pose != _UNSPECIFIED:
        attributes["pose"] = pose
    if part_of:
        attributes["part_of"] = part_of
    return Region(
        _box(node, where), kinds.get(label, label), origin=Origin.IMPORTED, attributes=attributes
    )


def _box(node: Node, where: str) -> BoxXyxy:
    box = node.first("bndbox")
    if box is None:
        raise AnnotationError(f"{where}: a <{node.name}> has no <bndbox>. Export it again.")
    left, top, right, bottom = (finite(_text(box, side, where), where, side) for side in _SIDES)
    if left > right or top > bottom:
        raise AnnotationError(
            f"{where}: the box {left:g} {top:g} {right:g} {bottom:g} is turned inside out. "
            "Draw it again."
        )
    return left - 1, top - 1, right, bottom


def _text(node: Node, name: str, where: str, default: str | None = None) -> str:
    child = node.first(name)
    if child is None and default is None:
        raise AnnotationError(f"{where}: a <{node.name}> has no <{name}>. Export it again.")
    return child.text.strip() if child else default or ""


def write_voc(
    path: str | Path, rows: Iterable[Annotations], *, labels: Mapping[str, str] | None = None
) -> Exported:
    """Write annotations as a folder of Pascal VOC; it appears whole or not at all.

    Args:
        path: Folder to write, new or empty; the files lie in it as the images do.
        rows: In any order.
        labels: What kinds are called there; a kind that is not named keeps its name.

    Raises:
        AnnotationError: If two images differ in their suffix only, a text cannot be held by
            XML, or the folder cannot be written.
    """
    counts: Counter[str] = Counter()
    with filling(Path(path)) as folder:
        for row in rows:
            counts["rows"] += 1
            if row.status is not Status.LOOKED:
                continue
            write_beside(folder, row.image_id, ".xml", _document(row, labels or {}), "voc")
            counts["images"] += 1
            counts["regions"] += len(row.regions)
    return Exported(counts["images"], counts["regions"], counts["rows"] - counts["images"])


def _document(row: Annotations, labels: Mapping[str, str]) -> str:
    where = f"The image {row.image_id!r}"
    folder, _, name = row.image_id.rpartition("/")
    lines = [
        "<annotation>",
        f"\t<folder>{_written(folder.rpartition('/')[2], where)}</folder>",
        f"\t<filename>{_written(name, where)}</filename>",
        f"\t<size><width>{row.width}</width><height>{row.height}</height><depth>3</depth></size>",
        "\t<segmented>0</segmented>",
    ]
    for region in row.regions:
        left, top, right, bottom = whole_box(region.box_xyxy)
        # A box without area is the pixel that it lies in, here as everywhere.
        sides = (left + 1, top + 1, max(right, left + 1), max(bottom, top + 1))
        pose = str(region.attributes.get("pose") or _UNSPECIFIED)
        lines += [
            "\t<object>",
            f"\t\t<name>{_written(labels.get(region.kind, region.kind), where)}</name>",
            f"\t\t<pose>{_written(pose, where)}</pose>",
            *(f"\t\t<{flag}>{int(region.attributes.get(flag) is True)}</{flag}>" for flag in FLAGS),
            "\t\t<bndbox>",
            *(f"\t\t\t<{side}>{n}</{side}>" for side, n in zip(_SIDES, sides, strict=True)),
            "\t\t</bndbox>",
            "\t</object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _written(text: str, where: str) -> str:
    if text != text.strip():
        raise AnnotationError(
            f"{where}: the text {text[:40]!r} begins or ends with a space, which voc cannot hold. "
            "Rename it."
        )
    return escape(checked_xml_text(text, where), {"\r": "&#13;"})
