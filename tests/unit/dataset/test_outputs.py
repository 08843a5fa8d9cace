# SPDX-License-Identifier: Apache-2.0
"""What a run finds where it is to write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from veilset.dataset.outputs import check_output
from veilset.errors import RunError


def record(base: Path, counts: Mapping[str, int] | None = None) -> Path:
    """Make the record of a run that wrote so many images, None for one that wrote no shard."""
    folder = base / "record"
    (folder / "ledger").mkdir(parents=True)
    (folder / "started.json").write_text("{}")
    (folder / "ledger" / "wall_s.json").write_text("1.5")
    if counts is not None:
        (folder / "ledger" / "00000.json").write_text(json.dumps({"counts": counts}))
    return folder


def test_a_place_that_is_new_or_empty_is_taken(tmp_path: Path) -> None:
    check_output(tmp_path / "out", tmp_path / "record")
    (tmp_path / "out").mkdir()
    check_output(tmp_path / "out", tmp_path / "record")


def test_what_nobody_of_ours_put_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(RunError, match="not empty, and there is no run to resume"):
        check_output(tmp_path, tmp_path / "record")
    with pytest.raises(RunError, match="is not a folder"):
        check_output(tmp_path / "a.jpg", tmp_path / "record")


@pytest.mark.parametrize("name", ["obfuscated", "untouched"])
def test_an_output_that_was_emptied_is_not_taken_for_done(tmp_path: Path, name: str) -> None:
    folder, out = record(tmp_path, {name: 1, "failed": 2}), tmp_path / "out"
    out.mkdir()
    with pytest.raises(RunError, match="which is empty"):
        check_output(out, folder)
    (out / "a.jpg").touch()
    check_output(out, folder)
    shutil.rmtree(out)
    with pytest.raises(RunError, match="which is gone"):
        check_output(out, folder)


@pytest.mark.parametrize("counts", [None, {"failed": 3}, {"removed": 1, "failed": 0}])
def test_a_run_that_wrote_nothing_has_an_empty_output(
    tmp_path: Path, counts: Mapping[str, int] | None
) -> None:
    (tmp_path / "out").mkdir()
    check_output(tmp_path / "out", record(tmp_path, counts))


def test_a_damaged_ledger_is_said(tmp_path: Path) -> None:
    folder = record(tmp_path, {})
    (folder / "ledger" / "00000.json").write_text("{")
    (tmp_path / "out").mkdir()
    with pytest.raises(RunError, match=r"00000\.json is not an entry"):
        check_output(tmp_path / "out", folder)
