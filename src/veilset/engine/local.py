# SPDX-License-Identifier: Apache-2.0
"""The engine of one machine: the images of a shard on all threads, and two shards at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from threading import Event

from veilset.errors import ConfigError
from veilset.protocols import EngineSettings, Shard, ShardReport, ShardTask, ShardWork, Tick

N_OPEN = 2
"""Shards under way: while the last images of one are worked on, and what it became is written
or sent away, the threads begin with the next."""


class LocalEngine:
    """Runs shards in this process.

    The parallelism is inside a shard (``engine.threads``): decoding, the network and the
    array work all let go of the interpreter lock, so threads fill the cores, and a small
    data set of a single shard uses them as well as a large one.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        """Refuse what only a cluster has.

        Raises:
            ConfigError: If an address or GPUs are given.
        """
        if settings and (settings.address or settings.n_gpus):
            option = "--address" if settings.address else "--gpus"
            raise ConfigError(
                f"The local engine knows no {option}. Leave it out, or choose a cluster: "
                "--engine ray."
            )

    def run(self, task: ShardTask, shards: Iterable[Shard], *, tick: Tick) -> Iterator[ShardReport]:
        """Run the task over every shard; stops at the first exception.

        Shards are taken, ``tick`` is called and reports are given on the caller's thread.
        """
        with task.open() as work:
            yield from _overlapped(work, shards, tick)


class _StoppedError(Exception):
    """The run ends: another shard failed, or nobody wants the reports any more."""


def _overlapped(work: ShardWork, shards: Iterable[Shard], tick: Tick) -> Iterator[ShardReport]:
    news: SimpleQueue[tuple[int, int] | Future[ShardReport]] = SimpleQueue()
    stop = Event()

    def tell(n_done: int, n_failed: int) -> None:
        if stop.is_set():
            raise _StoppedError
        news.put((n_done, n_failed))

    source = iter(shards)
    n_open = 0
    with ThreadPoolExecutor(N_OPEN, thread_name_prefix="veilset-shard") as lanes:
        try:
            while True:
                for shard in islice(source, N_OPEN - n_open):
                    lanes.submit(work, shard, tell).add_done_callback(news.put)
                    n_open += 1
                if not n_open:
                    break
                new = news.get()
                if isinstance(new, Future):
                    n_open -= 1
                    yield new.result()
                else:
                    tick(*new)
        finally:
            stop.set()
