# SPDX-License-Identifier: Apache-2.0
"""What is said when a request cannot be served: a sentence and a code, never a trace."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from veilset.errors import AccessError, DecodeError, LeaseError, ReviewError
from veilset.review.web.models import Problem

logger = logging.getLogger(__name__)

_CODES: Final = {
    400: "bad-request",
    401: "sign-in",
    403: "forbidden",
    404: "not-found",
    405: "method",
    413: "too-large",
    422: "invalid",
    429: "too-often",
}
_SHOWN_ERRORS = 3

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": HTTPStatus(status).phrase}
    for status in (400, 401, 403, 404, 408, 409, 413, 422, 429, 503)
}
"""What every route may answer besides; for the OpenAPI document."""


class Refused(HTTPException):
    """A request that is refused, with the status, the code and the sentence to send."""

    def __init__(
        self, status: int, code: str, detail: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.code = code


def not_found() -> Refused:
    """The answer for whatever is not there, or is not this person's: the two look alike."""
    return Refused(404, "not-found", "There is nothing here for you. Go back and reload.")


def not_signed_in() -> Refused:
    """The answer for a request without a session that holds."""
    return Refused(401, "sign-in", "You are not signed in. Open your sign-in link.")


def too_often(seconds: float) -> Refused:
    """The answer for somebody who asks more often than is allowed."""
    wait = max(1, round(seconds + 0.5))
    headers = {"Retry-After": str(wait)}
    return Refused(429, "too-often", f"Too many requests. Try again in {wait} s.", headers)


def problem(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Give a ``Problem`` as a response."""
    # Text from outside may hold characters that UTF-8 cannot carry.
    said = detail.encode("utf-8", "replace").decode()
    return JSONResponse({"detail": said, "code": code}, status, headers)


def for_error(error: Exception) -> JSONResponse:
    """Give the response for an error, whatever it is.

    What a database or Python itself says may hold values of people, so it is neither sent
    nor logged: the log has the kind of error and the lines it came through.
    """
    match error:
        case HTTPException():
            code = getattr(error, "code", "") or _CODES.get(error.status_code, "refused")
            headers = dict(error.headers) if error.headers else None
            return problem(error.status_code, code, str(error.detail), headers)
        case RequestValidationError():
            return problem(422, "invalid", _describe(error))
        case LeaseError():
            return problem(409, "lease-lost", str(error))
        case AccessError():
            return for_error(not_found())
        case DecodeError():
            return problem(422, error.reason, str(error))
        case ReviewError() if not isinstance(error.__cause__, SQLAlchemyError):
            return problem(422, "refused", str(error))
        case ReviewError():
            logger.error("The database failed: %s", error)
            said = "The database does not answer. Nothing was saved: try again in a moment."
            return problem(503, "database", said, {"Retry-After": "2"})
        case _:
            logger.error("Unexpected %s, raised through:\n%s", type(error).__name__, _frames(error))
            return problem(500, "error", "Something unexpected failed here. It was logged.")


def install(app: Starlette) -> None:
    """Let an application answer every error with a ``Problem``."""

    async def answer(_request: Request, error: Exception) -> JSONResponse:
        return for_error(error)

    for kind in (HTTPException, RequestValidationError, ReviewError, DecodeError):
        app.add_exception_handler(kind, answer)


def _describe(error: RequestValidationError) -> str:
    """Say what does not fit the schema, without repeating what was sent."""
    errors = error.errors()
    said = [
        f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
        for each in errors[:_SHOWN_ERRORS]
    ]
    more = f" And {len(errors) - _SHOWN_ERRORS} more." if len(errors) > _SHOWN_ERRORS else ""
    return f"The request does not fit: {'; '.join(said)}.{more}"


def _frames(error: BaseException) -> str:
    """Give the lines an error came through, and those of its causes; no values."""
    parts = []
    seen: BaseException | None = error
    while seen is not None:
        parts.append(f"{type(seen).__name__}\n" + "".join(traceback.format_tb(seen.__traceback__)))
        seen = seen.__cause__ or seen.__context__
    return "caused by ".join(parts)
