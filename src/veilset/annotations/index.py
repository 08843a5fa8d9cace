# SPDX-License-Identifier: Apache-2.0
"""The rows of a file in the order of a data set, on disk: memory does not grow with them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Self

from veilset.errors import AnnotationError
from veilset.protocols import Shard
from veilset.types import Annotations, ImageRecord, Origin, Region, Status

MAX_LISTED = 100
"""Names that are listed where a file speaks of images that the data set lacks."""

_CACHE_KIB = 65_536

_to_json = json.JSONEncoder(separators=(",", ":")).encode

Names = Callable[[str], tuple[str, ...]]


class FileIndex:
    """What a file says, by the name of the image.

    Use it in a ``with closing(...)`` block.
    """

    def __init__(self, file: Path, names_in_file: Names) -> None:
        """Make an empty index.

        Args:
            file: The file, for messages.
            names_in_file: Gives the names under which the file may speak of an image.
        """
        self._file = file
        self._names_in_file = names_in_file
        # Without a name, SQLite keeps a database of its own on disk that has no name either:
        # it is gone with the process, however that ends.
        self._sql = sqlite3.connect("", isolation_level=None)
        self._sql.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA cache_size = -{_CACHE_KIB};"
            "CREATE TABLE row (key BLOB PRIMARY KEY, place INTEGER, is_used INTEGER, value TEXT)"
            " WITHOUT ROWID"
        )

    @classmethod
    def build(cls, file: Path, rows: Iterable[Annotations], names_in_file: Names) -> Self:
        """Take all rows of a file.

        Raises:
            AnnotationError: If an image is named twice, or the rows cannot be read.
        """
        index = cls(file, names_in_file)
        try:
            index._fill(rows)
        except BaseException:
            index.close()
            raise
        return index

    def _fill(self, rows: Iterable[Annotations]) -> None:
        self._sql.execute("BEGIN")
        last = ""

        def values() -> Iterator[tuple[bytes, int, str | None]]:
            nonlocal last
            for place, row in enumerate(rows, start=1):
                last = row.image_id
                yield _key(last), place, _value(row)

        try:
            self._sql.executemany("INSERT INTO row VALUES (?, ?, 0, ?)", values())
        except sqlite3.IntegrityError as error:
            found = "SELECT place FROM row WHERE key = ?"
            (first,) = self._sql.execute(found, (_key(last),)).fetchone()
            raise AnnotationError(
                f"{self._file}: the image {last!r} is named a second time; the first was number "
                f"{first}. Which of them counts is not said: remove one."
            ) from error
        self._sql.execute("COMMIT")

    def unknown(self, image_ids: Iterable[str]) -> tuple[list[str], int]:
        """Compare with the names of a data set.

        Returns:
            The first names of the file that the data set lacks, in the order of the file, and
            how many there are.

        Raises:
            AnnotationError: If the data set has none of them.
        """
        an_image = ""

        def keys() -> Iterator[tuple[bytes]]:
            nonlocal an_image
            for image_id in image_ids:
                an_image = an_image or image_id
                yield from ((_key(name),) for name in self._names_in_file(image_id))

        self._sql.execute("BEGIN")
        self._sql.executemany("UPDATE row SET is_used = 1 WHERE key = ?", keys())
        self._sql.execute("COMMIT")
        n_named, n_used = self._sql.execute("SELECT count(*), total(is_used) FROM row").fetchone()
        found = "SELECT key FROM row WHERE is_used = 0 ORDER BY place LIMIT ?"
        listed = [_name(key) for (key,) in self._sql.execute(found, (MAX_LISTED,))]
        if n_named and not n_used:
            raise AnnotationError(
                f"{self._file} names {n_named} images, and none of them is in the data set: it "
                f"says {listed[0]!r}, where the data set has {an_image!r}. Give the part that has "
                "to be removed from the names as the prefix, or check the folder."
            )
        return listed, int(n_named - n_used)

    def find(self, record: ImageRecord) -> Annotations:
        """Give what the file says of an image: ``not_looked`` if it does not name it.

        Raises:
            AnnotationError: If it speaks of the image under two names.
        """
        names = self._names_in_file(record.image_id)
        found = []
        for name in names:
            row = self._sql.execute("SELECT value FROM row WHERE key = ?", (_key(name),)).fetchone()
            found += [(name, row[0])] if row else []
        if not found:
            return Annotations(record.image_id, Status.NOT_LOOKED)
        if len(found) > 1:
            raise AnnotationError(
                f"{self._file} speaks of the image {record.image_id!r} twice, as {found[0][0]!r} "
                f"and as {found[1][0]!r}. Which of them counts is not said: remove one."
            )
        return _row(record.image_id, found[0][1])

    def shards(self, shard_size: int) -> Iterator[Shard]:
        """Go through the names of the file in the order of a data set, as a data set would."""
        for index, rows in self._batches("SELECT key FROM row ORDER BY key", shard_size):
            yield Shard(index, tuple(ImageRecord(_name(key)) for (key,) in rows))

    def rows(self, shard: Shard) -> list[Annotations]:
        """Give what the file says of a shard that ``shards`` gave."""
        span = (_key(shard.records[0].image_id), _key(shard.records[-1].image_id))
        found = "SELECT key, value FROM row WHERE key BETWEEN ? AND ? ORDER BY key"
        return [_row(_name(key), value) for key, value in self._sql.execute(found, span)]

    def _batches(self, query: str, size: int) -> Iterator[tuple[int, list[tuple[bytes]]]]:
        cursor = self._sql.execute(query)
        index = 0
        while batch := list(islice(cursor, size)):
            yield index, batch
            index += 1

    def close(self) -> None:
        """Let go of the disk."""
        self._sql.close()


def _key(name: str) -> bytes:
    """Give a name as bytes whose order is that of a data set (``ImageRecord.order_key``).

    Example:
        >>> sorted(["a-b/1", "a/2", "a.jpg"], key=_key)
        ['a/2', 'a-b/1', 'a.jpg']
    """
    # No name holds a NUL, which comes before everything else; and the order of UTF-8 is
    # that of code points.
    return name.replace("/", "\0").encode()


def _name(key: bytes) -> str:
    return key.decode().replace("\0", "/")


def _value(row: Annotations) -> str | None:
    """Give a row as text; None, most often, if it was looked at and no more is known."""
    if row.regions or row.width or row.height or row.reason or row.status is not Status.LOOKED:
        regions = [
            (
                *region.box_xyxy,
                region.kind,
                region.score,
                region.origin,
                region.landmarks_xy,
                dict(region.attributes),
            )
            for region in row.regions
        ]
        return _to_json((row.status, row.width, row.height, row.reason, row.message, regions))
    return None


def _row(image_id: str, value: str | None) -> Annotations:
    if value is None:
        return Annotations(image_id, Status.LOOKED)
    status, width, height, reason, message, regions = json.loads(value)
    return Annotations(
        image_id,
        Status(status),
        tuple([_region(*region) for region in regions]),
        width,
        height,
        reason=reason,
        message=message,
    )


def _region(
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    kind: str,
    score: float | None,
    origin: str,
    landmarks_xy: list[tuple[float, float]],
    attributes: dict[str, str | int | float | bool],
) -> Region:
    points = tuple([(x, y) for x, y in landmarks_xy])
    return Region((x0, y0, x1, y1), kind, score, Origin(origin), points, attributes)
