# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL for tests: one cluster of its own for the session, in a temporary folder.

Import the fixtures where they are wanted::

    from tests.review_databases import *  # noqa: F403  fixtures, found by their names
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from veilset.review.database.connect import Database
from veilset.review.database.tables import metadata

__all__ = [
    "database_url",
    "empty_database_url",
    "postgresql_cluster",
]

# Most of the time goes by waiting for a disk, which is not what the tests are about.
MEMORY = Path("/dev/shm")

USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class Cluster:
    """A running server.

    Attributes:
        port: Where it listens, on this machine only.
        tables: The address of the database that tests use one after another, once it is made.
    """

    port: int
    tables: list[str] = field(default_factory=list)

    def create_database(self) -> str:
        """Make an empty database; give its address. Each costs some megabytes and time."""
        import psycopg

        name = f"t{secrets.token_hex(8)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def empty_tables(self) -> str:
        """Give the address of a database with all tables and nothing in them. There is one:
        whatever an earlier test left in it, or open to it, is gone."""
        import psycopg

        if not self.tables:
            self.tables.append(self.create_database())
            Database.open(self.tables[0], create=True).close()
        names = ", ".join(f'"{name}"' for name in metadata.tables)
        with psycopg.connect(self.tables[0], autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            # Only an administrator can pass by the triggers.
            connection.execute("SET session_replication_role = replica")
            connection.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE".encode())
        return self.tables[0]

    def url(self, name: str) -> str:
        return f"postgresql://veilset:secret-of-tests@127.0.0.1:{self.port}/{name}"


def find_binaries() -> Path | None:
    """Give the folder of ``initdb`` and ``postgres``, None where there is no PostgreSQL."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if config := shutil.which("pg_config"):
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)
        folders.insert(0, Path(said.stdout.strip()))
    found = [folder for folder in folders if (folder / "initdb").exists()]
    if found:
        return found[0]
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def as_user() -> list[str]:
    """Give what to put before a command, since PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("PostgreSQL does not run as root, and setpriv is not installed")
    import pwd

    for name in USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    pytest.skip(f"PostgreSQL does not run as root, and there is no user {' or '.join(USERS)}")


def memory_folder(prefix: str) -> Path:
    """Make a temporary folder, in memory where the system offers that and has room."""
    has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 1 << 30
    return Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if has_room else None))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Cluster]:
    """A server that accepts connections on this machine only, gone after the session."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    user = as_user()
    # Not below pytest's own folder: that one is closed to other users.
    folder = memory_folder("veilset-postgresql-")
    password = folder / "password"
    password.write_text("secret-of-tests\n")
    try:
        if user:
            owner = user[1].removeprefix("--reuid="), user[2].removeprefix("--regid=")
            for path in (folder, password):
                os.chown(path, int(owner[0]), int(owner[1]))
        data = folder / "data"
        run([*user, str(binaries / "initdb"), "--pgdata", str(data), "--username=veilset",
             f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8",
             "--locale=C", "--no-sync"], folder)  # fmt: skip
        port = free_port()
        options = (
            f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} "
            "-c max_connections=200 -c fsync=off"
        )
        control = [*user, str(binaries / "pg_ctl"), "--pgdata", str(data), "-w"]
        run([*control, "--log", str(folder / "log"), "--options", options, "start"], folder)
        try:
            yield Cluster(port)
        finally:
            run([*control, "--mode=immediate", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def sqlite_template() -> bytes:
    """Give a SQLite file with all tables and nothing in them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "review.sqlite"
        Database.open(path, create=True).close()
        return path.read_bytes()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'review.sqlite'}"
    cluster: Cluster = request.getfixturevalue("postgresql_cluster")
    return cluster.create_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database with all tables and nothing in them, of each kind."""
    if request.param == "sqlite":
        folder = memory_folder("veilset-sqlite-")
        (folder / "review.sqlite").write_bytes(sqlite_template())
        yield f"sqlite:///{folder / 'review.sqlite'}"
        shutil.rmtree(folder)
        return
    cluster = request.getfixturevalue("postgresql_cluster")
    yield cluster.empty_tables()
