# SPDX-License-Identifier: Apache-2.0
"""Where an image stands: the decision that counts for it, and who may change it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from veilset.errors import AccessError
from veilset.review.database.tables import decision, image, undo
from veilset.review.values import Role
from veilset.review.views import Job, Person

SETTLING = ("single", "agreed", "adjudicated")
"""Kinds of decisions that give an image its regions."""


def refuse_unless_owner(who: Person) -> None:
    """Refuse whoever does not own the job."""
    if who.role is not Role.OWNER:
        raise AccessError("Only the owner of the job may do that.")


def hold_image(conn: Connection, job: Job, image_pk: int) -> Any:
    """Give the row of an image, and keep it from others to the end of the transaction.

    Raises:
        AccessError: If the job has no such image.
    """
    query = select(image).where(image.c.id == image_pk, image.c.job_id == job.id)
    row = conn.execute(query.with_for_update(key_share=True)).first()
    if row is None:
        raise AccessError("The job has no such image.")
    return row


def standing_decision(conn: Connection, image_pk: int) -> Any:
    """Give the row of the decision that counts for an image: the last one that was not
    undone; None if there is none."""
    query = (
        select(decision)
        .join_from(decision, undo, undo.c.decision_id == decision.c.id, isouter=True)
        .where(decision.c.image_pk == image_pk, undo.c.decision_id.is_(None))
        .order_by(decision.c.id.desc())
        .limit(1)
    )
    return conn.execute(query).first()
