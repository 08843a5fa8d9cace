# SPDX-License-Identifier: Apache-2.0
"""What came of looking at an image, and the tables of it beside the annotation set."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilset.annotations.store import write_annotations
from veilset.errors import RunError
from veilset.files import discard_part, part_path
from veilset.protocols import Guess
from veilset.tables import ShardedTable, write_table
from veilset.types import Annotations, Status

FOLDER = "seen"
"""Where, in the folder of the look, the further table lies."""

MAX_LISTED = 20
"""Failures that are told by name; all of them are in the table."""

_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("category", pa.string()),
        ("score", pa.float64()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ],
    metadata={"veilset": "veilset-audit-seen/1"},
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one image.

    Attributes:
        row: What is known of it now.
        is_open: Whether it was opened, and is the image that was annotated.
        guess: Its likeliest label; None if it was not classified.
        n_faces: Faces in it that were to be estimated.
        n_estimated: Those that got attributes.
        n_found: Regions that were added for review.
        reason: Code of the first thing that went wrong, "" if nothing did.
        message: The same for people.
    """

    row: Annotations
    is_open: bool = False
    guess: Guess | None = None
    n_faces: int = 0
    n_estimated: int = 0
    n_found: int = 0
    reason: str = ""
    message: str = ""

    def failed(self, reason: str, message: str) -> Seen:
        """Give the same with what went wrong, unless something had before."""
        return self if self.reason else replace(self, reason=reason, message=message)

    def counts(self) -> dict[str, int]:
        """Give what it adds to the counts of the run."""
        row = self.row
        counts = {
            row.status.value: 1,
            "n_regions": len(row.regions),
            "with_regions": int(bool(row.regions)),
            "opened": int(self.is_open),
            "failed": int(bool(self.reason)),
            "changed": int(row.status is Status.COULD_NOT_LOOK and self.reason == "changed"),
            "n_faces": self.n_faces,
            "n_estimated": self.n_estimated,
            "classified": int(self.guess is not None),
            "n_found": self.n_found,
            "with_found": int(bool(self.n_found)),
        }
        return {name: n for name, n in counts.items() if n}


def write_seen(folder: Path, index: int, shard: Sequence[Seen]) -> str:
    """Write what came of a shard: its annotations, and beside them the rest.

    Returns:
        Digest of the annotations: whoever goes by a set compares its files with the ledger.
    """
    rows = [
        {
            "image_id": each.row.image_id,
            "category": each.guess.label if each.guess else "",
            "score": each.guess.score if each.guess else None,
            "reason": each.reason,
            "message": each.message,
        }
        for each in shard
    ]
    (folder / FOLDER).mkdir(exist_ok=True)
    write_table(folder / FOLDER, index, rows, _SCHEMA)
    return write_annotations(folder, index, [each.row for each in shard])


def tell_failures(folder: Path, n_shards: int) -> dict[str, Any]:
    """Give how many images failed, why, and which were the first."""
    reasons: Counter[str] = Counter()
    first: list[dict[str, str]] = []
    for row in _rows(folder, n_shards):
        if row["reason"]:
            reasons[row["reason"]] += 1
            if len(first) < MAX_LISTED:
                first.append({key: row[key] for key in ("image_id", "reason", "message")})
    return {"n": reasons.total(), "by_reason": dict(reasons), "first": first}


def write_categories(folder: Path, n_shards: int, path: Path) -> None:
    """Write the categories of the classified images as CSV, whole or not at all.

    The file has the columns ``image_id``, ``category`` and ``score``, in the order of the
    data set, and can be given as a mapping file.

    Args:
        folder: Folder of a finished look.
        n_shards: Its number of shards.
        path: The file.

    Raises:
        RunError: If it cannot be written.
    """
    part = part_path(path)
    try:
        with part.open("w", newline="", encoding="utf-8") as stream:
            # Names stay exact, also one that a spreadsheet takes for a formula: this is read back.
            lines = csv.writer(stream, lineterminator="\n")
            lines.writerow(("image_id", "category", "score"))
            for row in _rows(folder, n_shards):
                if row["category"]:
                    lines.writerow((row["image_id"], row["category"], f"{row['score']:.6f}"))
        part.replace(path)
    except OSError as error:
        discard_part(part)
        raise RunError(
            f"{path} cannot be written ({error.strerror}). Free space, then run again."
        ) from error


def _rows(folder: Path, n_shards: int) -> Iterator[dict[str, Any]]:
    return ShardedTable(folder / FOLDER, n_shards).rows()
