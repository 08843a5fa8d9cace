# SPDX-License-Identifier: Apache-2.0
"""Thread-seconds by step: where the time of a run went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """Times named steps on one thread; ``seconds`` of several are added up by the caller.

    Example:
        >>> steps = Steps()
        >>> with steps("decode"):
        ...     pass
        >>> list(steps.seconds)
        ['decode']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the block to a step, also if it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
