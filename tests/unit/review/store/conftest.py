# SPDX-License-Identifier: Apache-2.0
"""Every test of the store runs on SQLite and on PostgreSQL, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.review_databases import *  # noqa: F403  fixtures, found by their names
from veilset.review.database.connect import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database.open(database_url) as database:
        yield database
