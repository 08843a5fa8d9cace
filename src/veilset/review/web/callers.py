# SPDX-License-Identifier: Apache-2.0
"""Who a request comes from. Every route but sign-in begins here.

The session is looked up in the transaction that does the work, so that whoever is signed
out or revoked is out at once.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection

from veilset.review.job import people
from veilset.review.values import Role
from veilset.review.views import Person, SessionView
from veilset.review.web.problems import Refused, not_signed_in, too_often
from veilset.review.web.protection import origin_of
from veilset.review.web.rates import Rate, address_key
from veilset.review.web.room import Room, room_of

T = TypeVar("T")

COOKIE: Final = "veilset_session"
CSRF_HEADER: Final = "X-CSRF-Token"
_READING: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a session, as they say; every transaction of theirs begins by checking.

    Attributes:
        room: What the server has.
        secret: From the cookie.
        csrf: From the header.
        is_reading: Whether the request can change nothing, so that it needs no ``csrf``.
        roles: Who may do this.
        address: Where the request comes from.
    """

    room: Room
    secret: str
    csrf: str
    is_reading: bool
    roles: frozenset[Role]
    address: str

    async def run(self, work: Callable[[Connection, Person], T], *, is_quick: bool = False) -> T:
        """Do some work for this person in a transaction that may change things.

        Args:
            work: What to do; it may run several times.
            is_quick: Whether people wait for it with every image.

        Raises:
            Refused: If there is no such session, or it may not do this.
        """
        return await self.room.run(
            lambda connection: work(connection, self._person(connection)), is_quick=is_quick
        )

    async def look(self, work: Callable[[Connection, Person], T]) -> T:
        """Do some work for this person that only reads; as ``run``."""
        return await self.room.look(lambda connection: work(connection, self._person(connection)))

    def session(self, connection: Connection) -> SessionView:
        """Look up the session.

        Raises:
            Refused: 401 if there is none, 403 if it may not do this.
        """
        session = people.session_person(connection, self.secret, self.room.now_ms())
        if session is None or session.person.job_id != self.room.job.id:
            raise not_signed_in()
        if not self.is_reading and not hmac.compare_digest(
            session.csrf.encode(), self.csrf.encode()
        ):
            said = f"The header {CSRF_HEADER} is missing or wrong. Reload the page."
            raise Refused(403, "csrf", said)
        if session.person.role not in self.roles:
            raise Refused(403, "role", "This is not for your role. Go back to your work.")
        return session

    def slow_down(self, rate: Rate) -> None:
        """Count this request against a limit of the session.

        Raises:
            Refused: 429, if there were too many.
        """
        seconds = rate.take(self.secret)
        if seconds:
            raise too_often(seconds)

    def _person(self, connection: Connection) -> Person:
        return self.session(connection).person


def _caller(request: Request, roles: frozenset[Role]) -> Caller:
    secret = request.cookies.get(COOKIE, "")
    if not secret:
        raise not_signed_in()
    return Caller(
        room=room_of(request),
        secret=secret,
        csrf=request.headers.get(CSRF_HEADER, ""),
        is_reading=request.method in _READING,
        roles=roles,
        address=address_key(origin_of(request.scope).address),
    )


async def _anybody(request: Request) -> Caller:
    return _caller(request, frozenset(Role))


async def _reviewer(request: Request) -> Caller:
    return _caller(request, frozenset({Role.WORKER, Role.EXPERT}))


async def _owner(request: Request) -> Caller:
    return _caller(request, frozenset({Role.OWNER}))


Anybody = Annotated[Caller, Depends(_anybody)]
"""Everybody who is signed in."""
Reviewer = Annotated[Caller, Depends(_reviewer)]
"""Workers and experts: those who get batches."""
Owner = Annotated[Caller, Depends(_owner)]
"""The owner of the job."""
