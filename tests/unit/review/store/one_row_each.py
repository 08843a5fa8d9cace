# SPDX-License-Identifier: Apache-2.0
"""Rows for tables that are tested without any rules above them."""

from __future__ import annotations

from sqlalchemy import Connection

from veilset.review.database import tables


def add_job(conn: Connection, name: str = "faces") -> int:
    done = conn.execute(
        tables.job.insert().values(
            name=name, photos="p", annotations="a", annotations_sha256="", gold="", gold_sha256="",
            settings="{}", n_images=0, n_unreadable=0, created_ms=0,
        )
    )  # fmt: skip
    (number,) = done.inserted_primary_key or (0,)
    return int(number)


def fill_one_row_each(conn: Connection) -> None:
    """Put a row into every table that must not change, with what it hangs on."""
    job_id = add_job(conn)
    t = tables
    conn.execute(t.image.insert().values(
        id=1, job_id=job_id, image_id="a.jpg", seq=0, category="", width=9, height=9, sha256="",
        proposals="[]", priority=0, state="open", n_wanted=1, n_taken=1, n_done=1, in_audit=0,
        expert_taken=0, expert_done=0))  # fmt: skip
    conn.execute(
        t.person.insert().values(
            id=1, job_id=job_id, name="worker-1", role="worker", source="invite", created_ms=0
        )
    )
    conn.execute(t.batch.insert().values(
        id=1, job_id=job_id, person_id=1, purpose="review", state="done", attempt=1, lives=2,
        n_gold=0, created_ms=0, expires_ms=0))  # fmt: skip
    conn.execute(
        t.task.insert().values(
            id=1, batch_id=1, attempt=1, position=0, image_pk=1, shown="[]", state="answered"
        )
    )
    conn.execute(t.answer.insert().values(
        task_id=1, batch_id=1, person_id=1, image_pk=1, nonce="n" * 8, drawing="[]", seconds=1,
        received_ms=0, outcome="{}", n_added=0, n_deleted=0, n_moved=0))  # fmt: skip
    conn.execute(t.decision.insert().values(
        id=1, job_id=job_id, image_pk=1, kind="single", drawing="[]", detail="{}", made_ms=0,
        n_before=0, n_added=0, n_deleted=0, n_moved=0))  # fmt: skip
    conn.execute(t.undo.insert().values(decision_id=1, made_ms=0))
    conn.execute(t.view.insert().values(person_id=1, image_pk=1, task_id=1, at_ms=0))
    conn.execute(t.event.insert().values(job_id=job_id, what="x", detail="{}", at_ms=0))
