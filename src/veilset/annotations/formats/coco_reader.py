# SPDX-License-Identifier: Apache-2.0
"""The reading half of ``coco``: three lists in any order become rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

from veilset.annotations.formats.json_items import iterate_members
from veilset.annotations.formats.shapes import checked_name, finite, pixels
from veilset.errors import AnnotationError
from veilset.types import Annotations, Origin, Region, Status

ISCROWD, SEGMENTATION, OURS = "iscrowd", "segmentation", "veilset"

_LISTS = ("images", "annotations", "categories")
# What has a place of its own, or follows from the rest.
_PASSED_OVER = {"id", "image_id", "category_id", "area", "score", ISCROWD, SEGMENTATION}

Value = str | int | float | bool


def read_coco(
    path: str | Path, *, kinds: Mapping[str, str] | None = None, prefix: str = ""
) -> Iterator[Annotations]:
    """Go through the images of a file, in its order.

    Args:
        path: The file, JSON; its lists may come in any order.
        kinds: What categories are called here; others keep their names.
        prefix: Removed from the names of images that begin with it.

    Yields:
        One row for each image, ``looked``. Width and height are 0 where the file says so.

    Raises:
        AnnotationError: If the file cannot be read, or something in it cannot be used;
            the message says in which item of which list.
    """
    with closing(_Joined(Path(path), kinds or {}, prefix)) as joined:
        joined.read()
        yield from joined.rows()


class _Joined:
    """Images and annotations of a file, on disk, until all of it was read.

    An annotation names its image by a number, and may stand before it.
    """

    def __init__(self, path: Path, kinds: Mapping[str, str], prefix: str) -> None:
        self._path = path
        self._kinds = kinds
        self._prefix = prefix
        self._categories: dict[str, str] = {}
        # A database without a name lies on disk, and is gone with the process.
        self._sql = sqlite3.connect("", isolation_level=None)
        self._sql.executescript(
            "CREATE TABLE image (id TEXT PRIMARY KEY, place INTEGER, name TEXT, width INTEGER,"
            " height INTEGER) WITHOUT ROWID;"
            "CREATE TABLE annotation (place INTEGER PRIMARY KEY, image TEXT, value TEXT);"
        )

    def close(self) -> None:
        self._sql.close()

    def read(self) -> None:
        missing = set(_LISTS)
        self._sql.execute("BEGIN")
        for member, place, item in iterate_members(self._path):
            if member not in _LISTS:
                continue
            if place == 0 and item != []:
                raise AnnotationError(f"{self._path}: {member} is no list. Export it again.")
            missing.discard(member)
            if place == 0:
                continue
            where = self._where(member, place)
            try:
                self._take(member, place, item, where)
            except (AttributeError, KeyError, TypeError) as error:
                raise AnnotationError(
                    f"{where}: it is not of the form that COCO documents for detection "
                    f"({type(error).__name__}: {error}). Export it again."
                ) from error
        self._sql.execute("COMMIT")
        if missing:
            # Without annotations nobody looked: it is no set in which nothing was found.
            raise AnnotationError(
                f"{self._path} has no list of {', '.join(sorted(missing))}. Expected COCO's JSON "
                "for detection."
            )

    def _take(self, member: str, place: int, item: Mapping[str, Any], where: str) -> None:
        if member == "categories":
            self._categories[_key(item["id"], where)] = str(item["name"])
        elif member == "annotations":
            image = _key(item["image_id"], where)
            # The whole item waits, since its category may still be to come.
            values = (place, image, json.dumps(item))
            self._sql.execute("INSERT INTO annotation VALUES (?, ?, ?)", values)
        else:
            name = checked_name(str(item["file_name"]).removeprefix(self._prefix), where)
            size = (pixels(item.get(side, 0), where, side) for side in ("width", "height"))
            image = _key(item["id"], where)
            try:
                self._sql.execute(
                    "INSERT INTO image VALUES (?, ?, ?, ?, ?)", (image, place, name, *size)
                )
            except sqlite3.IntegrityError as error:
                raise AnnotationError(
                    f"{where}: the id {image} is that of another image too. Export it again."
                ) from error

    def rows(self) -> Iterator[Annotations]:
        self._refuse_strays()
        found = self._sql.execute(
            "SELECT image.place, name, width, height, annotation.place, value FROM image "
            "LEFT JOIN annotation ON annotation.image = image.id "
            "ORDER BY image.place, annotation.place"
        )
        for (_, name, width, height), several in groupby(found, key=lambda row: row[:4]):
            regions = tuple(
                self._region(json.loads(value), self._where("annotations", place))
                for *_, place, value in several
                if value is not None
            )
            yield Annotations(name, Status.LOOKED, regions, width, height)

    def _refuse_strays(self) -> None:
        # The index serves the join too.
        self._sql.execute("CREATE INDEX of_image ON annotation (image, place)")
        stray = self._sql.execute(
            "SELECT place, image FROM annotation WHERE image NOT IN (SELECT id FROM image) "
            "ORDER BY place LIMIT 1"
        ).fetchone()
        if stray:
            raise AnnotationError(
                f"{self._where('annotations', stray[0])}: its image, {stray[1]}, is not among the "
                "images. Export it again."
            )

    def _region(self, item: Mapping[str, Any], where: str) -> Region:
        try:
            return self._read_region(item, where)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise AnnotationError(
                f"{where}: it is not of the form that COCO documents for detection "
                f"({type(error).__name__}: {error}). Export it again."
            ) from error

    def _read_region(self, item: Mapping[str, Any], where: str) -> Region:
        category = _key(item["category_id"], where)
        if category not in self._categories:
            raise AnnotationError(
                f"{where}: its category, {category}, is not among the categories. Export it again."
            )
        label = self._categories[category]
        x, y, width, height = (finite(value, where, "a value of bbox") for value in item["bbox"])
        if width < 0 or height < 0:
            raise AnnotationError(f"{where}: width or height is negative. Draw the box again.")
        attributes = _attributes(item)
        score = item.get("score")
        if score is not None and not 0 <= finite(score, where, "score") <= 1:
            attributes["score_given"], score = score, None
        ours = item.get(OURS) or {}
        origin = Origin.IMPORTED if score is None else Origin.DETECTED
        return Region(
            (x, y, x + width, y + height),
            kind=self._kinds.get(label, label),
            score=None if score is None else float(score),
            origin=Origin(ours.get("origin", origin.value)),
            landmarks_xy=tuple((float(a), float(b)) for a, b in ours.get("landmarks_xy", ())),
            attributes=attributes,
        )

    def _where(self, member: str, place: int) -> str:
        return f"{self._path}, {member!r}, item {place}"


def _attributes(item: Mapping[str, Any]) -> dict[str, Value]:
    found = _scalars(item.get("attributes") or {})
    found |= {name: value for name, value in _scalars(item).items() if name not in _PASSED_OVER}
    if item.get(ISCROWD):
        found[ISCROWD] = True
    if item.get(SEGMENTATION):
        # Kept as it stands: nothing here looks into it.
        found[SEGMENTATION] = json.dumps(item[SEGMENTATION], separators=(",", ":"))
    return found


def _scalars(members: Mapping[str, Any]) -> dict[str, Value]:
    return {name: value for name, value in members.items() if isinstance(value, str | int | float)}


def _key(value: object, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise AnnotationError(
            f"{where}: the id {value!r} is no whole number and no text. Export it again."
        )
    return json.dumps(value)
