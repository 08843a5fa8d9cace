# SPDX-License-Identifier: Apache-2.0
"""What drivers of databases say, as sentences for people: what, where, what to do."""

from __future__ import annotations

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

# SQLSTATE: serialisation failure, deadlock.
_IN_THE_WAY = ("40001", "40P01")

# Two that do the same thing at once: the second, begun again, finds it done.
_DONE_ALREADY = ("23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")

_SQLITE = {
    "readonly": "cannot be written to. Check its permissions and those of its folder.",
    "unable to open": "cannot be opened. Check that its folder exists and may be written to.",
    "not a database": "is not a SQLite database. Give another file.",
    "malformed": "is damaged. Restore it from a copy.",
    "locked": "is held by another process for too long. Wait for it, or stop it.",
    "full": "cannot grow: the disk is full. Make room, then try again.",
    "disk i/o": "cannot be read or written: the disk fails. Check it.",
}

_POSTGRESQL = {
    "password authentication failed": "refuses the user or the password. Check the address.",
    "no password supplied": "asks for a password. Add it to the address.",
    "no pg_hba.conf entry": "does not let this user in from here. Ask its administrator.",
    "role": "does not know the user. Check the address.",
    "database": "has no such database. Make it with createdb, or check the address.",
    "permission denied": "does not allow this user to do that. Ask its administrator.",
    "read-only": "takes no changes: it is read-only. Give the address of the main server.",
    "too many": "has no connection left. Close some, or raise max_connections.",
}


def is_worth_repeating(error: BaseException | None) -> bool:
    """Whether a transaction failed only because another one was in its way."""
    if not isinstance(error, DBAPIError):
        return False
    codes = {getattr(error.orig, name, None) for name in ("sqlstate", "sqlite_errorname")}
    return bool(codes & {*_IN_THE_WAY, *_DONE_ALREADY}) or is_lost_connection(error)


def is_lost_connection(error: DBAPIError) -> bool:
    """Whether a connection broke that had worked: the server was started again."""
    return error.connection_invalidated


def describe_failure(error: DBAPIError, url: URL) -> str:
    """Say what a database refused. The text of the driver stays out: it may hold values."""
    said = str(error.orig).lower()
    if url.get_backend_name() == "sqlite":
        for sign, sentence in _SQLITE.items():
            if sign in said:
                return f"The review database {url.database} {sentence}"
        return f"The review database {url.database} failed ({_kind(error)}). Please report it."
    where = f"{url.host or 'localhost'}:{url.port or 5432}"
    if "fatal" in said or "permission denied" in said or "read-only" in said:
        for sign, sentence in _POSTGRESQL.items():
            if sign in said:
                return f"The PostgreSQL server at {where} {sentence}"
    if getattr(error.orig, "sqlstate", None) in _IN_THE_WAY:
        return f"The PostgreSQL server at {where} is too busy. Try again."
    if getattr(error.orig, "sqlstate", None) is None:
        return (
            f"The PostgreSQL server at {where} cannot be reached. Check that it runs, "
            "and the address."
        )
    state = getattr(error.orig, "sqlstate", "")
    return f"The PostgreSQL server at {where} failed ({_kind(error)} {state}). Please report it."


def _kind(error: DBAPIError) -> str:
    return type(error.orig).__name__
