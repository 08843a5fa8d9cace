# SPDX-License-Identifier: Apache-2.0
"""What an audit found, read back from its folder: for the report, which imports no stage."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.errors import RunError
from veilset.files import sha256_file, sha256_hex
from veilset.runs import read_manifest
from veilset.spreadsheets import text_of_cell
from veilset.types import Measurement

FORMAT = "veilset-audit/1"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """The numbers of an audit that a report needs.

    Attributes:
        data_set: Name of the data set.
        annotations_sha256: Digest of the annotation set that was counted.
        source_sha256: Digest of the set that it was made from by looking at the images; the
            same digest if nothing was estimated.
        n_images: Images, searched or not.
        n_looked: Images that were searched.
        n_with: Searched images with a region.
        n_regions: Regions of the kind that was counted.
        share_with: Share of the searched images with a region; None if none was searched.
        summary: The result in a few sentences.
        numbers: All of ``audit.json``.
    """

    data_set: str
    annotations_sha256: str
    source_sha256: str
    n_images: int
    n_looked: int
    n_with: int
    n_regions: int
    share_with: Measurement | None
    summary: str
    numbers: dict[str, Any]

    def is_about(self, annotations_sha256: str) -> bool:
        """Whether it speaks of that annotation set; a report must not show another audit."""
        return annotations_sha256 in (self.annotations_sha256, self.source_sha256)


def read_audit(folder: Path) -> AuditRecord:
    """Read a finished audit.

    Args:
        folder: Its folder.

    Raises:
        RunError: If the folder holds no finished audit of this version, or a damaged one.
    """
    manifest = read_manifest(folder)
    if manifest["stage"] != "audit":
        raise RunError(
            f"{folder} is a run of the stage {manifest['stage']!r}, not of audit. "
            "Give the folder that 'veilset audit' wrote."
        )
    path = folder / "audit.json"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} is missing or not readable. Audit again.") from error
    # The digest of a run of one shard is that of the digest of the shard.
    if sha256_hex(sha256_hex(data).encode()) != manifest["outputs_sha256"]:
        raise RunError(f"{path} is not the file that the audit wrote. Audit again.")
    numbers: dict[str, Any] = json.loads(data)
    if numbers["format"] != FORMAT:
        raise RunError(f"{path} is of the format {numbers['format']!r}, not {FORMAT}. Audit again.")
    counted_set = numbers["annotations"]
    source = numbers["look"]["source"] if numbers["look"] else counted_set
    counted, share = numbers["per_image"], numbers["per_image"]["share_with"]
    return AuditRecord(
        data_set=numbers["data_set"],
        annotations_sha256=counted_set["outputs_sha256"],
        source_sha256=source["outputs_sha256"],
        n_images=numbers["population"]["n_images"],
        n_looked=counted["n_looked"],
        n_with=counted["n_with"],
        n_regions=counted["n_regions"],
        share_with=Measurement(**share) if share else None,
        summary=manifest["extra"]["summary"],
        numbers=numbers,
    )


def read_categories(
    folder: Path, audit: AuditRecord
) -> Iterator[tuple[str, float, float, float, int]]:
    """Go through the judged categories of an audit, the largest share first.

    Args:
        folder: Folder of the audit.
        audit: As ``read_audit`` gave it.

    Yields:
        Name, share with the ends of its interval, number of searched images.

    Raises:
        RunError: If the table is not the one that the audit wrote.
    """
    path = folder / "tables" / "categories.csv"
    (known,) = [each for each in audit.numbers["tables"] if each["name"] == "categories"]
    try:
        is_same = sha256_file(path) == known["sha256_csv"]
    except OSError:
        is_same = False
    if not is_same:
        raise RunError(f"{path} is not the table that the audit wrote. Audit again.")
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["share"]:
                share, low, high = (float(row[key]) for key in ("share", "low", "high"))
                yield text_of_cell(row["name"]), share, low, high, int(row["n_looked"])
