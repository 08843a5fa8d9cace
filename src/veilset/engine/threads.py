# SPDX-License-Identifier: Apache-2.0
"""Map over many items on several threads: in order, with bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from itertools import islice
from typing import TypeVar

from veilset.errors import ConfigError

MOST_THREADS = 1024
"""Of a process, on every machine: what is asked for above it is a slip, and ends processes."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Give the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells which cores a process may use
        return os.cpu_count() or 1


def resolve_workers(workers: int | None) -> int:
    """Give the number of threads to use; None means every usable core.

    Raises:
        ConfigError: If it is below 1, or above ``MOST_THREADS``.
    """
    if workers is None:
        return usable_cores()
    if workers < 1:
        raise ConfigError(f"--workers is {workers}. Give at least 1, or leave it out.")
    if workers > MOST_THREADS:
        raise ConfigError(f"--workers is {workers}. Give at most {MOST_THREADS}, or leave it out.")
    return workers


def ordered_map(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    window: int,
) -> Iterator[Result]:
    """Apply a function on the executor's threads; results come in the order of the items.

    Args:
        executor: Where the function runs.
        function: Applied to each item; its exception is raised here, in order.
        items: Taken only as fast as results are.
        window: How many items may be under way or waiting to be taken, at least 1.
    """
    source = iter(items)
    pending: deque[Future[Result]] = deque(
        executor.submit(function, item) for item in islice(source, window)
    )
    try:
        while pending:
            result = pending.popleft().result()
            pending.extend(executor.submit(function, item) for item in islice(source, 1))
            yield result
    finally:
        # What is under way uses what the caller is about to close.
        wait([future for future in pending if not future.cancel()])
