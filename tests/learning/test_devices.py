# SPDX-License-Identifier: Apache-2.0
"""The arithmetic that a recipe asks for holds while a run is at work, and not longer."""

from __future__ import annotations

import pytest
import torch

from veilset.errors import RunError
from veilset.learning import devices
from veilset.learning.devices import arithmetic
from veilset.study.recipe import FAST, PAPER


def switches() -> tuple[object, ...]:
    return (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )


def test_switches_are_set_and_set_back() -> None:
    before = switches()
    with arithmetic(PAPER, "cpu", 2):
        assert switches() == (2, True, False, False)
        with arithmetic(FAST, "cpu", 1):
            assert switches() == (1, False, False, True)
        assert switches() == (2, True, False, False)
    assert switches() == before


def test_cuda_that_was_started_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.CUBLAS, raising=False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with (
        pytest.raises(RunError, match="was started in this process without CUBLAS"),
        arithmetic(PAPER, "cuda:0", 1),
    ):
        pass
    monkeypatch.setenv(devices.CUBLAS, devices.CUBLAS_SAME)
    devices._ask_cublas()
