# SPDX-License-Identifier: Apache-2.0
"""Empty places at URLs, on a real S3 server and in memory, and what is listed there."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.s3 import s3_server
from veilset.dataset.stores import Store

numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=["s3://bucket", "memory://files"])
def place(server: str, request: pytest.FixtureRequest) -> str:
    return f"{request.param}/{next(numbers)}"


@pytest.fixture
def s3(server: str) -> str:
    return f"s3://bucket/{next(numbers)}"


def no_text(name: str) -> str:
    return "a text" if name.endswith(".txt") else ""


def names(store: Store) -> tuple[list[str], dict[str, int]]:
    ignored: Counter[str] = Counter()
    return [record.image_id for record in store.files(no_text, ignored)], dict(ignored)
