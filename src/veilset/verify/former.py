# SPDX-License-Identifier: Apache-2.0
"""Verdicts of an earlier verification, taken over where nothing changed that led to them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from veilset.annotations.store import AnnotationSet
from veilset.records.former import find_difference
from veilset.records.outcomes import ImageOutcome, OutcomeTable
from veilset.records.table import check_tables
from veilset.records.verdicts import ImageVerdict, Verdict, VerdictTable
from veilset.runs import FINISHED, read_manifest
from veilset.types import Annotations, ImageRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Former:
    """A verified release that was updated.

    Attributes:
        verdicts: What was found in each image.
        outcomes: What had become of each.
        annotations: What was known of each.
    """

    verdicts: VerdictTable
    outcomes: OutcomeTable
    annotations: AnnotationSet

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the records of an earlier run: ``verify``, ``obfuscate`` and ``annotations``.

        Raises:
            RunError, AnnotationError: If one is missing.
        """
        return cls(
            VerdictTable(folder / "verify"),
            OutcomeTable(folder / "obfuscate"),
            AnnotationSet(folder / "annotations"),
        )

    def find(
        self, outcome: ImageOutcome, known: Annotations, looked_again: str
    ) -> ImageVerdict | None:
        """Give the verdict on an image, if the same would be found again.

        Args:
            outcome: What became of the image; original and output have the digests of it.
            known: What is known of the image.
            looked_again: Why detectors would search it now, "" if they would not.
        """
        record = ImageRecord(outcome.image_id)
        row = self.verdicts.find(record)
        if row is None or row.verdict not in (Verdict.PASSED, Verdict.REVIEW):
            return None
        is_same = (
            row.sha256 == outcome.sha256_out
            and row.looked_again == looked_again
            and self.outcomes.find(record) == outcome
            and self.annotations.find(record) == known
        )
        return row if is_same else None


def usable_former(folder: Path, config: Mapping[str, Any], record: Path) -> Path | None:
    """Give the folder of an earlier run if its verdicts may be taken over, None if not.

    Args:
        folder: The folder.
        config: Settings of this verification, resolved.
        record: Record of the obfuscation that is verified.

    Raises:
        DatasetError: If a table of the earlier run was changed.
    """
    if not (folder / "verify" / FINISHED).exists():
        return None
    verified = read_manifest(folder / "verify")
    made, now = read_manifest(folder / "obfuscate"), read_manifest(record)
    known = read_manifest(folder / "annotations")
    why = find_difference(verified, config) or find_difference(made, now["config"])
    is_of_release = verified["inputs"]["record_sha256"] == made["outputs_sha256"]
    is_of_regions = made["inputs"]["annotations_sha256"] == known["outputs_sha256"]
    if why or not (is_of_release and is_of_regions):
        log.info("No verdict is taken over from %s: %s", folder, why or "it is of other files.")
        return None
    for name, manifest in (("verify", verified), ("obfuscate", made), ("annotations", known)):
        check_tables(folder / name, manifest)
    return folder
