# SPDX-License-Identifier: Apache-2.0
"""Answers: saved, scored on gold, and handed in.

Saving an answer is what happens most and what people wait for: four statements, whose
texts are made once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from veilset.errors import ReviewError
from veilset.review.database.tables import answer, batch, gold, image, task
from veilset.review.job.batches import batch_view, begin_again
from veilset.review.job.choose import is_ordinary_task
from veilset.review.job.decisions import settle_images
from veilset.review.job.drawings import Changes, check_sources, compare
from veilset.review.job.leases import end_batches, lease_ms, refuse_batch
from veilset.review.job.ledger import add_up, note
from veilset.review.rules.gold import score_gold
from veilset.review.values import (
    Drawing,
    Drawn,
    GoldProblem,
    GoldVerdict,
    check_drawing,
    drawing_from_json,
    drawing_to_json,
)
from veilset.review.views import FeedbackView, Job, OutcomeView, Person

# Holds the batch for this transaction and extends its lease, in one go.
_HOLD = (
    update(batch)
    .where(
        batch.c.id
        == select(task.c.batch_id).where(task.c.id == bindparam("b_task")).scalar_subquery(),
        batch.c.person_id == bindparam("b_person"),
        batch.c.job_id == bindparam("b_job"),
        batch.c.state == "open",
    )
    .values(expires_ms=bindparam("b_expires"))
    .returning(batch.c.id, batch.c.attempt, batch.c.lives)
)  # fmt: skip

_TASK = (
    select(
        task.c.attempt, task.c.state, task.c.shown, task.c.image_pk, task.c.gold_id,
        image.c.width, image.c.height, gold.c.truth, gold.c.retired_ms,
        answer.c.outcome, answer.c.problems,
    )
    .join_from(task, image, image.c.id == task.c.image_pk)
    .join(gold, gold.c.id == task.c.gold_id, isouter=True)
    .join(
        answer,
        and_(answer.c.task_id == task.c.id, answer.c.nonce == bindparam("b_nonce")),
        isouter=True,
    )
    .where(task.c.id == bindparam("b_task"))
)  # fmt: skip

# The same for a batch that has ended: only a repeat of what was answered then.
_REPEAT = (
    select(answer.c.outcome, answer.c.problems, gold.c.truth, batch.c.id.label("batch_id"))
    .join_from(task, batch, batch.c.id == task.c.batch_id)
    .join(
        answer,
        and_(answer.c.task_id == task.c.id, answer.c.nonce == bindparam("b_nonce")),
        isouter=True,
    )
    .join(gold, gold.c.id == task.c.gold_id, isouter=True)
    .where(task.c.id == bindparam("b_task"), batch.c.person_id == bindparam("b_person"))
)

_INSERT = insert(answer)
_MARK = update(task).where(task.c.id == bindparam("b_task")).values(state=bindparam("b_state"))
_LIVES = update(batch).where(batch.c.id == bindparam("b_batch")).values(lives=bindparam("b_lives"))


@dataclass(frozen=True, slots=True)
class _Fate:
    """What an answer does to its batch."""

    outcome: str
    lives: int


def save_answer(
    conn: Connection,
    job: Job,
    worker: Person,
    task_id: int,
    attempt: int,
    drawing: Drawing,
    nonce: str,
    seconds: float,
    now_ms: int,
) -> OutcomeView:
    """Save what somebody drew; score it if the image is gold.

    The same nonce again gives the same outcome again, and changes nothing. An ordinary
    image can be answered again until its batch is handed in: the last answer counts.

    Args:
        conn: A connection in a transaction that may write.
        job: The job.
        worker: Who drew.
        task_id: The task of a batch that they hold.
        attempt: The attempt of the batch that they see.
        drawing: All boxes of the image.
        nonce: Made by the browser for this answer.
        seconds: How long they looked at the image, as the browser says.
        now_ms: Present moment.

    Raises:
        ReviewError: If the drawing cannot be, or the image was answered for good.
        LeaseError: If the batch has ended, or was begun again.
        AccessError: If the task is not theirs.
    """
    expires_ms = now_ms + lease_ms(job)
    keys = {"b_task": task_id, "b_person": worker.id, "b_nonce": nonce}
    hold = {"b_task": task_id, "b_person": worker.id, "b_job": job.id, "b_expires": expires_ms}
    held = conn.execute(_HOLD, hold).first()
    if held is None:
        return _repeat_or_refuse(conn, worker, keys)
    row = conn.execute(_TASK, {"b_task": task_id, "b_nonce": nonce}).one()
    if row.outcome is not None:
        return _stored(conn, row, held.id)
    if row.attempt != attempt or attempt != held.attempt or row.state == "gone":
        refuse_batch(conn, worker, held.id)
    if row.state == "closed":
        raise ReviewError("This image was answered for good. Go on with the next one.")
    size_wh = (row.width, row.height)
    drawing = check_drawing(drawing, size_wh, job.settings.kinds)
    shown = drawing_from_json(row.shown)
    check_sources(drawing, shown)
    # Ordinary images are scored too, for nothing: the time that it takes tells nobody
    # which images are gold. So is gold that was withdrawn, for nothing.
    is_gold = row.gold_id is not None and row.retired_ms is None
    truth = drawing_from_json(row.truth) if is_gold else shown
    verdict = score_gold(truth, drawing, size_wh, job.settings)
    changes = compare(shown, drawing)
    fate = _fate(job, held, verdict if is_gold else None)
    said = {"outcome": fate.outcome, "lives": fate.lives, "expires_ms": expires_ms}
    conn.execute(
        _INSERT,
        {
            "task_id": task_id, "batch_id": held.id, "person_id": worker.id,
            "image_pk": row.image_pk, "gold_id": row.gold_id, "nonce": nonce,
            "drawing": drawing_to_json(drawing), "seconds": seconds, "received_ms": now_ms,
            "outcome": json.dumps(said), **_counts(row.gold_id, changes, is_gold, verdict),
        },
    )  # fmt: skip
    if fate.outcome == "saved":
        if row.state == "open":
            conn.execute(_MARK, {"b_task": task_id, "b_state": "answered"})
        return OutcomeView("saved", fate.lives, expires_ms)
    conn.execute(_MARK, {"b_task": task_id, "b_state": "closed"})
    _take_life(conn, job, worker, held, fate, now_ms)
    return OutcomeView(
        fate.outcome,
        fate.lives,
        expires_ms,
        FeedbackView(_bare(truth), verdict.problems),
        batch_view(conn, held.id) if fate.outcome == "restarted" else None,
    )


def _fate(job: Job, held: Any, verdict: GoldVerdict | None) -> _Fate:
    if verdict is None or verdict.is_passed:
        return _Fate("saved", held.lives)
    if held.lives > 1:
        return _Fate("life-lost", held.lives - 1)
    if held.attempt < job.settings.max_attempts:
        return _Fate("restarted", job.settings.lives)
    return _Fate("batch-lost", 0)


def _take_life(
    conn: Connection, job: Job, worker: Person, held: Any, fate: _Fate, now_ms: int
) -> None:
    if fate.outcome == "restarted":
        begin_again(conn, job, worker, held.id, held.attempt)
        return
    conn.execute(_LIVES, {"b_batch": held.id, "b_lives": fate.lives})
    if fate.outcome == "batch-lost":
        end_batches(conn, [held.id], "failed", now_ms)
        note(conn, job.id, "batch-lost", now_ms, worker.id, batch_id=held.id)


def _counts(
    gold_id: int | None, changes: Changes, is_gold: bool, verdict: GoldVerdict
) -> dict[str, Any]:
    """Give the columns of an answer that say what it changed, or how it was judged."""
    is_ordinary = gold_id is None
    row: dict[str, Any] = {
        "n_added": changes.n_added if is_ordinary else 0,
        "n_deleted": changes.n_deleted if is_ordinary else 0,
        "n_moved": changes.n_moved if is_ordinary else 0,
    }
    for name in ("n_true", "n_found", "n_drawn", "n_right"):
        row[name] = getattr(verdict, name) if is_gold else None
    problems = [[problem.what, *problem.box_xyxy] for problem in verdict.problems]
    row["problems"] = json.dumps(problems) if is_gold else None
    return row


def _repeat_or_refuse(conn: Connection, worker: Person, keys: dict[str, Any]) -> OutcomeView:
    row = conn.execute(_REPEAT, keys).first()
    if row is None or row.outcome is None:
        refuse_batch(conn, worker, row.batch_id if row else None)
    return _stored(conn, row, row.batch_id)


def _stored(conn: Connection, row: Any, batch_id: int) -> OutcomeView:
    """Give the outcome that an answer had when it came for the first time."""
    said = json.loads(row.outcome)
    feedback = None
    if said["outcome"] != "saved":
        problems = [
            GoldProblem(what, (x0, y0, x1, y1)) for what, x0, y0, x1, y1 in json.loads(row.problems)
        ]
        feedback = FeedbackView(_bare(drawing_from_json(row.truth)), tuple(problems))
    is_restart = said["outcome"] == "restarted"
    again = batch_view(conn, batch_id) if is_restart else None
    return OutcomeView(said["outcome"], said["lives"], said["expires_ms"], feedback, again)


def _bare(truth: Drawing) -> Drawing:
    """Give the truth without sources: they speak of proposals that nobody was shown."""
    return tuple(Drawn(each.box_xyxy, each.kind) for each in truth)


def submit_batch(conn: Connection, job: Job, worker: Person, batch_id: int, now_ms: int) -> int:
    """Hand in a batch; images that are complete with it are decided at once.

    Handed in again, it gives the same answer again.

    Returns:
        Images of the batch, gold among them.

    Raises:
        ReviewError: If an image has no answer yet.
        LeaseError: If the batch has ended in another way.
        AccessError: If it never was theirs.
    """
    query = select(batch.c.state, batch.c.attempt, batch.c.purpose).where(
        batch.c.id == batch_id, batch.c.person_id == worker.id, batch.c.job_id == job.id
    )
    held = conn.execute(query.with_for_update(key_share=True)).first()
    if held is None or held.state not in ("open", "done"):
        refuse_batch(conn, worker, batch_id)
    mine = (
        (task.c.batch_id == batch_id) & (task.c.attempt == held.attempt) & (task.c.state != "gone")
    )
    by_state = select(task.c.state, func.count()).where(mine).group_by(task.c.state)
    counts: dict[str, int] = {state: int(n) for state, n in conn.execute(by_state)}
    n_images = sum(counts.values())
    if held.state == "done":
        return n_images
    if counts.get("open"):
        raise ReviewError(
            f"{counts['open']} of the {n_images} images have no answer yet. Look at them first."
        )
    conn.execute(update(batch).where(batch.c.id == batch_id).values(state="done", ended_ms=now_ms))
    _count_done(conn, job, batch_id, held.purpose, now_ms)
    return n_images


def _count_done(conn: Connection, job: Job, batch_id: int, purpose: str, now_ms: int) -> None:
    """Count the answers of a batch, and decide on images that have all they want."""
    held = (
        select(image.c.id, image.c.n_done, image.c.n_wanted)
        .join_from(batch, task, is_ordinary_task())
        .join(image, image.c.id == task.c.image_pk)
        .where(batch.c.id == batch_id)
        .order_by(image.c.id)
        .with_for_update(of=image, key_share=True)
    )
    rows = conn.execute(held).all()
    images = [row.id for row in rows]
    counted = image.c.expert_done if purpose == "expert" else image.c.n_done
    conn.execute(update(image).where(image.c.id.in_(images)).values({counted: counted + 1}))
    if purpose == "expert":
        return
    said = (
        select(answer.c.task_id, answer.c.seconds, answer.c.n_added)
        .join_from(batch, task, is_ordinary_task())
        .join(answer, answer.c.task_id == task.c.id)
        .where(batch.c.id == batch_id)
        .order_by(answer.c.id)
    )
    last = {row.task_id: row for row in conn.execute(said)}
    sums = {
        "n_done": len(images),
        "worked_ms": round(1000 * sum(row.seconds for row in last.values())),
        "n_found": sum(row.n_added for row in last.values()),
    }
    complete = [row.id for row in rows if row.n_done + 1 >= row.n_wanted]
    add_up(conn, job.id, now_ms, **sums, **settle_images(conn, job, complete, now_ms))
