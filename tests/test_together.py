# SPDX-License-Identifier: Apache-2.0
"""Where tests run in several processes, a file runs in one of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Leave a mark where all processes of this run would; a second one is an error."""
    mine = tmp_path_factory.getbasetemp()
    mark = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "set-up"
    mark.touch(exist_ok=False)
    return mark


@pytest.mark.parametrize("n", range(6))
def test_a_file_is_set_up_once(set_up: Path, n: int) -> None:
    assert set_up.exists(), n
