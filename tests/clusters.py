# SPDX-License-Identifier: Apache-2.0
"""Real Ray clusters on this machine: a head without cores, and nodes to work on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import REPOSITORY

STORE_BYTES = 80_000_000


@contextmanager
def bare_cluster() -> Iterator[Any]:
    """Give a cluster whose head takes no work, while the block lasts."""
    pytest.importorskip("ray", reason="pip install 'veilset[ray]'")
    before = dict(os.environ)
    # The nodes inherit it: they have to find the tasks of these tests.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(REPOSITORY), *filter(None, [before.get("PYTHONPATH")])]
    )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        },
    )
    yield cluster
    cluster.shutdown()
    os.environ.clear()
    os.environ.update(before)


def add_node(cluster: Any) -> Any:
    """Add a node of one core."""
    return cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
