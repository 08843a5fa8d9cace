# SPDX-License-Identifier: Apache-2.0
"""Trainings killed outright go on with the very same weights."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import pytest

from tests.study.drawn_training import (
    N_BATCHES,
    WEIGHTS,
    drawn_recipe,
    train_and_kill,
    train_small,
)

# Forked from a process that has PyTorch already: starting it takes seconds.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.study.drawn_training"])


@pytest.mark.parametrize("step", [1, 2, N_BATCHES, N_BATCHES + 1])
@pytest.mark.parametrize("in_save", [False, True], ids=["after a step", "in a checkpoint"])
def test_killed_is_uninterrupted(tmp_path: Path, step: int, in_save: bool) -> None:
    recipe = drawn_recipe(ema=0.9)
    killed = context.Process(
        target=train_and_kill, args=(tmp_path / "killed", recipe, step, in_save)
    )
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert not (tmp_path / "killed" / WEIGHTS).exists()
    assert train_small(tmp_path / "killed", recipe)
    assert train_small(tmp_path / "whole", recipe)
    files = [tmp_path / name / WEIGHTS for name in ("killed", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()
