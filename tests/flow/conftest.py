# SPDX-License-Identifier: Apache-2.0
"""A small release to attack, made once for each module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.verify.drawn import Release, make_release, planted_detectors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with planted_detectors():
        yield make_release(tmp_path_factory.mktemp("release") / "base")


@pytest.fixture
def release(made: Release, tmp_path: Path) -> Release:
    return made.copy(tmp_path / "copy")
