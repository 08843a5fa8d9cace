# SPDX-License-Identifier: Apache-2.0
"""The category of each image: from its folders, or from a mapping file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from veilset.audit.database import Database, quoted
from veilset.errors import ConfigError, DatasetError

KEYS = ("image_id", "folder")
VALUES = ("category", "wnid")

_FOLDER = "list_extract(string_split(image_id, '/'), -2)"
# Greedy, so that it is the last such folder on the path.
_WNID = r"nullif(regexp_extract(image_id, '^(?:.*/)?(n\d{8})/', 1), '')"
_RULES = {
    "auto": f"coalesce({_WNID}, {_FOLDER})",
    "folder": _FOLDER,
    "wnid": _WNID,
    "none": "NULL",
}


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping file that was opened as far as its header.

    Attributes:
        path: Where it lies.
        key: ``image_id`` or ``folder``: what its lines name.
        n_columns: Columns; what is behind the category is not read.
        by: Name of the classifier that wrote it in this audit; "" if somebody gave it.
    """

    path: Path
    key: str
    n_columns: int = 2
    by: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """How a mapping file fits the images.

    Attributes:
        key: ``image_id`` or ``folder``: what its lines name.
        n_lines: Its lines, less the header.
        n_unused: Names in it that no image has.
        by: As in ``Mapping``.
    """

    key: str
    n_lines: int
    n_unused: int
    by: str = ""


def open_mapping(path: Path) -> Mapping:
    """Open a mapping file as far as its header.

    A mapping file is CSV in UTF-8 with a header: ``image_id,category`` for a line for each
    image, ``folder,category`` for a line for each folder that holds images. ``wnid`` may
    stand for ``category``. Further columns may follow, as ``score`` in the
    ``categories.csv`` of an audit.

    Raises:
        DatasetError: If there is no such file, or it has another header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header = next(csv.reader(stream), [])
    except FileNotFoundError as error:
        raise DatasetError(f"There is no mapping file {path}. Check the path.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"The mapping file {path} is not readable as CSV in UTF-8.") from error
    names = [name.strip() for name in header]
    if len(names) < 2 or names[0] not in KEYS or names[1] not in VALUES:
        raise DatasetError(
            f"The mapping file {path} begins with {','.join(header)[:80]!r}. Its first line has "
            "to be image_id,category or folder,category."
        )
    return Mapping(path, names[0], len(names))


def category_rule(rule: str, mapping: Mapping | None) -> str:
    """Give the category of an image as an expression of SQL, null if it has none.

    Args:
        rule: One of ``CATEGORY_SOURCES``; not used with a mapping.
        mapping: A mapping file; None for none.
    """
    if mapping is None:
        return f"({_RULES[rule]})::VARCHAR"
    return f"(SELECT category FROM mapping WHERE mapping.name = {_key_of(mapping)})"


def _key_of(mapping: Mapping) -> str:
    return "image_id" if mapping.key == "image_id" else _FOLDER


def check_categories(database: Database, rule: str, mapping: Mapping | None) -> Mapped | None:
    """Tell how a mapping file fits; drop its table.

    Args:
        database: Has the table ``images``.
        rule: As for ``category_rule``.
        mapping: As for ``category_rule``.

    Raises:
        ConfigError: If the rule is ``wnid`` and no image lies in such a folder.
        DatasetError: If the mapping names none of the images.
    """
    if mapping is None:
        if rule == "wnid" and database.row("SELECT count(category) FROM images") == (0,):
            raise ConfigError(
                "No image lies in a folder that is a WordNet identifier (n and 8 digits). "
                "Take the folders as they are (categories: folder), or give a mapping file."
            )
        return None
    key = _key_of(mapping)
    n_lines, n_unused = database.row(
        f"WITH seen AS (SELECT DISTINCT {key} AS name FROM images) SELECT "
        "(SELECT count(*) FROM mapping), (SELECT count(*) FROM mapping ANTI JOIN seen USING (name))"
    )
    if n_lines == n_unused and not mapping.by:
        (first,) = database.row("SELECT min(name) FROM mapping")
        (seen,) = database.row(f"SELECT min({key}) FROM images")
        raise DatasetError(
            f"The mapping file {mapping.path} names no {mapping.key} of the data set: its first "
            f"is {first!r}, that of the data set {seen!r}. Write them as the data set does."
        )
    database.run("DROP TABLE mapping")
    return Mapped(mapping.key, n_lines, n_unused, mapping.by)


def read_mapping(database: Database, mapping: Mapping) -> None:
    """Make the table ``mapping``, with ``name`` and ``category``.

    Raises:
        DatasetError: If it is not CSV of two columns, or contradicts itself.
    """
    further = "".join(f", 'further_{i}': 'VARCHAR'" for i in range(2, mapping.n_columns))
    columns = f"{{'name': 'VARCHAR', 'category': 'VARCHAR'{further}}}"
    # People leave spaces behind commas; our own names are those of the files.
    name = "name" if mapping.by else "trim(name)"
    database.read(
        "CREATE TABLE mapping AS "
        f"SELECT DISTINCT {name} AS name, trim(category) AS category "
        f"FROM read_csv({quoted(str(mapping.path))}, header = true, delim = ',', quote = '\"', "
        f"escape = '\"', auto_detect = false, columns = {columns})",
        f"The mapping file {mapping.path} is not CSV of {mapping.n_columns} columns: it",
    )
    empty = database.rows("SELECT name FROM mapping WHERE coalesce(name, '') = '' OR "
                          "coalesce(category, '') = '' LIMIT 1")  # fmt: skip
    if empty:
        raise DatasetError(
            f"The mapping file {mapping.path} has a line with an empty field "
            f"(its name: {empty[0][0]!r}). "
            "Remove it: an image that is not named has no category."
        )
    twice = database.rows(
        "SELECT name, min(category), max(category) FROM mapping GROUP BY name "
        "HAVING count(*) > 1 ORDER BY name LIMIT 1"
    )
    if twice:
        name, one, other = twice[0]
        raise DatasetError(
            f"The mapping file {mapping.path} gives {name!r} the categories {one!r} and {other!r}. "
            "Keep one of the lines."
        )
