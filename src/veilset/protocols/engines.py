# SPDX-License-Identifier: Apache-2.0
"""What runs the work of a stage over the shards of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from veilset.protocols.data import Shard, ShardReport

Tick = Callable[[int, int], None]
"""Told as images end: how many more are done, and how many of those failed."""

ShardWork = Callable[[Shard, Tick], ShardReport]
"""Does one shard, all of it, and reports."""


@dataclass(frozen=True, slots=True)
class Places:
    """Local paths that a task touches. A worker on another machine has to see the same ones.

    Attributes:
        run: Folder of the run; it is there before the engine starts.
        reads: Files and folders that are read.
        writes: Folders that are written to, besides that of the run.
    """

    run: Path
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()


class ShardTask(Protocol):
    """Work on shards that an engine can carry to wherever it runs. Has to pickle."""

    def places(self) -> Places:
        """Give the local paths that the work touches; what lies at a URL is left out."""

    def open(self) -> AbstractContextManager[ShardWork]:
        """Build what is needed once for each worker (models, threads); give the work."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which engine runs the shards, and on what. A factory refuses what it cannot honour.

    Attributes:
        name: Name of the engine plugin.
        address: Cluster to run on; "" for the engine's own choice.
        n_gpus: GPUs for each worker; a fraction lets several share one.
        n_threads: Threads that the task starts in each worker; the stage sets it.
        n_processes: Processes of one machine that share its ``n_threads``; 0 for the engine's
            own choice.
        threads_per_process: How many of them each process has at least, if the engine chooses;
            the stage sets it.
    """

    name: str = "local"
    address: str = ""
    n_gpus: float = 0.0
    n_threads: int = 1
    n_processes: int = 0
    threads_per_process: int = 1


@runtime_checkable
class Engine(Protocol):
    """Runs a task over shards. The outputs do not depend on which engine it is."""

    def run(self, task: ShardTask, shards: Iterable[Shard], *, tick: Tick) -> Iterator[ShardReport]:
        """Run the task over every shard; reports come as shards end, in any order.

        The caller commits each report before asking for the next one.
        """
