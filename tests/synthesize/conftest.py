# SPDX-License-Identifier: Apache-2.0
"""What the tests of trainings have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.synthesize.drawn_faces import write_drawn_faces


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of drawn faces of 8 people."""
    return write_drawn_faces(tmp_path_factory.mktemp("faces") / "faces")
