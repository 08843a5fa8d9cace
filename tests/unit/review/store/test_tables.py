# SPDX-License-Identifier: Apache-2.0
"""Tables: how they are made and brought up to date, and what they refuse."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.review_databases import Cluster
from tests.unit.review.store.one_row_each import add_job, fill_one_row_each
from veilset.errors import ReviewError
from veilset.review.database import tables, upgrade
from veilset.review.database.connect import Database


def test_migrations_give_the_tables_that_the_code_speaks_of(database: Database) -> None:
    with database.reading() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


def test_migrations_give_the_checks_that_the_code_speaks_of(database: Database) -> None:
    # Alembic does not compare these.
    wanted = {
        (table.name, str(constraint.name))
        for table in tables.metadata.sorted_tables
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    with database.reading() as conn:
        found = {
            (name, str(check["name"]))
            for name in inspect(conn).get_table_names()
            for check in inspect(conn).get_check_constraints(name)
        }
    assert wanted
    assert found == wanted


def test_upgrading_again_changes_nothing(database: Database) -> None:
    job_id = database.run(add_job)
    database.upgrade()
    assert database.look(lambda conn: conn.scalar(select(tables.job.c.id))) == job_id


def test_two_can_upgrade_at_once(empty_database_url: str) -> None:
    failed: list[BaseException] = []
    n_people = 8
    together = threading.Barrier(n_people)

    def open_one() -> None:
        together.wait()
        try:
            Database.open(empty_database_url, create=True).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(n_people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("create", [True, False])
def test_database_of_a_newer_version_is_refused(empty_database_url: str, create: bool) -> None:
    with Database.open(empty_database_url, create=True) as database:
        database.run(
            lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        )
    with pytest.raises(ReviewError, match=r"newer version of Veilset \(tables 9999\)"):
        Database.open(empty_database_url, create=create)


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{head}"


def upgrade() -> None:
    with op.batch_alter_table("job") as table:
        table.add_column(sa.Column("colour", sa.Text(), nullable=False, server_default="red"))
"""


def test_database_of_an_older_version_is_brought_up_to_date_when_a_job_is_opened(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Database.open(empty_database_url, create=True) as database:
        database.run(fill_one_row_each)
    newer = tmp_path / "migrations"
    shutil.copytree(upgrade._SCRIPTS, newer, ignore=shutil.ignore_patterns("__pycache__"))
    head = ScriptDirectory(str(upgrade._SCRIPTS)).get_current_head()
    (newer / "versions" / "v9000_colour.py").write_text(NEXT.replace("{head}", str(head)))
    monkeypatch.setattr(upgrade, "_SCRIPTS", newer)
    with pytest.raises(ReviewError, match=rf"older version of Veilset \(tables {head}\)"):
        Database.open(empty_database_url)
    with Database.open(empty_database_url, create=True) as database:
        found = database.look(lambda conn: conn.execute(text("SELECT name, colour FROM job")).all())
        assert [tuple(row) for row in found] == [("faces", "red")]
        assert database.look(lambda conn: conn.scalar(text("SELECT count(*) FROM answer"))) == 1
    Database.open(empty_database_url).close()


def test_foreign_tables_are_left_alone(empty_database_url: str) -> None:
    with Database.open(empty_database_url, create=True) as database:
        database.run(lambda conn: conn.execute(text("DROP TABLE alembic_version")))
    with pytest.raises(ReviewError, match="not Veilset's"):
        Database.open(empty_database_url, create=True)


@pytest.mark.parametrize("table", ["answer", "decision", "undo", "view", "event"])
@pytest.mark.parametrize("change", ["update", "delete"])
def test_what_people_said_cannot_be_changed(database: Database, table: str, change: str) -> None:
    def fill(conn: Connection) -> None:
        fill_one_row_each(conn)

    def attack(conn: Connection) -> None:
        which = tables.metadata.tables[table]
        column = next(iter(which.columns))
        conn.execute(which.delete() if change == "delete" else update(which).values({column: 7}))

    database.run(fill)
    before = database.look(lambda conn: conn.execute(text(f"SELECT * FROM {table}")).all())
    with pytest.raises((ReviewError, DBAPIError)):
        database.run(attack)
    after = database.look(lambda conn: conn.execute(text(f"SELECT * FROM {table}")).all())
    assert before == after
    assert len(before) == 1


def test_postgresql_keeps_what_people_said_from_truncate(postgresql_cluster: Cluster) -> None:
    with Database.open(postgresql_cluster.create_database(), create=True) as database:
        database.run(fill_one_row_each)
        with pytest.raises(ReviewError):
            database.run(lambda conn: conn.execute(text("TRUNCATE answer CASCADE")))


def test_more_takers_than_wanted_are_refused_by_the_database(database: Database) -> None:
    database.run(fill_one_row_each)
    with pytest.raises(IntegrityError), database.writing() as conn:
        conn.execute(update(tables.image).values(n_taken=2))
