# SPDX-License-Identifier: Apache-2.0
"""The body of a stage that treats images one by one: a shard on all threads, in order."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from threading import Lock, Semaphore
from typing import Generic, TypeVar

from threadpoolctl import threadpool_limits

from veilset.engine.cores import cores_for
from veilset.engine.steps import Steps
from veilset.engine.threads import Item, ordered_map
from veilset.faults import chain_of, stop_at_fault
from veilset.protocols import Shard, ShardReport, ShardWork, Tick
from veilset.types import ImageRecord

log = logging.getLogger(__name__)

Row = TypeVar("Row")

# An image that takes a hundred times as long as its neighbours must not stop the other
# threads. What waits is a row of a table, never pixels, so that a long window costs little.
WINDOW_PER_THREAD = 64

REUSED = "reused"
"""Count of the images whose rows were taken over from an earlier run."""

WAITING_PER_CORE = 4
"""Threads beside those that work, for each of them: as many images wait for a disk or a network
at a time. With 50 ms for a read from an object store they feed 80 images/s to each core."""


@dataclass(frozen=True, slots=True)
class OpenShard(Generic[Row]):
    """What a stage does with the images of one shard, while that is open.

    Attributes:
        treat: Gives one row for each record, in order, and never raises for a bad image.
        settle: Gives the final rows, once every image of the shard was treated.
        n_reused: Gives the number of images whose row was taken over from an earlier run; asked
            for after ``settle``.
    """

    treat: Callable[[Sequence[ImageRecord], Steps], list[Row]]
    settle: Callable[[list[Row]], list[Row]] = lambda rows: rows
    n_reused: Callable[[], int] = lambda: 0


@dataclass(frozen=True, slots=True)
class Body(Generic[Row]):
    """What a stage does with shards; the rest is the same for every stage.

    Attributes:
        open: Opens a shard. What the stage makes of it is in place when the block ends.
        count: Gives what a row adds to the counts of the run.
        write: Writes the rows of a shard; gives the digest of what it wrote.
        is_failed: Whether a row counts as failed in the progress.
        batch_size: How many images ``OpenShard.treat`` likes to get at once.
    """

    open: Callable[[Shard], AbstractContextManager[OpenShard[Row]]]
    count: Callable[[Row], Mapping[str, int]]
    write: Callable[[int, list[Row]], str]
    is_failed: Callable[[Row], bool]
    batch_size: int = 1


@contextmanager
def shard_worker(body: Body[Row], workers: int) -> Iterator[ShardWork]:
    """Give the function that does a shard, ``workers`` images at work at a time.

    (As many as its share of the cores, where the engine has given this process one.) They
    fill the cores already: matrix products stay on the thread that asks for them, in the
    whole process while the block lasts. Left alone, the threads of NumPy's OpenBLAS wait
    for each other; on two busy cores a product of 1 ms took 17 ms.

    There are more threads than that: one that waits for storage (``Steps.waiting``) lends
    its core to another. The function may be called for a second shard while it does the
    first: the images of the second come behind those of the first.
    """
    cores = cores_for(workers)
    n_threads = cores.n * (1 + WAITING_PER_CORE)
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(n_threads, thread_name_prefix="veilset") as executor,
    ):
        crew = _Crew(executor, n_threads, cores.free, Lock(), WINDOW_PER_THREAD * cores.n)
        yield lambda shard, tick: _work(body, crew, shard, tick)


@dataclass(frozen=True, slots=True)
class _Crew:
    """The threads, and what they share.

    Attributes:
        executor: The threads.
        n_threads: How many there are.
        cores: Held by a thread that works.
        feeding: Held by the shard whose images are being handed out.
        window: How many images of a shard may be under way or waiting to be recorded.
    """

    executor: Executor
    n_threads: int
    cores: Semaphore
    feeding: Lock
    window: int


def _work(body: Body[Row], crew: _Crew, shard: Shard, tick: Tick) -> ShardReport:
    rows: list[Row] = []
    seconds: dict[str, float] = {}
    n_failed = 0
    with body.open(shard) as opened:
        with closing(_treated(opened, shard, body.batch_size, crew)) as treated:
            for new_rows, spent in treated:
                rows += new_rows
                for name, value in spent.items():
                    seconds[name] = seconds.get(name, 0.0) + value
                failed = sum(map(body.is_failed, new_rows))
                n_failed += failed
                tick(len(new_rows), failed)
        rows = opened.settle(rows)
        n_reused = opened.n_reused()
    if more := sum(map(body.is_failed, rows)) - n_failed:
        tick(0, more)
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(body.count(row))
    if n_reused:
        counts[REUSED] = n_reused
    steps = Steps()
    with steps("record"):
        digest = body.write(shard.index, rows)
    return ShardReport(
        index=shard.index,
        n_images=len(shard.records),
        counts=dict(counts),
        seconds=seconds | steps.seconds,
        digest=digest,
        first_id=shard.records[0].image_id if shard.records else "",
        last_id=shard.records[-1].image_id if shard.records else "",
    )


def _treated(
    opened: OpenShard[Row], shard: Shard, size: int, crew: _Crew
) -> Generator[tuple[list[Row], dict[str, float]]]:
    """Treat the images of a shard, ``size`` at a time; give rows and thread-seconds by step."""

    def treat(batch: Sequence[ImageRecord]) -> tuple[list[Row], dict[str, float]]:
        with crew.cores:
            steps = Steps(crew.cores)
            return opened.treat(batch, steps), steps.seconds

    records = shard.records
    batches = (records[at : at + size] for at in range(0, len(records), size))
    window = max(crew.n_threads, crew.window // size)
    crew.feeding.acquire()
    feeding = _Held(crew.feeding)
    try:
        yield from ordered_map(crew.executor, treat, feeding.until_end(batches), window=window)
    finally:
        feeding.release()


class _Held:
    """A lock that is held until the items are used up, or somebody lets go of it."""

    def __init__(self, lock: Lock) -> None:
        self._lock: Lock | None = lock

    def until_end(self, items: Iterator[Item]) -> Iterator[Item]:
        yield from items
        self.release()

    def release(self) -> None:
        lock, self._lock = self._lock, None
        if lock:
            lock.release()


def describe_failure(image_id: str, error: Exception) -> str:
    """Say for people what went wrong with one image, and log where in the code.

    The text of a foreign exception stays out of both: it may hold what is in the file.

    Raises:
        RunError: If it is not the image: the system has no room, memory or files to give, or a
            service is out of reach. A run that is resumed would pass over what was written down
            as failed.
    """
    for each in chain_of(error):
        stop_at_fault(each, image_id)
    place = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s: unexpected %s\n%s", image_id, type(error).__name__, place)
    return (
        f"An unexpected error stopped the work on it ({type(error).__name__}). "
        "Please report it; the log has the place."
    )
