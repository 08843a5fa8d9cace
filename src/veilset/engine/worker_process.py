# SPDX-License-Identifier: Apache-2.0
"""What runs in each process of the local engine: two shards at a time, as they are handed in.

It is told what to do, and tells what it did, through one connection. When that closes, the
process that started it is gone, and so is it: at once, holding no lock any more.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Event, Lock
from typing import Any

from veilset.engine.carried import Broken, portable
from veilset.engine.cores import Cores, confine
from veilset.engine.shard_locks import ShardLocks
from veilset.protocols import Shard, ShardReport, ShardTask, ShardWork

log = logging.getLogger(__name__)

N_OPEN = 2
"""Shards under way in a process: while the last images of one are worked on, and what it became
is written or sent away, the threads begin with the next."""


@dataclass(frozen=True, slots=True)
class Start:
    """The first order.

    Attributes:
        task: The task, pickled.
        n_cores: Cores that the process may keep busy.
        log_level: Below it, records are not wanted.
    """

    task: bytes
    n_cores: int
    log_level: int


@dataclass(frozen=True, slots=True)
class Lend:
    """An order: cores that another process has no work for."""

    n_cores: int


@dataclass(frozen=True, slots=True)
class End:
    """The last order. What is under way is given up if it ``is_early``."""

    is_early: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """Word of a worker that has built what the task needs."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Word of images that have ended."""

    index: int
    n: int
    n_failed: int


Order = Start | Shard | Lend | End
Word = Ready | Ticked | ShardReport | Broken | logging.LogRecord


def main(fd: int) -> None:
    """Do what comes through the connection of this number."""
    link = _Link(Connection(fd))
    start = link.next_order()
    if not isinstance(start, Start):
        raise TypeError(f"The first order is a {type(start).__name__}.")
    root = logging.getLogger()
    root.handlers = [_Forwarding(link)]
    root.setLevel(start.log_level)
    try:
        _work(link, pickle.loads(start.task), confine(start.n_cores))  # noqa: S301  our own bytes
    except Exception as error:  # noqa: BLE001  raised again by the engine
        link.tell(_broken(error))


class _Link:
    """The connection, shared by the threads that tell something."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._telling = Lock()

    def next_order(self) -> Order:
        try:
            order: Order = self._connection.recv()
        except (EOFError, OSError):
            os._exit(1)
        return order

    def tell(self, word: Word) -> None:
        with self._telling:
            try:
                self._connection.send(word)
            except OSError:
                os._exit(1)


class _StoppedError(Exception):
    """The run ends early."""


def _work(link: _Link, task: ShardTask, cores: Cores) -> None:
    stop = Event()
    with (
        ShardLocks(task.places().run, is_worker=True) as locks,
        task.open() as work,
        ThreadPoolExecutor(N_OPEN, thread_name_prefix="veilset-shard") as lanes,
    ):
        link.tell(Ready())
        while not isinstance(order := link.next_order(), End):
            if isinstance(order, Lend):
                cores.add(order.n_cores)
            elif isinstance(order, Shard):
                lanes.submit(_do, link, locks, work, order, stop)
        if order.is_early:
            stop.set()


def _do(link: _Link, locks: ShardLocks, work: ShardWork, shard: Shard, stop: Event) -> None:
    def tick(n: int, n_failed: int) -> None:
        if stop.is_set():
            raise _StoppedError
        link.tell(Ticked(shard.index, n, n_failed))

    try:
        with locks.shard(shard.index):
            if stop.is_set():
                return
            word: Word = work(shard, tick)
    except _StoppedError:
        return
    except Exception as error:  # noqa: BLE001  raised again by the engine
        word = _broken(error)
    link.tell(word)


def _broken(error: Exception) -> Broken:
    return Broken(portable(error, "in a worker process", log_of="the command"))


class _Forwarding(logging.Handler):
    """Hands the log of this process to the one that started it."""

    def __init__(self, link: _Link) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        record = copy.copy(record)
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
        self._link.tell(record)
