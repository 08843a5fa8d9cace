# SPDX-License-Identifier: Apache-2.0
"""From the records of a release to the facts of its report, one shard in memory at a time."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from veilset.annotations.store import AnnotationSet
from veilset.dataset.locations import Location
from veilset.dataset.stores import open_store
from veilset.errors import AnnotationError, DatasetError, RunError
from veilset.records.outcomes import ImageOutcome, Outcome, OutcomeTable
from veilset.records.verdicts import ImageVerdict, Level, Verdict, VerdictTable
from veilset.report.attacked import Attacked
from veilset.report.audited import Audited
from veilset.report.facts import (
    Candidate,
    Failure,
    Failures,
    Finding,
    FirstOf,
    Produced,
    Searched,
    StageRecord,
    State,
    Verified,
    without_folders,
    without_places,
)
from veilset.report.studied import Studied
from veilset.runs import FINISHED, STARTED, read_manifest
from veilset.types import Annotations, Status


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a report says.

    Attributes:
        source: Name of the folder of originals, "" if no record tells it.
        output: Name of the folder of outputs.
        stages: Records of the stages, in the order of work.
        searched: What the annotation set says; None without a finished one.
        produced: What obfuscation did; None without its finished record.
        verified: What verification found; None unless it is finished and of this release.
        stale: Why a finished verification does not speak for this release, "" otherwise.
        audited: Who is in the data set; None without an audit.
        studied: What training on it costs; None without a study.
        attacked: What attackers reach against its method; None without an attack.
    """

    source: str
    output: str
    stages: Mapping[str, StageRecord]
    searched: Searched | None = None
    produced: Produced | None = None
    verified: Verified | None = None
    stale: str = ""
    audited: Audited | None = None
    studied: Studied | None = None
    attacked: Attacked | None = None

    @property
    def n_published(self) -> int:
        """Images that obfuscation put into the output."""
        outcomes = self.produced.outcomes if self.produced else {}
        return outcomes.get("obfuscated", 0) + outcomes.get("untouched", 0)

    @property
    def failures(self) -> Failures | None:
        """Images that were not processed; those of obfuscation contain those of detection."""
        if self.produced:
            return self.produced.failures
        return self.searched.failures if self.searched else None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a list a report holds.

    Attributes:
        n_listed: Entries of each list.
        n_candidates: Outputs that are kept in reserve for the contact sheet.
    """

    n_listed: int
    n_candidates: int


@dataclass(frozen=True, slots=True)
class Scrub:
    """Takes the places of a machine out of texts."""

    roots: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> str:
        return without_folders(text, self.roots)


def gather(out: Location, annotations: Path | None, record: Path, limits: Limits) -> Facts:
    """Read the records of a release.

    Args:
        out: The output; only its name is used here.
        annotations: The annotation set; None for ``annotations`` in ``record``.
        record: Folder of the records of ``obfuscate`` and ``verify``.
        limits: How much of a list is kept.

    Raises:
        RunError: If there is no finished record at all, or one is damaged.
        AnnotationError: If the annotation set that was named is missing or not the one
            that obfuscation used.
        DatasetError: If a table is damaged.
    """
    regions = annotations or record / "annotations"
    stages = {
        "detect": _stage("detect", regions),
        "obfuscate": _stage("obfuscate", record / "obfuscate"),
        "verify": _stage("verify", record / "verify"),
    }
    if annotations and not stages["detect"].is_finished:
        # Reading it raises the error that says what is wrong with it.
        AnnotationSet(annotations)
    if not any(stage.is_finished for stage in stages.values()):
        raise RunError(
            f"{record} holds no finished record of a release. "
            "Run detect and obfuscate first, or name the folder of their records."
        )
    _check_same_regions(stages, regions)
    stale = _stale(stages)
    scrub = Scrub(_roots(stages.values()))
    stages = {name: _scrubbed(stage, scrub.roots) for name, stage in stages.items()}
    facts = Facts(
        source=_source(stages),
        output=PurePosixPath(open_store(out).describe()).name,
        stages=stages,
        searched=search_facts(AnnotationSet(regions), scrub, limits)
        if stages["detect"].is_finished
        else None,
        produced=output_facts(OutcomeTable(record / "obfuscate"), scrub, limits)
        if stages["obfuscate"].is_finished
        else None,
        verified=verdict_facts(VerdictTable(record / "verify"), scrub, limits)
        if stages["verify"].is_finished and not stale
        else None,
        stale=stale,
    )
    _check_complete(facts)
    return facts


def _roots(stages: Iterable[StageRecord]) -> list[str]:
    """Give the absolute paths of the inputs, which messages may repeat."""
    return [
        str(value)
        for stage in stages
        for value in stage.manifest.get("inputs", {}).values()
        if isinstance(value, str) and value.startswith("/")
    ]


def _source(stages: Mapping[str, StageRecord]) -> str:
    names = [stages[name].input_name("root") for name in ("obfuscate", "detect")]
    return next((name for name in names if name), "")


def _check_complete(facts: Facts) -> None:
    """Refuse tables that do not hold as many images as their runs did.

    Raises:
        DatasetError: If rows were lost: a leak may have been among them.
    """
    n_rows = {
        "detect": facts.searched and facts.searched.n_images,
        "obfuscate": facts.produced and facts.produced.n_images,
        "verify": facts.verified and facts.verified.verdicts.total(),
    }
    for name, n in n_rows.items():
        n_images = facts.stages[name].manifest.get("n_images")
        if n is not None and n != n_images:
            raise DatasetError(
                f"The table of the stage {name} has {n:,} images, its run.json says {n_images:,}. "
                "The record is damaged: run the stage again."
            )


def _stage(name: str, folder: Path) -> StageRecord:
    if (folder / FINISHED).exists():
        return StageRecord(name, State.FINISHED, read_manifest(folder))
    started = (folder / STARTED).exists()
    return StageRecord(name, State.UNFINISHED if started else State.ABSENT)


def _scrubbed(stage: StageRecord, roots: list[str]) -> StageRecord:
    return replace(stage, manifest=without_places(stage.manifest, roots))


def _check_same_regions(stages: Mapping[str, StageRecord], regions: Path) -> None:
    used = stages["obfuscate"].manifest.get("inputs", {}).get("annotations_sha256")
    given = stages["detect"].manifest.get("outputs_sha256")
    if used and given and used != given:
        raise AnnotationError(
            f"The annotation set {regions} is not the one that was obfuscated. "
            "Name that one, or run obfuscate again with this one."
        )


def _stale(stages: Mapping[str, StageRecord]) -> str:
    """Say why a verification does not speak for the release as it is now, "" if it does."""
    if not stages["verify"].is_finished:
        return ""
    if not stages["obfuscate"].is_finished:
        return "The record of obfuscation, which it compared with, is not there any more."
    checked = stages["verify"].manifest.get("inputs", {}).get("record_sha256")
    if checked != stages["obfuscate"].manifest["outputs_sha256"]:
        return "It checked another state of the output: the output was made again since."
    return ""


def search_facts(rows: Iterable[Annotations], scrub: Scrub, limits: Limits) -> Searched:
    """Add up an annotation set."""
    facts = Searched(Failures(FirstOf(limits.n_listed)))
    for row in rows:
        facts.statuses[row.status.value] += 1
        if row.status is Status.COULD_NOT_LOOK:
            facts.failures.add(Failure(row.image_id, row.reason, scrub(row.message)))
        if row.status is not Status.LOOKED:
            continue
        facts.n_found_none += not row.regions
        facts.per_image.add(len(row.regions))
        for region in row.regions:
            x0, y0, x1, y1 = region.box_xyxy
            facts.kinds[region.kind] += 1
            facts.origins[region.origin.value] += 1
            facts.face_size_px.add(min(x1 - x0, y1 - y0))
            if region.score is not None:
                facts.score.add(region.score)
    return facts


def output_facts(rows: Iterable[ImageOutcome], scrub: Scrub, limits: Limits) -> Produced:
    """Add up the outcomes of obfuscation."""
    facts = Produced(Failures(FirstOf(limits.n_listed)))
    for row in rows:
        facts.outcomes[row.outcome.value] += 1
        facts.n_regions += row.n_regions
        facts.n_bytes += row.n_bytes_out
        facts.substituted.update(row.substituted)
        if row.outcome is Outcome.FAILED:
            facts.failures.add(Failure(row.image_id, row.reason, scrub(row.message)))
    return facts


def verdict_facts(rows: Iterable[ImageVerdict], scrub: Scrub, limits: Limits) -> Verified:
    """Add up verdicts, and choose what the contact sheet may show."""
    facts = Verified(FirstOf(limits.n_listed), FirstOf(limits.n_listed))

    def passed() -> Iterator[Candidate]:
        for row in rows:
            _add_verdict(facts, row, scrub)
            # An image for review may show a face that was missed, so it is no candidate.
            if row.verdict is Verdict.PASSED and row.n_regions and row.sha256:
                yield Candidate(row.image_id, row.sha256, row.n_regions)

    # By digest of the name: the same choice every time, that no order of names bends.
    # At least one is asked for: nsmallest would not even go through the rows for none.
    n = limits.n_candidates
    facts.sheet = heapq.nsmallest(max(n, 1), passed(), key=_draw)[:n]
    return facts


def _draw(candidate: Candidate) -> bytes:
    return hashlib.sha256(candidate.image_id.encode("utf-8", "surrogateescape")).digest()


def _add_verdict(facts: Verified, row: ImageVerdict, scrub: Scrub) -> None:
    facts.verdicts[row.verdict.value] += 1
    facts.looked_again[row.looked_again] += row.verdict not in (Verdict.ABSENT, Verdict.WHOLE)
    facts.n_still_detected += row.n_still_detected
    facts.n_drawn_detected += row.n_drawn_detected
    if row.max_survival is not None:
        facts.survival.add(row.max_survival)
    for found in row.findings:
        facts.findings[found.level.value, found.code] += 1
        target = facts.to_review if found.level is Level.REVIEW else facts.against
        target.add(
            Finding(
                row.image_id,
                found.code,
                found.level.value,
                scrub(found.message),
                found.box_xyxy,
                found.score,
                found.detector,
            )
        )
