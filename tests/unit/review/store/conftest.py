# SPDX-License-Identifier: Apache-2.0
"""Every test of the store runs on SQLite and on PostgreSQL, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.review_databases import *  # noqa: F403  fixtures, found by their names
from tests.unit.review.store.world import World, make_world
from veilset.review.database.connect import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database.open(database_url) as database:
        yield database


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    """A review of images with gold among them, as most tests want it."""
    return make_world(database, tmp_path)
