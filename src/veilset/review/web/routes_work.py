# SPDX-License-Identifier: Apache-2.0
"""What people who review ask for: a batch, its pictures, to save answers, to hand it in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from sqlalchemy import Connection

from veilset.review.job import answers, batches
from veilset.review.mturk import entry
from veilset.review.views import OutcomeView, Person
from veilset.review.web.callers import Reviewer
from veilset.review.web.models import Answer, Lease, Outcome, RowId, Submitted, Work
from veilset.review.web.pictures import PICTURE_RESPONSES, picture_response
from veilset.review.web.replies import drawing_of, outcome_model, work_model

router = APIRouter(prefix="/api", tags=["work"])

BatchId = Annotated[RowId, Path()]
TaskId = Annotated[RowId, Path()]


# The first ones are found fastest, and are asked for with every image.
@router.post("/tasks/{task_id}/answer")
async def answer_task(task_id: TaskId, answer: Answer, caller: Reviewer) -> Outcome:
    """Save what the person drew. The same nonce again gives the same outcome again."""
    room, drawing = caller.room, drawing_of(answer.regions)
    caller.slow_down(room.answers)

    def work(connection: Connection, person: Person) -> OutcomeView:
        return answers.save_answer(
            connection,
            room.job,
            person,
            task_id,
            attempt=answer.attempt,
            drawing=drawing,
            nonce=answer.nonce,
            seconds=answer.seconds,
            now_ms=room.now_ms(),
        )

    return outcome_model(await caller.run(work, is_quick=True), room.job.settings.max_attempts)


@router.get("/tasks/{task_id}/image", response_class=Response, responses=PICTURE_RESPONSES)
async def task_image(task_id: TaskId, caller: Reviewer) -> Response:
    """Give the picture of an image in a batch that the person holds now."""
    room = caller.room
    caller.slow_down(room.pictures)
    image = await caller.run(
        lambda conn, person: batches.task_image(conn, room.job, person, task_id, room.now_ms()),
        is_quick=True,
    )
    return await picture_response(room, image)


@router.post("/batch")
async def take_batch(caller: Reviewer) -> Work:
    """Give the batch that the person holds, or a new one."""
    room = caller.room
    view = await caller.run(
        lambda conn, person: entry.next_work(conn, room.job, person, room.now_ms())
    )
    return work_model(view, room.job.settings.max_attempts)


@router.post("/batch/{batch_id}/renew")
async def renew_batch(batch_id: BatchId, caller: Reviewer) -> Lease:
    """Hold a batch longer."""
    room = caller.room
    expires_ms = await caller.run(
        lambda conn, person: batches.renew(conn, room.job, person, batch_id, room.now_ms())
    )
    return Lease(expires_ms=expires_ms)


@router.post("/batch/{batch_id}/release", status_code=204)
async def release_batch(batch_id: BatchId, caller: Reviewer) -> Response:
    """Give a batch back; its images go to others."""
    room = caller.room
    await caller.run(
        lambda conn, person: batches.release(conn, room.job, person, batch_id, room.now_ms())
    )
    return Response(status_code=204)


@router.post("/batch/{batch_id}/submit")
async def submit_batch(batch_id: BatchId, caller: Reviewer) -> Submitted:
    """Hand in a batch whose images are all answered."""
    room = caller.room
    n_images = await caller.run(
        lambda conn, person: answers.submit_batch(conn, room.job, person, batch_id, room.now_ms())
    )
    return Submitted(n_images=n_images)
