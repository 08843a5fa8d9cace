# SPDX-License-Identifier: Apache-2.0
"""Every test of the store runs on SQLite and on PostgreSQL, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.review_databases import database_url, postgresql_cluster
from veilset.review.database.connect import Database

__all__ = ["database", "database_url", "postgresql_cluster"]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database.open(database_url, create=True) as database:
        yield database
