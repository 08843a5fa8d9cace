# SPDX-License-Identifier: Apache-2.0
"""A review job on both databases, and a Mechanical Turk on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nobodys_account import use_nobodys_account
from tests.review_databases import Cluster, postgresql_cluster
from tests.unit.review.mturk.fake_turk import FakeTurk, fake_turk
from tests.unit.review.store.world import World, make_world
from veilset.aws import Patience
from veilset.review.database.connect import Database
from veilset.review.mturk.account import Account, open_account

__all__ = ["postgresql_cluster"]

AT_ONCE = Patience(attempts=1, rounds=0, mode="standard")


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: SQLite, unless a test asks for both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'review.sqlite'}"
    cluster: Cluster = request.getfixturevalue("postgresql_cluster")
    return cluster.create_database()


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with Database.open(database_url, create=True) as database:
        yield make_world(database, tmp_path)


@pytest.fixture
def turk(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTurk]:
    use_nobodys_account(monkeypatch)
    with fake_turk() as turk:
        yield turk


@pytest.fixture
def account(turk: FakeTurk) -> Account:
    return open_account(endpoint_url=turk.url, patience=AT_ONCE)
