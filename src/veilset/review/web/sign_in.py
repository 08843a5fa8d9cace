# SPDX-License-Identifier: Apache-2.0
"""Signing in with a one-time link, signing out, and who one is."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from veilset.errors import AccessError
from veilset.review.job import people
from veilset.review.mturk.entry import came_by_hit
from veilset.review.views import Person, SessionView, Signed
from veilset.review.web.callers import COOKIE, Anybody
from veilset.review.web.models import Me, SignIn
from veilset.review.web.problems import Refused, too_often
from veilset.review.web.protection import origin_of
from veilset.review.web.rates import address_key
from veilset.review.web.replies import me_model
from veilset.review.web.room import Room, room_of

router = APIRouter(prefix="/api", tags=["session"])

FINISH: Final = "/mturk/finish"
"""Where workers of a paid crowd hand in."""


@router.post("/session")
async def sign_in(link: SignIn, request: Request, response: Response) -> Me:
    """Sign in with the secret of a link, which holds once."""
    room = room_of(request)
    address = address_key(origin_of(request.scope).address)
    count_attempt(room, address)

    def work(connection: Connection) -> tuple[Signed, str]:
        signed = people.sign_in(connection, link.token, room.now_ms())
        if signed.person.job_id != room.job.id:
            raise AccessError("The link is for another job. Ask the owner for a new one.")
        return signed, _finish_url(connection, room, signed.person)

    try:
        signed, finish_url = await room.run(work)
    except AccessError as error:
        raise Refused(401, "link", str(error)) from error
    forget_attempt(room, address)
    seconds = (signed.expires_ms - room.now_ms()) // 1000
    response.headers["Set-Cookie"] = _cookie(request, signed.secret, max(0, seconds))
    return me_model(signed.person, signed.csrf, room.job, finish_url)


@router.get("/me")
async def who_am_i(caller: Anybody) -> Me:
    """Say who is signed in."""

    def work(connection: Connection, person: Person) -> tuple[SessionView, str]:
        return caller.session(connection), _finish_url(connection, caller.room, person)

    session, finish_url = await caller.look(work)
    return me_model(session.person, session.csrf, caller.room.job, finish_url)


@router.delete("/session", status_code=204)
async def sign_out(caller: Anybody, request: Request) -> Response:
    """End the session; whoever copied the cookie is out too."""
    room = caller.room
    await caller.run(lambda conn, _: people.sign_out(conn, caller.secret, room.now_ms()))
    return Response(status_code=204, headers={"Set-Cookie": _cookie(request, "", 0)})


def _cookie(request: Request, secret: str, seconds: int) -> str:
    """Give the header that sets the session cookie, or ends it with no seconds left."""
    parts = [f"{COOKIE}={secret}", f"Max-Age={seconds}", "Path=/", "HttpOnly"]
    # In a frame of another site a browser would send no strict cookie back.
    if room_of(request).options.frame_ancestors:
        return "; ".join([*parts, "SameSite=None", "Secure", "Partitioned"])
    if origin_of(request.scope).scheme == "https":
        parts.append("Secure")
    return "; ".join([*parts, "SameSite=Strict"])


def _finish_url(connection: Connection, room: Room, person: Person) -> str:
    is_shown = bool(room.options.frame_ancestors) and came_by_hit(connection, person)
    return FINISH if is_shown else ""


def count_attempt(room: Room, address: str) -> None:
    """Count one attempt to get in by a secret.

    Raises:
        Refused: 429, if too many failed.
    """
    wait = room.failures.take(address)
    if wait:
        raise too_often(wait)
    wait = room.all_failures.take("")
    if wait:
        room.failures.give_back(address)
        raise too_often(wait)


def forget_attempt(room: Room, address: str) -> None:
    """Uncount an attempt that got in.

    Only what failed counts, so that a class room of people behind one address gets in.
    """
    room.failures.give_back(address)
    room.all_failures.give_back("")
