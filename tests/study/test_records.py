# SPDX-License-Identifier: Apache-2.0
"""Records of runs: what they were, why they failed, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from veilset.errors import ResumeMismatchError, RunError
from veilset.study.curve import Epoch, read_curve, write_curve
from veilset.study.records import (
    Failure,
    Work,
    check_started,
    finish_run,
    forget_failure,
    read_failure,
    read_run,
    write_failure,
)

STARTED: dict[str, Any] = {"run_id": "a.b.s1", "recipe": {"lr": 0.1, "mean": (0.5, 0.4)}, "seed": 1}


def test_a_finished_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    check_started(tmp_path, STARTED)
    work = Work(n_steps=7, n_images_seen=56, seconds=2.0, sessions=2, final_loss=0.5)
    written = finish_run(tmp_path, "ab", work, device="cpu")
    found = read_run(tmp_path)
    assert found is not None
    assert (found.run_id, found.weights_sha256, found.work) == ("a.b.s1", "ab", written.work)
    assert json.loads((tmp_path / "run.json").read_bytes())["images_per_s"] == 28.0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 2}, "seed changed from 1 to 2"),
        ({"recipe": {"lr": 0.01, "mean": (0.5, 0.4)}}, r"recipe\.lr changed from 0\.1 to 0\.01"),
        ({"recipe": {"lr": 0.1}}, r"recipe\.mean changed from \[0\.5, 0\.4\] to 'not set'"),
        ({"threads": 2}, "threads changed from 'not set' to 2"),
    ],
)
def test_a_run_that_is_another_is_refused(tmp_path: Path, changes: Any, told: str) -> None:
    check_started(tmp_path, STARTED)
    check_started(tmp_path, STARTED)
    with pytest.raises(ResumeMismatchError, match=rf"Cannot resume a\.b\.s1: {told}\. Restore it"):
        check_started(tmp_path, STARTED | changes)


def test_a_failure_is_kept_until_it_is_forgotten(tmp_path: Path) -> None:
    assert read_failure(tmp_path) is None
    failure = Failure("nan-loss", 811, "The loss became nan.")
    write_failure(tmp_path, failure)
    assert read_failure(tmp_path) == failure
    forget_failure(tmp_path)
    forget_failure(tmp_path)
    assert read_failure(tmp_path) is None
    with pytest.raises(ValueError, match="'bad luck' is not one of"):
        write_failure(tmp_path, Failure("bad luck", None, ""))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}"])
def test_damaged_records_are_refused(tmp_path: Path, data: bytes) -> None:
    for name, read in (("run.json", read_run), ("failure.json", read_failure)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(RunError, match=rf"{name} is damaged: .* to train anew"):
            read(tmp_path)


def test_a_curve_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_curve(tmp_path) == []
    epochs = [Epoch(0, 0.1, 2.5, 0.25, 64, 1.5), Epoch(1, 0.01, 1.5, None, 64, 1.25)]
    write_curve(tmp_path, epochs)
    assert read_curve(tmp_path) == epochs
    (tmp_path / "curve.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match=r"curve\.parquet is damaged"):
        read_curve(tmp_path)
