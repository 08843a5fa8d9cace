# SPDX-License-Identifier: Apache-2.0
"""People: invitations, one-time sign-in links, sessions.

A link or a session is a secret of 256 random bits. The database holds their SHA-256 only,
so that whoever reads it can sign in as nobody; a slow hash would protect nothing more.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from veilset.errors import AccessError, ConfigError, ReviewError
from veilset.review.database.tables import job as job_table
from veilset.review.database.tables import person, session
from veilset.review.job.leases import end_batches_of
from veilset.review.job.ledger import note
from veilset.review.values import Role
from veilset.review.views import Invited, Job, Person, SessionView, Signed

HOUR_MS = 3_600_000
MAX_INVITED = 10_000

_REFUSED = (
    "This sign-in link does not work: it was used before, has expired or was withdrawn. "
    "Ask the owner of the job for a new one."
)


def digest(secret: str) -> str:
    """Give what the database keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def invite(
    conn: Connection,
    job: Job,
    role: Role,
    n: int,
    hours: float,
    now_ms: int,
    source: str = "invite",
) -> list[Invited]:
    """Make people and a one-time sign-in link for each.

    Args:
        conn: A connection in a transaction that may write.
        job: The job that they take part in.
        role: What they may do.
        n: How many.
        hours: How long the links last.
        now_ms: Present moment.
        source: ``invite``, ``cli`` or ``mturk``.

    Raises:
        ConfigError: If ``n`` or ``hours`` make no sense.
    """
    if role is Role.OWNER:
        raise ConfigError("A job has one owner. Ask for a new link instead.")
    if not 1 <= n <= MAX_INVITED or not hours > 0:
        raise ConfigError(
            f"{n} links for {hours} hours cannot be made. Give 1 to {MAX_INVITED} links and "
            "hours above 0."
        )
    # Numbers are given out by one at a time.
    conn.execute(
        select(job_table.c.id).where(job_table.c.id == job.id).with_for_update(key_share=True)
    )
    same_role = (person.c.job_id == job.id) & (person.c.role == role.value)
    n_before = conn.scalar(select(func.count()).where(same_role)) or 0
    invited = []
    for number in range(n_before + 1, n_before + n + 1):
        name = f"{role.value}-{number}"
        token = secrets.token_urlsafe(32)
        row = {
            "job_id": job.id, "name": name, "role": role.value, "source": source,
            "token_sha256": digest(token), "token_expires_ms": _later(now_ms, hours),
            "created_ms": now_ms,
        }  # fmt: skip
        number_of_row = conn.scalar(insert(person).values(row).returning(person.c.id))
        invited.append(Invited(int(number_of_row or 0), name, token))
    note(conn, job.id, "invited", now_ms, role=role.value, n=n, source=source)
    return invited


def find_owner(conn: Connection, job: Job, now_ms: int) -> tuple[int, str]:
    """Give row and name of the owner, who is made the first time, without a link."""
    query = select(person.c.id, person.c.name).where(
        person.c.job_id == job.id, person.c.role == Role.OWNER.value
    )
    found = conn.execute(query.order_by(person.c.id).limit(1)).first()
    if found is not None:
        return found.id, found.name
    row = {
        "job_id": job.id, "name": "owner", "role": Role.OWNER.value, "source": "cli",
        "created_ms": now_ms,
    }  # fmt: skip
    made = conn.scalar(insert(person).values(row).returning(person.c.id))
    return int(made or 0), "owner"


def owner_link(conn: Connection, job: Job, hours: float, now_ms: int) -> Invited:
    """Give a new sign-in link for the owner; an earlier one does not work any more."""
    return new_link(conn, job, find_owner(conn, job, now_ms)[0], hours, now_ms)


def new_link(conn: Connection, job: Job, person_id: int, hours: float, now_ms: int) -> Invited:
    """Give a person a new one-time link; an earlier one does not work any more.

    Raises:
        AccessError: If the job has no such person, or they were sent away.
    """
    token = secrets.token_urlsafe(32)
    change = (
        update(person)
        .where(person.c.id == person_id, person.c.job_id == job.id, person.c.revoked_ms.is_(None))
        .values(
            token_sha256=digest(token), token_expires_ms=_later(now_ms, hours), token_used_ms=None
        )
        .returning(person.c.name)
    )
    name = conn.scalar(change)
    if name is None:
        raise AccessError("The job has no such person, or they were sent away.")
    note(conn, job.id, "link-made", now_ms, person_id)
    return Invited(person_id, name, token)


def sign_in(conn: Connection, token: str, now_ms: int, hours: float = 12.0) -> Signed:
    """Use up a sign-in link and begin a session.

    Args:
        conn: A connection in a transaction that may write.
        token: The secret of the link.
        now_ms: Present moment.
        hours: How long the session lasts.

    Raises:
        AccessError: If the link does not work; never says why.
    """
    # One statement: of two that come at once with the same link, one gets in.
    use = (
        update(person)
        .where(
            person.c.token_sha256 == digest(token),
            person.c.token_used_ms.is_(None),
            person.c.token_expires_ms > now_ms,
            person.c.revoked_ms.is_(None),
        )
        .values(token_used_ms=now_ms)
        .returning(person.c.id, person.c.job_id, person.c.name, person.c.role)
    )
    row = conn.execute(use).first()
    if row is None:
        raise AccessError(_REFUSED)
    secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    expires_ms = _later(now_ms, hours)
    conn.execute(
        insert(session).values(
            person_id=row.id, secret_sha256=digest(secret), csrf=csrf, created_ms=now_ms,
            expires_ms=expires_ms,
        )
    )  # fmt: skip
    note(conn, row.job_id, "signed-in", now_ms, row.id)
    return Signed(_person(row), secret, csrf, expires_ms)


# Asked with every request.
_SESSION = (
    select(person.c.id, person.c.job_id, person.c.name, person.c.role, session.c.csrf)
    .join_from(session, person)
    .where(
        session.c.secret_sha256 == bindparam("secret_sha256"),
        session.c.ended_ms.is_(None),
        session.c.expires_ms > bindparam("now_ms"),
        person.c.revoked_ms.is_(None),
    )
)


def session_person(conn: Connection, secret: str, now_ms: int) -> SessionView | None:
    """Say who a session is of; None if it has ended."""
    row = conn.execute(_SESSION, {"secret_sha256": digest(secret), "now_ms": now_ms}).first()
    return None if row is None else SessionView(_person(row), row.csrf)


def sign_out(conn: Connection, secret: str, now_ms: int) -> None:
    """End a session; one that has ended stays so."""
    conn.execute(
        update(session)
        .where(session.c.secret_sha256 == digest(secret), session.c.ended_ms.is_(None))
        .values(ended_ms=now_ms)
    )


def revoke(conn: Connection, job: Job, person_id: int, now_ms: int) -> None:
    """Send a person away: link, sessions and batches end at once; what they said stays.

    Raises:
        AccessError: If the job has no such person.
        ReviewError: If it is the owner.
    """
    found = select(person.c.role, person.c.revoked_ms).where(
        person.c.id == person_id, person.c.job_id == job.id
    )
    row = conn.execute(found.with_for_update(key_share=True)).first()
    if row is None:
        raise AccessError("The job has no such person.")
    if row.role == Role.OWNER.value:
        raise ReviewError("The owner cannot be sent away. Sign out instead.")
    if row.revoked_ms is not None:
        return
    conn.execute(update(person).where(person.c.id == person_id).values(revoked_ms=now_ms))
    conn.execute(
        update(session)
        .where(session.c.person_id == person_id, session.c.ended_ms.is_(None))
        .values(ended_ms=now_ms)
    )
    end_batches_of(conn, person_id, now_ms)
    note(conn, job.id, "revoked", now_ms, person_id)


def _later(now_ms: int, hours: float) -> int:
    return now_ms + round(hours * HOUR_MS)


def _person(row: Any) -> Person:
    return Person(row.id, row.job_id, row.name, Role(row.role))
