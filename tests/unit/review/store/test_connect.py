# SPDX-License-Identifier: Apache-2.0
"""Connections and transactions."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text, update

from tests.review_databases import Cluster, free_port
from tests.unit.review.store.one_row_each import add_job
from veilset.errors import ConfigError, ReviewError
from veilset.review.database import tables
from veilset.review.database.connect import Database, _Turns

PASSWORD = "hunter2-very-secret"


def test_empty_postgresql_database_holds_no_job(postgresql_cluster: Cluster) -> None:
    with pytest.raises(ReviewError, match="holds no review job"):
        Database.open(postgresql_cluster.create_database())


def test_missing_sqlite_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="There is no review database"):
        Database.open(tmp_path / "typo.sqlite")
    assert not list(tmp_path.iterdir())


def test_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    with Database.open(tmp_path / "review.sqlite", create=True) as database:
        database.run(lambda conn: conn.execute(text("SELECT 1")))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert "review.sqlite" in modes
    assert set(modes.values()) == {0o600}


def test_path_serves_as_an_address(tmp_path: Path) -> None:
    Database.open(tmp_path / "review.sqlite", create=True).close()
    with Database.open(f"sqlite:///{tmp_path / 'review.sqlite'}") as database:
        assert database.is_sqlite


def test_failed_work_leaves_nothing(database: Database) -> None:
    def half(conn: Connection) -> None:
        add_job(conn)
        raise ReviewError("no")

    with pytest.raises(ReviewError, match="no"):
        database.run(half)
    assert database.look(lambda conn: conn.scalar(select(tables.job.c.id))) is None


def test_looking_sees_one_state(database: Database) -> None:
    count = text("SELECT count(*) FROM job")
    with database.reading() as conn:
        assert conn.scalar(count) == 0
        database.run(add_job)
        assert conn.scalar(count) == 0
    assert database.look(lambda conn: conn.scalar(count)) == 1


def test_looking_cannot_write_on_postgresql(postgresql_cluster: Cluster) -> None:
    with Database.open(postgresql_cluster.create_database(), create=True) as database:
        with pytest.raises(ReviewError, match="takes no changes"):
            database.look(add_job)
        # The connection goes back to the pool as it was.
        assert database.run(add_job)


def test_work_that_was_in_the_way_is_repeated(database: Database) -> None:
    attempts: list[int] = []

    def twice(conn: Connection) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            add_job(conn, "same")
            # As if another one had done the same in the meantime.
            add_job(conn, "same")
        return add_job(conn, "same")

    assert database.run(twice)
    assert len(attempts) == 2


def test_deadlock_is_resolved(postgresql_cluster: Cluster) -> None:
    with Database.open(postgresql_cluster.create_database(), create=True) as database:
        database.run(lambda conn: [add_job(conn, name) for name in ("a", "b")])
        meet = threading.Barrier(2, timeout=20)
        done: list[str] = []

        def cross(first: str, second: str) -> None:
            is_first_time = [True]

            def work(conn: Connection) -> None:
                for name in (first, second):
                    conn.execute(
                        update(tables.job)
                        .where(tables.job.c.name == name)
                        .values(n_images=tables.job.c.n_images + 1)
                    )
                    if name == first and is_first_time[0]:
                        is_first_time[0] = False
                        meet.wait()

            database.run(work)
            done.append(first)

        threads = [threading.Thread(target=cross, args=pair) for pair in (("a", "b"), ("b", "a"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = database.look(lambda conn: conn.scalars(select(tables.job.c.n_images)).all())
        assert (sorted(done), counts) == (["a", "b"], [2, 2])


def test_server_that_was_started_again_is_found_again(postgresql_cluster: Cluster) -> None:
    with Database.open(postgresql_cluster.create_database(), create=True) as database:
        import psycopg

        with psycopg.connect(postgresql_cluster.url("postgres"), autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname LIKE 't%'"
            )
        assert database.run(add_job)


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://me:{PASSWORD}@host/x",
        f"postgresql://me:{PASSWORD}@host:port/x",
        f"postgresql://me:{PASSWORD}@host",
        "sqlite://",
        "sqlite:///:memory:",
        "://",
    ],
)
def test_bad_address_is_one_sentence_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Database.open(url, create=True)
    assert PASSWORD not in str(caught.value)
    assert "Expected sqlite:///" in str(caught.value)


def test_unreachable_server_is_a_sentence_without_the_password() -> None:
    port = free_port()
    with pytest.raises(ReviewError) as caught:
        Database.open(f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/x")
    assert str(caught.value).startswith(
        f"The PostgreSQL server at 127.0.0.1:{port} cannot be reached."
    )
    assert PASSWORD not in repr(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"veilset:secret-of-tests": f"veilset:{PASSWORD}"}, "refuses the user or the password"),
        ({"/postgres": "/no-such"}, "has no such database"),
    ],
)
def test_refusing_server_is_a_sentence(
    postgresql_cluster: Cluster, change: dict[str, str], says: str
) -> None:
    url = postgresql_cluster.url("postgres")
    for old, new in change.items():
        url = url.replace(old, new)
    with pytest.raises(ReviewError, match=says) as caught:
        Database.open(url)
    assert PASSWORD not in str(caught.value)


def test_name_hides_the_password(postgresql_cluster: Cluster) -> None:
    with Database.open(postgresql_cluster.create_database(), create=True) as database:
        assert "secret-of-tests" not in database.name
        assert "127.0.0.1" in database.name


def test_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"\xff\xd8 not a database" * 1000)
    with pytest.raises(ReviewError, match="is not a SQLite database"):
        Database.open(path)


def test_folder_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match=r"cannot be opened\. Check that its folder"):
        Database.open(tmp_path / "missing" / "review.sqlite", create=True)


READ_ONLY = """
import os, sys
from veilset.errors import ReviewError
from veilset.review.database.connect import Database, _Turns
# Whatever has to be imported lies where only root may read.
Database.open(sys.argv[1]).close()
os.setgid(65534); os.setuid(65534)
try:
    with Database.open(sys.argv[1]) as database:
        database.run(lambda conn: conn.exec_driver_sql("DELETE FROM job"))
except ReviewError as error:
    print(error)
"""


@pytest.mark.skipif("os.geteuid() != 0", reason="needs root to become somebody else")
def test_read_only_file_is_a_sentence() -> None:
    # Not below pytest's folder: that one is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="veilset-read-only-"))
    try:
        path = folder / "review.sqlite"
        Database.open(path, create=True).close()
        path.chmod(0o444)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(path)], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith(f"The review database {path} cannot be"), done.stdout
        assert "permissions" in done.stdout or "may be written to" in done.stdout
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("missing", "command"),
    [("sqlalchemy", "veilset[review]"), ("alembic", "veilset[review]"),
     ("psycopg", "veilset[postgresql]")],
)  # fmt: skip
def test_missing_library_names_the_command(missing: str, command: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from veilset.errors import MissingExtraError\n"
        "try:\n"
        "    from veilset.review.database.connect import Database\n"
        "    Database.open('postgresql://x@127.0.0.1:1/x')\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"pip install '{command}'" in done.stdout


def test_writers_of_sqlite_take_turns_in_the_order_of_asking(tmp_path: Path) -> None:
    with Database.open(tmp_path / "review.sqlite", create=True) as database:
        turns = database._turn
        assert isinstance(turns, _Turns)
        done: list[int] = []

        def write(number: int) -> None:
            with database.writing():
                done.append(number)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
        with turns:
            for n_before, thread in enumerate(threads):
                thread.start()
                while len(turns._waiting) == n_before:
                    time.sleep(0.001)
            assert done == []
        for thread in threads:
            thread.join()
        assert done == list(range(12))
