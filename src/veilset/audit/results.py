# SPDX-License-Identifier: Apache-2.0
"""The tables of an audit as files: CSV for people and spreadsheets, Parquet for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.audit.database import Database, quoted
from veilset.audit.people_by_category import COLUMNS as BY_CATEGORY
from veilset.files import sha256_file

_TEXT, _WHOLE, _NUMBER = "sc:Text", "sc:Integer", "sc:Float"

COLUMNS: dict[str, tuple[str, str]] = {
    "category": (_TEXT, "Category: a folder of the data set, or what the mapping file says."),
    "synset": (_TEXT, "Identifier of the supercategory."),
    "name": (_TEXT, "Name for people."),
    "n_categories": (_WHOLE, "Categories that belong to it."),
    "n_images": (_WHOLE, "Images, searched or not."),
    "n_looked": (_WHOLE, "Images that were searched: what shares are of."),
    "n_with": (_WHOLE, "Searched images with at least one region."),
    "n_regions": (_WHOLE, "Regions."),
    "n_people": (_WHOLE, "People, by their faces and by regions of kind person."),
    "n_estimates": (_WHOLE, "Regions of the category with an estimate: what shares are of."),
    "n_images_estimated": (_WHOLE, "Images in which these regions are."),
    "share": (_NUMBER, "Share, in [0, 1]; empty if nothing was searched."),
    "low": (_NUMBER, "Lower end of its 95 % interval."),
    "high": (_NUMBER, "Upper end of its 95 % interval."),
    "mean_covered": (_NUMBER, "Mean share of an image's pixels that its regions touch."),
    "quantity": (_TEXT, "What was binned."),
    "from_value": (_NUMBER, "Lower edge of the bin, part of it; the first takes all below too."),
    "to_value": (_NUMBER, "Upper edge of the bin, not part of it; the last takes all above too."),
    "n": (_WHOLE, "How many values lie in the bin."),
    "status": (_TEXT, "looked, not_looked or could_not_look."),
    "reason": (_TEXT, "Why images could not be searched."),
    "grouping": (_TEXT, "What the regions were grouped by."),
    "label": (_TEXT, "The group."),
    "outcome": (_TEXT, "found: matched by a detection; protected: under the detections."),
    "difference": (_NUMBER, "Share of the group minus that of the rest; empty if too few."),
    "difference_low": (_NUMBER, "Lower end of the 95 % interval of the difference."),
    "difference_high": (_NUMBER, "Upper end of the 95 % interval of the difference."),
    "p": (_NUMBER, "p value of the difference, as if it were the only test."),
    "p_corrected": (_NUMBER, "p value corrected for the tests of the grouping (Holm)."),
}
"""Type and meaning of every column, for the card and the Croissant file."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """One table on disk.

    Attributes:
        name: Its name; the files are ``tables/NAME.csv`` and ``tables/NAME.parquet``.
        about: What it holds, a sentence.
        columns: Names of its columns, all of them in ``COLUMNS``.
        n_rows: Number of rows.
        sha256_csv: Digest of the CSV file.
    """

    name: str
    about: str
    columns: tuple[str, ...]
    n_rows: int
    sha256_csv: str


_CATEGORY = (
    "category", "name", "n_images", "n_looked", "n_with", "n_regions", "share", "low", "high",
    "mean_covered",
)  # fmt: skip
_SUPERCATEGORY = (
    "synset", "name", "n_categories", "n_images", "n_looked", "n_with", "n_regions", "share",
    "low", "high",
)  # fmt: skip
_PEOPLE = ("grouping", "label", "n_regions", "share", "low", "high")
_DISPARITY = (
    "grouping", "label", "outcome", "n_regions", "n_images", "share", "low", "high",
    "difference", "difference_low", "difference_high", "p", "p_corrected",
)  # fmt: skip


def write_tables(database: Database, found: dict[str, Any], folder: Path) -> list[TableFile]:
    """Write every table for which there are numbers.

    Args:
        database: As the counting left it.
        found: Numbers of the audit.
        folder: Where the files go; made if missing.
    """
    folder.mkdir(exist_ok=True)
    noun = found["noun"]
    wanted: list[tuple[str, str, Sequence[str], str]] = [
        ("images_by_status", "Images by status, and why some could not be searched.",
         ("status", "reason", "n_images"),
         "SELECT status, reason, count(*) AS n_images FROM images GROUP BY ALL ORDER BY ALL"),
        ("images_by_regions", f"Searched images by number of {found['plural']}.",
         ("n_regions", "n_images"),
         "SELECT n_regions, count(*) AS n_images FROM images WHERE status = 'looked' "
         "GROUP BY n_regions ORDER BY n_regions"),
        ("histograms", "Sizes, shares and scores in bins.",
         ("quantity", "from_value", "to_value", "n"), _histograms_sql(found)),
        ("categories", f"Images with a {noun}, by category, the largest share first.",
         _CATEGORY, f"SELECT {', '.join(_CATEGORY)} FROM categories ORDER BY rank"),
    ]  # fmt: skip
    if found["persons"]:
        values = ", ".join(f"({n}, {times})" for n, times in found["persons"]["images_by_people"])
        wanted.append(
            ("images_by_people", "Searched images by number of people.", ("n_people", "n_images"),
             "SELECT n_people::BIGINT AS n_people, n_images::BIGINT AS n_images "
             f"FROM (VALUES {values}) AS each (n_people, n_images) ORDER BY n_people")
        )  # fmt: skip
    if found["supercategories"]["rows"]:
        columns = ", ".join(_SUPERCATEGORY)
        wanted.append(
            ("supercategories", f"Images with a {noun}, by WordNet synset.", _SUPERCATEGORY,
             f"SELECT {columns} FROM supercategories ORDER BY place")
        )  # fmt: skip
    if found["disparity"]:
        wanted.append(
            ("disparity", "Recall and protection of reviewed regions, by group.", _DISPARITY,
             f"SELECT {', '.join(_DISPARITY)} FROM disparity ORDER BY grouping, label, outcome")
        )  # fmt: skip
    people = _people_rows(found["people"])
    if people:
        columns = ", ".join(_PEOPLE)
        wanted.append(
            ("people", f"Estimated age and gender of the {found['plural']}.", _PEOPLE,
             f"SELECT {columns} FROM (VALUES {', '.join(people)}) AS each (place, {columns}) "
             "ORDER BY place")
        )  # fmt: skip
    wanted += [
        (f"{name}_by_category", f"Estimated {name} of the {found['plural']}, by category.",
         BY_CATEGORY,
         f"SELECT {', '.join(BY_CATEGORY)} FROM {name}_by_category ORDER BY place")
        for name in ("age", "gender")
        if (found["people"][name] or {}).get("by_category")
    ]  # fmt: skip
    return [_write(database, folder, *each) for each in wanted]


def _people_rows(people: dict[str, Any]) -> list[str]:
    groups = [
        (name, group)
        for name in ("age", "gender")
        for group in (people[name] or {"groups": ()})["groups"]
    ]
    return [
        f"({place}, {quoted(name)}, {quoted(group['group'])}, {group['n']}::BIGINT, "
        + ", ".join(f"{group['share'][key]!r}::DOUBLE" for key in ("value", "low", "high"))
        + ")"
        for place, (name, group) in enumerate(groups)
    ]


def _write(
    database: Database, folder: Path, name: str, about: str, columns: Sequence[str], sql: str
) -> TableFile:
    for suffix in ("csv", "parquet"):
        database.export(sql, folder / f"{name}.{suffix}")
    (n_rows,) = database.row(f"SELECT count(*) FROM ({sql})")
    return TableFile(name, about, tuple(columns), n_rows, sha256_file(folder / f"{name}.csv"))


def _histograms_sql(found: dict[str, Any]) -> str:
    sizes = found["sizes"]
    histograms = {
        "shorter side, px": sizes["shorter_px"],
        "share of the image": sizes["area_share"],
        "covered share of the image": sizes["covered"],
        "score": found["regions"]["score"],
    }
    rows = [
        f"({quoted(quantity)}, {low!r}::DOUBLE, {high!r}::DOUBLE, {n}::BIGINT)"
        for quantity, each in histograms.items()
        for low, high, n in zip(each["edges"], each["edges"][1:], each["counts"], strict=False)
    ]
    values = ", ".join(rows)
    return (
        f"SELECT * FROM (VALUES {values}) AS bins (quantity, from_value, to_value, n) "
        "ORDER BY quantity, from_value"
    )
