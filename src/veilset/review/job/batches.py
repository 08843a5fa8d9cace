# SPDX-License-Identifier: Apache-2.0
"""Batches: who holds which images, until when.

A batch is a person's until it is handed in, given back, lost on gold, or until its lease
has run out *and* somebody else needs its images. Whoever comes back to a batch that was
taken from them goes on with those of its images that nobody else was given: they alone,
having seen these, can never get them in another batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from secrets import SystemRandom

from sqlalchemy import Connection, exists, insert, select, text, update

from veilset.errors import AccessError
from veilset.review.database.tables import answer, batch, event, image, person, seen, task, view
from veilset.review.job.choose import (
    Chosen,
    choose_gold,
    is_free,
    is_ordinary_task,
    lapsed_batches,
    lock_images,
    purpose_of,
)
from veilset.review.job.leases import change_taken, end_batches, expire, lease_ms, refuse_batch
from veilset.review.job.ledger import note
from veilset.review.job.standing import refuse_unless_owner
from veilset.review.values import Role, drawing_from_json
from veilset.review.views import BatchView, ImageView, Job, Person, TaskView, WorkView

# Positions of gold must not be computable from a seed that everybody can read.
_RANDOM = SystemRandom()

_MEET_GOLD = text(
    "INSERT INTO seen (person_id, image_pk, batch_id, n_exposures) "
    "VALUES (:person_id, :image_pk, :batch_id, 1) ON CONFLICT (person_id, image_pk) "
    "DO UPDATE SET n_exposures = seen.n_exposures + 1, batch_id = excluded.batch_id"
)


def take_batch(conn: Connection, job: Job, worker: Person, now_ms: int) -> WorkView:
    """Give the batch that a person holds, or a new one.

    Args:
        conn: A connection in a transaction that may write.
        job: The job.
        worker: A worker or an expert.
        now_ms: Present moment.

    Returns:
        The batch, or the reason: ``no-work`` for now, or ``blocked`` after too many
        batches were lost on gold.

    Raises:
        AccessError: If the person owns the job (and so knows its gold), or was sent away.
    """
    if worker.role is Role.OWNER:
        raise AccessError("The owner knows the gold. Invite yourself as a worker to do batches.")
    # Two tabs that ask at once wait here for each other, and get the same batch.
    lock = select(person.c.revoked_ms).where(person.c.id == worker.id)
    row = conn.execute(lock.with_for_update(key_share=True)).first()
    if row is None or row.revoked_ms is not None:
        raise AccessError("This person does not take part in the job any more.")
    mine = select(batch.c.id).where(batch.c.person_id == worker.id, batch.c.state == "open")
    batch_id = conn.scalar(mine.with_for_update(key_share=True))
    if batch_id is not None:
        extend = update(batch).where(batch.c.id == batch_id)
        conn.execute(extend.values(expires_ms=now_ms + lease_ms(job)))
        return WorkView(batch_view(conn, batch_id))
    lost = select(batch.c.id).where(batch.c.person_id == worker.id, batch.c.state == "failed")
    if len(conn.execute(lost).all()) >= job.settings.max_failed_batches:
        return WorkView(None, "blocked")
    batch_id = _take_up_again(conn, job, worker, now_ms) or _new_batch(conn, job, worker, now_ms)
    return WorkView(batch_view(conn, batch_id)) if batch_id else WorkView(None, "no-work")


def _take_up_again(conn: Connection, job: Job, worker: Person, now_ms: int) -> int | None:
    """Open a batch again that had ended, with those of its images that are still free."""
    free = (
        select(batch.c.id, batch.c.attempt, image.c.id.label("image_pk"))
        .join_from(batch, task, is_ordinary_task())
        .join(image, image.c.id == task.c.image_pk)
        .where(
            batch.c.person_id == worker.id,
            batch.c.state.in_(("expired", "released")),
            is_free(purpose_of(worker)),
        )
        .order_by(batch.c.id, image.c.id)
    )
    found = conn.execute(free.with_for_update(of=(batch, image), skip_locked=True, key_share=True))
    rows = found.all()
    if not rows:
        return None
    batch_id, attempt, _ = rows[0]
    images = [row.image_pk for row in rows if row.id == batch_id]
    change_taken(conn, purpose_of(worker), images, 1)
    now_tasks = (task.c.batch_id == batch_id) & (task.c.attempt == attempt)
    conn.execute(
        update(task)
        .where(now_tasks, task.c.gold_id.is_(None), task.c.image_pk.not_in(images))
        .values(state="gone")
    )
    conn.execute(
        update(batch)
        .where(batch.c.id == batch_id)
        .values(state="open", expires_ms=now_ms + lease_ms(job), ended_ms=None)
    )
    return int(batch_id)


def _new_batch(conn: Connection, job: Job, worker: Person, now_ms: int) -> int | None:
    settings = job.settings
    is_expert = worker.role is Role.EXPERT
    n_gold = 0 if is_expert else settings.gold_per_batch
    n = settings.batch_size - n_gold
    # All that is to be taken from others is found first, and its images are locked in one
    # statement, in order: the choice after it waits for nobody.
    expire(conn, job, now_ms, needed=lapsed_batches(conn, job, worker, n, now_ms))
    images = lock_images(conn, job, worker, n)
    if not images:
        return None
    change_taken(conn, purpose_of(worker), [each.image_pk for each in images], 1)
    golds = choose_gold(conn, job, worker, n_gold)
    row = {
        "job_id": job.id, "person_id": worker.id, "purpose": purpose_of(worker), "state": "open",
        "attempt": 1, "lives": settings.lives, "n_gold": len(golds), "created_ms": now_ms,
        "expires_ms": now_ms + lease_ms(job),
    }  # fmt: skip
    batch_id = int(conn.scalar(insert(batch).values(row).returning(batch.c.id)) or 0)
    conn.execute(
        insert(seen),
        [
            {"person_id": worker.id, "image_pk": each.image_pk, "batch_id": batch_id,
             "n_exposures": 0}
            for each in images
        ],
    )  # fmt: skip
    _show_gold(conn, worker, batch_id, golds)
    _insert_tasks(conn, batch_id, 1, [*images, *golds])
    if len(golds) < n_gold:
        _note_shortage(conn, job, worker, batch_id, n_gold - len(golds), now_ms)
    return batch_id


def begin_again(conn: Connection, job: Job, worker: Person, batch_id: int, attempt: int) -> None:
    """Begin a batch again after its last life: other gold if there is any, a new order.

    Args:
        conn: A connection in a transaction that holds the batch.
        job: The job.
        worker: Whose batch it is.
        batch_id: Row of the batch.
        attempt: The attempt that ends.
    """
    tasks = select(task.c.image_pk, task.c.shown, task.c.gold_id).where(
        task.c.batch_id == batch_id, task.c.attempt == attempt, task.c.state != "gone"
    )
    before = [Chosen(*row) for row in conn.execute(tasks)]
    images = [each for each in before if each.gold_id is None]
    old = [each for each in before if each.gold_id is not None]
    known = [each.gold_id for each in old if each.gold_id is not None]
    golds = choose_gold(conn, job, worker, len(old), but=known)
    _show_gold(conn, worker, batch_id, golds)
    # Where there is no other gold, the same comes again; that is no further exposure.
    golds += _RANDOM.sample(old, len(old) - len(golds))
    conn.execute(
        update(batch)
        .where(batch.c.id == batch_id)
        .values(attempt=attempt + 1, lives=job.settings.lives, n_gold=len(golds))
    )
    _insert_tasks(conn, batch_id, attempt + 1, [*images, *golds])


def _show_gold(conn: Connection, worker: Person, batch_id: int, golds: Sequence[Chosen]) -> None:
    if golds:
        keys = {"person_id": worker.id, "batch_id": batch_id}
        conn.execute(_MEET_GOLD, [keys | {"image_pk": each.image_pk} for each in golds])


def _insert_tasks(conn: Connection, batch_id: int, attempt: int, chosen: Sequence[Chosen]) -> None:
    # Rows are made in the shuffled order: their numbers tell nothing about gold.
    shuffled = _RANDOM.sample(chosen, len(chosen))
    conn.execute(
        insert(task),
        [
            {"batch_id": batch_id, "attempt": attempt, "position": position,
             "image_pk": each.image_pk, "gold_id": each.gold_id, "shown": each.shown,
             "state": "open"}
            for position, each in enumerate(shuffled)
        ],
    )  # fmt: skip


def _note_shortage(
    conn: Connection, job: Job, worker: Person, batch_id: int, n_missing: int, now_ms: int
) -> None:
    """Record once for each person that there is too little gold; each batch has its count."""
    known = exists().where(
        event.c.job_id == job.id, event.c.what == "gold-shortage", event.c.person_id == worker.id
    )
    if not conn.scalar(select(known)):
        note(
            conn, job.id, "gold-shortage", now_ms, worker.id, batch_id=batch_id, n_missing=n_missing
        )


def batch_view(conn: Connection, batch_id: int) -> BatchView:
    """Give a batch as its person sees it."""
    head = conn.execute(
        select(batch.c.attempt, batch.c.lives, batch.c.expires_ms).where(batch.c.id == batch_id)
    ).one()
    said = select(answer.c.task_id, answer.c.drawing).where(answer.c.batch_id == batch_id)
    # The last answer on a task stands.
    answered = {row.task_id: row.drawing for row in conn.execute(said.order_by(answer.c.id))}
    tasks = (
        select(task.c.id, task.c.state, task.c.shown, image.c.width, image.c.height)
        .join_from(task, image, image.c.id == task.c.image_pk)
        .where(task.c.batch_id == batch_id, task.c.attempt == head.attempt, task.c.state != "gone")
        .order_by(task.c.position)
    )
    views = [
        TaskView(
            task_id=row.id,
            position=position,
            size_wh=(row.width, row.height),
            is_answered=row.state != "open",
            is_closed=row.state == "closed",
            drawing=drawing_from_json(answered.get(row.id, row.shown)),
        )
        for position, row in enumerate(conn.execute(tasks))
    ]
    return BatchView(batch_id, head.attempt, head.lives, head.expires_ms, tuple(views))


def renew(conn: Connection, job: Job, worker: Person, batch_id: int, now_ms: int) -> int:
    """Begin the lease of a batch anew.

    Returns:
        The moment it runs out.

    Raises:
        LeaseError: If the batch has ended.
        AccessError: If the person never had it.
    """
    expires_ms = now_ms + lease_ms(job)
    change = update(batch).where(
        batch.c.id == batch_id, batch.c.person_id == worker.id, batch.c.state == "open"
    )
    if conn.execute(change.values(expires_ms=expires_ms)).rowcount == 0:
        refuse_batch(conn, worker, batch_id)
    return expires_ms


def release(conn: Connection, job: Job, worker: Person, batch_id: int, now_ms: int) -> None:
    """Give a batch back before its time; one that was given back already stays so.

    Raises:
        LeaseError: If the batch has ended in another way.
        AccessError: If the person never had it.
    """
    held = select(batch.c.state).where(
        batch.c.id == batch_id, batch.c.person_id == worker.id, batch.c.job_id == job.id
    )
    state = conn.scalar(held.with_for_update(key_share=True))
    if state == "open":
        end_batches(conn, [batch_id], "released", now_ms)
    elif state != "released":
        refuse_batch(conn, worker, batch_id)


def task_image(conn: Connection, job: Job, worker: Person, task_id: int, now_ms: int) -> ImageView:
    """Give the file behind a task of a batch that the person holds, and record that they
    looked at it.

    Raises:
        LeaseError: If the batch has ended.
        AccessError: If there is no such task, or it never was theirs.
    """
    query = (
        select(
            image.c.id, image.c.image_id, image.c.sha256, image.c.width, image.c.height,
            batch.c.id.label("batch_id"),
            ((batch.c.state == "open") & (task.c.attempt == batch.c.attempt)
             & (task.c.state != "gone")).label("is_held"),
        )
        .join_from(task, batch, batch.c.id == task.c.batch_id)
        .join(image, image.c.id == task.c.image_pk)
        .where(task.c.id == task_id, batch.c.person_id == worker.id, batch.c.job_id == job.id)
    )  # fmt: skip
    row = conn.execute(query).first()
    if row is None:
        raise AccessError("There is no such task, or it is not yours.")
    if not row.is_held:
        refuse_batch(conn, worker, row.batch_id)
    looked = {"person_id": worker.id, "image_pk": row.id, "task_id": task_id, "at_ms": now_ms}
    conn.execute(insert(view), looked)
    return ImageView(row.id, row.image_id, row.sha256, (row.width, row.height))


def image_for_owner(
    conn: Connection, job: Job, owner: Person, image_pk: int, now_ms: int
) -> ImageView:
    """Give the file behind any image of the job, and record that the owner looked at it.

    Raises:
        AccessError: If the job has no such image, or the person does not own the job.
    """
    refuse_unless_owner(owner)
    row = conn.execute(
        select(image).where(image.c.id == image_pk, image.c.job_id == job.id)
    ).first()
    if row is None:
        raise AccessError("The job has no such image.")
    conn.execute(insert(view), {"person_id": owner.id, "image_pk": row.id, "at_ms": now_ms})
    return ImageView(row.id, row.image_id, row.sha256, (row.width, row.height))
