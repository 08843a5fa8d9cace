# SPDX-License-Identifier: Apache-2.0
"""YOLO: a folder of text files, one for each image (https://docs.ultralytics.com/datasets/detect).

================== =================================================================
YOLO               here
================== =================================================================
a file             Its image was looked at; an empty file is "looked, found none". An image
                   without a file is a background to YOLO and ``not_looked`` here: nobody
                   can tell it from one that was forgotten. Make empty files for those
                   that were searched.
``class x y w h``  A region: centre and sides, as fractions of the image. A sixth value is
                   the score of a detection. Six values and more that come in pairs are the
                   corners of a polygon: the upright box around it, with ``drawn_as``.
``data.yaml``,     What the classes are called; without either, their numbers are the
``classes.txt``    kinds. Files of key points (``kpt_shape``) are refused.
``labels/``        Where one is, only files in such folders count, and speak of the images
                   in ``images/`` in its place; otherwise those beside the images.
================== =================================================================

An image has the name of its file with another suffix. Fractions mean nothing without the
image, so an import needs the photographs. Scores, origins, landmarks and attributes have
no place in a file that is written, and an image nobody looked at gets none.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import yaml

from veilset.annotations.formats.folders import read_small_text, walk
from veilset.annotations.formats.shapes import DRAWN_AS, checked_name, enclosing_box, finite
from veilset.annotations.formats.written import Exported, filling, write_beside
from veilset.errors import AnnotationError
from veilset.types import Annotations, BoxXyxy, Origin, Region, Status

# At the top of the folder these are lists or notes, not labels of an image.
_NO_LABELS = re.compile(r"(classes|train|val|valid|test|readme.*)\.txt", re.IGNORECASE)
_NAMES = ("classes.txt", "obj.names", "labels/classes.txt")
_MAX_DEPTH = 8
_YAML = ("data.yaml", "data.yml", "dataset.yaml")


def read_yolo(
    path: str | Path, *, kinds: Mapping[str, str] | None = None, prefix: str = ""
) -> Iterator[Annotations]:
    """Go through the label files of a folder, in the order of their paths.

    Args:
        path: The folder of the data set, or of the labels alone.
        kinds: What classes are called here; others keep their names.
        prefix: Removed from the names of images that begin with it.

    Yields:
        One row for each file, ``looked``. Its ``image_id`` is without a suffix, and its
        boxes are **fractions of the image**, from 0 to 1.

    Raises:
        AnnotationError: If a file cannot be read, or something in it cannot be used; the
            message says in which file and line. Also if there is no file at all.
    """
    path = Path(path)
    names = _class_names(path)
    has_labels = any("labels" in folders for _, folders, _ in os.walk(path))
    is_empty = True
    for name, file in walk(path, ".txt"):
        if _NO_LABELS.fullmatch(name.removeprefix("labels/")):
            continue
        *folders, last = name.split("/")
        if has_labels:
            if "labels" not in folders:
                continue
            folders[len(folders) - 1 - folders[::-1].index("labels")] = "images"
        is_empty = False
        stem = "/".join([*folders, last[: -len(".txt")]]).removeprefix(prefix)
        regions = tuple(_regions(file, names, kinds or {}))
        yield Annotations(checked_name(stem, str(file)), Status.LOOKED, regions)
    if is_empty:
        raise AnnotationError(f"The folder {path} holds no labels, files *.txt. Check the path.")


def names_in_file(image_id: str) -> tuple[str, ...]:
    """Give the names under which a file may speak of an image, the likeliest first.

    Example:
        >>> names_in_file("train/a.jpg")
        ('train/a', 'images/train/a')
        >>> names_in_file("images/a.jpg")
        ('images/a', 'images/images/a', 'a')
    """
    stem = str(PurePosixPath(image_id).with_suffix(""))
    return tuple(dict.fromkeys((stem, f"images/{stem}", stem.removeprefix("images/"))))


def _class_names(folder: Path) -> Mapping[str, str] | None:
    """Give the names of the classes by number, None if nothing says them."""
    for name in _YAML:
        if (folder / name).is_file():
            return _yaml_names(folder / name)
    for name in _NAMES:
        if (folder / name).is_file():
            lines = read_small_text(folder / name).rstrip().split("\n")
            return {str(number): line.strip() for number, line in enumerate(lines)}
    return None


def _yaml_names(file: Path) -> Mapping[str, str]:
    text = read_small_text(file)
    try:
        _refuse_tangles(text, file)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise AnnotationError(
            f"{file} is no valid YAML ({type(error).__name__}). Export it again."
        ) from error
    data = data if isinstance(data, dict) else {}
    if "kpt_shape" in data:
        raise AnnotationError(
            f"{file}: it describes key points (kpt_shape), and their labels look like polygons. "
            "Export boxes."
        )
    names = data.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and type(number) is int for number, name in names.items()
    ):
        raise AnnotationError(
            f"{file}: names is no list of texts, and no mapping from whole numbers to texts. "
            "Put names such as no and 7 into quotes."
        )
    return {str(number): name for number, name in names.items()}


def _refuse_tangles(text: str, file: Path) -> None:
    """Refuse what a list of classes never holds and a reader of YAML can be choked with."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        # A few lines of aliases can stand for more than fits into memory.
        if isinstance(event, yaml.AliasEvent) or depth > _MAX_DEPTH:
            raise AnnotationError(
                f"{file}: it holds aliases, or is nested deeper than {_MAX_DEPTH} times. Leave "
                "nothing in it but the names."
            )


def _regions(
    file: Path, names: Mapping[str, str] | None, kinds: Mapping[str, str]
) -> Iterator[Region]:
    for number, line in enumerate(read_small_text(file).split("\n"), start=1):
        values = line.split()
        if values:
            yield _region(values, f"{file}, line {number}", names, kinds)


def _region(
    values: list[str], where: str, names: Mapping[str, str] | None, kinds: Mapping[str, str]
) -> Region:
    is_polygon = len(values) >= 7 and len(values) % 2 == 1
    if len(values) not in (5, 6) and not is_polygon:
        raise AnnotationError(
            f"{where}: it has {len(values)} values. Expected a class and x y w h, or the corners "
            "of a polygon."
        )
    label = values[0]
    if names is not None:
        if label not in names:
            raise AnnotationError(
                f"{where}: the class is {label[:40]!r}, and {len(names)} are named. "
                "Complete the names, or export again."
            )
        label = names[label]
    elif not (label.isascii() and label.isdigit()):
        raise AnnotationError(f"{where}: the class is {label[:40]!r}. Expected a whole number.")
    numbers = [finite(value, where, "a value") for value in values[1:]]
    if is_polygon:
        box = enclosing_box(zip(numbers[::2], numbers[1::2], strict=True))
    else:
        box = _box(numbers, where)
    if max(map(abs, box)) > 2:
        raise AnnotationError(
            f"{where}: the box {' '.join(values[1:5])} is in pixels. Expected fractions of the "
            "image, from 0 to 1."
        )
    score = numbers[4] if len(values) == 6 else None
    if score is not None and not 0 <= score <= 1:
        raise AnnotationError(f"{where}: the score is {score:g}. Expected 0 to 1.")
    return Region(
        box,
        kind=kinds.get(label, label),
        score=score,
        origin=Origin.IMPORTED if score is None else Origin.DETECTED,
        attributes={DRAWN_AS: "polygon"} if is_polygon else {},
    )


def _box(numbers: list[float], where: str) -> BoxXyxy:
    x, y, width, height = numbers[:4]
    if width < 0 or height < 0:
        raise AnnotationError(f"{where}: width or height is negative. Draw the box again.")
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def write_yolo(
    path: str | Path, rows: Iterable[Annotations], *, labels: Mapping[str, str] | None = None
) -> Exported:
    """Write annotations as a folder of YOLO; it appears whole or not at all.

    Args:
        path: Folder to write, new or empty: ``labels``, with the files as the images lie,
            and ``data.yaml``. Put the images, or a link to them, beside it as ``images``.
        rows: In any order. Classes are numbered as they appear.
        labels: What kinds are called there; a kind that is not named keeps its name.

    Raises:
        AnnotationError: If two images differ in their suffix only, the size of one with
            regions is not known, or the folder cannot be written.
    """
    counts: Counter[str] = Counter()
    classes: dict[str, int] = {}
    with filling(Path(path)) as folder:
        (folder / "labels").mkdir()
        for row in rows:
            counts["rows"] += 1
            if row.status is not Status.LOOKED:
                continue
            text = "".join(_line(row, region, labels or {}, classes) for region in row.regions)
            name = row.image_id.removeprefix("images/")
            write_beside(folder / "labels", name, ".txt", text, "yolo")
            counts["images"] += 1
            counts["regions"] += len(row.regions)
        names = "".join(f"  {number}: {json.dumps(name)}\n" for name, number in classes.items())
        (folder / "data.yaml").write_text(
            "path: .\ntrain: images\nval: images\n"
            f"nc: {len(classes)}\nnames:{' {}' if not classes else ''}\n{names}",
            encoding="utf-8",
        )
    return Exported(counts["images"], counts["regions"], counts["rows"] - counts["images"])


def _line(
    row: Annotations, region: Region, labels: Mapping[str, str], classes: dict[str, int]
) -> str:
    if not (row.width and row.height):
        raise AnnotationError(
            f"The size of the image {row.image_id!r} is not known, and yolo takes fractions. "
            "Import the annotations with their photographs first."
        )
    label = labels.get(region.kind, region.kind)
    number = classes.setdefault(label, len(classes))
    x0, y0, x1, y1 = region.box_xyxy
    centre = ((x0 + x1) / 2 / row.width, (y0 + y1) / 2 / row.height)
    sides = ((x1 - x0) / row.width, (y1 - y0) / row.height)
    return " ".join([str(number), *(repr(float(value)) for value in (*centre, *sides))]) + "\n"
