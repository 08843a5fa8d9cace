# SPDX-License-Identifier: Apache-2.0
"""What an earlier run released, taken over where neither image nor regions changed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from veilset.annotations.store import AnnotationSet
from veilset.dataset.containers import ContainerReader
from veilset.dataset.locations import Location
from veilset.dataset.places import open_release
from veilset.dataset.withdraw import delete_containers, delete_images, delete_sidecars
from veilset.errors import AnnotationError, DecodeError, ResumeMismatchError, RunError
from veilset.files import sha256_hex
from veilset.protocols import Reader, Writer
from veilset.records.former import open_former
from veilset.records.outcomes import ImageOutcome, OutcomeTable, is_released
from veilset.tables import ShardedTable
from veilset.types import Annotations, ImageRecord

ANNOTATIONS, OBFUSCATE = "annotations", "obfuscate"
"""Names of the folders of an earlier run."""
_N_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Former:
    """A release that is being updated.

    Attributes:
        outcomes: What became of each image.
        annotations: What was known of each.
        released: What was released.
    """

    outcomes: OutcomeTable
    annotations: AnnotationSet
    released: Reader

    @classmethod
    def open(cls, folder: Path, out: Location) -> Self:
        """Open the records of an earlier run, and its output.

        Raises:
            RunError, DatasetError: If one is missing.
        """
        outcomes = OutcomeTable(folder / OBFUSCATE)
        released = open_release(out, outcomes.manifest["inputs"])
        return cls(outcomes, AnnotationSet(folder / ANNOTATIONS), released)

    def find(
        self, record: ImageRecord, digest: str, known: Annotations
    ) -> tuple[ImageOutcome, bytes] | None:
        """Give what was released of an image, with its outcome, if it may be taken over.

        Args:
            record: The image.
            digest: SHA-256 of its file, lower-case hex.
            known: What is known of it now.
        """
        row = self.outcomes.find(record)
        if row is None or not row.outcome.is_released or row.sha256_in != digest:
            return None
        if self.annotations.find(record) != known:
            return None
        try:
            data = self.released.read(ImageRecord(record.image_id))
        except DecodeError:
            return None
        # What somebody else changed is made anew.
        return (row, data) if sha256_hex(data) == row.sha256_out else None

    def delete_outdated(self, source: Reader, writer: Writer, rows: ShardedTable) -> None:
        """Take out of the output what the earlier run released and this one did not.

        Args:
            source: The data set as it is now.
            writer: Writes the output.
            rows: The outcomes as they are now.
        """
        if isinstance(self.released, ContainerReader) and isinstance(source, ContainerReader):
            delete_containers(self.released, source)
            return
        delete_images(self.released, writer, self._outdated(rows))
        delete_sidecars(self.released, source)

    def require_release(self, out: Location) -> None:
        """Refuse an output that is not the one of the earlier run: files in it may be deleted.

        Raises:
            RunError: If not one of the first images that were released is there as it was.
        """
        rows = (row for row in self.outcomes if row.outcome.is_released)
        first = list(islice(rows, _N_LOOKED_AT))
        if first and not any(map(self._is_there, first)):
            raise RunError(
                f"{out} does not hold what the earlier run released. Give the output of that run, "
                "or start a new run in another folder."
            )

    def _is_there(self, row: ImageOutcome) -> bool:
        try:
            return sha256_hex(self.released.read(ImageRecord(row.image_id))) == row.sha256_out
        except DecodeError:
            return False

    def _outdated(self, rows: ShardedTable) -> Iterator[str]:
        before = (row.image_id for row in self.outcomes if row.outcome.is_released)
        now = (row["image_id"] for row in rows.rows(["image_id", "outcome"]) if is_released(row))
        streams = (_keyed(before, "before"), _keyed(now, "now"))
        for _, group in groupby(heapq.merge(*streams), key=itemgetter(0)):
            found = {when: image_id for _, when, image_id in group}
            if "now" not in found:
                yield found["before"]


def check_former(folder: Path, config: Mapping[str, Any], layout: Mapping[str, Any]) -> None:
    """Refuse to take over what was made in another way.

    Args:
        folder: Folder of the earlier run, with its records.
        config: Settings of obfuscation, resolved.
        layout: What the data set says of itself.

    Raises:
        ResumeMismatchError: If a setting, the layout or the annotation set is another one.
        RunError, DatasetError, AnnotationError: If a record is missing, or was changed.
    """
    manifest = open_former(folder / OBFUSCATE, "obfuscate", config)
    inputs = manifest["inputs"]
    for name in ("layout", "list", "json"):
        if inputs.get(name) != layout.get(name):
            raise ResumeMismatchError(
                f"The release was made from {inputs.get(name)!r}, and this is "
                f"{layout.get(name)!r}. Start a new run in another folder."
            )
    used = AnnotationSet(folder / ANNOTATIONS).manifest["outputs_sha256"]
    if used != inputs["annotations_sha256"]:
        raise AnnotationError(
            f"The release was not made with the annotation set in {folder}, but with another one, "
            "such as a reviewed one. Detect with --reuse, review, and obfuscate into a new folder."
        )


def _keyed(names: Iterable[str], when: str) -> Iterator[tuple[tuple[str, ...], str, str]]:
    return ((ImageRecord(name).order_key, when, name) for name in names)
