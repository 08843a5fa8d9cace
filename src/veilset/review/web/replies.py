# SPDX-License-Identifier: Apache-2.0
"""Views of the database as models for the browser, and drawings the other way round."""

from __future__ import annotations

from collections.abc import Iterable

from veilset.review import views
from veilset.review.values import Drawing, Drawn
from veilset.review.web import models


def drawing_of(regions: Iterable[models.RegionModel]) -> Drawing:
    """Give what a browser sent as a drawing; nothing is checked yet."""
    drawing = []
    for region in regions:
        x0, y0, x1, y1 = region.box_xyxy
        drawing.append(Drawn((x0, y0, x1, y1), region.kind, region.source))
    return tuple(drawing)


def region_models(drawing: Iterable[Drawn]) -> list[models.RegionModel]:
    """Give a drawing for the browser."""
    return [
        models.RegionModel(box_xyxy=list(drawn.box_xyxy), kind=drawn.kind, source=drawn.source)
        for drawn in drawing
    ]


def batch_model(batch: views.BatchView, max_attempts: int) -> models.BatchModel:
    """Give a batch for the browser. Gold looks like any other task."""
    tasks = [
        models.TaskModel(
            task_id=task.task_id,
            position=task.position,
            width=task.size_wh[0],
            height=task.size_wh[1],
            is_answered=task.is_answered,
            is_closed=task.is_closed,
            regions=region_models(task.drawing),
        )
        for task in batch.tasks
    ]
    return models.BatchModel(
        batch_id=batch.batch_id,
        attempt=batch.attempt,
        max_attempts=max_attempts,
        lives=batch.lives,
        expires_ms=batch.expires_ms,
        tasks=tasks,
    )


def work_model(work: views.WorkView, max_attempts: int) -> models.Work:
    """Give the batch to work on, or why there is none."""
    batch = batch_model(work.batch, max_attempts) if work.batch else None
    return models.Work.model_validate({"batch": batch, "reason": work.reason})


def outcome_model(outcome: views.OutcomeView, max_attempts: int) -> models.Outcome:
    """Give what became of an answer."""
    feedback = None
    if outcome.feedback is not None:
        problems = [
            models.ProblemModel.model_validate({"what": each.what, "box_xyxy": list(each.box_xyxy)})
            for each in outcome.feedback.problems
        ]
        truth = region_models(outcome.feedback.truth)
        feedback = models.Feedback(truth=truth, problems=problems)
    return models.Outcome.model_validate(
        {
            "outcome": outcome.outcome,
            "lives": outcome.lives,
            "expires_ms": outcome.expires_ms,
            "feedback": feedback,
            "batch": batch_model(outcome.batch, max_attempts) if outcome.batch else None,
        }
    )


def me_model(person: views.Person, csrf: str, job: views.Job, finish_url: str = "") -> models.Me:
    """Give who is signed in."""
    settings = job.settings
    about = models.JobModel(
        name=job.name,
        kinds=list(settings.kinds),
        instructions=settings.instructions,
        lives=settings.lives,
        lease_minutes=settings.lease_minutes,
    )
    return models.Me.model_validate(
        {
            "name": person.name,
            "role": person.role.value,
            "csrf": csrf,
            "job": about,
            "finish_url": finish_url,
        }
    )


def disputes_model(page: views.DisputesView) -> models.Disputes:
    """Give a page of the queue of adjudication."""
    return models.Disputes(
        n_total=page.n_total, disputes=[_dispute_model(each) for each in page.disputes]
    )


def _dispute_model(dispute: views.DisputeView) -> models.Dispute:
    replicas = [
        models.Replica(name=each.name, regions=region_models(each.drawing))
        for each in dispute.replicas
    ]
    merged = [
        models.MergedRegion(
            region=region_models([each.drawn])[0], votes=each.votes, is_agreed=each.is_agreed
        )
        for each in dispute.merged
    ]
    return models.Dispute(
        image_pk=dispute.image_pk,
        image_id=dispute.image_id,
        width=dispute.size_wh[0],
        height=dispute.size_wh[1],
        replicas=replicas,
        merged=merged,
    )
