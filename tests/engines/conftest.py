# SPDX-License-Identifier: Apache-2.0
"""A real Ray cluster on this machine, one for all tests of engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clusters import add_node, bare_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """The cluster with two nodes of one core each. A test that kills one adds another."""
    with bare_cluster() as bare:
        add_node(bare)
        add_node(bare)
        yield bare
