# SPDX-License-Identifier: Apache-2.0
"""Which images a person is given next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from veilset.review.database.tables import batch, gold, image, seen, task
from veilset.review.values import Role
from veilset.review.views import Job, Person

# Partial indices serve only where the words of their condition stand in the statement.
_OPEN: ColumnElement[str] = literal_column("'open'")
_ONE: ColumnElement[int] = literal_column("1")

_MOST_LAPSED = 50

_MIXER, _MIXED = 2_654_435_761, 2**32
"""Multiplicative hashing (Knuth, TAOCP 3, 6.4): neighbours lie far apart."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image for a batch.

    Attributes:
        image_pk: Row of the image.
        shown: Drawing JSON to begin with.
        gold_id: Row of the gold image, None for ordinary work.
    """

    image_pk: int
    shown: str
    gold_id: int | None = None


def purpose_of(person: Person) -> str:
    """Give the purpose of a person's batches, ``review`` or ``expert``."""
    return "expert" if person.role is Role.EXPERT else "review"


def is_free(purpose: str) -> ColumnElement[bool]:
    """Whether an image can be given to one more person."""
    if purpose == "expert":
        return and_(
            image.c.in_audit == _ONE, image.c.expert_taken == 0, image.c.state != "unreadable"
        )
    return and_(image.c.state == _OPEN, image.c.n_taken < image.c.n_wanted)


def _is_free_for(job: Job, person: Person) -> ColumnElement[bool]:
    was_seen = exists().where(seen.c.person_id == person.id, seen.c.image_pk == image.c.id)
    return and_(image.c.job_id == job.id, is_free(purpose_of(person)), ~was_seen)


def next_images(job: Job, person: Person, n: int) -> Select[tuple[int, str]]:
    """Ask for up to ``n`` images that the person never saw, in the order of the work."""
    # Both downwards, as the index is read: any other order would sort all that is open.
    order: Iterable[ColumnElement[Any]] = (image.c.priority.desc(), image.c.id.desc())
    if purpose_of(person) == "expert":
        # Rows follow the data set: mixed, so that a sample that is not finished is random too.
        order = (image.c.id * _MIXER % _MIXED, image.c.id)
    return (
        select(image.c.id, image.c.proposals)
        .where(_is_free_for(job, person))
        .order_by(*order)
        .limit(n)
    )


def lock_images(conn: Connection, job: Job, person: Person, n: int) -> list[Chosen]:
    """Choose up to ``n`` images that the person never saw, and hold them to the end of the
    transaction. Two that ask at once get different ones, without waiting for each other."""
    query = next_images(job, person, n).with_for_update(skip_locked=True, key_share=True)
    return [Chosen(row.id, row.proposals) for row in conn.execute(query)]


def lapsed_batches(conn: Connection, job: Job, person: Person, n: int, now_ms: int) -> list[int]:
    """Name the batches that have to be taken from others so that ``n`` images are there.

    Only those whose lease ran out, the longest ago first, and no more than needed: others
    who come back go on where they were.
    """
    free = select(_ONE).select_from(image).where(_is_free_for(job, person)).limit(n)
    missing = n - (conn.scalar(select(func.count()).select_from(free.subquery())) or 0)
    if missing <= 0:
        return []
    was_seen = exists().where(seen.c.person_id == person.id, seen.c.image_pk == task.c.image_pk)
    query = (
        select(batch.c.id, func.count().label("n"))
        .join_from(batch, task, is_ordinary_task())
        .where(
            batch.c.job_id == job.id, batch.c.state == "open", batch.c.expires_ms < now_ms,
            batch.c.purpose == purpose_of(person), batch.c.person_id != person.id, ~was_seen,
        )
        .group_by(batch.c.id, batch.c.expires_ms)
        .order_by(batch.c.expires_ms, batch.c.id)
        .limit(_MOST_LAPSED)
    )  # fmt: skip
    needed: list[int] = []
    for row in conn.execute(query):
        if missing <= 0:
            break
        needed.append(row.id)
        missing -= row.n
    return needed


def is_ordinary_task() -> ColumnElement[bool]:
    """Whether a task is of its batch's present attempt, no gold, and not gone to others."""
    return and_(
        task.c.batch_id == batch.c.id,
        task.c.attempt == batch.c.attempt,
        task.c.gold_id.is_(None),
        task.c.state != "gone",
    )


def choose_gold(
    conn: Connection, job: Job, person: Person, n: int, *, but: Sequence[int] = ()
) -> list[Chosen]:
    """Choose up to ``n`` gold images at random.

    Never one that the person met as ordinary work, nor one more often than
    ``gold_exposures`` allows.

    Args:
        conn: A connection in a transaction.
        job: The job.
        person: For whom.
        n: How many at most.
        but: Rows of gold images to leave out.
    """
    if n == 0:
        return []
    met = and_(seen.c.person_id == person.id, seen.c.image_pk == gold.c.image_pk)
    may_meet = or_(
        seen.c.person_id.is_(None),
        and_(seen.c.n_exposures > 0, seen.c.n_exposures < job.settings.gold_exposures),
    )
    query = (
        select(gold.c.id, gold.c.image_pk, gold.c.shown)
        .join_from(gold, seen, met, isouter=True)
        .where(gold.c.job_id == job.id, gold.c.retired_ms.is_(None), may_meet)
        .order_by(func.random())
        .limit(n)
    )
    if but:
        query = query.where(gold.c.id.not_in(but))
    return [Chosen(row.image_pk, row.shown, row.id) for row in conn.execute(query)]
