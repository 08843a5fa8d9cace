# SPDX-License-Identifier: Apache-2.0
"""Thread-seconds by step: where the time of a run went, and what held it up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Semaphore

WAITS = frozenset({"read", "write"})
"""Steps that wait for a disk or a network, not for a core."""

QUEUE = "queue"
"""Time in which an image that was read waited for a core to become free: no work, and the
sign that the cores, not the storage, hold up the rest."""


class Steps:
    """Times named steps on one thread; ``seconds`` of several are added up by the caller.

    Example:
        >>> steps = Steps()
        >>> with steps("decode"):
        ...     pass
        >>> list(steps.seconds)
        ['decode']
    """

    def __init__(self, cores: Semaphore | None = None) -> None:
        """Begin.

        Args:
            cores: What the thread holds while it works and lends to others while it waits;
                None where nobody else wants it.
        """
        self.seconds: dict[str, float] = {}
        self._cores = cores

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the block to a step, also if it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._add(name, start)

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """As a call, for a block that waits for a disk or a network: one of ``WAITS``.

        Meanwhile another thread may use the core. The block has to be short of memory: many
        threads are in one at a time.
        """
        if self._cores:
            self._cores.release()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._add(name, start)
            if self._cores:
                start = time.perf_counter()
                self._cores.acquire()
                self._add(QUEUE, start)

    def _add(self, name: str, start: float) -> None:
        spent = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + spent


@dataclass(frozen=True, slots=True)
class SlowStep:
    """What held a stage up.

    Attributes:
        step: The step: of those that wait, if images waited for storage more than for a
            core, else of those that work.
        share: Its share of the thread-seconds of all steps of that sort, in [0, 1].
        is_wait: Whether it is one that waits.
    """

    step: str
    share: float
    is_wait: bool

    def __str__(self) -> str:
        """Say it, for a log.

        Example:
            >>> str(SlowStep("detect", 0.9, is_wait=False))
            'bottleneck: detect, 90% of the work of the cores'
        """
        of_what = "waiting for storage, while cores were idle" if self.is_wait else (
            "work of the cores"
        )  # fmt: skip
        return f"bottleneck: {self.step}, {self.share:.0%} of the {of_what}"


def working(seconds: Mapping[str, float]) -> dict[str, float]:
    """Give the thread-seconds of the steps that kept a core busy.

    Example:
        >>> working({"read": 1.0, "decode": 2.0, "queue": 30.0})
        {'decode': 2.0}
    """
    return {name: value for name, value in seconds.items() if name not in WAITS | {QUEUE}}


def find_slow_step(seconds: Mapping[str, float]) -> SlowStep | None:
    """Name the step that held a stage up; None if none was timed.

    Args:
        seconds: Thread-seconds by step, as ``Steps`` gives them.

    Example:
        >>> find_slow_step({"read": 1.0, "decode": 2.0, "detect": 6.0, "queue": 30.0}).step
        'detect'
        >>> find_slow_step({"read": 9.0, "decode": 2.0, "queue": 0.1}).is_wait
        True
    """
    waits = {name: value for name, value in seconds.items() if name in WAITS}
    works = working(seconds)
    is_wait = sum(waits.values()) > seconds.get(QUEUE, 0.0) + sum(works.values())
    steps = waits if is_wait else works
    total = sum(steps.values())
    if not total:
        return None
    step = max(steps, key=steps.__getitem__)
    return SlowStep(step, steps[step] / total, is_wait)
