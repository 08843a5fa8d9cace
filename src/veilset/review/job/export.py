# SPDX-License-Identifier: Apache-2.0
"""From decisions to an annotation set, beside the one that was reviewed.

What an export holds is fixed when it begins, by the last decision and the moment after
which nothing that was undone counts. Killed and run again, it goes on with the same, even
if people have worked on in the meantime: decisions and undos are only ever added.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, func, select

from veilset.errors import AnnotationError, ResumeMismatchError
from veilset.review.database.tables import answer, batch, decision, gold, image, undo
from veilset.review.job.drawings import as_shown, is_untouched
from veilset.review.job.standing import SETTLING
from veilset.review.values import Drawing, drawing_from_json
from veilset.review.views import Job
from veilset.runs import FINISHED, STARTED
from veilset.types import Annotations, Origin, Region, Status


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which state of a job is exported.

    Attributes:
        last_decision: Later decisions do not count.
        n_decisions: How many there are up to it.
        undone_until_ms: What is undone later is not undone here.
        n_undone: How many were undone up to then.
    """

    last_decision: int
    n_decisions: int
    undone_until_ms: int
    n_undone: int


def take_stamp(conn: Connection, job: Job, now_ms: int) -> Stamp:
    """Give the present state."""
    last = conn.scalar(select(func.max(decision.c.id)).where(decision.c.job_id == job.id)) or 0
    undone = (
        select(func.max(undo.c.made_ms))
        .join_from(undo, decision, decision.c.id == undo.c.decision_id)
        .where(decision.c.job_id == job.id, undo.c.made_ms <= now_ms)
    )
    return _counted(conn, job, int(last), int(conn.scalar(undone) or 0))


def _counted(conn: Connection, job: Job, last_decision: int, undone_until_ms: int) -> Stamp:
    mine = and_(decision.c.job_id == job.id, decision.c.id <= last_decision)
    n_decisions = conn.scalar(select(func.count()).select_from(decision).where(mine))
    undone = (
        select(func.count())
        .join_from(undo, decision, decision.c.id == undo.c.decision_id)
        .where(mine, undo.c.made_ms <= undone_until_ms)
    )
    return Stamp(last_decision, n_decisions or 0, undone_until_ms, conn.scalar(undone) or 0)


def resumed_stamp(conn: Connection, job: Job, out: Path) -> Stamp | None:
    """Give the state that an unfinished export in a folder began with, None if there is none.

    Raises:
        ResumeMismatchError: If that state is not there any more.
    """
    if (out / FINISHED).exists() or not (out / STARTED).exists():
        return None
    inputs = json.loads((out / STARTED).read_bytes()).get("inputs", {})
    if not isinstance(inputs.get("state"), dict):
        return None
    before = Stamp(**inputs["state"])
    now = _counted(conn, job, before.last_decision, before.undone_until_ms)
    if now != before:
        raise ResumeMismatchError(
            f"The export in {out} cannot go on: of its {before.n_decisions} decisions and "
            f"{before.n_undone} undos the database has {now.n_decisions} and {now.n_undone}. "
            "Start a new one in another folder."
        )
    return before


def stamp_fields(stamp: Stamp) -> dict[str, int]:
    """Give the state as it stands in the record of the run."""
    return asdict(stamp)


def decided_drawings(
    conn: Connection, job: Job, stamp: Stamp, first_seq: int, n: int
) -> list[tuple[str, Drawing | None]]:
    """Give name and decided boxes of ``n`` images from a place on; None for undecided ones.

    The truth of gold that was given with the job counts as decided, unless it was withdrawn.
    """
    was_undone = and_(undo.c.decision_id == decision.c.id, undo.c.made_ms <= stamp.undone_until_ms)
    standing = (
        select(func.max(decision.c.id))
        .join_from(decision, undo, was_undone, isouter=True)
        .where(
            decision.c.image_pk == image.c.id,
            decision.c.id <= stamp.last_decision,
            undo.c.decision_id.is_(None),
        )
        .correlate(image)
        .scalar_subquery()
    )
    given = and_(
        gold.c.image_pk == image.c.id, gold.c.source == "given", gold.c.retired_ms.is_(None)
    )
    query = (
        select(image.c.image_id, decision.c.kind, decision.c.drawing, gold.c.truth)
        .join_from(image, decision, decision.c.id == standing, isouter=True)
        .join(gold, given, isouter=True)
        .where(image.c.job_id == job.id, image.c.seq >= first_seq, image.c.seq < first_seq + n)
        .order_by(image.c.seq)
    )
    found: list[tuple[str, Drawing | None]] = []
    for row in conn.execute(query):
        text = row.drawing if row.kind in SETTLING else row.truth
        found.append((row.image_id, None if text is None else drawing_from_json(text)))
    return found


def expert_drawings(
    conn: Connection, job: Job, first_seq: int, n: int
) -> list[tuple[str, Drawing | None]]:
    """Give name and boxes of the images that an expert has finished, as above."""
    last = (
        select(func.max(answer.c.id))
        .join_from(answer, batch, batch.c.id == answer.c.batch_id)
        .where(
            answer.c.image_pk == image.c.id, batch.c.purpose == "expert", batch.c.state == "done"
        )
        .correlate(image)
        .scalar_subquery()
    )
    query = (
        select(image.c.image_id, answer.c.drawing)
        .join_from(image, answer, answer.c.id == last, isouter=True)
        .where(image.c.job_id == job.id, image.c.seq >= first_seq, image.c.seq < first_seq + n)
        .order_by(image.c.seq)
    )
    return [
        (row.image_id, None if row.drawing is None else drawing_from_json(row.drawing))
        for row in conn.execute(query)
    ]


def merge_into(
    known: Sequence[Annotations], decided: Sequence[tuple[str, Drawing | None]]
) -> list[tuple[Annotations, bool]]:
    """Put decisions into the rows of the annotation set.

    Args:
        known: Rows of the set that was reviewed.
        decided: The same images in the same order.

    Returns:
        Each row, with whether people decided on it; the others are as they were.

    Raises:
        AnnotationError: If the two do not speak of the same images.
    """
    names = [row.image_id for row in known]
    if names != [image_id for image_id, _ in decided]:
        raise AnnotationError(
            "The annotation set holds other images than the job was opened with. "
            "Restore it: an export keeps what people did not change."
        )
    pairs = zip(known, decided, strict=True)
    return [
        (row, False) if drawing is None else (reviewed(row, drawing), True)
        for row, (_, drawing) in pairs
    ]


def reviewed(known: Annotations, drawing: Drawing) -> Annotations:
    """Give an image with the regions that people decided on.

    A box that was made from a region keeps its landmarks and attributes. Left as it was, it
    keeps its exact place and its score; moved, resized or of another kind, it has no score,
    since no detector vouches for it any more: the old one goes to the attribute
    ``detector_score``.
    """
    shown = {each.source: each for each in as_shown(known.regions, (known.width, known.height))}
    regions = []
    for drawn in drawing:
        if drawn.source is None:
            regions.append(Region(drawn.box_xyxy, drawn.kind, None, Origin.REVIEWED))
            continue
        region = known.regions[drawn.source]
        if is_untouched(shown[drawn.source], drawn):
            regions.append(replace(region, origin=Origin.REVIEWED))
            continue
        attributes = dict(region.attributes)
        if region.score is not None:
            attributes["detector_score"] = region.score
        regions.append(
            replace(
                region, box_xyxy=drawn.box_xyxy, kind=drawn.kind, score=None,
                origin=Origin.REVIEWED, attributes=attributes,
            )
        )  # fmt: skip
    return replace(known, status=Status.LOOKED, regions=tuple(regions))


def count_row(row: Annotations, *, is_decided: bool) -> dict[str, int]:
    """Give what a row adds to the counts of the run."""
    counts: dict[str, Any] = {row.status.value: 1, "n_regions": len(row.regions)}
    counts["reviewed" if is_decided else "kept"] = 1
    if row.regions:
        counts["with_regions"] = 1
    return counts
