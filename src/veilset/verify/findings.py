# SPDX-License-Identifier: Apache-2.0
"""Missed faces into the annotation set: what verification found is not searched for again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from veilset.annotations.known import known_digest
from veilset.annotations.store import AnnotationSet, write_annotations
from veilset.dataset.folder import SHARD_SIZE, check_apart
from veilset.dataset.locations import local_path
from veilset.errors import AnnotationError
from veilset.protocols import Shard, ShardReport, Tick
from veilset.records.places import record_folder
from veilset.records.table import check_tables
from veilset.records.verdicts import MISSED_FACE, ImageVerdict, VerdictTable
from veilset.runs import Run, RunSummary
from veilset.types import Annotations, ImageRecord, ModelCard, Region, Status

_Pair = tuple[Annotations, int]
"""A row, and how many regions were added to it."""


def add_findings(
    annotations: str | Path,
    out: str | Path,
    added: str | Path,
    *,
    record: str | Path | None = None,
    shard_size: int = SHARD_SIZE,
    tick: Tick | None = None,
) -> RunSummary:
    """Write the annotation set of a release anew, with the faces that verification missed.

    Each ``missed-face`` becomes a region with the score that the detector gave it, whether it
    counted as a leak or is for people to look at. All else stays as it is. Two detectors that
    found the same face give two regions.

    Args:
        annotations: The set that the release was made with.
        out: The release, verified.
        added: Folder for the new set: new, empty, or of the same command to be resumed.
        record: Where the records of the release lie, if not beside it.
        shard_size: Images in a shard.
        tick: Told as images end.

    Returns:
        Counts: images by status, ``n_regions``, ``with_regions``, and of those ``n_added`` and
        ``with_added``.

    Raises:
        AnnotationError: If the release was verified with another set.
        DatasetError: If the verdicts were changed since.
        ConfigError, RunError: See ``veilset.errors``.
    """
    added = Path(added)
    base = local_path(record, "The record") if record else record_folder(out)
    known, verdicts = AnnotationSet(Path(annotations)), VerdictTable(base / "verify")
    for place in (known.folder, base / "verify"):
        check_apart(place, added)
    check_tables(base / "verify", verdicts.manifest)
    inputs = {
        "annotations_sha256": known_digest(known),
        "verdicts_sha256": str(verdicts.manifest["outputs_sha256"]),
    }
    if inputs["annotations_sha256"] != verdicts.manifest["inputs"]["annotations_sha256"]:
        raise AnnotationError(
            f"The release {out} was not verified with the annotation set {known.folder}. Give "
            "the one that it was made with, or verify it again."
        )
    models = {card["name"]: ModelCard(**card) for card in _cards(known, verdicts)}
    with Run.open(added, "findings", {"shard_size": shard_size}, inputs) as run:
        for shard in run.missing(_shards(known, shard_size)):
            run.commit(_write(shard, known, verdicts, added))
            if tick:
                tick(len(shard.records), 0)
        return run.finish(models=list(models.values()), extra={"looked_at": known.manifest})


def _cards(known: AnnotationSet, verdicts: VerdictTable) -> Iterator[dict[str, Any]]:
    yield from known.manifest.get("models", [])
    yield from verdicts.manifest.get("models", [])


def _shards(known: AnnotationSet, shard_size: int) -> Iterator[Shard]:
    names = known.image_ids()
    for index in count():
        records = tuple(ImageRecord(name) for name in islice(names, shard_size))
        if not records:
            return
        yield Shard(index, records)


def _write(shard: Shard, known: AnnotationSet, verdicts: VerdictTable, added: Path) -> ShardReport:
    pairs = [_with_missed(known.find(each), verdicts.find(each)) for each in shard.records]
    rows = [row for row, _ in pairs]
    counts: Counter[str] = Counter()
    for row, n_added in pairs:
        counts.update({row.status.value: 1, "n_regions": len(row.regions), "n_added": n_added})
        counts.update({"with_regions": bool(row.regions), "with_added": bool(n_added)})
    digest = write_annotations(added, shard.index, rows)
    ends = (rows[0].image_id, rows[-1].image_id)
    return ShardReport(shard.index, len(rows), dict(counts), {}, digest, *ends)


def _with_missed(row: Annotations, verdict: ImageVerdict | None) -> _Pair:
    # An image that nobody could search is not in the release, and verification saw none.
    if verdict is None or row.status is not Status.LOOKED:
        return row, 0
    missed = tuple(
        Region(finding.box_xyxy, finding.kind or "face", score=finding.score)
        for finding in verdict.findings
        if finding.code == MISSED_FACE and finding.box_xyxy
    )
    return replace(row, regions=row.regions + missed), len(missed)
