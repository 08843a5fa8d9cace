# SPDX-License-Identifier: Apache-2.0
"""What verification found in each image: one row in the record of the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa

from veilset.records.table import RecordTable
from veilset.tables import write_table
from veilset.types import BoxXyxy

FORMAT = "veilset-verdicts/1"


class Level(StrEnum):
    """How much a finding weighs."""

    LEAK = "leak"
    """The file shows or holds what it must not, or nobody can say where it comes from."""
    ERROR = "error"
    """It could not be checked, or is missing: the release is not what its record says."""
    REVIEW = "review"
    """A person should look at it."""


class Verdict(StrEnum):
    """What verification says of an image."""

    PASSED = "passed"
    """Everything was checked, and nothing found."""
    REVIEW = "review"
    """Only findings for people to look at."""
    LEAK = "leak"
    """At least one finding is a leak."""
    ERROR = "error"
    """It could not be checked in full: counted against the release."""
    ABSENT = "absent"
    """It is not in the output, and is not meant to be."""
    WHOLE = "whole"
    """A file that holds or lists images: all in it that is no image is as it should be."""


MISSED_FACE = "missed-face"

CODES = {
    "unexpected-file": "The run did not write it.",
    "unexpected-link": "A link leads somewhere else.",
    "failed-but-present": "The run recorded a failure, yet there is a file.",
    "removed-but-present": "It was withdrawn from the release, yet there is a file.",
    "digest": "The file is not the one that the run wrote.",
    "regions-ignored": "The run hid other regions than the annotation set asks for.",
    "not-justified": "It has no region, and is not the original with its metadata cleaned.",
    "size-changed": "The picture has another size, orientation or format than the original.",
    "outside-changed": "Something outside of every obfuscated region changed.",
    "shows-through": "A region shows more of the original than its method may leave.",
    "embedded-preview": "The file holds a second picture.",
    "metadata": "The file holds metadata that the policy removes.",
    MISSED_FACE: "A detector finds a face that nothing hides.",
    "missing": "The run wrote it, and it is gone.",
    "original-missing": "The original is gone, so nothing can be compared.",
    "original-changed": "The original is not the file that was searched and obfuscated.",
    "unreadable-output": "The file cannot be opened.",
    "container-changed": "In a file, something that is no image was changed, added or removed.",
    "check-failed": "The check itself failed.",
    "not-in-record": "The original was added after the run; it is not in the output.",
    "empty-folder": "A folder without a file; its name may tell something.",
}
"""Every code of a finding, with its meaning."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or should be looked at.

    Attributes:
        code: One of ``CODES``.
        level: How much it weighs.
        message: For people: what is wrong and what to do.
        box_xyxy: Where, in pixels of the oriented image; None if it has no place.
        score: Score of the detector, or the survival measured, in [0, 1]; None if neither.
        detector: Name of the detector that found it, "" otherwise.
        kind: What the detector takes it for, such as ``face``; "" without a detector.
    """

    code: str
    level: Level
    message: str
    box_xyxy: BoxXyxy | None = None
    score: float | None = None
    detector: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """What verification says of one image, or of one other thing in the output.

    Attributes:
        image_id: Name of the image; for other things their path below the output.
        verdict: The judgement.
        findings: What it rests on; empty if it passed.
        n_regions: Regions that were to be hidden.
        sha256: Digest of the file in the output, "" if there is none or it was not read.
        n_bytes: Size of that file.
        looked_again: Why detectors searched the output: ``touched``, ``sample``, ``all``;
            "" if they did not.
        n_still_detected: Detections that lie in an obfuscated region, drawn ones apart.
        n_drawn_detected: Detections that lie in regions in which a face was drawn.
        max_survival: Largest survival measured over the regions, in [0, 1]; None without.
    """

    image_id: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    n_regions: int = 0
    sha256: str = ""
    n_bytes: int = 0
    looked_again: str = ""
    n_still_detected: int = 0
    max_survival: float | None = None
    n_drawn_detected: int = 0


_FINDING = pa.struct(
    [
        ("code", pa.string()),
        ("level", pa.string()),
        ("message", pa.string()),
        ("box_xyxy", pa.list_(pa.float64())),
        ("score", pa.float64()),
        ("detector", pa.string()),
        # Added later: a table of before has no such field, and speaks of faces.
        ("kind", pa.string()),
    ]
)

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("verdict", pa.string()),
        ("findings", pa.list_(_FINDING)),
        ("n_regions", pa.int32()),
        ("sha256", pa.string()),
        ("n_bytes", pa.int64()),
        ("looked_again", pa.string()),
        ("n_still_detected", pa.int32()),
        ("max_survival", pa.float64()),
        # Added later: a table of before has no such column, and speaks of no drawn face.
        ("n_drawn_detected", pa.int32()),
    ],
    metadata={"veilset": FORMAT},
)


def judge(findings: Iterable[Finding], *, is_present: bool) -> Verdict:
    """Give the verdict that findings lead to.

    Args:
        findings: All findings of an image.
        is_present: Whether there is something in the output under its name.

    Example:
        >>> judge([], is_present=True).value
        'passed'
    """
    levels = {finding.level for finding in findings}
    if Level.LEAK in levels:
        return Verdict.LEAK
    if Level.ERROR in levels:
        return Verdict.ERROR
    if not is_present:
        return Verdict.ABSENT
    return Verdict.REVIEW if levels else Verdict.PASSED


def write_verdicts(folder: Path, index: int, rows: Sequence[ImageVerdict]) -> str:
    """Write one shard of verdicts; give its SHA-256."""
    return write_table(folder, index, [asdict(row) for row in rows], SCHEMA)


class VerdictTable(RecordTable[ImageVerdict]):
    """The verdicts of a finished verification."""

    def __init__(self, folder: Path) -> None:
        """Open it; see ``RecordTable``."""
        super().__init__(folder, _verdict)


def _verdict(row: dict[str, Any]) -> ImageVerdict:
    findings = tuple(_finding(item) for item in row["findings"])
    return ImageVerdict(**(row | {"verdict": Verdict(row["verdict"]), "findings": findings}))


def _finding(item: dict[str, Any]) -> Finding:
    box = item["box_xyxy"]
    return Finding(
        **(item | {"level": Level(item["level"]), "box_xyxy": tuple(box) if box else None})
    )
