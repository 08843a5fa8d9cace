# SPDX-License-Identifier: Apache-2.0
"""Where the time went, and what held it up."""

from __future__ import annotations

from threading import Semaphore

import pytest

from veilset.engine.steps import QUEUE, Steps, find_slow_step, working


def test_a_step_is_timed_also_if_it_fails() -> None:
    steps = Steps()
    with pytest.raises(ValueError, match="bad"), steps("decode"):
        raise ValueError("bad")
    assert steps.seconds["decode"] >= 0


def test_who_waits_lends_the_core_and_takes_it_back_also_if_it_fails() -> None:
    cores = Semaphore(1)
    with cores:
        steps = Steps(cores)
        with steps.waiting("read"):
            assert cores.acquire(blocking=False)
            cores.release()
        with pytest.raises(OSError, match="gone"), steps.waiting("read"):
            raise OSError("gone")
        assert not cores.acquire(blocking=False)
    assert set(steps.seconds) == {"read", QUEUE}


@pytest.mark.parametrize(
    ("seconds", "step", "share", "is_wait"),
    [
        ({"read": 1.0, "decode": 2.0, "detect": 6.0, QUEUE: 30.0}, "detect", 0.75, False),
        # Threads that work one after the other lend nothing to each other.
        ({"read": 1.0, "decode": 2.0}, "decode", 1.0, False),
        ({"read": 9.0, "write": 1.0, "decode": 2.0, QUEUE: 0.5}, "read", 0.9, True),
        ({"read": 9.0, "decode": 2.0, QUEUE: 8.0}, "decode", 1.0, False),
    ],
)
def test_the_slow_step_waits_only_if_images_wait_for_storage(
    seconds: dict[str, float], step: str, share: float, is_wait: bool
) -> None:
    slow = find_slow_step(seconds)
    assert slow is not None
    assert (slow.step, slow.is_wait) == (step, is_wait)
    assert slow.share == pytest.approx(share)
    assert slow.step in str(slow)


def test_without_a_step_there_is_no_bottleneck() -> None:
    assert find_slow_step({}) is None
    assert find_slow_step({QUEUE: 3.0}) is None
    assert working({"read": 1.0, QUEUE: 2.0}) == {}
