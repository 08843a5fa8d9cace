# SPDX-License-Identifier: Apache-2.0
"""Sheets of faces lie in a folder of their owner's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from veilset.synthesize.contact_sheet import write_sheet


def test_the_folder_of_a_sheet_is_narrowed(tmp_path: Path) -> None:
    folder = tmp_path / "sheets"
    folder.mkdir()
    folder.chmod(0o755)
    write_sheet(folder / "x.png", [np.zeros((1, 4, 3, 3), np.uint8)])
    assert folder.stat().st_mode & 0o777 == 0o700
