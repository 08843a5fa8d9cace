# SPDX-License-Identifier: Apache-2.0
"""CVAT's own format, "CVAT for images 1.1": XML, or the zip that CVAT gives with it inside.

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ and .../xml_format.

================== =================================================================
CVAT               here
================== =================================================================
``<image>``        Looked at, with or without shapes. An image that is not in the file
                   is ``not_looked``; one that could not be looked at is left out of a
                   file that is written, and its reason is lost.
``<box>``          A region. A rotated one, and ``ellipse``, ``polygon``, ``polyline``,
                   ``points``, ``mask``, ``cuboid`` and ``skeleton``: the upright box
                   around it, with the attribute ``drawn_as``.
``<tag>``          Passed over: it marks no place.
``source``         ``manual``, ``semi-auto`` and ``consensus`` are ``reviewed``, ``auto`` is
                   ``detected``, everything else is ``imported``.
``<attribute>``    An attribute, typed as the labels of the file say (text, number,
                   checkbox). ``score`` and ``landmarks_xy`` are the region's own.
================== =================================================================

CVAT keeps only attributes that the labels of a task declare: create the task with the
labels of the file. Files are read as they stream by, with expat; a document type, which
could define entities, is refused before anything is expanded. CVAT itself writes
coordinates with two decimals, we write all.
"""

from __future__ import annotations

import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from veilset.annotations.formats.cvat_parser import (
    LANDMARKS,
    SCORE,
    CvatParser,
    Value,
    score_of,
)
from veilset.annotations.formats.written import (
    Exported,
    checked_xml_text,
    replacing,
    scratch,
)
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status

_CHUNK = 1 << 16
_WRITTEN = {Origin.REVIEWED: "manual", Origin.DETECTED: "auto", Origin.IMPORTED: "file"}


def read_cvat(
    path: str | Path, *, kinds: Mapping[str, str] | None = None, prefix: str = ""
) -> Iterator[Annotations]:
    """Go through the images of a file, in its order.

    Args:
        path: ``annotations.xml``, or the zip that CVAT gives.
        kinds: What labels are called here; a label that is not named keeps its name.
        prefix: Removed from the names of images that begin with it.

    Yields:
        One row for each image, ``looked``. Shapes are not cut to it, and the digest of the
        image is not known.

    Raises:
        AnnotationError: If the file cannot be read, or something in it cannot be used;
            the message says in which line.
    """
    path = Path(path)
    with _opened(path) as stream:
        parser = CvatParser(path, kinds or {}, prefix)
        while chunk := stream.read(_CHUNK):
            yield from parser.feed(chunk)
        yield from parser.feed(b"", is_final=True)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open("annotations.xml") as member:
                yield member
        else:
            with path.open("rb") as stream:
                yield stream
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be read ({error.strerror}). Check the path."
        ) from error
    except (KeyError, zipfile.BadZipFile) as error:
        raise AnnotationError(
            f"{path} is no zip with annotations.xml in it. Export the task again as "
            "'CVAT for images 1.1'."
        ) from error


def write_cvat(
    path: str | Path,
    rows: Iterable[Annotations],
    *,
    labels: Mapping[str, str] | None = None,
    task: str = "veilset",
) -> Exported:
    """Write annotations as "CVAT for images 1.1"; the file appears whole or not at all.

    Args:
        path: File to write, XML.
        rows: In the order of the data set, which numbers the images.
        labels: What kinds are called in CVAT; a kind that is not named keeps its name.
        task: Name of the task in the file.

    Raises:
        AnnotationError: If a text cannot be held by XML, or the file cannot be written.
    """
    path = Path(path)
    declared: dict[str, dict[str, str]] = {}
    counts: Counter[str] = Counter()
    # The labels stand first and are known last: the images wait in a file of their own.
    with replacing(path) as target, scratch(path.parent) as body:
        for number, row in enumerate(rows):
            counts["rows"] += 1
            if row.status is not Status.LOOKED:
                continue
            counts["images"] += 1
            counts["regions"] += len(row.regions)
            body.write(_image(row, number, labels or {}, declared))
        body.seek(0)
        target.write(_head(task, counts["rows"], declared))
        shutil.copyfileobj(body, target)
        target.write("</annotations>\n")
    return Exported(counts["images"], counts["regions"], counts["rows"] - counts["images"])


def _image(
    row: Annotations, number: int, labels: Mapping[str, str], declared: dict[str, dict[str, str]]
) -> str:
    where = f"The image {row.image_id!r}"
    start = (
        f'  <image id="{number}" name={_quoted(row.image_id, where)} '
        f'width="{row.width}" height="{row.height}">\n'
    )
    boxes = []
    for region in row.regions:
        label = labels.get(region.kind, region.kind)
        attributes = _attributes(region, where)
        _declare(declared.setdefault(label, {}), attributes)
        boxes.append(_box(region, label, attributes, where))
    return f"{start}{''.join(boxes)}  </image>\n"


def _box(region: Region, label: str, attributes: Mapping[str, Value], where: str) -> str:
    sides = " ".join(
        f'{name}="{float(value)!r}"'
        for name, value in zip(("xtl", "ytl", "xbr", "ybr"), region.box_xyxy, strict=True)
    )
    start = (
        f'    <box label={_quoted(label, where)} source="{_WRITTEN[region.origin]}" '
        f'occluded="0" {sides} z_order="0">\n'
    )
    inner = "".join(
        f"      <attribute name={_quoted(name, where)}>{_escaped(_text(value), where)}"
        "</attribute>\n"
        for name, value in attributes.items()
    )
    return f"{start}{inner}    </box>\n"


def _attributes(region: Region, where: str) -> dict[str, Value]:
    """Give what becomes attributes in CVAT, the region's own score and points among it."""
    attributes = dict(sorted(region.attributes.items()))
    if score_of(attributes.get(SCORE)) is not None or LANDMARKS in attributes:
        raise AnnotationError(
            f"{where}: a region has an attribute named {SCORE!r} or {LANDMARKS!r}, which would be "
            "taken for the region's own. Rename it."
        )
    if region.score is not None:
        attributes[SCORE] = float(region.score)
    if region.landmarks_xy:
        points = (f"{float(x)!r},{float(y)!r}" for x, y in region.landmarks_xy)
        attributes[LANDMARKS] = ";".join(points)
    return attributes


def _declare(label: dict[str, str], attributes: Mapping[str, Value]) -> None:
    """Note how attributes are entered in CVAT; one of several types is a text."""
    for name, value in attributes.items():
        entered = "text"
        if isinstance(value, bool):
            entered = "checkbox"
        elif isinstance(value, int | float) and name != SCORE:
            entered = "number"
        label[name] = entered if label.get(name, entered) == entered else "text"


def _head(task: str, n_images: int, declared: Mapping[str, Mapping[str, str]]) -> str:
    where = "The labels"
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations>",
        "  <version>1.1</version>",
        "  <meta>",
        "    <task>",
        f"      <name>{_escaped(task, where)}</name>",
        f"      <size>{n_images}</size>",
        "      <mode>annotation</mode>",
        "      <labels>",
    ]
    for label, attributes in sorted(declared.items()):
        lines += ["        <label>", f"          <name>{_escaped(label, where)}</name>"]
        lines += ["          <type>rectangle</type>", "          <attributes>"]
        for name, entered in sorted(attributes.items()):
            lines.append(
                f"            <attribute><name>{_escaped(name, where)}</name>"
                f"<mutable>False</mutable><input_type>{entered}</input_type>"
                "<default_value></default_value><values></values></attribute>"
            )
        lines += ["          </attributes>", "        </label>"]
    lines += ["      </labels>", "    </task>", "  </meta>", ""]
    return "\n".join(lines)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str, where: str) -> str:
    return quoteattr(checked_xml_text(text, where))


def _escaped(text: str, where: str) -> str:
    return escape(checked_xml_text(text, where), {"\r": "&#13;"})
