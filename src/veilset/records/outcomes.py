# SPDX-License-Identifier: Apache-2.0
"""What obfuscation did with each image: one row in the record of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilset.records.table import RecordTable
from veilset.tables import ShardedTable, write_table

SUBSTITUTED, BECAUSE = "n_substituted", "substituted: "
"""Names of counts: regions that were veiled instead, and how those of one reason begin."""


class Outcome(StrEnum):
    """How an image ended."""

    OBFUSCATED = "obfuscated"
    """It has regions; they were obfuscated, and the metadata policy applied."""
    UNTOUCHED = "untouched"
    """It was searched and has no region: the picture is as it was, the metadata policy applied."""
    FAILED = "failed"
    """It was not fully processed, and is not in the output."""
    REMOVED = "removed"
    """It was withdrawn from the release, and is not in the output."""

    @property
    def is_released(self) -> bool:
        """Whether an image that ended so is in the output."""
        return self in (Outcome.OBFUSCATED, Outcome.UNTOUCHED)


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """What became of one image.

    Attributes:
        image_id: Name of the image.
        outcome: How it ended.
        n_regions: How many regions were obfuscated.
        sha256_in: Digest of the original file, "" if it could not be read.
        sha256_out: Digest of the file in the output, "" if there is none.
        n_bytes_out: Size of the file in the output.
        reason: Short code why it failed, ``removed`` if it was withdrawn, "" otherwise.
        message: The same for people, "" otherwise.
        substituted: Why regions were veiled in place of what the method does, a few words for
            each such region, in the order of the alphabet.
    """

    image_id: str
    outcome: Outcome
    n_regions: int = 0
    sha256_in: str = ""
    sha256_out: str = ""
    n_bytes_out: int = 0
    reason: str = ""
    message: str = ""
    substituted: tuple[str, ...] = ()

    @property
    def n_substituted(self) -> int:
        """How many regions were veiled in place of what the method does."""
        return len(self.substituted)


SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("outcome", pa.string()),
        ("n_regions", pa.int32()),
        ("sha256_in", pa.string()),
        ("sha256_out", pa.string()),
        ("n_bytes_out", pa.int64()),
        ("reason", pa.string()),
        ("message", pa.string()),
        # Added later: a table of before has no such column, and none of its regions had a reason.
        ("substituted", pa.list_(pa.string())),
    ],
    metadata={"veilset": "veilset-outcomes/1"},
)


def write_outcomes(folder: Path, index: int, rows: Sequence[ImageOutcome]) -> str:
    """Write one shard of outcomes; give its SHA-256."""
    return write_table(folder, index, [asdict(row) for row in rows], SCHEMA)


def count_outcome(row: ImageOutcome) -> dict[str, int]:
    """Give what one image adds to the counts of the run.

    ``n_substituted`` is there, and ``substituted: REASON`` for each reason, where there are any.

    Example:
        >>> count_outcome(ImageOutcome("a", Outcome.OBFUSCATED, 3, substituted=("too small",)))
        {'obfuscated': 1, 'n_regions': 3, 'n_substituted': 1, 'substituted: too small': 1}
    """
    counts = Counter({row.outcome.value: 1, "n_regions": row.n_regions})
    if row.substituted:
        counts[SUBSTITUTED] = row.n_substituted
        counts.update(f"{BECAUSE}{reason}" for reason in row.substituted)
    return dict(counts)


def substitution_reasons(counts: Mapping[str, int]) -> dict[str, int]:
    """Give how many regions were veiled instead by reason, the most frequent first.

    Args:
        counts: Of images or of a run, as ``count_outcome`` names them.
    """
    found = [(each[len(BECAUSE) :], n) for each, n in counts.items() if each.startswith(BECAUSE)]
    return dict(sorted(found, key=lambda item: (-item[1], item[0])))


def removed_outcome(image_id: str, sha256_in: str) -> ImageOutcome:
    """Give the outcome of an image that was withdrawn, whenever that was.

    Args:
        image_id: Name of the image.
        sha256_in: Digest of the original file, "" if it is not known.
    """
    message = "It was withdrawn from the release. The log of removals has the reason."
    return ImageOutcome(
        image_id, Outcome.REMOVED, sha256_in=sha256_in, reason="removed", message=message
    )


def sample_failed(image_id: str, sha256_in: str) -> ImageOutcome:
    """Give the outcome of an image whose sample is not whole; arguments as ``removed_outcome``."""
    message = "Another image of its sample failed, so the sample is not in the output."
    return ImageOutcome(
        image_id, Outcome.FAILED, sha256_in=sha256_in, reason="sample", message=message
    )


def not_released(folder: Path, indices: Iterable[int]) -> Iterator[str]:
    """Go through the names of the images that are not in the output.

    Args:
        folder: Record of the run, finished or not.
        indices: Shards of its table that are read.

    Raises:
        DatasetError: If a file is missing or damaged.
    """
    table = ShardedTable(folder, 0)
    for index in indices:
        for row in table.read_shard(index):
            if not is_released(row):
                yield row["image_id"]


def is_released(row: Mapping[str, Any]) -> bool:
    """Whether the image of a row is in the output; the row needs its ``outcome`` only."""
    return Outcome(row["outcome"]).is_released


class OutcomeTable(RecordTable[ImageOutcome]):
    """The outcomes of a finished obfuscation run."""

    def __init__(self, folder: Path) -> None:
        """Open it; see ``RecordTable``."""
        super().__init__(folder, _outcome)


def _outcome(row: dict[str, Any]) -> ImageOutcome:
    outcome, reasons = Outcome(str(row["outcome"])), tuple(row.get("substituted") or ())
    return ImageOutcome(**(row | {"outcome": outcome, "substituted": reasons}))
