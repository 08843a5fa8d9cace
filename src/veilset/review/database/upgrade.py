# SPDX-License-Identifier: Apache-2.0
"""Which version the tables of a database have, and how they get to this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from veilset.errors import ReviewError

_SCRIPTS = Path(__file__).parent / "migrations"

# Any number does, as long as all versions of Veilset use the same.
_UPGRADE_LOCK = 0x7665696C


def upgrade_database(connection: Connection) -> None:
    """Bring the tables up to this version, in the transaction of the connection.

    Raises:
        ReviewError: If the database is of a newer version, or holds tables of something else.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _UPGRADE_LOCK})
    scripts = ScriptDirectory(str(_SCRIPTS))
    found = _found_revision(connection, scripts)
    if found == scripts.get_current_head():
        return
    if found is None and inspect(connection).get_table_names():
        raise ReviewError(
            "The database holds tables that are not Veilset's. Give a database of its own to it."
        )

    def steps(revision: Any, _context: object) -> object:
        return scripts._upgrade_revs("head", revision)

    # What Alembic's command line does, without its files of settings.
    with EnvironmentContext(Config(), scripts, fn=steps, destination_rev="head") as environment:
        environment.configure(connection=connection, render_as_batch=True)
        environment.run_migrations()


def check_version(connection: Connection) -> None:
    """Refuse a database that is not of this version.

    Raises:
        ReviewError: If it is older, newer or empty.
    """
    scripts = ScriptDirectory(str(_SCRIPTS))
    found = _found_revision(connection, scripts)
    if found is None:
        raise ReviewError("The database holds no review job. Open one, or check the address.")
    if found != scripts.get_current_head():
        raise ReviewError(
            f"The database was made by an older version of Veilset (tables {found}). Keep a "
            "copy of it, then run 'veilset review open' again: that brings it up to date."
        )


def _found_revision(connection: Connection, scripts: ScriptDirectory) -> str | None:
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise ReviewError(
            f"The database was made by a newer version of Veilset (tables {found}). "
            "Upgrade Veilset: pip install --upgrade veilset"
        )
    return found
