# SPDX-License-Identifier: Apache-2.0
"""How many faces are still missed, by two ways that do not rest on each other.

The experts' random sample says what they found and the people did not. Where several people
saw the same images, how often they found the same says how much nobody found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, and_, func, literal_column, select

from veilset.review.database.tables import answer, batch, decision, event, image, undo
from veilset.review.job.decisions import replicas_of
from veilset.review.job.filling import chunks
from veilset.review.job.standing import SETTLING
from veilset.review.rules.estimates import missed_face_estimate, missed_per_image
from veilset.review.rules.gold import score_gold
from veilset.review.rules.recapture import added_sightings, recapture_among
from veilset.review.settings import JobSettings
from veilset.review.values import Drawing, drawing_from_json
from veilset.review.views import (
    UNKNOWN,
    Estimate,
    Job,
    MissedView,
    RecaptureView,
    SampleView,
)

_COMPARED = 2_000
"""Images, the latest, whose replicas are compared: a millisecond or so each."""

_CHUNK = 500


def still_missed(conn: Connection, job: Job) -> MissedView:
    """Estimate how many faces are still missed.

    Args:
        conn: A connection in a transaction that sees one state.
        job: The job.
    """
    return MissedView(sample=_sample(conn, job), recapture=_recapture(conn, job))


def _sample(conn: Connection, job: Job) -> SampleView:
    """Compare what experts found on the sample with what it began with and what came of it.

    A region counts as found if boxes of any kind cover as much of it as gold asks for
    (``score_gold``, rule ``coverage``).
    """
    n_drawn = conn.scalar(select(func.count()).where(*_in_sample(job))) or 0
    before: list[int] = []
    after: list[int] = []
    for row in conn.execute(_judged(job)):
        truth, size_wh = drawing_from_json(row.expert), (row.width, row.height)
        before.append(_n_missed(truth, row.proposals, size_wh, job.settings))
        if row.state == "settled" and row.decided is not None:
            after.append(_n_missed(truth, row.decided, size_wh, job.settings))
    return SampleView(
        n_drawn=n_drawn,
        drawn_from=_drawn_from(conn, job),
        n_by_expert=len(before),
        n_settled=len(after),
        images_before=_share_missing(before),
        images_after=_share_missing(after),
        regions_before=_mean_missing(before),
        regions_after=_mean_missing(after),
    )


def _in_sample(job: Job) -> Sequence[Any]:
    return image.c.job_id == job.id, image.c.in_audit == literal_column("1")


def _judged(job: Job) -> Any:
    """Ask for the images of the sample that an expert finished, with what was decided."""
    last = (
        select(func.max(answer.c.id))
        .join_from(answer, batch, batch.c.id == answer.c.batch_id)
        .where(
            answer.c.image_pk == image.c.id, batch.c.purpose == "expert", batch.c.state == "done"
        )
        .correlate(image)
        .scalar_subquery()
    )
    standing = (
        select(func.max(decision.c.id))
        .join_from(decision, undo, undo.c.decision_id == decision.c.id, isouter=True)
        .where(decision.c.image_pk == image.c.id, undo.c.decision_id.is_(None))
        .correlate(image)
        .scalar_subquery()
    )
    settling = and_(decision.c.id == standing, decision.c.kind.in_(SETTLING))
    return (
        select(
            image.c.width, image.c.height, image.c.state, image.c.proposals,
            answer.c.drawing.label("expert"), decision.c.drawing.label("decided"),
        )
        .join_from(image, answer, answer.c.id == last)
        .join(decision, settling, isouter=True)
        .where(*_in_sample(job), image.c.expert_done > 0)
        .order_by(image.c.id)
    )  # fmt: skip


def _n_missed(truth: Drawing, drawn: str, size_wh: tuple[int, int], settings: JobSettings) -> int:
    verdict = score_gold(truth, drawing_from_json(drawn), size_wh, settings)
    return verdict.n_true - verdict.n_found


def _share_missing(counts: Sequence[int]) -> Estimate:
    if not counts:
        return UNKNOWN
    return Estimate.of(missed_face_estimate(sum(each > 0 for each in counts), len(counts)))


def _mean_missing(counts: Sequence[int]) -> Estimate:
    return Estimate.of(missed_per_image(counts)) if counts else UNKNOWN


def _drawn_from(conn: Connection, job: Job) -> tuple[str, ...] | None:
    """Give the categories that the sample was drawn from, empty for all.

    None if it was drawn in parts from different ones: then images had different chances.
    """
    noted = select(event.c.detail).where(event.c.job_id == job.id, event.c.what == "audit-drawn")
    drawn = {tuple(sorted(json.loads(text)["categories"])) for text in conn.scalars(noted)}
    if len(drawn) > 1:
        return None
    return drawn.pop() if drawn else ()


def _recapture(conn: Connection, job: Job) -> tuple[RecaptureView, ...]:
    """Estimate the added regions from how many people drew each, by people on an image."""
    by_people: dict[int, list[list[Drawing]]] = {}
    for drawings in _replicas(conn, job):
        by_people.setdefault(len(drawings), []).append(drawings)
    views = []
    for n_people, images in sorted(by_people.items()):
        if n_people < 2:
            continue
        sightings = added_sightings(images, job.settings)[n_people]
        found = recapture_among(sightings, n_people)
        views.append(RecaptureView(n_people, len(images), found.n, Estimate.of(found)))
    return tuple(views)


def _replicas(conn: Connection, job: Job) -> Iterator[list[Drawing]]:
    """Give what each person drew on the latest images that rules decided on."""
    latest = (
        select(decision.c.image_pk, func.max(decision.c.id).label("last"))
        .where(decision.c.job_id == job.id, decision.c.kind.in_(("agreed", "disputed")))
        .group_by(decision.c.image_pk)
        .order_by(func.max(decision.c.id).desc())
        .limit(_COMPARED)
    )
    for some in chunks([row.image_pk for row in conn.execute(latest)], _CHUNK):
        for replicas in replicas_of(conn, some).values():
            yield [each.drawing for each in replicas]
