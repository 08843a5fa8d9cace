# SPDX-License-Identifier: Apache-2.0
"""Threads: order kept, memory bounded, errors told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from veilset.engine.threads import ordered_map, resolve_workers
from veilset.errors import ConfigError


def test_results_keep_the_order_of_the_items() -> None:
    def slow_first(n: int) -> int:
        time.sleep(0.02 if n % 3 == 0 else 0)
        return n * n

    with ThreadPoolExecutor(3) as pool:
        assert list(ordered_map(pool, slow_first, range(30), window=6)) == [
            n * n for n in range(30)
        ]


def test_no_more_than_the_window_is_under_way() -> None:
    taken = 0
    lock = threading.Lock()

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(100):
            with lock:
                taken += 1
            yield n

    with ThreadPoolExecutor(2) as pool:
        for i, _ in enumerate(ordered_map(pool, lambda n: n, items(), window=5)):
            assert taken <= i + 6


def test_an_error_is_raised_in_order_and_the_rest_cancelled() -> None:
    def fail_at_three(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n

    with ThreadPoolExecutor(2) as pool:
        results = ordered_map(pool, fail_at_three, range(100), window=4)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="three"):
            next(results)


def test_nothing_is_under_way_any_more_when_an_error_is_raised() -> None:
    begun, at_work = threading.Event(), threading.Event()

    def fail_at_once_or_work_on(n: int) -> None:
        if n == 0:
            assert begun.wait(20)
            raise ValueError("first")
        at_work.set()
        begun.set()
        time.sleep(0.05)
        at_work.clear()

    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(ValueError, match="first"):
            list(ordered_map(pool, fail_at_once_or_work_on, range(2), window=4))
        assert not at_work.is_set()


def test_workers() -> None:
    assert resolve_workers(3) == 3
    assert resolve_workers(None) >= 1
    with pytest.raises(ConfigError, match="at least 1"):
        resolve_workers(0)
    with pytest.raises(ConfigError, match=r"--workers is 100000\. Give at most 1024"):
        resolve_workers(100_000)
