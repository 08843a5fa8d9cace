# SPDX-License-Identifier: Apache-2.0
"""The engine of one machine: threads where there is little to do, processes where there is much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from queue import SimpleQueue
from threading import Event

from veilset.engine.processes import run_in_processes
from veilset.engine.worker_process import N_OPEN
from veilset.errors import ConfigError
from veilset.protocols import EngineSettings, Shard, ShardReport, ShardTask, ShardWork, Tick

IMAGES_PER_PROCESS = 512
"""So many images have to wait for each process, or fewer are started. One takes a second to
start and to load a network: as long as 40 images of a search, or 250 that are obfuscated."""


class LocalEngine:
    """Runs shards on the cores of this machine.

    Decoding, the network and the array work let go of the interpreter lock, so threads fill
    the cores with a search as well as processes do, and a data set of a single shard uses
    them all. What is mostly Python needs processes: see ``engine.processes``.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        """Refuse what only a cluster has.

        Raises:
            ConfigError: If an address or GPUs are given, or more processes than workers.
        """
        self._settings = settings or EngineSettings()
        if self._settings.address or self._settings.n_gpus:
            option = "--address" if self._settings.address else "--gpus"
            raise ConfigError(
                f"The local engine knows no {option}. Leave it out, or choose a cluster: "
                "--engine ray."
            )
        if not 0 <= self._settings.n_processes <= self._settings.n_threads:
            raise ConfigError(
                f"--processes is {self._settings.n_processes}, with {self._settings.n_threads} "
                "workers. Give at most as many, or leave it out."
            )

    def run(self, task: ShardTask, shards: Iterable[Shard], *, tick: Tick) -> Iterator[ShardReport]:
        """Run the task over every shard; stops at the first exception.

        Shards are taken, ``tick`` is called and reports are given on the caller's thread.
        Unless the settings say how many processes there are, a few shards are taken ahead,
        to see whether there is enough to do for them.
        """
        source = iter(shards)
        taken, n_processes = self._look_ahead(source)
        shards = chain(taken, source)
        n_threads = self._settings.n_threads
        if n_processes > 1:
            yield from run_in_processes(task, shards, n_processes, n_threads, tick)
        else:
            with task.open() as work:
                yield from _overlapped(work, shards, tick)

    def _look_ahead(self, source: Iterator[Shard]) -> tuple[list[Shard], int]:
        """Give the shards that were taken, and how many processes they are enough for."""
        if self._settings.n_processes:
            return [], self._settings.n_processes
        most = self._settings.n_threads // self._settings.threads_per_process
        taken: list[Shard] = []
        n_images = 0
        while most > 1 and (n_images < most * IMAGES_PER_PROCESS or len(taken) < most):
            more = next(source, None)
            if more is None:
                break
            taken.append(more)
            n_images += len(more.records)
        return taken, min(most, n_images // IMAGES_PER_PROCESS, len(taken))


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
