# SPDX-License-Identifier: Apache-2.0
"""How a worker of Mechanical Turk gets in: what the HIT's frame asks the server for.

Amazon shows ``https://server/mturk?k=SECRET`` in a frame and adds ``assignmentId``, ``hitId``,
``workerId`` and ``turkSubmitTo``. Anybody can write such an address, so:

- ``k`` is a secret of 256 bits of that one HIT, of which the database keeps the digest. Who
  knows it was shown the HIT.
- ``assignmentId`` and ``workerId`` cannot be checked yet: Amazon speaks of an assignment only
  after it was handed in. They are taken as said and checked before anything is paid, against
  Amazon's own list (``payment``). A forged one works for nothing; gold guards its answers as
  it guards everybody's.
- An assignment belongs to the first worker named with it, a HIT lets in few at a time, and a
  batch belongs to one assignment.
- ``turkSubmitTo`` is never used: where the form goes follows from the account, or is what
  the owner started the server with.

A worker is a person of the job whose name is a digest of the worker's id and the job: the
id itself is not kept. It is a pseudonym, not more: whoever knows an id can compute it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, insert, select, update

from veilset.errors import AccessError
from veilset.review.database.tables import assignment, batch, hit, person
from veilset.review.job.batches import take_batch
from veilset.review.job.ledger import note
from veilset.review.job.people import digest, new_link
from veilset.review.mturk.publish import SECRET
from veilset.review.values import Role
from veilset.review.views import Job, Person, WorkView

PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"
SUBMIT_TO: Mapping[bool, str] = {
    True: "https://workersandbox.mturk.com/mturk/externalSubmit",
    False: "https://www.mturk.com/mturk/externalSubmit",
}
"""Where the form of a finished assignment goes, by ``is_sandbox``."""

FRAME_ANCESTORS = ("https://www.mturk.com", "https://worker.mturk.com",
                   "https://workersandbox.mturk.com")  # fmt: skip
"""Whose pages show the frame."""

MAX_ENTRIES = 5
"""How many assignments of a HIT may be open: people return HITs, and others accept them."""

LINK_HOURS = 0.25
_ENDED: Mapping[str, str] = {"done": "finished", "failed": "lost"}
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REFUSED = "This HIT is not known here, or is over. Return it, please."


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a worker is shown.

    Attributes:
        kind: ``preview`` (not accepted yet), ``work``, ``finished`` (hand it in), ``lost``
            (the batch was lost on its control images; hand it in all the same),
            ``no-work`` (return the HIT) or ``over`` (nothing to hand in; ``leave`` only).
        token: Secret of a one-time sign-in link, for ``work`` only.
        assignment_id: Goes into the form as ``assignmentId``.
        submit_url: Where the form goes, by POST.
    """

    kind: str
    token: str = ""
    assignment_id: str = ""
    submit_url: str = ""


def worker_name(job: Job, worker_id: str) -> str:
    """Give the name of a worker in a job, the same every time and another in every job."""
    text = f"veilset-mturk/{job.id}/{job.annotations_sha256}/{worker_id}"
    return f"mturk-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def enter(conn: Connection, job: Job, given: Mapping[str, str], now_ms: int) -> Entrance:
    """Let a worker in, or show a preview. The same address again leads to the same batch.

    Args:
        conn: A connection in a transaction that may write.
        job: The job that is served.
        given: Parameters of the address.
        now_ms: Present moment.

    Raises:
        AccessError: If the HIT is not one of the job or is over, the assignment is somebody
            else's, or the worker was sent away. Never says which.
    """
    row = _find_hit(conn, job, given)
    if given.get("assignmentId", PREVIEW) == PREVIEW:
        return Entrance("preview")
    assignment_id, worker_id = given.get("assignmentId", ""), given.get("workerId", "")
    if not (_ID.fullmatch(assignment_id) and _ID.fullmatch(worker_id)):
        raise AccessError(_REFUSED)
    if now_ms > row.expires_ms + 1000 * row.duration_s:
        raise AccessError(_REFUSED)
    worker = _worker(conn, job, worker_id, now_ms)
    mine = _assignment(conn, row, assignment_id, worker, now_ms)
    state = conn.scalar(select(batch.c.state).where(batch.c.id == mine.batch_id))
    ended = _handing_in(state, assignment_id, row.is_sandbox)
    if ended is not None:
        return ended
    work = take_batch(conn, job, worker, now_ms)
    if work.batch is None:
        return Entrance("no-work")
    _bind(conn, mine.id, work.batch.batch_id)
    link = new_link(conn, job, worker.id, LINK_HOURS, now_ms)
    return Entrance("work", link.token, assignment_id, SUBMIT_TO[bool(row.is_sandbox)])


def next_work(conn: Connection, job: Job, worker: Person, now_ms: int) -> WorkView:
    """Give what somebody works on: as ``take_batch``, but a HIT is one batch and no more.

    Args:
        conn: A connection in a transaction that may write.
        job: The job.
        worker: Somebody who came by a HIT, or who was invited.
        now_ms: Present moment.

    Returns:
        The batch or the reason, which may also be ``finished``: hand it in.

    Raises:
        AccessError: As ``take_batch``.
    """
    if not came_by_hit(conn, worker):
        return take_batch(conn, job, worker, now_ms)
    mine = _at_hand(conn, worker, now_ms)
    if mine is None or mine.state in _ENDED:
        return WorkView(None, "finished")
    work = take_batch(conn, job, worker, now_ms)
    if work.batch is not None:
        # Whose images went to others gets another batch, for the same assignment.
        _bind(conn, mine.id, work.batch.batch_id)
    return work


def leave(conn: Connection, worker: Person, now_ms: int) -> Entrance:
    """Say how a worker hands in what they did.

    Returns:
        ``finished`` or ``lost`` with the form, ``work`` while there is work left, or
        ``over`` if nothing waits to be handed in.
    """
    mine = _at_hand(conn, worker, now_ms)
    if mine is None:
        return Entrance("over")
    return _handing_in(mine.state, mine.assignment_id, mine.is_sandbox) or Entrance("work")


def came_by_hit(conn: Connection, worker: Person) -> bool:
    """Say whether somebody came by a HIT, so that their work is handed in there."""
    return conn.scalar(select(person.c.source).where(person.c.id == worker.id)) == "mturk"


def _at_hand(conn: Connection, worker: Person, now_ms: int) -> Any:
    """Find the assignment that a worker is at: the one at work, else whose batch ended last."""
    is_not_over = hit.c.expires_ms + 1000 * hit.c.duration_s >= now_ms
    query = (
        select(assignment.c.id, assignment.c.assignment_id, batch.c.state, hit.c.is_sandbox)
        .join_from(assignment, batch, batch.c.id == assignment.c.batch_id)
        .join(hit, hit.c.id == assignment.c.hit_pk)
        .where(assignment.c.person_id == worker.id, assignment.c.state == "open", is_not_over)
        .order_by(
            case((batch.c.state == "open", 0), else_=1),
            batch.c.ended_ms.desc(),
            assignment.c.id.desc(),
        )
    )
    return conn.execute(query.limit(1)).first()


def _handing_in(state: str | None, assignment_id: str, is_sandbox: int) -> Entrance | None:
    """Give the form for a batch that has ended, None for one that has not."""
    kind = _ENDED.get(state or "")
    return Entrance(kind, "", assignment_id, SUBMIT_TO[bool(is_sandbox)]) if kind else None


def _find_hit(conn: Connection, job: Job, given: Mapping[str, str]) -> Any:
    """Find the HIT by its secret; what the address says of it besides has to agree."""
    query = select(hit).where(
        hit.c.secret_sha256 == digest(given.get(SECRET, "")),
        hit.c.job_id == job.id,
        hit.c.state.in_(("planned", "open", "finished", "withdrawn")),
    )
    row = conn.execute(query).first()
    said = given.get("hitId", "")
    # One that is planned may have been made a moment ago: its name is not known yet.
    if row is None or (row.hit_id is not None and said and said != row.hit_id):
        raise AccessError(_REFUSED)
    return row


def _worker(conn: Connection, job: Job, worker_id: str, now_ms: int) -> Person:
    name = worker_name(job, worker_id)
    query = select(person.c.id, person.c.role, person.c.source, person.c.revoked_ms).where(
        person.c.job_id == job.id, person.c.name == name
    )
    row = conn.execute(query).first()
    if row is None:
        values = {
            "job_id": job.id, "name": name, "role": Role.WORKER.value, "source": "mturk",
            "created_ms": now_ms,
        }  # fmt: skip
        made = conn.scalar(insert(person).values(values).returning(person.c.id))
        note(conn, job.id, "turk-worker", now_ms, int(made or 0))
        return Person(int(made or 0), job.id, name, Role.WORKER)
    if row.revoked_ms is not None or row.source != "mturk":
        raise AccessError(_REFUSED)
    return Person(row.id, job.id, name, Role(row.role))


def _assignment(conn: Connection, row: Any, assignment_id: str, worker: Person, now_ms: int) -> Any:
    found = conn.execute(
        select(assignment).where(assignment.c.assignment_id == assignment_id)
    ).first()
    if found is None:
        not_over = assignment.c.created_ms > now_ms - 1000 * row.duration_s
        is_open = (assignment.c.hit_pk == row.id) & (assignment.c.state == "open") & not_over
        n_open = conn.scalar(select(func.count()).select_from(assignment).where(is_open)) or 0
        if n_open >= MAX_ENTRIES:
            raise AccessError(_REFUSED)
        values = {
            "hit_pk": row.id, "assignment_id": assignment_id, "person_id": worker.id,
            "state": "open", "bonus_cents": 0, "created_ms": now_ms,
        }  # fmt: skip
        conn.execute(insert(assignment).values(values))
        return _assignment(conn, row, assignment_id, worker, now_ms)
    if found.hit_pk != row.id or found.person_id != worker.id:
        raise AccessError(_REFUSED)
    return found


def _bind(conn: Connection, assignment_pk: int, batch_id: int) -> None:
    """Give the batch to this assignment; one that was returned before has it no more."""
    others = (assignment.c.batch_id == batch_id) & (assignment.c.id != assignment_pk)
    conn.execute(update(assignment).where(others).values(batch_id=None))
    mine = update(assignment).where(assignment.c.id == assignment_pk)
    conn.execute(mine.values(batch_id=batch_id))
