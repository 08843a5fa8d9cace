# SPDX-License-Identifier: Apache-2.0
"""How many cores this process may keep busy: all that a stage asks for, or an engine's share."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Semaphore

_THREADS_PER_GPU_PROCESS = 4


@dataclass(slots=True)
class Cores:
    """Cores for the threads of one process.

    Attributes:
        n: How many there are at first.
        free: Held by a thread that works.
    """

    n: int
    free: Semaphore = field(init=False)

    def __post_init__(self) -> None:
        """Make them free."""
        self.free = Semaphore(self.n)

    def add(self, n: int) -> None:
        """Put in some more, which another process has no work for."""
        self.free.release(n)


_share: Cores | None = None


def confine(n: int) -> Cores:
    """Give this process a share: from now on no stage in it works on more cores at a time."""
    global _share
    _share = Cores(n)
    return _share


def cores_for(workers: int) -> Cores:
    """Give the cores of a stage that asks for so many."""
    return _share or Cores(workers)


def threads_per_process(device: str) -> int:
    """Give the threads that a process of the local engine has at least.

    On a GPU each process holds a network and its buffers there, so fewer feed it. (Four
    threads, since their shares of Python then keep one lock busy; not measured on a GPU.)
    """
    return _THREADS_PER_GPU_PROCESS if device == "cuda" else 1
