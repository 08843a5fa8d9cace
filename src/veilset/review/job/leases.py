# SPDX-License-Identifier: Apache-2.0
"""How batches end before they are handed in, and how their images come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NoReturn

from sqlalchemy import Connection, select, update

from veilset.errors import AccessError, LeaseError
from veilset.review.database.tables import batch, image, task
from veilset.review.job.choose import is_ordinary_task
from veilset.review.job.ledger import MINUTE_MS
from veilset.review.views import Job, Person

_CHUNK = 5_000


def lease_ms(job: Job) -> int:
    """Give the length of a lease."""
    return round(job.settings.lease_minutes * MINUTE_MS)


def refuse_batch(conn: Connection, worker: Person, batch_id: int | None) -> NoReturn:
    """Say why somebody cannot go on with a batch."""
    had = select(batch.c.state).where(batch.c.id == batch_id, batch.c.person_id == worker.id)
    state = conn.scalar(had)
    if state is None:
        raise AccessError("There is no such batch, or it is not yours.")
    why = {
        "done": "This batch was handed in.",
        "failed": "This batch was lost on its control images.",
        "expired": "The time of this batch ran out, and somebody else needed its images.",
        "released": "This batch was given back.",
        "revoked": "This batch was taken back.",
    }
    raise LeaseError(f"{why.get(state, 'This batch was begun again.')} Ask for work to go on.")


def expire(conn: Connection, job: Job, now_ms: int, *, needed: Iterable[int] = ()) -> int:
    """End batches whose time ran out.

    Args:
        conn: A connection in a transaction that may write.
        job: The job.
        now_ms: Present moment.
        needed: Batches whose images somebody needs: they end as soon as the lease is over,
            all others after twice its length.

    Returns:
        How many ended.
    """
    is_over = batch.c.expires_ms < now_ms - lease_ms(job)
    is_needed = batch.c.id.in_(list(needed)) & (batch.c.expires_ms < now_ms)
    query = (
        select(batch.c.id)
        .where(batch.c.job_id == job.id, batch.c.state == "open", is_over | is_needed)
        .with_for_update(skip_locked=True, key_share=True)
    )
    ids = list(conn.scalars(query))
    end_batches(conn, ids, "expired", now_ms)
    return len(ids)


def end_batches_of(conn: Connection, person_id: int, now_ms: int) -> None:
    """End the batches of somebody who was sent away."""
    mine = select(batch.c.id).where(batch.c.person_id == person_id, batch.c.state == "open")
    ids = list(conn.scalars(mine.with_for_update(key_share=True)))
    end_batches(conn, ids, "revoked", now_ms)


def end_batches(conn: Connection, batch_ids: Sequence[int], state: str, now_ms: int) -> None:
    """End batches that the transaction holds, and give their images to others."""
    if not batch_ids:
        return
    held = (
        select(batch.c.purpose, image.c.id)
        .join_from(batch, task, is_ordinary_task())
        .join(image, image.c.id == task.c.image_pk)
        .where(batch.c.id.in_(batch_ids))
        .order_by(image.c.id)
        .with_for_update(of=image, key_share=True)
    )
    # With replicas, an image can be in several of the batches.
    counts = Counter((row.purpose, row.id) for row in conn.execute(held))
    for purpose, times in {(purpose, n) for (purpose, _), n in counts.items()}:
        images = [key[1] for key, n in counts.items() if key[0] == purpose and n == times]
        change_taken(conn, purpose, images, -times)
    ended = update(batch).where(batch.c.id.in_(batch_ids))
    conn.execute(ended.values(state=state, ended_ms=now_ms))


def change_taken(conn: Connection, purpose: str, images: Sequence[int], by: int) -> None:
    column = image.c.expert_taken if purpose == "expert" else image.c.n_taken
    for at in range(0, len(images), _CHUNK):
        some = update(image).where(image.c.id.in_(images[at : at + _CHUNK]))
        conn.execute(some.values({column: column + by}))
