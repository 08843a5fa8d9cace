# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL for tests: one cluster of its own for the session, in a temporary folder.

Import the fixtures where they are wanted::

    from tests.review_databases import database_url, postgresql_cluster  # noqa: F401
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class Cluster:
    """A running server; every test gets a database of its own."""

    port: int

    def create_database(self) -> str:
        """Make an empty database; give its address."""
        import psycopg

        name = f"t{secrets.token_hex(8)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

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
    folder = Path(tempfile.mkdtemp(prefix="veilset-postgresql-"))
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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'review.sqlite'}"
    cluster: Cluster = request.getfixturevalue("postgresql_cluster")
    return cluster.create_database()
