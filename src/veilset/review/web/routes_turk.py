# SPDX-License-Identifier: Apache-2.0
"""Workers of a paid crowd come in by the address of their HIT, and hand it in again.

The crowd's page shows these pages in a frame; ``mturk.entry`` says who is trusted with what.
They are plain documents: no script, one style, and a form only where work is handed in.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from veilset.errors import AccessError, ReviewError
from veilset.pages.markup import Content, Markup, el
from veilset.review.mturk import entry
from veilset.review.mturk.publish import SECRET
from veilset.review.web.callers import Reviewer
from veilset.review.web.options import WebOptions
from veilset.review.web.problems import Refused, for_error
from veilset.review.web.protection import origin_of
from veilset.review.web.rates import address_key
from veilset.review.web.room import Room, room_of
from veilset.review.web.sign_in import FINISH, count_attempt, forget_attempt

_GIVEN: Final = (SECRET, "assignmentId", "hitId", "workerId")

# The colours of the client, by what the browser prefers: without a script, nothing else is known.
_STYLE: Final = """
:root { --ground: #f5f6f8; --surface: #fff; --line: #d5dae2; --ink: #1a1f29; --accent: #2857c5;
  --on-accent: #fff; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12151b; --surface: #1a1e26; --line: #313847; --ink: #e9edf5;
    --accent: #8fb3ff; --on-accent: #0d1a38; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 12px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 32rem; margin: 10vh auto 0; padding: 32px; border: 1px solid var(--line);
  border-radius: 14px; background: var(--surface); overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; letter-spacing: -0.015em; }
p, form { margin: 14px 0 0; }
a { color: var(--accent); }
button { min-height: 40px; padding: 6px 14px; border: 0; border-radius: 8px;
  background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


class _PageRoute(APIRoute):
    """A route that says on a page, not in JSON, what cannot be served."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except (HTTPException, ReviewError) as error:
                said = for_error(error)
                page = _page(room_of(request), "That did not work", _sentence(said.body))
                page.status_code = said.status_code
                if "retry-after" in said.headers:
                    page.headers["retry-after"] = said.headers["retry-after"]
                return page

        return answer


router = APIRouter(include_in_schema=False, route_class=_PageRoute)


@router.get("/mturk")
async def enter_by_hit(request: Request) -> Response:
    """Let a worker in by the address of a HIT, or say why not."""
    room = room_of(request)
    given = {name: request.query_params[name] for name in _GIVEN if name in request.query_params}
    address = address_key(origin_of(request.scope).address)
    count_attempt(room, address)
    try:
        entrance = await room.run(lambda conn: entry.enter(conn, room.job, given, room.now_ms()))
    except AccessError as error:
        raise Refused(404, "hit", str(error)) from error
    forget_attempt(room, address)
    if entrance.kind == "work":
        # The secret is in the fragment, which neither a server nor a log ever sees.
        return RedirectResponse(f"/#in={entrance.token}", 303)
    if entrance.kind == "preview":
        return _page(
            room,
            "Cover faces in photographs",
            f"You get a batch of up to {room.job.settings.batch_size:,} photographs with boxes, "
            "and correct the boxes. Accept the HIT to begin.",
            *filter(None, room.job.settings.instructions.splitlines()),
        )
    if entrance.kind == "no-work":
        return _page(
            room, "Nothing to do", "There is no batch for you now. Return the HIT, please."
        )
    return _form(room, entrance)


@router.get(FINISH)
async def finish_hit(caller: Reviewer) -> Response:
    """Show the form by which a worker hands in the batch that they finished."""
    room = caller.room
    entrance = await caller.look(lambda conn, person: entry.leave(conn, person, room.now_ms()))
    if entrance.kind == "work":
        back = el("a", "Go back to the photographs", href="/")
        return _page(room, "There is work left", back)
    if entrance.kind == "over":
        said = "No batch of yours waits to be handed in. Open your HIT again, or accept another."
        return _page(room, "Nothing to hand in", said)
    return _form(room, entrance)


def _form(room: Room, entrance: entry.Entrance) -> Response:
    """Show the form of a batch that has ended. The crowd wants one field besides its own."""
    target = room.options.submit_url or entrance.submit_url
    where = urlsplit(target)
    is_done = entrance.kind == "finished"
    form = el(
        "form",
        el("input", type="hidden", name_="assignmentId", value=entrance.assignment_id),
        el("input", type="hidden", name_="batch", value="done" if is_done else "lost"),
        el("button", f"Hand in at {where.hostname}", type="submit"),
        method="post",
        action=target,
    )
    said = "All images are answered. One step is left." if is_done else (
        "The control images of this batch were answered wrongly in every attempt, so that it has "
        "ended. Hand it in all the same."
    )  # fmt: skip
    return _page(room, "Hand in your batch", said, form, send_to=f"{where.scheme}://{where.netloc}")


def _page(room: Room, title: str, *contents: Content, send_to: str = "'none'") -> Response:
    """Give a page whose form, if it has one, can be sent to one place only."""
    inside = [each if isinstance(each, Markup) else el("p", each) for each in contents]
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"{title} - Veilset review"),
        el("style", Markup(_STYLE)),
    )
    body = el("body", el("main", el("h1", title), inside))
    text = f"<!doctype html>\n{el('html', head, body, lang='en')}\n"
    return HTMLResponse(text, headers={"Content-Security-Policy": _policy(room.options, send_to)})


def _policy(options: WebOptions, send_to: str) -> str:
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; "
        f"form-action {send_to}; frame-ancestors {' '.join(options.frame_ancestors)}"
    )


def _sentence(body: bytes | memoryview) -> str:
    return str(json.loads(bytes(body))["detail"])
