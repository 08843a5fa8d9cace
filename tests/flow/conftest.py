# SPDX-License-Identifier: Apache-2.0
"""A small release to verify, and plugins to attack with; made once for each module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.attack.drawn_attack import planted_plugins
from tests.unit.verify.drawn import Release, make_release, planted_detectors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with planted_detectors():
        yield make_release(tmp_path_factory.mktemp("release") / "base")


@pytest.fixture
def release(made: Release, tmp_path: Path) -> Release:
    return made.copy(tmp_path / "copy")


@pytest.fixture(scope="module")
def announced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plugins of drawn attacks are installed."""
    with planted_plugins(tmp_path_factory.mktemp("package")):
        yield
