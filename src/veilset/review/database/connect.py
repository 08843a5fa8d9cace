# SPDX-License-Identifier: Apache-2.0
"""One database, SQLite or PostgreSQL, and transactions in it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from veilset.errors import ConfigError, MissingExtraError, ReviewError
from veilset.review.database.failures import (
    describe_failure,
    is_lost_connection,
    is_worth_repeating,
)
from veilset.review.database.upgrade import check_version, upgrade_database

T = TypeVar("T")

_ATTEMPTS = 8
_BUSY_S = 30
_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


class _Turns:
    """A lock that is given in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def __exit__(self, *_exc: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False


class Database:
    """A database of review jobs. Safe to use from many threads.

    On SQLite writers wait for each other from the beginning of a transaction (``BEGIN
    IMMEDIATE``), and a commit is on the disk when it returns (``synchronous=FULL``). On
    PostgreSQL rows are locked one by one, always in the order person, batch, images by
    number, tally; should two transactions still stop each other, ``run`` repeats one.

    Example of use::

        with Database.open("sqlite:///review.sqlite") as database:
            job = database.look(lambda conn: find_job(conn, None))
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        # SQLite's own waiting is by polling, which lets some wait for very long.
        self._turn: AbstractContextManager[Any] = _Turns() if self.is_sqlite else nullcontext()

    @classmethod
    def open(cls, url: str | Path, *, create: bool = False, pool_size: int = 16) -> Self:
        """Open a database.

        Args:
            url: ``sqlite:///path``, ``postgresql://user:password@host/name``, or the path
                of a SQLite file.
            create: Make the file if there is none, and bring the tables up to date.
            pool_size: Connections that are kept.

        Raises:
            ConfigError: If the address cannot be used.
            MissingExtraError: If the driver is not installed.
            ReviewError: If the database cannot be reached, is missing, or is of another
                version of Veilset. The message never holds the password.
        """
        parsed = _parse(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        if is_sqlite and not create and not Path(str(parsed.database)).is_file():
            raise ReviewError(
                f"There is no review database {parsed.database}. Open a job first, "
                "or check the path."
            )
        if is_sqlite and create:
            _make_private(Path(str(parsed.database)))
        database = cls(_engine(parsed, is_sqlite, pool_size))
        try:
            if create:
                database.upgrade()
            else:
                database.look(check_version)
        except BaseException:
            database.close()
            raise
        return database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The address, without the password."""
        return self._engine.url.render_as_string(hide_password=True)

    def upgrade(self) -> None:
        """Bring the tables up to this version, in one transaction.

        Raises:
            ReviewError: If the database is of a newer version.
        """
        self.run(upgrade_database)

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection in a transaction that may change things; commit at the end."""
        with self._turn, self._connected() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database, however long it is used."""
        options: dict[str, Any] = {"veilset_reads": True}
        if not self.is_sqlite:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._connected(**options) as connection:
            yield connection

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work in a transaction, again if another one was in the way.

        Args:
            work: May run several times; only the last time is kept. It must not change
                anything but the database.

        Returns:
            What ``work`` gave.

        Raises:
            ReviewError: If the database fails, or stays in the way.
        """
        return self._repeat(self.writing, work)

    def look(self, work: Callable[[Connection], T]) -> T:
        """Do some work that only reads; as ``run``."""
        return self._repeat(self.reading, work)

    def _repeat(
        self,
        transaction: Callable[[], AbstractContextManager[Connection]],
        work: Callable[[Connection], T],
    ) -> T:
        attempt = 1
        while True:
            try:
                with transaction() as connection:
                    return work(connection)
            except (ReviewError, IntegrityError) as error:
                cause = error if isinstance(error, IntegrityError) else error.__cause__
                if attempt == _ATTEMPTS or not is_worth_repeating(cause):
                    raise
            time.sleep(0.002 * 2**attempt)
            attempt += 1

    @contextmanager
    def _connected(self, **options: Any) -> Iterator[Connection]:
        """Open a transaction; the one border where failures of drivers become sentences."""
        try:
            with self._engine.connect() as connection:
                if options:
                    connection.execution_options(**options)
                with connection.begin():
                    yield connection
        except IntegrityError:
            raise
        except DBAPIError as error:
            if is_lost_connection(error):
                self._engine.dispose()
            raise ReviewError(describe_failure(error, self._engine.url)) from error


def _parse(url: str | Path) -> URL:
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(Path(url).absolute()))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # SQLAlchemy's own message would hold the address, and so the password. It stays out
        # of the chain of causes too.
        raise ConfigError(f"The address of the database cannot be read. {_EXPECTED}") from None
    if parsed.drivername in _POSTGRESQL:
        if not parsed.database:
            raise ConfigError(f"The address names no database. {_EXPECTED}")
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise ConfigError(f"Review cannot use a {parsed.drivername} database. {_EXPECTED}")
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigError(f"Review needs a SQLite database in a file. {_EXPECTED}")
    return parsed


_EXPECTED = "Expected sqlite:///path/to/file or postgresql://user:password@host:port/name."


def _engine(url: URL, is_sqlite: bool, pool_size: int) -> Engine:
    options: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": pool_size,
        # Otherwise the drawings of people would stand in messages and logs.
        "hide_parameters": True,
    }
    if is_sqlite:
        options["connect_args"] = {"timeout": _BUSY_S, "check_same_thread": False}
    elif "connect_timeout" not in url.query:
        options["connect_args"] = {"connect_timeout": 10}
    try:
        engine = create_engine(url, **options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise MissingExtraError(
            "The driver for PostgreSQL is not installed. "
            "Install it with: pip install 'veilset[postgresql]'"
        ) from error
    if is_sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(path: Path) -> None:
    """Let the owner alone read the file, and with it those that SQLite lays beside it."""
    with suppress(OSError):  # whatever is wrong with the place is said when it is opened
        path.touch(mode=0o600)


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions by itself, later than we need it.
    connection.isolation_level = None
    # WAL lets people read while one writes; FULL puts every commit on the disk.
    _switch_to_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Keep a log beside the database, once for all who open it.

    Where several open a new one, SQLite does not wait for the others as it does for writers: each
    would wait for the one that waits for it. So it is tried again here, for as long.
    """
    until = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get("veilset_reads", False)
    connection.execute(text("BEGIN" if is_reading else "BEGIN IMMEDIATE"))
